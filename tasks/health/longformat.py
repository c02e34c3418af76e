"""A user's own records: a folder of CSV files in long format.

Messages name files, lines and columns that are asked for, and never quote what a file says: a
patient's name or value, or a first line that is no header, must not end up in a log.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqbench.errors import Refused
from seqbench.tasks.health.records import FOLDS, Floats, Integers, Records, opaque_groups, to_grid

EVENTS, OUTCOMES, PATIENTS = "events.csv", "outcomes.csv", "patients.csv"
LEAST_PATIENTS = 2 * FOLDS
"""With a positive label, and with a negative one: test and validation need both in each fold."""
MOST_VARIABLES = 500
"""More are taken for a column that is not the one that was meant."""
LARGEST = 1e15
"""Of any number: squares and differences of these are far from the limits of 32-bit floats."""


@dataclass(frozen=True, eq=False, repr=False)
class _Table:
    """A CSV file: its name, its cells by column, and the line on which each row ends."""

    name: str
    columns: dict[str, list[str]]
    lines: list[int]

    def refusal(self, row: int, trouble: str) -> Refused:
        """Return the refusal of a row."""
        return Refused(f"task.source: {self.name}, line {self.lines[row]}: {trouble}")

    def require(self, *columns: str, others: bool = False) -> _Table:
        """Refuse a file that lacks a column or a name, or that has other columns; return it."""
        for column in columns:
            if column not in self.columns:
                raise Refused(
                    f"task.source: {self.name} has no column {column}; its first line must name"
                    f" the columns {', '.join(columns)}{self._hint(column)}"
                )
        for column in ("patient", "variable"):
            if column in columns and "" in self.columns[column]:
                raise self.refusal(self.columns[column].index(""), f"column {column} is empty")
        if not others and len(self.columns) > len(columns):
            raise Refused(
                f"task.source: {self.name} has {len(self.columns) - len(columns)} columns beside"
                f" {', '.join(columns)}; leave them out (static features go in {PATIENTS})"
            )
        return self

    def _hint(self, column: str) -> str:
        """Return what may be wrong with a first line that lacks a column."""
        if len(self.columns) == 1 and any(mark in name for name in self.columns for mark in ";\t"):
            return ", with commas between them"
        # no near match but in case: a first line that is no header would be quoted
        return ", in small letters" if column in map(str.lower, self.columns) else ""

    def numbers(self, column: str, empty: bool = False) -> Floats:
        """Return a column's numbers; NaN for an empty cell, if there may be one."""
        cells = self.columns[column]
        numbers = np.full(len(cells), np.nan)
        for row, cell in enumerate(cells):
            if empty and not cell:
                continue
            with contextlib.suppress(ValueError):  # its message would quote the cell
                numbers[row] = float(cell)
            if not math.isfinite(numbers[row]):
                raise self.refusal(row, f"column {column} must be a number")
            if abs(numbers[row]) > LARGEST:
                raise self.refusal(row, f"column {column} must be a number up to {LARGEST:g}")
        return numbers

    def labels(self, empty: bool) -> Floats:
        """Return column label: 0, 1, or NaN for an empty cell, if there may be one."""
        labels = self.numbers("label", empty)
        wrong = np.flatnonzero(~np.isin(labels, (0, 1)) & ~np.isnan(labels))
        if len(wrong):
            raise self.refusal(
                wrong[0], f"column label must be 0{', 1 or empty' if empty else ' or 1'}"
            )
        return labels

    def codes(self, known: dict[str, int]) -> Integers:
        """Return each row's patient as a number."""
        codes = np.array([known.get(name, -1) for name in self.columns["patient"]], dtype=np.int64)
        unknown = np.flatnonzero(codes < 0)
        if len(unknown):
            raise self.refusal(
                unknown[0], f"a patient who is not in {OUTCOMES} ({len(unknown)} such lines)"
            )
        return codes

    def refuse_repeats(self, keys: Sequence[object], what: str) -> None:
        """Refuse a row whose key a row above has."""
        seen = set()
        for row, key in enumerate(keys):
            if key in seen:
                raise self.refusal(row, f"a second line for the same {what}")
            seen.add(key)


