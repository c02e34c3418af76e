"""The ``.ts`` files of the UEA and UCR archives, and of the archive of regression problems.

A header of ``@`` lines, ``@data``, and a line for each sequence: its dimensions between colons,
the values of a dimension between commas, ``?`` where one is missing, the label behind the last
colon. With ``@timestamps true`` a dimension is ``(time,value),(time,value),...``.

What the header declares is checked: dimensions, lengths, classes. A file that was cut short must
not pass for a shorter sequence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from seqbench.config.userdata import Bad
from seqbench.errors import did_you_mean, listed
from seqbench.tasks.data.collection import (
    Collection,
    Floats,
    Problems,
    ReadSequence,
    moment,
    number,
    read_text,
    shown,
)

_FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel", "classlabel")
_COUNTS = {"dimensions": "dimensions", "dimension": "dimensions", "serieslength": "serieslength"}
_PAIR = re.compile(r"\(([^(),]*),([^(),]*)\)")
_TIMED = re.compile(r"\s*(?:\([^()]*\)\s*(?:,\s*\([^()]*\)\s*)*)?")


class _Header:
    """What the ``@`` lines say."""

    def __init__(self) -> None:
        self.flags: dict[str, bool] = {}
        self.counts: dict[str, int] = {}
        self.classes: tuple[str, ...] = ()
        self.ended = False

    @property
    def has_label(self) -> bool:
        return self.flags.get("classlabel", False) or self.flags.get("targetlabel", False)

    def take(self, line: str) -> None:
        """Read a line.

        Raises:
            ValueError: it is none that is known.
        """
        words = line.split()
        name, given = words[0][1:].lower(), words[1:]
        if name == "data":
            self.ended = True
        elif name == "problemname":
            pass
        elif name in _FLAGS:
            flag = given[0].lower() if given else ""
            if flag not in ("true", "false"):
                raise ValueError(f"{words[0]} says neither true nor false")
            self.flags[name] = flag == "true"
            if name == "classlabel":
                self.classes = tuple(given[1:])
                if len(set(self.classes)) < len(self.classes):
                    raise ValueError(f"{words[0]} names a class twice")
        elif name in _COUNTS:
            if len(given) != 1 or not re.fullmatch(r"[1-9]\d{0,8}", given[0], re.ASCII):
                raise ValueError(f"{words[0]} has no whole number above 0")
            self.counts[_COUNTS[name]] = int(given[0])
        else:
            known = ("@problemName", "@data", *(f"@{flag}" for flag in (*_FLAGS, *_COUNTS)))
            raise ValueError(f"{shown(words[0])} is unknown{did_you_mean(words[0], known)}")


def read_ts(data: bytes, part: str = "") -> Collection:
    """Return the sequences of a file.

    Args:
        data: its bytes.
        part: of the split, where the file's name says it.

    Raises:
        Bad: something is wrong with it; all that is, with its lines.
    """
    header, problems = _Header(), Problems()
    series: list[ReadSequence] = []
    for row, text in enumerate(read_text(data).split("\n"), start=1):
        line = text.strip()
        if not line or line.startswith(("#", "%")):
            continue
        try:
            if line.startswith("@") and not header.ended:
                header.take(line)
            elif not header.ended:
                raise ValueError("a line of data before @data")
            else:
                series.append(_sequence(line, header, f"line {row}", part))
        except ValueError as error:
            problems.add(f"line {row}: {error}")
    if not header.ended:
        problems.add("it has no line @data: it is no .ts file, or was cut short")
    problems.refuse()
    if not series:
        raise Bad("there is no sequence below @data")
    _check(series, header, problems)
    problems.refuse()
    columns = tuple(f"dimension {place + 1}" for place in range(series[0].values.shape[1]))
    return Collection(columns, series, header.classes)


def _sequence(line: str, header: _Header, name: str, part: str) -> ReadSequence:
    """Read a line of data.

    Raises:
        ValueError: it is wrong; the message says where.
    """
    if header.flags.get("timestamps"):
        dimensions, label = _timed_dimensions(line, header.has_label)
        values, times = _joined(dimensions)
    else:
        fields = line.split(":")
        label = fields.pop().strip() if header.has_label else None
        columns = [_values(field, place) for place, field in enumerate(fields, start=1)]
        lengths = [len(column) for column in columns]
        if not columns:
            raise ValueError("there is no colon between values and label")
        if len(set(lengths)) > 1:
            raise ValueError(f"its dimensions have {listed([str(one) for one in lengths])} values")
        values, times = np.array(columns).T, None
    wanted = header.counts.get("dimensions", 1 if header.flags.get("univariate") else None)
    if wanted is not None and values.shape[1] != wanted:
        raise ValueError(f"it has {values.shape[1]} dimensions; the header says {wanted}")
    if label is not None:
        if not label or label == "?":
            raise ValueError("its label is missing")
        if header.classes and label not in header.classes:
            raise ValueError(
                f"its class {shown(label)} is not among those of @classLabel:"
                f" {listed(header.classes)}{did_you_mean(label, header.classes)}"
            )
    return ReadSequence(name, values, () if label is None else (label,), times, part=part)


def _values(field: str, place: int) -> list[float]:
    found = []
    for step, text in enumerate(field.split(","), start=1):
        try:
            if not text.strip():
                raise ValueError("a value is empty (a missing one is ?)")
            found.append(number(text))
        except ValueError as error:
            raise ValueError(f"dimension {place}, step {step}: {error}") from None
    return found


def _timed_dimensions(
    line: str, has_label: bool
) -> tuple[list[list[tuple[float, float]]], str | None]:
    """Return times and values of each dimension, and the label; a time may hold colons."""
    dimensions: list[list[tuple[float, float]]] = []
    label: str | None = None
    rest = line
    while True:
        found = _TIMED.match(rest)
        field, rest = rest[: found.end()] if found else "", rest[found.end() if found else 0 :]
        if not field.strip():
            if not has_label or ":" in rest or not dimensions:
                raise ValueError(f"expected (time,value), found {shown(rest[:20])}")
            label = rest.strip()
            break
        pairs = []
        for step, pair in enumerate(_PAIR.finditer(field), start=1):
            try:
                pairs.append((moment(pair[1]), number(pair[2])))
            except ValueError as error:
                where = f"dimension {len(dimensions) + 1}, step {step}"
                raise ValueError(f"{where}: {error}") from None
        if len(pairs) != field.count("("):
            raise ValueError(f"dimension {len(dimensions) + 1}: a pair is not (time,value)")
        dimensions.append(pairs)
        if not rest:
            if has_label:
                raise ValueError("its label is missing")
            break
        if not rest.startswith(":"):
            raise ValueError(f"expected a colon, found {shown(rest[:20])}")
        rest = rest[1:]
    return dimensions, label


def _joined(dimensions: Sequence[Sequence[tuple[float, float]]]) -> tuple[Floats, Floats]:
    """Return dimensions at all of their times; what one has no value for is missing."""
    for place, pairs in enumerate(dimensions, start=1):
        times = [time for time, _ in pairs]
        if any(later <= time for time, later in pairwise(times)):
            raise ValueError(f"dimension {place}: its times do not ascend")
    together = np.array(sorted({time for pairs in dimensions for time, _ in pairs}))
    values = np.full((len(together), len(dimensions)), np.nan)
    for place, pairs in enumerate(dimensions):
        rows = np.searchsorted(together, [time for time, _ in pairs])
        values[rows, place] = [value for _, value in pairs]
    return values, together


def _check(series: Sequence[ReadSequence], header: _Header, problems: Problems) -> None:
    """Find what does not agree between sequences, or with the header."""
    width = series[0].values.shape[1]
    steps = header.counts.get("serieslength")
    if header.flags.get("equallength") and steps is None:
        steps = len(series[0].values)
    for item in series:
        length = len(item.values)
        if item.values.shape[1] != width:
            problems.add(f"{item.name}: {item.values.shape[1]} dimensions; others have {width}")
        if header.flags.get("equallength") and length != steps:
            problems.add(f"{item.name}: {length} steps; the header says that all have {steps}")
