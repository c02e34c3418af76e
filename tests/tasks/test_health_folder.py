"""A user's own records: what is read, what is refused, and that nobody's secrets get out."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from seqbench.api import Example, Splits
from seqbench.cli import main
from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks._archive import cache_folder
from seqbench.tasks.health.base import HealthTask
from seqbench.tasks.health.longformat import read_folder
from seqbench.tasks.health.nafld import NAFLD
from seqbench.tasks.health.pbc import PBC
from seqbench.testing import check_task

PATIENTS = 40
SECRET = "Zaphod-8472"
"""Begins every patient's name."""
ODD = "31415.92653589"
"""Ends the numbers that a patient could be known by."""
Lines = list[list[str]]
Files = Callable[..., dict[str, Lines]]
Write = Callable[[Path, dict[str, Lines]], Path]


def all_of(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.valid, *splits.test]


@pytest.mark.parametrize("task_class", [PBC, NAFLD])
def test_own_records_keep_the_contract_of_tasks(
    health_files: Files, write_files: Write, task_class: type[HealthTask], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(task_class is PBC))
    check_task(task_class(source=str(folder)))


def test_labels_of_times_are_read(health_files: Files, write_files: Write, tmp_path: Path) -> None:
    """A step for each time of an event or an outcome; an empty label masks its step."""
    files = health_files(online=True)
    name = f"{SECRET}-7"
    files["outcomes"] = [row for row in files["outcomes"] if row[0] != name]
    files["events"] = [row for row in files["events"] if row[0] != name]
    files["events"] += [[name, "2", "pulse", "5"], [name, "1", "lactate", "7"]]
    files["events"] += [[name, "2", "pulse", "6"]]
    files["outcomes"] += [[name, "3", "1"], [name, "2", "0"], [name, "1", ""]]
    records = read_folder(UserData(write_files(tmp_path / "own", files)), online=True)
    assert ["lactate", "pulse"] == records.variables.tolist()
    number = sorted({row[0] for row in files["outcomes"][1:]}).index(name)
    steps = slice(records.starts[number], records.starts[number] + records.lengths[number])
    assert [1.0, 2.0, 3.0] == records.times[steps].tolist()
    nan = np.nan
    np.testing.assert_array_equal([[7, nan], [nan, 5.5], [nan, nan]], records.values[steps])
    np.testing.assert_array_equal([nan, 0, 1], records.labels[steps])


