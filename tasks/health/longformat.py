"""A user's own records: a folder of CSV files in long format.

Messages name files, lines and columns that are asked for, and never quote what a file says: a
patient's name or value, or a first line that is no header, must not end up in a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.api import DataNames, LeftOut
from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused
from seqbench.tasks._tables import (
    CsvTable,
    has_decimal_commas,
    number_advice,
    numbers,
    read_table,
)
from seqbench.tasks.health.elsewhere import elsewhere
from seqbench.tasks.health.records import FOLDS, Floats, Integers, Records, opaque_groups, to_grid

EVENTS, OUTCOMES, PATIENTS = "events.csv", "outcomes.csv", "patients.csv"
LEAST_PATIENTS = 2 * FOLDS
"""With a positive label, and with a negative one: test and validation need both in each fold."""
MOST_VARIABLES = 500
"""More are taken for a column that is not the one that was meant."""
MOST_FIELDS = 2**28
"""Steps of all patients, times variables: what is kept of a folder takes eight bytes for each."""
LARGEST = 1e15
"""Of any number: squares and differences of these are far from the limits of 32-bit floats."""

Strings = NDArray[Any]


class _File:
    """One of the files: its table, and which of its rows cannot be used, and why."""

    def __init__(self, name: str, table: CsvTable) -> None:
        self.name = name
        self.table = table
        self.problems: list[str] = []
        self.lines = len(table.ragged)
        """That cannot be used."""
        self.touched: set[str] = set()
        """The patients of these lines."""
        self.usable = np.ones(len(table.lines), dtype=bool)
        if table.ragged:
            place = list(table.columns).index("patient")
            self.problems += table.ragged_problems()
            self.touched = {row[place] for _, row in table.ragged if len(row) > place}
        self.reject(self._where("patient", ""), "column patient is empty")

    @property
    def patients(self) -> list[str]:
        """Whose rows they are."""
        return self.table.columns["patient"]

    def reject(self, rows: Iterable[int], problem: str) -> None:
        """Note rows that cannot be used."""
        rows = [int(row) for row in rows]
        if not rows:
            return
        self.problems.append(self.table.at(rows, problem))
        self.lines += int(self.usable[rows].sum())
        self.usable[rows] = False
        self.touched |= {self.patients[row] for row in rows}

    def reject_empty(self, column: str) -> None:
        """Reject rows without a name in a column."""
        self.reject(self._where(column, ""), f"column {column} is empty")

    def reject_others(self, known: set[str], file: str) -> None:
        """Reject rows of patients who are not in another file."""
        rows = [row for row, name in enumerate(self.patients) if name and name not in known]
        self.reject(rows, f"a patient who is not in {file}")

    def reject_repeats(self, keys: Iterable[object], what: str) -> None:
        """Reject rows whose key a row above has."""
        seen: set[object] = set()
        rows = []
        for row, key in enumerate(keys):
            if key in seen:
                rows.append(row)
            seen.add(key)
        self.reject(rows, f"a second line for the same {what}")

    def numbers(self, column: str, empty: bool = False) -> Floats:
        """Return a column's numbers; NaN for an empty field, if there may be one."""
        fields = self.table.columns[column]
        commas = has_decimal_commas(self.table, [column])
        found, wrong = numbers(fields, commas)
        none = np.isinf(found)
        none[wrong] = True
        if not empty:
            none |= np.isnan(found)
        rows = np.flatnonzero(none)
        advice = number_advice(fields[rows[0]]) if len(rows) else ""
        if column == "time" and not advice:
            advice = ", such as hours since admission; dates are not read"
        self.reject(rows, f"column {column} must be a number{advice}")
        large = np.flatnonzero(~none & (np.abs(found) > LARGEST))
        self.reject(large, f"column {column} must be a number up to {LARGEST:g}")
        return found

    def labels(self, empty: bool) -> Floats:
        """Return column label: 0, 1, or NaN for an empty field, if there may be one."""
        fields = self.table.columns["label"]
        found, wrong = numbers(fields, decimal_comma=True)  # of 0,0 the meaning is plain
        none = ~np.isin(found, (0, 1)) & ~np.isnan(found)
        none[wrong] = True
        if not empty:
            none |= np.isnan(found)
        allowed = "0, 1 or empty" if empty else "0 or 1"
        self.reject(np.flatnonzero(none), f"column label must be {allowed}")
        return found

    def _where(self, column: str, text: str) -> list[int]:
        return [row for row, field in enumerate(self.table.columns[column]) if field == text]


class _Numbers(NamedTuple):
    """What the files say, of the rows that can be used."""

    events: tuple[Strings, Floats, Strings, Floats]
    """Patient, time, variable, value."""
    outcomes: tuple[Strings, Floats, Floats]
    """Patient, time, label."""
    patients: tuple[Strings, Floats]
    """Patient, static features ``[..., S]``."""
    statics: list[str]


