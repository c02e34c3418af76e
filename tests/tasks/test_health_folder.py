"""A user's own records: what is read, what is refused, and that nobody's secrets get out."""

from __future__ import annotations

import csv
import os
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
Break = Callable[[dict[str, Lines]], object]


def make_files(online: bool) -> dict[str, Lines]:
    """Return the lines of each file: forty patients with 1 to 6 times and two variables."""
    generator = np.random.default_rng(0)
    events: Lines = [["patient", "time", "variable", "value"]]
    outcomes: Lines = [["patient", "time", "label"] if online else ["patient", "label"]]
    patients: Lines = [["patient", "age", "smoker"]]
    for number in range(PATIENTS):
        name = f"{SECRET}-{number}"
        for time in range(int(generator.integers(1, 7))):
            for variable in ("lactate", "pulse")[: int(generator.integers(1, 3))]:
                value = f"{generator.normal() + number % 2:.3f}"
                events.append([name, f"{time}.5", variable, value])
            if online:
                label = "" if generator.random() < 0.2 else str(number % 2)
                outcomes.append([name, f"{time}.5", label])
        if not online:
            outcomes.append([name, str(number % 2)])
        patients.append([name, str(20 + number), "" if number % 7 == 0 else str(number % 3 == 0)])
    for row in patients[1:]:
        row[2] = {"True": "1", "False": "0"}.get(row[2], "")
    return {"events": events, "outcomes": outcomes, "patients": patients}


