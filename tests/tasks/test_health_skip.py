"""A user's own records: all that is wrong at once, patients left out, names in a model's order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from seqbench.api import DataNames
from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks.health import longformat
from seqbench.tasks.health.longformat import read_folder
from seqbench.tasks.health.nafld import NAFLD
from seqbench.tasks.health.pbc import PBC

SECRET = "Zaphod-8472"
Lines = list[list[str]]
Files = Callable[..., dict[str, Lines]]
Write = Callable[[Path, dict[str, Lines]], Path]


def first_line(rows: Lines, patient: str) -> int:
    """Return the place of a patient's first line; the header is at 0."""
    return next(place for place, row in enumerate(rows) if row[0] == patient)


def test_all_lines_of_all_files_are_said_at_once(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """The patients whom they are about are left out, if that is asked for; nobody is named."""
    files = health_files(online=False)
    events, outcomes, patients = files["events"], files["outcomes"], files["patients"]
    wrong_value, wrong_time = (first_line(events, f"{SECRET}-{n}") for n in (3, 4))
    events[wrong_value][3] = "12 mmol"
    events[wrong_time][1] = "2020-01-01"
    events.append([f"{SECRET}-5", "1", "pulse", "1", "more"])
    events.append([f"{SECRET}-99", "1", "pulse", "1"])
    outcomes[7][1] = "2"
    patients[8][1] = "old"
    folder = write_files(tmp_path / "own", files)
    expected = [
        f"  events.csv: line {len(events) - 1}: 5 fields, but the header has 4",
        (
            f"  events.csv: line {wrong_time + 1}: column time must be a number, such as hours"
            " since admission; dates are not read"
        ),
        (
            f"  events.csv: line {wrong_value + 1}: column value must be a number; write numbers"
            " without units"
        ),
        f"  events.csv: line {len(events)}: a patient who is not in outcomes.csv",
        "  outcomes.csv: line 8: column label must be 0 or 1",
        "  patients.csv: line 9: column age must be a number",
    ]
    with pytest.raises(Refused) as refused:
        read_folder(UserData(folder), online=False)
    assert list(refused.value.details) == expected
    assert str(refused.value) == (
        f"task.source '{folder}': 6 lines, of 5 of 40 patients, cannot be used;"
        " task.skip_bad=true leaves such patients out"
    )
    task = NAFLD(source=str(folder), skip_bad=True)
    task.prepare()
    splits = task.splits(0)
    assert len([*splits.train, *splits.valid, *splits.test]) == 35
    said = [f"  {name}: {reason}" for name, reason in task.left_out()]
    assert said == [f"{line}; the patient is left out" for line in expected]
    assert "Zaphod" not in "".join(said)


def test_the_patients_who_are_left_are_read_as_if_they_were_alone(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    files = health_files(online=True)
    gone = f"{SECRET}-6"
    alone = {name: [row for row in rows if row[0] != gone] for name, rows in files.items()}
    expected = read_folder(UserData(write_files(tmp_path / "alone", alone)), online=True)
    files["events"][first_line(files["events"], gone)][3] = "?"
    data = UserData(write_files(tmp_path / "own", files), skip_bad=True)
    found = read_folder(data, online=True)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, expected.arrays()[name])
    assert len(data.left_out) == 1


def test_whole_files_are_wrong_at_once(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """Lines of files that can be read are said with them; skipping patients does not help."""
    files = health_files(online=True)
    files["events"][0][1] = "when"
    files["patients"][3][1] = "old"
    folder = write_files(tmp_path / "own", files)
    (folder / "outcomes.csv").write_bytes(b"")
    with pytest.raises(Refused, match=r"2 of its files cannot be used$") as refused:
        read_folder(UserData(folder, skip_bad=True), online=True)
    assert refused.value.details == (
        (
            "  events.csv: no column time; its first line must name the columns patient, time,"
            " variable, value"
        ),
        "  outcomes.csv: it is empty",
        "  patients.csv: line 4: column age must be a number",
    )


def test_if_no_patient_is_left_nothing_is_skipped(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    files = health_files(online=False)
    for row in files["events"][1:]:
        row[3] = "high"
    folder = write_files(tmp_path / "own", files)
    with pytest.raises(Refused, match=r"of 40 of 40 patients, cannot be used$"):
        read_folder(UserData(folder, skip_bad=True), online=False)


@pytest.mark.parametrize("form", ["semicolons", "tabs", "utf-16", "capitals", "missing"])
def test_other_forms_of_the_same_records(
    health_files: Files, write_files: Write, tmp_path: Path, form: str
) -> None:
    files = health_files(online=True)
    folder = write_files(tmp_path / "own", files)
    expected = read_folder(UserData(folder), online=True)
    for path in sorted(folder.iterdir()):
        text = path.read_text()
        if form == "semicolons":
            path.write_text(text.replace(",", ";").replace(".", ","))
        elif form == "tabs":
            path.write_text(text.replace(",", "\t"))
        elif form == "utf-16":
            path.write_text(text, encoding="utf-16")
        elif form == "capitals":
            path.rename(path.with_name(path.name.upper()))
        elif path.name != "events.csv":
            path.write_text("".join(line.replace(",\n", ",NA\n") for line in text.splitlines(True)))
    found = read_folder(UserData(folder), online=True)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, expected.arrays()[name])


def test_names_are_those_of_variables_and_static_features(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    task = PBC(source=str(write_files(tmp_path / "own", health_files(online=True))))
    task.prepare()
    names = task.names(0)
    assert names == DataNames("", ("lactate", "pulse"), ("age", "smoker", "smoker is unknown"))
    spec = task.input_spec(task.splits(0).train)
    assert (spec.size, spec.static_size) == (len(names.inputs), len(names.static))


def test_a_model_knows_variables_and_static_features_in_its_order(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    """What is unknown of nobody here still has the column that says so; what is new comes last."""
    files = health_files(online=False)
    old = NAFLD(source=str(write_files(tmp_path / "own", files)))
    old.prepare()
    for row in files["patients"]:
        row[1:] = [row[2] or "0", row[1]]
    for row in files["events"]:
        row[2] = {"pulse": "albumin"}.get(row[2], row[2])
    new = NAFLD(source=str(write_files(tmp_path / "own", files)))
    new.expect({0: DataNames("", ("pulse", "lactate"), old.names(0).static)})
    new.prepare()
    assert new.names(0).inputs == ("lactate", "albumin")
    assert new.names(0).static == old.names(0).static
    statics = torch.stack([example.static for example in new.splits(0).train])  # type: ignore[misc]
    assert statics.shape[1] == 3
    assert not statics[:, 2].any()


def test_the_built_in_records_need_no_skipping() -> None:
    with pytest.raises(ValueError, match=r"task\.skip_bad=true needs a task.source"):
        PBC(skip_bad=True)
    assert PBC().left_out() == ()


def test_the_size_of_records_is_bounded(
    health_files: Files, write_files: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(longformat, "MOST_FIELDS", 10)
    folder = write_files(tmp_path / "own", health_files(online=True))
    with pytest.raises(Refused, match="times of all patients and 2 variables; their product may"):
        read_folder(UserData(folder), online=True)