def read_folder(data: UserData, online: bool, known: DataNames | None = None) -> Records:
    """Return the records in a folder of ``events.csv``, ``outcomes.csv`` and ``patients.csv``.

    Args:
        data: what the tasks' argument ``source`` describes; if bad lines are skipped, the patients
            whom they are about are left out.
        online: whether outcomes are of times; else of patients.
        known: in whose order variables and static features come first; others follow.

    Raises:
        Refused: a file is missing or cannot be read, lines of it cannot be used, or there are too
            few patients for the folds.
    """
    known = DataNames() if known is None else known
    read = _usable(data, _read_files(data, online), online)
    whose, asked, labels = read.outcomes
    names = sorted(set(whose.tolist()))
    _check_classes(labels, whose)
    codes = {name: code for code, name in enumerate(names)}
    of_outcomes = np.array([codes[name] for name in whose], dtype=np.int64)
    of_events = np.array([codes[name] for name in read.events[0]], dtype=np.int64)
    variables = np.array(in_order(sorted(set(read.events[2].tolist())), known.inputs))
    extra = len(asked) if online else 0  # a time that is asked about is a step of its own
    patients = np.concatenate([of_events, of_outcomes[:extra]])
    times = np.concatenate([read.events[1], asked[:extra]])
    _check_size(patients, times, len(variables))
    grid = to_grid(
        patients=patients,
        times=times,
        variables=np.concatenate([read.events[2], np.full(extra, "")]),
        values=np.concatenate([read.events[3], np.full(extra, np.nan)]),
        columns=variables,
    )
    of_steps = np.full(len(grid.times), np.nan)
    if online:
        owners = np.repeat(grid.patients, grid.lengths).tolist()
        steps = {
            key: step for step, key in enumerate(zip(owners, grid.times.tolist(), strict=True))
        }
        keys = zip(of_outcomes.tolist(), asked.tolist(), strict=True)
        of_steps[[steps[key] for key in keys]] = labels
    else:
        of_steps[np.cumsum(grid.lengths)[of_outcomes] - 1] = labels
    statics = in_order(read.statics, known.static)
    static = np.full((len(names), len(statics)), np.nan)
    rows = [codes[name] for name in read.patients[0]]
    static[rows] = read.patients[1][:, [read.statics.index(name) for name in statics]]
    return Records(
        lengths=grid.lengths,
        times=grid.times,
        values=grid.values,
        labels=of_steps,
        static=static,
        groups=opaque_groups(names, grid.times, grid.values, of_steps),
        variables=variables,
        statics=np.array(statics, dtype=np.str_),
    )


