"""What a CSV file says of a series: its values, its labels, and whether its rows are in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbench.config.userdata import Bad
from seqbench.errors import did_you_mean
from seqbench.tasks._choices import word
from seqbench.tasks._tables import (
    MISSING,
    CsvTable,
    has_decimal_commas,
    number_advice,
    numbers,
    read_table,
)
from seqbench.tasks.anomaly.series import Labels, Samples
from seqbench.tasks.anomaly.times import FORMS, Times, backward, read_times, time_columns
from seqbench.tasks.anomaly.windows import FILE, Windows, labels_of

LABEL_COLUMNS = ("label", "labels", "anomaly", "is_anomaly", "outlier")
"""Where labels are looked for, in any case of letters."""
OTHER_LABELS = ("changepoint",)
"""Labels of something else (SKAB): never a value."""
LARGEST = 1e30
"""Of values, either side of 0: variances of larger ones leave the range of numbers."""
BACKWARD = 0.25
"""Share of rows that may be earlier than the row before them: a clock was set back, or a column
``time`` is the hour of the day. More are rows from last to first, or shuffled."""

_SHOWN_LETTERS = 80
_LONGEST = 40
"""Letters of a field in a message."""
_LABELS = {"false": False, "true": True, "no": False, "yes": True}


class Columns(NamedTuple):
    """Which columns of a file are what, as a user says it.

    Args:
        label: the labels, or None to look for one of :data:`LABEL_COLUMNS`.
        time: the times, or None to look for :func:`~seqbench.tasks.anomaly.times.time_columns`.
        drop: what is neither of these, nor a value.
    """

    label: str | None = None
    time: str | None = None
    drop: Sequence[str] = ()


class Labelled(NamedTuple):
    """A file's series.

    Args:
        values: ``[T, C]``, all finite.
        labels: ``[T]``.
        columns: names of the columns of values.
        unchecked: why the order of its rows is not checked; empty if it is.
    """

    values: Samples
    labels: Labels
    columns: tuple[str, ...]
    unchecked: str


class Unscored(Exception):  # noqa: N818 - what a file is
    """A file that can be read and has no labels, or no times that they need."""


class SeriesReader:
    """Reads files into series.

    Args:
        asked: which columns are what.
        windows: the labels of files that have no column of them.
        order: returns names of columns by which those of a file are ordered; others follow.
    """

    def __init__(
        self, asked: Columns, windows: Windows, order: Callable[[Path], Sequence[str]]
    ) -> None:
        self._asked = asked
        self._windows = windows
        self._order = order
        self.unlabelled = False
        """Whether a file had no label column."""
        self.seen: set[str] = set()
        """The columns of all files."""

    def __call__(self, path: Path) -> Labelled:
        """Read a file.

        Raises:
            Bad: it cannot be read; all that is wrong with it.
            Unscored: it has no labels.
            Refused: there are label windows, and they cannot be read.
        """
        table = read_table(path)
        names = [name for name in table.columns if name not in self._asked.drop]
        self.seen |= set(table.columns)
        times = self._time_columns(table, names)
        label = self._label_column(table, names)
        windows = None if label is not None else self._windows_of(path, table, times)
        by_lower = {name.lower(): name for name in names}
        others = {by_lower[name] for name in (*LABEL_COLUMNS, *OTHER_LABELS) if name in by_lower}
        found = [name for name in names if name not in {label, *times, *others}]
        known = [name for name in self._order(path) if name in found]
        columns = [*known, *(name for name in found if name not in known)]
        problems = table.ragged_problems()
        read = self._read_times(table, times[0], problems) if times else None
        values = self._values(table, columns, problems)
        labels = np.zeros(len(values), dtype=bool)
        if label is not None:
            labels = _labels(table, label, problems)
        elif windows is not None and read is not None and read.readings:
            try:
                labels = labels_of(windows, times[0], read)
            except Bad as bad:
                problems += bad.problems
        if problems:
            raise Bad(*problems)
        unchecked = "" if times else _unchecked(values, columns)
        return Labelled(values, labels, tuple(columns), unchecked)

    def _time_columns(self, table: CsvTable, names: Sequence[str]) -> list[str]:
        """Return the columns of times, the one that tells the order of rows first."""
        found, asked = time_columns(names), self._asked.time
        if asked is None:
            return found
        if asked not in table.columns:
            raise Unscored(_no_column("time", asked, table))
        return [asked, *(name for name in found if name != asked)]

    def _label_column(self, table: CsvTable, names: Sequence[str]) -> str | None:
        asked = self._asked.label
        if asked is not None:
            if asked not in table.columns:
                raise Unscored(_no_column("label", asked, table))
            return asked
        by_lower = {name.lower(): name for name in names}
        return next((by_lower[name] for name in LABEL_COLUMNS if name in by_lower), None)

    def _windows_of(
        self, path: Path, table: CsvTable, times: Sequence[str]
    ) -> Sequence[tuple[float, float]]:
        """Return the label windows of a file without a label column."""
        self.unlabelled = True
        columns = listed(table.columns)
        if self._windows.path is None:
            wanted = ", ".join(LABEL_COLUMNS)
            raise Unscored(
                f"no label column ({wanted}): its columns are {columns}; task.label says which"
            )
        windows = self._windows.of(path)
        if windows is None:
            raise Unscored(f"it is not named in '{self._windows.path}'{self._windows.hint(path)}")
        if not times:
            raise Unscored(
                f"no column of times for {FILE}: its columns are {columns}; task.time says which"
            )
        return windows

    def _read_times(self, table: CsvTable, name: str, problems: list[str]) -> Times:
        """Return the times, and add what is wrong with them."""
        fields = table.columns[name]
        clock = next((other for other in table.columns if other.lower() == "time"), None)
        if name.lower() == "date" and clock is not None:
            fields = [" ".join(both) for both in zip(fields, table.columns[clock], strict=True)]
        times = read_times(fields)
        if times.unread:
            shown = _shown(fields[times.unread[0]])
            problem = (
                f"{shown} in column {_cut(name)} is no time, so the rows' order cannot be checked;"
                f" {self._dropping([name])} goes on without; read are {FORMS}"
            )
            problems.append(table.at(times.unread, problem))
        elif fields:
            rows = min((backward(reading) for reading in times.readings), key=len)
            if len(rows) > BACKWARD * len(fields):
                problem = (
                    "rows are not in the order of time: this one is earlier in column"
                    f" {_cut(name)} than the row before it"
                )
                problems.append(table.at(rows, problem))
        return times

    def _values(self, table: CsvTable, columns: Sequence[str], problems: list[str]) -> Samples:
        """Return the values ``[T, C]``, and add what is wrong with them."""
        if not columns:
            problems.append(f"it has no column of values: its columns are {listed(table.columns)}")
        commas = has_decimal_commas(table, columns)
        values = np.zeros((len(table.lines), len(columns)))
        texts = []
        for number, name in enumerate(columns):
            fields = table.columns[name]
            column, wrong = numbers(fields, commas)
            large = np.flatnonzero(np.isfinite(column) & (np.abs(column) > LARGEST))
            given = sum(field.lower() not in MISSING for field in fields) if wrong else 0
            advice = number_advice(fields[wrong[0]]) if wrong else ""
            if len(wrong) > given / 2 and (not advice or read_times(fields).readings):
                texts.append(name)
            elif wrong:
                problem = (
                    f"{_shown(fields[wrong[0]])} in column {_cut(name)} is not a number{advice}"
                )
                problems.append(table.at(wrong, problem))
            if len(large):
                shown = _shown(fields[large[0]])
                problem = f"{shown} in column {_cut(name)} is too large; {LARGEST:g} is the most"
                problems.append(table.at(large, problem))
            values[:, number] = _filled(column)
        if texts:
            problems.append(self._text_problem(table, texts))
        return values

    def _text_problem(self, table: CsvTable, names: Sequence[str]) -> str:
        fields = table.columns[names[0]]
        row = next(row for row, field in enumerate(fields) if field.lower() not in MISSING)
        times = [name for name in names if read_times(table.columns[name]).readings]
        instead = f", and {word('task.time', times[0])} reads times" if times else ""
        return (
            f"line {table.lines[row]}: {_shown(fields[row])} in column {_cut(names[0])} is text;"
            f" {self._dropping(names)} goes on without such columns{instead}"
        )

    def _dropping(self, names: Sequence[str]) -> str:
        return word("task.drop", [*self._asked.drop, *names])


def listed(names: Iterable[str]) -> str:
    """Return names as a message shows them, the first ones of many."""
    found = [_cut(name) for name in names]
    shown = [
        name
        for number, name in enumerate(found)
        if sum(map(len, found[: number + 1])) <= _SHOWN_LETTERS or number == 0
    ]
    more = f", ... ({len(found)} in all)" if len(found) > len(shown) else ""
    return ", ".join(shown) + more


def _no_column(what: str, asked: str, table: CsvTable) -> str:
    names = table.columns
    hint = did_you_mean(asked, names)
    return f"task.{what} '{asked}' is not one of its columns{hint}: {listed(names)}"


def _unchecked(values: Samples, columns: Sequence[str]) -> str:
    """Say that rows are in no order that could be checked, and which column may tell it."""
    said = "it is not checked, for there is no column of times"
    steps = np.diff(values, axis=0)
    likely = [name for number, name in enumerate(columns) if (steps[:, number] > 0).all()]
    if not len(steps) or not likely:
        return said
    name = likely[0]
    return f"{said}; is {_cut(name)} one, which rises from row to row? {word('task.time', name)}"


def _filled(column: Samples) -> Samples:
    """Return a column in which what is missing is carried forward, and at the start backward."""
    known = np.isfinite(column)
    if not known.any():
        return np.zeros(len(column))
    latest = np.maximum.accumulate(np.where(known, np.arange(len(column)), np.argmax(known)))
    return column[latest]


def _labels(table: CsvTable, name: str, problems: list[str]) -> Labels:
    """Return the labels, and add what is wrong with them."""
    fields = table.columns[name]
    meaning: dict[str, bool | None] = {}
    for field in set(fields):
        values, _ = numbers([field], decimal_comma=True)
        as_number = {0.0: False, 1.0: True}.get(values[0])
        meaning[field] = _LABELS.get(field.lower(), as_number)
    wrong = [row for row, field in enumerate(fields) if meaning[field] is None]
    if wrong:
        shown = _shown(fields[wrong[0]])
        problem = f"the label {shown} in column {_cut(name)} is not 0 (normal) or 1 (anomaly)"
        problems.append(table.at(wrong, problem))
    return np.array([bool(meaning[field]) for field in fields], dtype=bool)


def _shown(field: str) -> str:
    """Return a field as a message shows it: quoted, on one line."""
    return repr(_cut(field))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
