"""A user's own labelled series: a folder of CSV files, each of which is a fold."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seqbench.errors import Refused, did_you_mean
from seqbench.tasks.anomaly.series import Labels, Parts, Samples, Series

LABEL_COLUMNS = ("label", "labels", "anomaly", "is_anomaly", "outlier")
"""Where labels are looked for, in any case of letters."""
OTHER_LABELS = ("changepoint",)
"""Labels of something else (SKAB): never a value."""
TIME_COLUMNS = ("timestamp", "datetime", "date", "time", "", "unnamed: 0")
"""Never a value either."""
WINDOWS_FILE = "combined_windows.json"
"""NAB's labels: for each file the first and last time of each anomaly."""
VALID_SHARE = 0.25
"""Of the leading rows, the last ones."""
FEWEST_STEPS = 10
"""Steps without a label that training and validation need."""
MOST_FILES = 1600
MOST_ROWS = 2**24
"""Rows of a file: a row's number stands among the targets, exact in float32."""
LARGEST = 1e30
"""Of values, either side of 0: variances of larger ones leave the range of numbers."""
MOST_LISTED = 20
"""Names in a message."""
BACKWARD = 0.25
"""Share of rows that may be earlier than the row before them: a clock was set back, or a column
``time`` is the hour of the day. More are rows from last to first, or shuffled."""

Windows = Mapping[str, list[tuple[datetime, datetime]]]
Table = dict[str, list[str]]