def read_folder(folder: Path, online: bool) -> Records:
    """Return the records in a folder of ``events.csv``, ``outcomes.csv`` and ``patients.csv``.

    Args:
        folder: what the tasks' argument ``source`` describes.
        online: whether outcomes are of times; else of patients.

    Raises:
        Refused: a file is missing or cannot be read, or there are too few patients for the folds.
    """
    if not folder.is_dir():
        raise Refused(f"task.source '{folder}' is not a folder")
    events = _read(folder / EVENTS).require("patient", "time", "variable", "value")
    outcomes = _read_outcomes(folder / OUTCOMES, online)
    names = sorted(set(outcomes.columns["patient"]))
    known = {name: code for code, name in enumerate(names)}
    whose, asked = outcomes.codes(known), _asked(outcomes, online)
    labels = outcomes.labels(empty=online)
    keys = list(zip(whose.tolist(), asked.tolist(), strict=True))
    outcomes.refuse_repeats(keys, "patient and time" if online else "patient")
    patients = events.codes(known)
    without = np.flatnonzero(~np.isin(whose, patients))
    if len(without):
        raise outcomes.refusal(
            without[0], f"a patient who is not in {EVENTS} ({len(without)} such lines)"
        )
    variables = np.array(sorted(set(events.columns["variable"])))
    if len(variables) > MOST_VARIABLES:
        raise Refused(
            f"task.source: {EVENTS} has {len(variables)} variables, more than {MOST_VARIABLES};"
            " is the right column called variable?"
        )
    _check_classes(labels, whose)
    extra = len(asked) if online else 0  # a time that is asked about is a step of its own
    grid = to_grid(
        patients=np.concatenate([patients, whose[:extra]]),
        times=np.concatenate([events.numbers("time"), asked[:extra]]),
        variables=np.concatenate([events.columns["variable"], np.full(extra, "")]),
        values=np.concatenate([events.numbers("value"), np.full(extra, np.nan)]),
        columns=variables,
    )
    of_steps = np.full(len(grid.times), np.nan)
    if online:
        owners = np.repeat(grid.patients, grid.lengths).tolist()
        steps = {
            key: step for step, key in enumerate(zip(owners, grid.times.tolist(), strict=True))
        }
        of_steps[[steps[key] for key in keys]] = labels
    else:
        of_steps[np.cumsum(grid.lengths)[whose] - 1] = labels
    static, statics = _read_static(folder / PATIENTS, known)
    return Records(
        lengths=grid.lengths,
        times=grid.times,
        values=grid.values,
        labels=of_steps,
        static=static,
        groups=opaque_groups(names, grid.times, grid.values, of_steps),
        variables=variables,
        statics=statics,
    )


def _read_outcomes(path: Path, online: bool) -> _Table:
    table = _read(path)
    if online and "patient" in table.columns and "time" not in table.columns:
        raise Refused(
            f"task.source: {OUTCOMES} has no column time, so its labels are of patients:"
            " task=health/nafld takes these"
        )
    if not online and "time" in table.columns:
        raise Refused(
            f"task.source: {OUTCOMES} has a column time, so its labels are of times:"
            " task=health/pbc takes these"
        )
    return table.require("patient", *(["time"] if online else []), "label")


def _asked(outcomes: _Table, online: bool) -> Floats:
    """Return the times of the outcomes, 0 where they are of patients."""
    return outcomes.numbers("time") if online else np.zeros(len(outcomes.lines))


def _read_static(path: Path, known: dict[str, int]) -> tuple[Floats, NDArray[np.str_]]:
    """Return static features ``[P, S]`` and their names; S is 0 without the file."""
    if not path.exists():
        return np.zeros((len(known), 0)), np.array([], dtype=np.str_)
    table = _read(path).require("patient", others=True)
    if "label" in table.columns:
        raise Refused(
            f"task.source: {PATIENTS} has a column label, which would be an input; leave it out"
        )
    codes = table.codes(known)
    table.refuse_repeats(codes.tolist(), "patient")
    names = [name for name in table.columns if name != "patient"]
    static = np.full((len(known), len(names)), np.nan)
    for column, name in enumerate(names):
        static[codes, column] = table.numbers(name, empty=True)
    return static, np.array(names, dtype=np.str_)


def _check_classes(labels: Floats, whose: Integers) -> None:
    for label, word in ((1, "positive"), (0, "negative")):
        patients = len(np.unique(whose[labels == label]))
        if patients < LEAST_PATIENTS:
            raise Refused(
                f"task.source: {patients} patients of {OUTCOMES} have a {word} label;"
                f" {FOLDS} folds need at least {LEAST_PATIENTS}"
            )


def _read(path: Path) -> _Table:
    """Return a CSV file with a header.

    Raises:
        Refused: there is none, or it is no such file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) < len(header):
                raise Refused(f"task.source: {path.name} names a column twice in its first line")
            rows, lines = [], []
            for row in reader:
                if len(row) != len(header) and row:
                    raise Refused(
                        f"task.source: {path.name}, line {reader.line_num}: {len(row)} cells, but"
                        f" {len(header)} columns"
                    )
                if row:
                    rows.append([cell.strip() for cell in row])
                    lines.append(reader.line_num)
    except OSError as error:
        raise Refused(
            f"task.source: cannot read {path.name} in '{path.parent}' ({error.strerror})"
        ) from None
    except UnicodeDecodeError:
        raise Refused(f"task.source: {path.name} is not UTF-8 text") from None
    except csv.Error:
        raise Refused(f"task.source: {path.name}, line {reader.line_num}: this is no CSV") from None
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    return _Table(path.name, dict(zip(header, columns, strict=True)), lines)
