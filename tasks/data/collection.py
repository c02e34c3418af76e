"""Sequences as they are read from a file, before anything is made of them.

Legend of shapes: T steps, F columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad
from seqbench.tasks._tables import check_text, number_advice

Floats = NDArray[np.float64]

LARGEST = 1e15
"""Of any number: squares and differences of these are far from the limits of 32-bit floats."""
MOST_BYTES = 2**30
"""Of a file, unpacked."""
MOST_PROBLEMS = 20
"""Of one file that are told."""
MISSING = ("", "?", "nan", "na", "n/a", "null", "none", "-nan")
"""What stands for a missing number, in any case of letters."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class ReadSequence:
    """One sequence.

    Args:
        name: what a message calls it.
        values: ``[T, F]``, T at least 1, NaN where a value is missing.
        labels: the text of its label; of each step's, ``T`` of them; or none. Empty is unknown.
        times: ``[T]`` that ascend, in any unit; None if the steps are at equal intervals.
        group: what a split keeps together; empty for the sequence alone.
        part: ``train``, ``valid`` or ``test`` where the data say it, else empty.
    """

    name: str
    values: Floats
    labels: tuple[str, ...] = ()
    times: Floats | None = None
    group: str = ""
    part: str = ""

    def steps(self, first: int, stop: int, group: str | None = None) -> ReadSequence:
        """Return the steps from one to before another, of a group if it is given."""
        return replace(
            self,
            values=self.values[first:stop],
            labels=self.labels[first:stop],
            times=None if self.times is None else self.times[first:stop],
            group=self.group if group is None else group,
        )


@dataclass(frozen=True, eq=False)
class Collection:
    """The sequences of one file, or of several.

    Args:
        columns: ``[F]`` names.
        series: at least one.
        classes: declared by the data, in their order; empty if they are not.
        unused: what is not read or not checked, and why.
        are_named: whether the columns have names of their own, not numbers.
    """

    columns: tuple[str, ...]
    series: list[ReadSequence]
    classes: tuple[str, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()
    are_named: bool = False

    def only(self, series: Iterable[ReadSequence]) -> Collection:
        """Return the same with some of its sequences."""
        return replace(self, series=list(series))

    def ordered_as(self, columns: Sequence[str]) -> Collection:
        """Return the same with its columns in another order, which has all of them."""
        places = [self.columns.index(name) for name in columns]
        series = [replace(item, values=item.values[:, places]) for item in self.series]
        return replace(self, columns=tuple(columns), series=series)


class Problems:
    """What is wrong with a file, collected until it has been read."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        """Note a problem."""
        self._count += 1
        if self._count <= MOST_PROBLEMS:
            self._found.append(problem)

    def refuse(self) -> None:
        """Raise :class:`Bad` if there is a problem.

        Raises:
            Bad: with all of them.
        """
        if self._count > MOST_PROBLEMS:
            self._found.append(f"... and {self._count - MOST_PROBLEMS} more")
        if self._found:
            raise Bad(*self._found)


def number(text: str) -> float:
    """Return the number in a field, NaN if it is missing.

    Raises:
        ValueError: it is none, or too large; the message says so.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        value = float(text)
        if abs(value) > LARGEST:
            raise ValueError(f"{shown(text)} is too large a number; {LARGEST:g} is the largest")
        return value
    if text.lower() in MISSING:
        return math.nan
    raise ValueError(f"{shown(text)} is not a number{number_advice(text)}")


def moment(text: str) -> float:
    """Return a time: a number as it is, an ISO date or time in seconds.

    A time without a zone is taken for UTC: only differences matter.

    Raises:
        ValueError: it is neither; the message says so.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return number(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"the time {shown(text)} is neither a number nor an ISO date (2026-01-31 12:00)"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def check_array(values: Floats) -> None:
    """Refuse numbers of an array that are infinite or too large.

    Raises:
        Bad: there is one.
    """
    with np.errstate(invalid="ignore"):
        wrong = np.abs(values) > LARGEST
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise Bad(f"the value at {list(place)} is {values[place]:g}; {LARGEST:g} is the largest")


def read_text(data: bytes) -> str:
    """Return a file's text: UTF-8, else Latin-1 where its bytes are no UTF-8.

    Raises:
        Bad: it is no text.
    """
    if b"\0" in data:
        raise Bad("it is no text: it has zero bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    check_text(text)
    return text


def shown(text: str) -> str:
    """Return a text as a message shows it: quoted, on one line, its beginning if it is long."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