class Folder:
    """Series of CSV files, read when they are asked for.

    A file is UTF-8 text and has a header; commas, semicolons or tabs between columns; and a row for
    each sample, in the order of time, at intervals that are taken to be equal. Columns named as
    times (:data:`TIME_COLUMNS`) or as labels are left out, all others are values. A value that is
    empty, ``nan`` or ``inf`` is missing: the one before it is carried forward. Instead of a label
    column there may be NAB's ``combined_windows.json`` in the folder, below it, or in ``labels``
    beside it; times that say their zone are compared as UTC, others as they stand.

    The leading rows train, up to the last quarter of them, which validates; the rest is for test.
    How many lead: n where the file's name has ``_tr_n_`` in it (as in TSB-AD), else ``lead``.

    Args:
        path: a folder, searched with what lies below, or one CSV file.
        label: the label column, or None to look for one of :data:`LABEL_COLUMNS`.
        lead: a share of the rows if below 1, else a number of rows.
        window: samples of a step.
    """

    def __init__(self, path: Path, label: str | None, lead: float, window: int) -> None:
        self._path = path
        self._label = label
        self._lead = lead
        self._window = window
        self._files: list[Path] = []
        self._windows: Windows | None = None
        self._parts: dict[int, Parts] = {}

    def prepare(self, fold: int | None) -> None:
        """Find the files and read them.

        Args:
            fold: the one file that is wanted, by its place in the order of names; None: all.

        Raises:
            Refused: there is nothing that could be read, trained on and scored.
        """
        if self._parts:
            return
        self._files = self._find()
        self._windows = self._find_windows()
        if fold is not None and fold >= len(self._files):
            raise Refused(
                f"task.fold={fold}: task.source '{self._path}' has the files"
                f" 0..{len(self._files) - 1}, in the order of their names"
            )
        wanted = range(len(self._files)) if fold is None else [fold]
        reasons = []
        for number in wanted:
            series = self._read(self._files[number])
            found = series if isinstance(series, str) else self._split(number, *series)
            if isinstance(found, str):
                reasons.append(f"'{self._files[number].name}' {found}")
            else:
                self._parts[number] = found
        if not self._parts:
            none = "no file can be scored" if fold is None else f"task.fold={fold} cannot be scored"
            raise Refused(f"task.source '{self._path}': {none}; {reasons[0]}")

    def folds(self) -> tuple[int, ...]:
        """Return the numbers of the files that can be scored; others are left out."""
        return tuple(self._parts)

    def parts(self, fold: int) -> Parts:
        """Return the series of one file."""
        return self._parts[fold]

    def _find(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        if not self._path.is_dir():
            raise Refused(f"task.source '{self._path}' does not exist")
        below = self._path.rglob("*")
        files = sorted(path for path in below if path.suffix.lower() == ".csv" and path.is_file())
        if not files:
            raise Refused(f"task.source '{self._path}' holds no CSV files (.csv)")
        if len(files) > MOST_FILES:
            raise Refused(
                f"task.source '{self._path}' holds {len(files)} CSV files; {MOST_FILES} are the"
                " most that a trial takes"
            )
        return files

    def _find_windows(self) -> Windows | None:
        beside = self._path.parent / "labels" / WINDOWS_FILE
        found = [*sorted(self._path.rglob(WINDOWS_FILE)), *([beside] if beside.is_file() else [])]
        if not found:
            return None
        try:
            contents = json.loads(found[0].read_text(encoding="utf-8-sig"))
            return {
                name: [_window(first, last) for first, last in windows]
                for name, windows in contents.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(
                f"label windows '{found[0]}' cannot be read: {_one_line(error)}; expected is"
                ' {"folder/file.csv": [["first time", "last time"], ...], ...}'
            ) from error

    def _read(self, path: Path) -> tuple[Samples, Labels] | str:
        """Return a file's values and labels, or why it has no labels."""
        table = _read_table(path)
        by_lower = {name.lower(): name for name in table}
        times = [by_lower[name] for name in TIME_COLUMNS if name in by_lower]
        if times:
            _check_order(path, times[0], table[times[0]])
        label = self._label_column(path, table)
        if label is not None:
            labels = _labels(path, label, table[label])
        elif self._windows is None:
            return (
                f"has no label column ({', '.join(LABEL_COLUMNS)}) and there is no {WINDOWS_FILE};"
                f" its columns are {_listed(table)}; say which with task.label"
            )
        else:
            windows = _windows_of(path, self._windows)
            if windows is None:
                known = {Path(name).name for name in self._windows}
                return f"is not named in {WINDOWS_FILE}{did_you_mean(path.name, known)}"
            if not times:
                return (
                    "has label windows and no column of times (timestamp, datetime, date, time);"
                    f" its columns are {_listed(table)}"
                )
            labels = _labels_of_windows(path, table[times[0]], windows)
        left_out = {*times, label, *(name for name in table if name.lower() in OTHER_LABELS)}
        left_out |= {name for name in table if name.lower() in LABEL_COLUMNS}
        columns = [name for name in table if name not in left_out]
        if not columns:
            raise Refused(f"'{path}' has no column of values; its columns are {_listed(table)}")
        values = np.stack([_numbers(path, name, table[name]) for name in columns], axis=1)
        return values, labels

    def _label_column(self, path: Path, table: Table) -> str | None:
        if self._label is not None:
            if self._label not in table:
                raise Refused(
                    f"task.label '{self._label}' is not a column of"
                    f" '{path}'{did_you_mean(self._label, table)}; its columns are"
                    f" {_listed(table)}"
                )
            return self._label
        by_lower = {name.lower(): name for name in table}
        return next((by_lower[name] for name in LABEL_COLUMNS if name in by_lower), None)

    def _split(self, number: int, values: Samples, labels: Labels) -> Parts | str:
        """Return the three parts of a file, or why it cannot be scored."""
        path = self._files[number]
        named = re.search(r"_tr_(\d+)_", path.name)
        rows = len(values)
        lead = int(named[1]) if named else int(self._lead * (rows if self._lead < 1 else 1))
        middle = lead - int(lead * VALID_SHARE)
        name = path.name if path == self._path else path.relative_to(self._path).as_posix()
        parts = [
            Series(values[start:stop], labels[start:stop], f"{name}, rows {start} to {stop - 1}")
            for start, stop in ((0, middle), (middle, lead), (lead, rows))
        ]
        train, valid, test = parts
        for part, series in (("trains", train), ("validates", valid)):
            if _normal_steps(series.labels, self._window) < FEWEST_STEPS:
                advice = "its name says how many rows lead" if named else "change task.lead"
                return (
                    f"has, in the part that {part} ({len(series.labels)} of {rows} rows), fewer"
                    f" than {FEWEST_STEPS} steps without a label; {advice}"
                )
        scored = test.labels[: len(test.labels) // self._window * self._window]
        if scored.all() or not scored.any():
            return f"has no anomaly, or nothing else, after its first {lead} rows, which train"
        return Parts([train], [valid], [test])


def _read_table(path: Path) -> Table:
    """Return a CSV file's columns by name, as text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        header, _, _ = text.partition("\n")
        delimiter = max(",;\t", key=header.count)
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"'{path}' cannot be read: {_one_line(error)}") from error
    if len(rows) < 2:
        raise Refused(f"'{path}' has no rows below its header")
    names = [" ".join(name.split()) for name in rows[0]]
    if len(set(names)) < len(names):
        raise Refused(f"'{path}' has two columns of one name: {_listed(names)}")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise Refused(
                f"'{path}', row {number}: {len(row)} fields where the header has {len(names)}"
            )
    if len(rows) > MOST_ROWS:
        raise Refused(f"'{path}' has {len(rows) - 1} rows; {MOST_ROWS} are the most")
    return {
        name: list(column) for name, column in zip(names, zip(*rows[1:], strict=True), strict=True)
    }


def _numbers(path: Path, name: str, cells: list[str]) -> Samples:
    """Return a column of values; what is missing is carried forward, and at the start backward."""
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            values[row] = float(cell) if cell.strip() else np.nan
        except ValueError:
            raise Refused(
                f"'{path}', row {row + 1}: {_shown(cell)} in column {name} is not a number"
            ) from None
    known = np.isfinite(values)
    for row in np.flatnonzero(known & (np.abs(values) > LARGEST))[:1].tolist():
        raise Refused(
            f"'{path}', row {row + 1}: {_shown(cells[row])} in column {name} is too large a number;"
            f" {LARGEST:g} is the largest"
        )
    if not known.any():
        return np.zeros(len(cells))
    latest = np.maximum.accumulate(np.where(known, np.arange(len(cells)), np.argmax(known)))
    return values[latest]


def _labels(path: Path, name: str, cells: list[str]) -> Labels:
    meaning = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
    labels = np.empty(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        label = meaning.get(cell.strip().lower())
        if label is None:
            raise Refused(
                f"'{path}', row {row + 1}: the label {_shown(cell)} in column {name} is not 0 or 1"
            )
        labels[row] = label
    return labels


def _windows_of(path: Path, windows: Windows) -> list[tuple[datetime, datetime]] | None:
    name = path.absolute().as_posix()
    return next((found for key, found in windows.items() if name.endswith(f"/{key}")), None)


def _labels_of_windows(
    path: Path, cells: list[str], windows: list[tuple[datetime, datetime]]
) -> Labels:
    labels = np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        try:
            time = _time(cell)
        except ValueError:
            raise Refused(f"'{path}', row {row + 1}: {_shown(cell)} is not an ISO time") from None
        labels[row] = any(first <= time <= last for first, last in windows)
    return labels


def _normal_steps(labels: Labels, window: int) -> int:
    steps = len(labels) // window
    return int((~labels[: steps * window].reshape(steps, window).any(axis=1)).sum())


def _check_order(path: Path, name: str, cells: list[str]) -> None:
    """Refuse rows that are not in the order of time; what is neither number nor time may be so."""
    times: list[Any]
    try:
        times = [float(cell) for cell in cells]
    except ValueError:
        try:
            times = [_time(cell) for cell in cells]
        except ValueError:
            return
    pairs = enumerate(pairwise(times), start=2)
    backward = [row for row, (before, time) in pairs if time < before]
    if len(backward) > BACKWARD * len(cells):
        raise Refused(
            f"'{path}': rows are not in the order of time: {len(backward)} of {len(cells)} are"
            f" earlier in column {name} than the row before, the first of them row {backward[0]}"
        )


def _window(first: Any, last: Any) -> tuple[datetime, datetime]:
    window = _time(first), _time(last)
    if window[1] < window[0]:
        raise ValueError(f"the window from {first} to {last} ends before it begins")
    return window


def _time(text: Any) -> datetime:
    """Return a time without a zone: UTC where the text says a zone."""
    time = datetime.fromisoformat(text.strip())
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _shown(cell: str) -> str:
    """Return a cell as a message shows it: quoted, on one line, its beginning if it is long."""
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")


def _listed(names: Iterable[str]) -> str:
    """Return names as a message shows them, the first ones of many."""
    found = list(names)
    more = f", ... ({len(found)} in all)" if len(found) > MOST_LISTED else ""
    return ", ".join(found[:MOST_LISTED]) + more


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