def write(folder: Path, files: dict[str, Lines]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return folder


def all_of(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.valid, *splits.test]


@pytest.mark.parametrize("task_class", [PBC, NAFLD])
def test_own_records_keep_the_contract_of_tasks(
    task_class: type[HealthTask], tmp_path: Path
) -> None:
    folder = write(tmp_path / "own", make_files(task_class is PBC))
    check_task(task_class(source=str(folder)))


def test_labels_of_times_are_read(tmp_path: Path) -> None:
    """A step for each time of an event or an outcome; an empty label masks its step."""
    files = make_files(online=True)
    name = f"{SECRET}-7"
    files["outcomes"] = [row for row in files["outcomes"] if row[0] != name]
    files["events"] = [row for row in files["events"] if row[0] != name]
    files["events"] += [[name, "2", "pulse", "5"], [name, "1", "lactate", "7"]]
    files["events"] += [[name, "2", "pulse", "6"]]
    files["outcomes"] += [[name, "3", "1"], [name, "2", "0"], [name, "1", ""]]
    records = read_folder(write(tmp_path / "own", files), online=True)
    assert ["lactate", "pulse"] == records.variables.tolist()
    number = sorted({row[0] for row in files["outcomes"][1:]}).index(name)
    steps = slice(records.starts[number], records.starts[number] + records.lengths[number])
    assert [1.0, 2.0, 3.0] == records.times[steps].tolist()
    nan = np.nan
    np.testing.assert_array_equal([[7, nan], [nan, 5.5], [nan, nan]], records.values[steps])
    np.testing.assert_array_equal([nan, 0, 1], records.labels[steps])


def test_labels_of_patients_are_read(tmp_path: Path) -> None:
    """The label stands at the last step; static features may be unknown, and a patient too."""
    files = make_files(online=False)
    files["patients"] = files["patients"][:-1]
    files["patients"][1][1] = ""
    records = read_folder(write(tmp_path / "own", files), online=False)
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


def test_static_features_may_be_absent(tmp_path: Path) -> None:
    files = make_files(online=False)
    del files["patients"]
    task = NAFLD(source=str(write(tmp_path / "own", files)))
    task.prepare()
    splits = task.splits(0)
    assert {None} == {example.static for example in all_of(splits)}
    assert 0 == task.input_spec(splits.train).static_size
    assert "static" not in task.baselines(splits)


@pytest.mark.parametrize("age", ["", "36.6"])
def test_static_features_that_say_nothing_leave_the_prevalence(age: str, tmp_path: Path) -> None:
    files = make_files(online=False)
    files["patients"] = [row[:2] for row in files["patients"]]
    for row in files["patients"][1:]:
        row[1] = age
    task = NAFLD(source=str(write(tmp_path / "own", files)), fold=0)
    task.prepare()
    found = task.baselines(task.splits(0))
    assert torch.equal(torch.cat([*found["prevalence"]]), torch.cat([*found["static"]]))
    assert not torch.equal(
        torch.cat([*found["prevalence"]]), torch.cat([*found["logistic_regression"]])
    )


def test_one_class_in_training_leaves_the_prevalence(tmp_path: Path) -> None:
    """A smoke run cuts the splits to a few patients, who may all have one outcome."""
    task = NAFLD(source=str(write(tmp_path / "own", make_files(online=False))), fold=0)
    task.prepare()
    splits = task.splits(0)
    negative = [example for example in splits.train if not example.targets]
    found = task.baselines(Splits(negative, splits.valid, splits.test))
    expected = torch.cat([*found["prevalence"]])
    assert "gradient_boosting" in found
    for parts in found.values():
        assert torch.equal(expected, torch.cat([*parts]))


def test_a_part_of_a_fold_with_one_class_is_refused(tmp_path: Path) -> None:
    """Patients are dealt by their positive labels: here every fifth is the only one negative."""
    events, outcomes = [["patient", "time", "variable", "value"]], [["patient", "time", "label"]]
    for number in range(50):
        name = f"{SECRET}-{number:02}"
        events += [[name, str(time), "pulse", str(time)] for time in range(50)]
        outcomes += [[name, str(time), "1"] for time in range(50 - number)]
        outcomes += [[name, "99", "0"]] if number % 5 == 0 else []
    folder = write(tmp_path / "own", {"events": events, "outcomes": outcomes})
    with pytest.raises(Refused, match="fold 0 has no negative label for training; try another"):
        PBC(source=str(folder)).prepare()


def test_patients_without_a_label_are_no_examples(tmp_path: Path) -> None:
    files = make_files(online=True)
    for row in files["outcomes"]:
        if row[0] == f"{SECRET}-3":
            row[2] = ""
    task = PBC(source=str(write(tmp_path / "own", files)))
    task.prepare()
    examples = all_of(task.splits(0))
    assert len(examples) < PATIENTS
    assert all(
        bool(example.target_mask.any()) for example in examples if example.target_mask is not None
    )


def test_the_unit_of_time_does_not_matter(tmp_path: Path) -> None:
    """Elapsed times are counted in the training patients' median: hours and years are the same."""
    splits = []
    for number, scale in enumerate((1.0, 8766.0)):
        files = make_files(online=False)
        for row in files["events"][1:]:
            row[1] = str(float(row[1]) * scale)
        task = NAFLD(source=str(write(tmp_path / str(number), files)))
        task.prepare()
        splits.append(task.splits(0))
    deltas = [
        sorted(round(float(example.delta.sum()), 4) for example in all_of(each)  # type: ignore[union-attr]
               ) for each in splits
    ]  # fmt: skip
    assert sum(deltas[0]) == pytest.approx(sum(deltas[1]), rel=1e-4)


def test_a_byte_order_mark_and_blank_lines_are_no_harm(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", make_files(online=False))
    text = (folder / "events.csv").read_text()
    expected = read_folder(folder, online=False)
    (folder / "events.csv").write_text("\ufeff" + text.replace("\n", "\n\n"))
    assert np.array_equal(expected.values, read_folder(folder, False).values, equal_nan=True)


def set_cell(file: str, row: int, column: int, text: str) -> Break:
    return lambda files: files[file][row].__setitem__(column, text)


def one_class(files: dict[str, Lines]) -> None:
    for row in files["outcomes"][1:]:
        row[-1] = "0"


def few_patients(files: dict[str, Lines]) -> None:
    kept = {f"{SECRET}-{number}" for number in range(4)}
    for name in ("events", "outcomes", "patients"):
        files[name] = [row for row in files[name] if row[0] == "patient" or row[0] in kept]


def many_variables(files: dict[str, Lines]) -> None:
    files["events"] += [[f"{SECRET}-1", "1", f"{ODD}-{number}", "1"] for number in range(501)]


BREAKS: dict[str, tuple[Break, str]] = {
    "missing column": (set_cell("events", 0, 2, "name"), "events.csv has no column variable"),
    "capitals": (
        lambda files: files["events"].__setitem__(0, ["Patient", "Time", "Variable", "Value"]),
        "time, variable, value, in small letters",
    ),
    "semicolons": (
        lambda files: files.update(events=[[";".join(row)] for row in files["events"]]),
        "time, variable, value, with commas between them",
    ),
    "no header": (lambda files: files["events"].pop(0), "events.csv has no column patient"),
    "another column": (
        lambda files: [row.append(ODD) for row in files["outcomes"]],
        "outcomes.csv has 1 columns beside patient",
    ),
    "a column twice": (set_cell("events", 0, 3, "time"), "events.csv names a column twice"),
    "text for a value": (
        set_cell("events", 3, 3, ODD + "mmol"),
        "events.csv, line 4: column value must be a number",
    ),
    "no value": (set_cell("events", 3, 3, ""), "events.csv, line 4: column value must be"),
    "an infinite value": (set_cell("events", 3, 3, "inf"), "line 4: column value must be"),
    "a huge value": (set_cell("events", 3, 3, "-1e300"), "column value must be a number up to"),
    "a huge time": (set_cell("events", 3, 1, "1e308"), "column time must be a number up to 1e+15"),
    "the label as a static feature": (
        set_cell("patients", 0, 1, "label"), "patients.csv has a column label, which would be"
    ),
    "a date": (set_cell("events", 2, 1, "2020-01-01"), "events.csv, line 3: column time must be"),
    "unknown patient": (
        set_cell("events", 5, 0, SECRET + "-404"),
        "events.csv, line 6: a patient who is not in outcomes.csv (1 such lines)",
    ),
    "nobody": (set_cell("events", 5, 0, " "), "events.csv, line 6: column patient is empty"),
    "no variable": (set_cell("events", 5, 2, ""), "events.csv, line 6: column variable is empty"),
    "unknown static": (
        set_cell("patients", 5, 0, SECRET + "-404"),
        "patients.csv, line 6: a patient who is not in outcomes.csv",
    ),
    "static text": (
        set_cell("patients", 5, 1, ODD + "y"), "patients.csv, line 6: column age must be a number"
    ),
    "static twice": (
        lambda files: files["patients"].append(files["patients"][1]),
        f"patients.csv, line {PATIENTS + 2}: a second line for the same patient",
    ),
    "no events": (
        lambda files: files.update(
            events=[row for row in files["events"] if row[0] != f"{SECRET}-9"]
        ),
        "a patient who is not in events.csv",
    ),
    "three classes": (set_cell("outcomes", 4, -1, "2"), "line 5: column label must be 0"),
    "outcome twice": (
        lambda files: files["outcomes"].insert(2, files["outcomes"][1]),
        "outcomes.csv, line 3: a second line for the same patient",
    ),
    "a cell too many": (
        lambda files: files["events"][3].append(ODD), "events.csv, line 4: 5 cells, but 4 columns"
    ),
    "one class": (one_class, "0 patients of outcomes.csv have a positive label"),
    "fewer patients than folds": (few_patients, "5 folds need at least 10"),
    "many variables": (many_variables, "events.csv has 503 variables, more than 500"),
    "no lines": (lambda files: files["outcomes"].__delitem__(slice(1, None)), "who is not in"),
    "an empty file": (lambda files: files["events"].clear(), "events.csv has no column patient"),
}  # fmt: skip


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("name", BREAKS)
def test_a_mistake_is_one_line_that_quotes_nobody(name: str, online: bool, tmp_path: Path) -> None:
    """Messages say where, never who or what; no chained error says it either."""
    files = make_files(online)
    change, message = BREAKS[name]
    change(files)
    folder = write(tmp_path / "own", files)
    with pytest.raises(Refused, match=re.escape(message)) as caught:
        read_folder(folder, online)
    text = str(caught.value)
    assert "\n" not in text
    for secret in (SECRET, "Zaphod", ODD, "2020-01-01"):
        assert secret not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_label_for_each_patient_is_for_the_other_task(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", make_files(online=False))
    with pytest.raises(Refused, match=r"no column time, .*task=health/nafld"):
        read_folder(folder, online=True)


def test_a_label_for_each_time_is_for_the_other_task(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", make_files(online=True))
    with pytest.raises(Refused, match=r"has a column time, .*task=health/pbc"):
        read_folder(folder, online=False)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"task\.source '.*nowhere' is not a folder"):
        PBC(source=str(tmp_path / "nowhere")).prepare()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", make_files(online=True))
    (folder / "outcomes.csv").unlink()
    with pytest.raises(Refused, match=r"cannot read outcomes.csv in .*No such file"):
        PBC(source=str(folder)).prepare()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"patient,time,variable,value\n\xe9\xe9,1,a,2\n", "events.csv is not UTF-8 text"),
        (b'patient,time,variable,value\n"Zaphod"x,1,a,2\n', "events.csv, line 2: this is no CSV"),
    ],
)
def test_other_files_are_refused(contents: bytes, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "own", make_files(online=True))
    (folder / "events.csv").write_bytes(contents)
    with pytest.raises(Refused, match=message) as caught:
        read_folder(folder, online=True)
    assert "Zaphod" not in str(caught.value)


