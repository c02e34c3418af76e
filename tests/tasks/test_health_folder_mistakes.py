"""Mistakes in a user's own health records: one line each, and no patient in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks.health.longformat import read_folder
from seqbench.tasks.health.pbc import PBC

PATIENTS = 40
SECRET = "Zaphod-8472"
"""Begins every patient's name."""
ODD = "31415.92653589"
"""Ends the numbers that a patient could be known by."""
Lines = list[list[str]]
Files = Callable[..., dict[str, Lines]]
Write = Callable[[Path, dict[str, Lines]], Path]
Break = Callable[[dict[str, Lines]], object]


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
    "missing column": (set_cell("events", 0, 2, "name"), "events.csv: no column variable"),
    "capitals": (
        lambda files: files["events"].__setitem__(0, ["Patient", "Time", "Variable", "Value"]),
        "time, variable, value, in small letters",
    ),
    "no header": (lambda files: files["events"].pop(0), "events.csv: no column patient"),
    "another column": (
        lambda files: [row.append(ODD) for row in files["outcomes"]],
        "outcomes.csv: it has 1 columns beside patient",
    ),
    "a column twice": (set_cell("events", 0, 3, "time"), "its header names a column twice"),
    "text for a value": (
        set_cell("events", 3, 3, ODD + "mmol"),
        "events.csv: line 4: column value must be a number",
    ),
    "no value": (set_cell("events", 3, 3, ""), "events.csv: line 4: column value must be"),
    "an infinite value": (set_cell("events", 3, 3, "inf"), "line 4: column value must be"),
    "a huge value": (set_cell("events", 3, 3, "-1e300"), "column value must be a number up to"),
    "a huge time": (set_cell("events", 3, 1, "1e308"), "column time must be a number up to 1e+15"),
    "the label as a static feature": (
        set_cell("patients", 0, 1, "label"), "patients.csv: it has a column label, which would be"
    ),
    "a date": (set_cell("events", 2, 1, "2020-01-01"), "events.csv: line 3: column time must be"),
    "unknown patient": (
        set_cell("events", 5, 0, SECRET + "-404"),
        "events.csv: line 6: a patient who is not in outcomes.csv",
    ),
    "nobody": (set_cell("events", 5, 0, " "), "events.csv: line 6: column patient is empty"),
    "no variable": (set_cell("events", 5, 2, ""), "events.csv: line 6: column variable is empty"),
    "unknown static": (
        set_cell("patients", 5, 0, SECRET + "-404"),
        "patients.csv: line 6: a patient who is not in outcomes.csv",
    ),
    "static text": (
        set_cell("patients", 5, 1, ODD + "y"), "patients.csv: line 6: column age must be a number"
    ),
    "static twice": (
        lambda files: files["patients"].append(files["patients"][1]),
        f"patients.csv: line {PATIENTS + 2}: a second line for the same patient",
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
        "outcomes.csv: line 3: a second line for the same patient",
    ),
    "a cell too many": (
        lambda files: files["events"][3].append(ODD), "line 4: 5 fields, but the header has 4"
    ),
    "one class": (one_class, "0 patients of outcomes.csv have a positive label"),
    "fewer patients than folds": (few_patients, "5 folds need at least 10"),
    "many variables": (many_variables, "events.csv has 503 variables, more than 500"),
    "no lines": (
        lambda files: files["outcomes"].__delitem__(slice(1, None)),
        "outcomes.csv: it has no rows below its header",
    ),
    "an empty file": (lambda files: files["events"].clear(), "events.csv: it is empty"),
}  # fmt: skip


def whole(refused: Refused) -> str:
    """Return the line of a refusal, and the details below it."""
    return "\n".join([str(refused), *refused.details])


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("name", BREAKS)
def test_a_mistake_is_one_line_that_quotes_nobody(
    health_files: Files, write_files: Write, name: str, online: bool, tmp_path: Path
) -> None:
    """Messages say where, never who or what; no chained error says it either."""
    files = health_files(online)
    change, message = BREAKS[name]
    change(files)
    folder = write_files(tmp_path / "own", files)
    with pytest.raises(Refused) as caught:
        read_folder(UserData(folder), online)
    text = whole(caught.value)
    assert message in text
    assert "\n" not in str(caught.value)
    for secret in (SECRET, "Zaphod", ODD, "2020-01-01"):
        assert secret not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_label_for_each_patient_is_for_the_other_task(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(online=False))
    with pytest.raises(Refused) as refused:
        read_folder(UserData(folder), online=True)
    assert re.search(r"no column time, .*task=health/nafld", whole(refused.value))


def test_a_label_for_each_time_is_for_the_other_task(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(online=True))
    with pytest.raises(Refused) as refused:
        read_folder(UserData(folder), online=False)
    assert re.search(r"has a column time, .*task=health/pbc", whole(refused.value))


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"task\.source '.*nowhere' is not a folder"):
        PBC(source=str(tmp_path / "nowhere")).prepare()


def test_a_file_that_is_not_there_is_named(
    health_files: Files, write_files: Write, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(online=True))
    (folder / "outcomes.csv").unlink()
    with pytest.raises(Refused, match=r"1 of its files cannot be used$") as refused:
        PBC(source=str(folder)).prepare()
    assert refused.value.details == ("  outcomes.csv: there is no such file",)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            b"patient,time,variable,value\n\xe9\xe9,1,a,2\n",
            "events.csv: line 2: byte 29 of the file is not UTF-8 text",
        ),
        (
            b'patient,time,variable,value\n"Zaphod"x,1,a,2\n',
            "events.csv: line 2: it is no CSV from here on",
        ),
    ],
)
def test_other_files_are_refused(
    health_files: Files, write_files: Write, contents: bytes, message: str, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "own", health_files(online=True))
    (folder / "events.csv").write_bytes(contents)
    with pytest.raises(Refused) as caught:
        read_folder(UserData(folder), online=True)
    assert message in whole(caught.value)
    assert "Zaphod" not in whole(caught.value)