def in_order(found: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return names in the order of those that are known, and then those that are not."""
    first = [name for name in known if name in found]
    return [*first, *(name for name in found if name not in first)]


def _read_files(data: UserData, online: bool) -> dict[str, _File]:
    """Return the files by name.

    Raises:
        Refused: one is missing, or no such file; all that is wrong with all of them.
    """
    if not data.path.is_dir():
        raise Refused(
            f"task.source '{data.path}' is not a folder; it is one of {EVENTS}, {OUTCOMES} and"
            f" {PATIENTS}",
            elsewhere(data),
        )
    wanted = {
        EVENTS: ("patient", "time", "variable", "value"),
        OUTCOMES: ("patient", "time", "label") if online else ("patient", "label"),
        PATIENTS: ("patient",),
    }
    files: dict[str, _File] = {}
    bad: dict[str, Sequence[str]] = {}
    try:
        there = {path.name.lower(): path for path in sorted(data.path.iterdir())}
    except OSError as error:
        raise Refused(f"cannot read '{data.path}': {error.strerror}") from None
    for name, columns in wanted.items():
        if name not in there:
            if name != PATIENTS:
                bad[name] = ["there is no such file"]
            continue
        try:
            table = read_table(there[name], quoting=False)
            _check_columns(name, table, columns, online)
            files[name] = _File(name, table)
        except Bad as error:
            bad[name] = error.problems
        except OSError as error:
            bad[name] = [f"it cannot be read: {error.strerror}"]
    if bad:
        reason = f"{len(bad)} of its files cannot be used"
        for name, file in files.items():
            _check_alone(name, file, online)
            bad[name] = file.problems
        others = [] if {EVENTS, OUTCOMES} & set(there) else elsewhere(data)
        refusal = data.refusal(reason, bad)
        raise Refused(str(refusal), [*refusal.details, *others])
    return files


def _check_columns(name: str, table: CsvTable, wanted: Sequence[str], online: bool) -> None:
    """Refuse a file that lacks a column, or that has others.

    Raises:
        Bad: it does.
    """
    columns = table.columns
    if name == OUTCOMES and online and "patient" in columns and "time" not in columns:
        raise Bad("no column time, so its labels are of patients: task=health/nafld takes these")
    if name == OUTCOMES and not online and "time" in columns:
        raise Bad("it has a column time, so its labels are of times: task=health/pbc takes these")
    for column in wanted:
        if column not in columns:
            # no near match but in case: a first line that is no header would be quoted
            hint = ", in small letters" if column in map(str.lower, columns) else ""
            names = ", ".join(wanted)
            raise Bad(f"no column {column}; its first line must name the columns {names}{hint}")
    if name == PATIENTS and "label" in columns:
        raise Bad("it has a column label, which would be an input; leave it out")
    others = len(columns) - len(wanted)
    if name != PATIENTS and others:
        raise Bad(
            f"it has {others} columns beside {', '.join(wanted)}; leave them out (static features"
            f" go in {PATIENTS})"
        )


def _check_alone(name: str, file: _File, online: bool) -> list[Floats]:
    """Note what is wrong with a file by itself, and return its numbers, column by column."""
    if name == EVENTS:
        file.reject_empty("variable")
        return [file.numbers("time"), file.numbers("value")]
    if name == PATIENTS:
        file.reject_repeats(file.patients, "patient")
        return [file.numbers(column, True) for column in file.table.columns if column != "patient"]
    times = file.numbers("time") if online else np.zeros(len(file.patients))
    keys = zip(file.patients, times.tolist(), strict=True)
    file.reject_repeats(keys, "patient and time" if online else "patient")
    return [times, file.labels(empty=online)]


def _usable(data: UserData, files: dict[str, _File], online: bool) -> _Numbers:
    """Return what can be used.

    Raises:
        Refused: lines cannot be used, and are not to be skipped; or no patient is left.
    """
    columns = {name: _check_alone(name, file, online) for name, file in files.items()}
    events, outcomes = files[EVENTS], files[OUTCOMES]
    everyone = {name for name in outcomes.patients if name}
    for name in (EVENTS, PATIENTS):
        if name in files:
            files[name].reject_others(everyone, OUTCOMES)
    outcomes.reject_others(set(events.patients), EVENTS)
    bad = {name: file.problems for name, file in files.items() if file.problems}
    touched = {patient for file in files.values() for patient in file.touched}
    if bad and not (data.skip_bad and everyone - touched):
        lines = sum(file.lines for file in files.values())
        several = f"{lines:,} lines, of {len(everyone & touched):,} of {len(everyone):,} patients,"
        advice = "; task.skip_bad=true leaves such patients out" if everyone - touched else ""
        raise data.refusal(f"{several} cannot be used{advice}", bad)
    data.left_out += [
        LeftOut(name, f"{problem}; the patient is left out")
        for name, problems in bad.items()
        for problem in problems
    ]

    def kept(file: _File) -> NDArray[np.bool_]:
        others = np.array([name not in touched for name in file.patients], dtype=bool)
        usable: NDArray[np.bool_] = file.usable & others
        return usable

    def texts(file: _File, column: str) -> Strings:
        return np.array(file.table.columns[column], dtype=object)[kept(file)]

    static = files.get(PATIENTS)
    statics = [] if static is None else [name for name in static.table.columns if name != "patient"]
    times, values = (column[kept(events)] for column in columns[EVENTS])
    asked, labels = (column[kept(outcomes)] for column in columns[OUTCOMES])
    found = (np.array([], dtype=object), np.zeros((0, 0)))
    if static is not None:
        fields = np.array(columns[PATIENTS]).reshape(len(statics), len(static.patients)).T
        found = texts(static, "patient"), fields[kept(static)]
    names = sorted(set(texts(events, "variable").tolist()))
    if len(names) > MOST_VARIABLES:
        raise Refused(
            f"task.source: {EVENTS} has {len(names)} variables, more than {MOST_VARIABLES}; is the"
            " right column called variable?"
        )
    return _Numbers(
        (texts(events, "patient"), times, texts(events, "variable"), values),
        (texts(outcomes, "patient"), asked, labels),
        found,
        statics,
    )


def _check_classes(labels: Floats, whose: Strings) -> None:
    for label, word in ((1, "positive"), (0, "negative")):
        patients = len(set(whose[labels == label].tolist()))
        if patients < LEAST_PATIENTS:
            raise Refused(
                f"task.source: {patients} patients of {OUTCOMES} have a {word} label;"
                f" {FOLDS} folds need at least {LEAST_PATIENTS}"
            )


def _check_size(patients: Integers, times: Floats, variables: int) -> None:
    if len(times) * variables <= MOST_FIELDS:
        return
    steps = len(np.unique(np.stack([patients, times], axis=1), axis=0))
    if steps * variables > MOST_FIELDS:
        raise Refused(
            f"task.source: {steps:,} times of all patients and {variables} variables; their product"
            f" may be {MOST_FIELDS:,}: round the times, or leave out variables"
        )