def test_nothing_of_a_folder_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    task = PBC(source=str(write(tmp_path / "own", make_files(online=True))))
    task.prepare()
    task.baselines(task.splits(0))
    task.fingerprint()
    assert not cache_folder().exists()


def test_records_do_not_print_themselves(tmp_path: Path) -> None:
    records = read_folder(write(tmp_path / "own", make_files(online=True)), online=True)
    assert re.fullmatch(r"<seqbench\.tasks\.health\.records\.Records object at \w+>", repr(records))


def seqbench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"
    }
    environment["SEQBENCH_DATA"] = str(folder / "cache")
    return subprocess.run(
        [sys.executable, "-m", "seqbench", *words],
        cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "online"), [("health/pbc", True), ("health/nafld", False)])
def test_a_trial_leaves_nobody_behind(name: str, online: bool, tmp_path: Path) -> None:
    """No name, planted number or hash of a patient is in what a trial writes or says.

    That is: records, database, artifacts, checkpoints, standard output and error, and the picture
    of the data; also of a trial that refuses a broken file.
    """
    files = make_files(online)
    for row in files["events"][1::5]:
        row[3] = ODD
    for row in files["patients"][1::3]:
        row[1] = ODD
    own = write(tmp_path / "own", files)
    work = tmp_path / "work"
    work.mkdir()
    trial = [f"task={name}", f"task.source={own}", "model=gru", "experiment=smoke"]
    said = seqbench(work, *trial)
    assert said.returncode == 0, said.stderr
    (own / "events.csv").write_text((own / "events.csv").read_text().replace("pulse", "pulse,1", 1))
    broken = seqbench(work, *trial)
    assert broken.returncode == 2
    task = (PBC if online else NAFLD)(source=str(write(own, files)))
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
    streams = [part for each in (said, broken) for part in (each.stdout, each.stderr)]
    for secret in secrets:
        for stream in streams:
            assert secret not in stream
        for path in files_left:
            assert secret.encode() not in path.read_bytes(), path
    database = next(path for path in files_left if path.suffix == ".db")
    with sqlite3.connect(database) as connection:
        parameters = dict(connection.execute("SELECT key, value FROM params").fetchall())
    assert str(own) in parameters.values()