def test_labels_of_patients_are_read(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """The label stands at the last step; static features may be unknown, and a patient too."""
    files = health_files(online=False)
    files["patients"] = files["patients"][:-1]
    files["patients"][1][1] = ""
    records = read_folder(UserData(write_files(tmp_path / "own", files)), online=False)
    names = sorted(row[0] for row in files["outcomes"][1:])
    labels = dict(files["outcomes"][1:])
    static = {row[0]: row[1:] for row in files["patients"][1:]}
    ends = np.cumsum(records.lengths) - 1
    assert [float(labels[name]) for name in names] == records.labels[ends].tolist()
    assert PATIENTS == (~np.isnan(records.labels)).sum()
    expected = [
        [float(cell) if cell else np.nan for cell in static.get(name, ["", ""])] for name in names
    ]
    np.testing.assert_array_equal(expected, records.static)
    assert ["age", "smoker"] == records.statics.tolist()


def test_static_features_may_be_absent(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    files = health_files(online=False)
    del files["patients"]
    task = NAFLD(source=str(write_files(tmp_path / "own", files)))
    task.prepare()
    splits = task.splits(0)
    assert {None} == {example.static for example in all_of(splits)}
    assert 0 == task.input_spec(splits.train).static_size
    assert "static" not in task.baselines(splits)


@pytest.mark.parametrize("age", ["", "36.6"])
def test_static_features_that_say_nothing_leave_the_prevalence(
    health_files: Files, write_files: Write, age: str, tmp_path: Path
) -> None:
    files = health_files(online=False)
    files["patients"] = [row[:2] for row in files["patients"]]
    for row in files["patients"][1:]:
        row[1] = age
    task = NAFLD(source=str(write_files(tmp_path / "own", files)), fold=0)
    task.prepare()
    found = task.baselines(task.splits(0))
    assert torch.equal(torch.cat([*found["prevalence"]]), torch.cat([*found["static"]]))
    assert not torch.equal(
        torch.cat([*found["prevalence"]]), torch.cat([*found["logistic_regression"]])
    )


def test_one_class_in_training_leaves_the_prevalence(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """A smoke run cuts the splits to a few patients, who may all have one outcome."""
    task = NAFLD(source=str(write_files(tmp_path / "own", health_files(online=False))), fold=0)
    task.prepare()
    splits = task.splits(0)
    negative = [example for example in splits.train if not example.targets]
    found = task.baselines(Splits(negative, splits.valid, splits.test))
    expected = torch.cat([*found["prevalence"]])
    assert "gradient_boosting" in found
    for parts in found.values():
        assert torch.equal(expected, torch.cat([*parts]))


def test_a_part_of_a_fold_with_one_class_is_refused(write_files: Write, tmp_path: Path) -> None:
    """Patients are dealt by their positive labels: here every fifth is the only one negative."""
    events, outcomes = [["patient", "time", "variable", "value"]], [["patient", "time", "label"]]
    for number in range(50):
        name = f"{SECRET}-{number:02}"
        events += [[name, str(time), "pulse", str(time)] for time in range(50)]
        outcomes += [[name, str(time), "1"] for time in range(50 - number)]
        outcomes += [[name, "99", "0"]] if number % 5 == 0 else []
    folder = write_files(tmp_path / "own", {"events": events, "outcomes": outcomes})
    with pytest.raises(Refused, match="fold 0 has no negative label for training; try another"):
        PBC(source=str(folder)).prepare()


def test_patients_without_a_label_are_no_examples(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    files = health_files(online=True)
    for row in files["outcomes"]:
        if row[0] == f"{SECRET}-3":
            row[2] = ""
    task = PBC(source=str(write_files(tmp_path / "own", files)))
    task.prepare()
    examples = all_of(task.splits(0))
    assert len(examples) < PATIENTS
    assert all(
        bool(example.target_mask.any()) for example in examples if example.target_mask is not None
    )


def test_the_unit_of_time_does_not_matter(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """Elapsed times are counted in the training patients' median: hours and years are the same."""
    splits = []
    for number, scale in enumerate((1.0, 8766.0)):
        files = health_files(online=False)
        for row in files["events"][1:]:
            row[1] = str(float(row[1]) * scale)
        task = NAFLD(source=str(write_files(tmp_path / str(number), files)))
        task.prepare()
        splits.append(task.splits(0))
    deltas = [
        sorted(round(float(example.delta.sum()), 4) for example in all_of(each)  # type: ignore[union-attr]
               ) for each in splits
    ]  # fmt: skip
    assert sum(deltas[0]) == pytest.approx(sum(deltas[1]), rel=1e-4)


def test_a_byte_order_mark_and_blank_lines_are_no_harm(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(online=False))
    text = (folder / "events.csv").read_text()
    expected = read_folder(UserData(folder), online=False)
    (folder / "events.csv").write_text("\ufeff" + text.replace("\n", "\n\n"))
    assert np.array_equal(
        expected.values, read_folder(UserData(folder), False).values, equal_nan=True
    )


def test_nothing_of_a_folder_is_cached(
    health_files: Files, write_files: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    task = PBC(source=str(write_files(tmp_path / "own", health_files(online=True))))
    task.prepare()
    task.baselines(task.splits(0))
    task.fingerprint()
    assert not cache_folder().exists()


def test_records_do_not_print_themselves(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    records = read_folder(
        UserData(write_files(tmp_path / "own", health_files(online=True))), online=True
    )
    assert re.fullmatch(r"<seqbench\.tasks\.health\.records\.Records object at \w+>", repr(records))


@pytest.fixture(params=["here", pytest.param("in a process", marks=pytest.mark.nightly)])
def seqbench(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in a folder; return exit code, standard output and error."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "work" / "cache"))

    def run(folder: Path, *words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        if request.param == "here":
            return main(words), *capfd.readouterr()
        command = [sys.executable, "-m", "seqbench", *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        return result.returncode, result.stdout, result.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "online"),
    [("health/pbc", True), pytest.param("health/nafld", False, marks=pytest.mark.nightly)],
)
def test_a_trial_leaves_nobody_behind(
    health_files: Files,
    write_files: Write,
    seqbench: Callable[..., tuple[int, str, str]],
    name: str,
    online: bool,
    tmp_path: Path,
) -> None:
    """No name, planted number or hash of a patient is in what a trial writes or says.

    That is: records, database, artifacts, checkpoints, standard output and error, and the picture
    of the data; also of a trial that refuses a broken file.
    """
    files = health_files(online)
    for row in files["events"][1::5]:
        row[3] = ODD
    for row in files["patients"][1::3]:
        row[1] = ODD
    own = write_files(tmp_path / "own", files)
    work = tmp_path / "work"
    work.mkdir()
    trial = [f"task={name}", f"task.source={own}", "model=gru", "experiment=smoke"]
    code, *said = seqbench(work, *trial)
    assert code == 0, said
    (own / "events.csv").write_text((own / "events.csv").read_text().replace("pulse", "pulse,1", 1))
    code, *refused = seqbench(work, *trial)
    assert code == 2
    task = (PBC if online else NAFLD)(source=str(write_files(own, files)))
    task.prepare()
    figure = Figure()
    assert task.picture(figure)
    with rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(work / "picture.svg")
    assert "lactate" in (work / "picture.svg").read_text()
    files_left = [path for path in work.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files_left)
    units = {example.group for example in all_of(task.splits(0))}
    secrets = {SECRET, SECRET.split("-")[0], ODD, ODD[:8], *units}
    for secret in secrets:
        for stream in (*said, *refused):
            assert secret not in stream
        for path in files_left:
            assert secret.encode() not in path.read_bytes(), path
    database = next(path for path in files_left if path.suffix == ".db")
    with sqlite3.connect(database) as connection:
        parameters = dict(connection.execute("SELECT key, value FROM params").fetchall())
    assert str(own) in parameters.values()
