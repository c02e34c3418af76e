"""Where a user's records belong that are no folder of events and outcomes."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from seqbench.config.userdata import Bad, UserData, files_below
from seqbench.tasks._tables import CsvRows

_BEGINNING = 2**18
"""Bytes in which the header of a table is looked for."""
_USUAL = {
    "id": re.compile(
        r"id|mrn|(?:patient|subject|person|stay|icu_?stay|hadm|admission|encounter|case|record|"
        r"visit)(?:_?(?:id|number|no))?|patientunitstayid"
    ),
    "time": re.compile(
        r"t|time|timestamp|date(?:_?time)?|chart_?time|hours?|days?|minutes?|offset|icu_?los"
    ),
    "label": re.compile(
        r"label|outcome|target|class|y|died|dead|death|mortality|sepsis(?:_?label)?|"
        r"(?:in_?)?hospital_?(?:death|mortality|expire_flag)"
    ),
}
"""What columns of a table are often called, for the options of task=data."""


def elsewhere(data: UserData) -> list[str]:
    """Return lines that name the tasks which read what is no such folder.

    Of a table with a row for each step they say which columns are what, where their names are
    among the usual ones: other names, which may be a patient's, are not said.
    """
    options: dict[str, str] = {}
    with suppress(Bad, OSError):
        files = files_below(data.path) if data.path.is_dir() else [data.path]
        table = next((path for path in files if path.suffix.lower() == ".csv"), None)
        header = [] if table is None else _header(table)
        for role, usual in _USUAL.items():
            named = (name for name in header if usual.fullmatch("_".join(name.lower().split())))
            if name := next(named, ""):
                options[role] = name
        if {"variable", "value"} <= set(header):
            return []  # its rows are those of events
    return data.elsewhere(options)


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        lines = file.read(_BEGINNING).rpartition(b"\n")[0]
    return CsvRows(lines, quoting=False).header
