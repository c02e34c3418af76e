"""How long one more step of a table's models takes, and which of them can be told apart.

``seqbench costs`` times models together, in blocks in which each has a turn
(:mod:`seqbench.training.latency`). Times of different sessions, or of the trials themselves, were
taken under different conditions, and are never compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from seqbench.reporting.forms import Column, Form, Layout, layout
from seqbench.reporting.numbers import quantity
from seqbench.reporting.table import Table
from seqbench.tracking.measured import Measured

RESOLUTION = 0.03
"""Share of a step's time below which two are not told apart: where a process happens to lay its
memory makes differences of one or two hundredths, and another process has others."""


@dataclass(frozen=True)
class Latency:
    """The time of one more step.

    Args:
        blocks: seconds by block, see :class:`~seqbench.tracking.measured.Measured`.
        streams: whether that is a step of its cells; otherwise a whole sequence is encoded.
    """

    blocks: Sequence[float]
    streams: bool

    @property
    def seconds(self) -> float:
        """Median over blocks."""
        return median(self.blocks)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the median; NaN of too few blocks for one."""
        return median_interval(self.blocks)

    def __str__(self) -> str:
        """Return the median with its interval, and what was timed if that is no step of a cell."""
        low, high = (quantity(end, "s") for end in self.interval)
        whole = "" if self.streams else ", a whole sequence"
        return f"{quantity(self.seconds, 's')} ({low} to {high}){whole}"


def latencies(table: Table) -> Mapping[str, Latency]:
    """Return the latencies of a table's variants by label, of the latest session of its models."""
    found: dict[str, Measured] = {}
    for item in table.able:
        known = [trial.measured for trial in item.scored.values() if trial.measured is not None]
        if known:
            found[item.label] = max(known, key=lambda measured: measured.session)
    latest = max((measured.session for measured in found.values()), default="")
    return {
        label: Latency(measured.seconds, measured.streams)
        for label, measured in found.items()
        if measured.session == latest
    }


def latency_layout(steps: Mapping[str, Latency]) -> Layout:
    """Return the latencies of models by label, the fastest first, and which can be told apart."""
    rows = sorted(steps.items(), key=lambda row: row[1].seconds)

    def slower(row: tuple[str, Latency]) -> str:
        return ", ".join(label for label, other in rows if is_faster(row[1], other))

    columns: list[Column[tuple[str, Latency]]] = [
        Column("label", "model", "", lambda row: row[0], align="left"),
        Column("step", "median (95%)", "", lambda row: str(row[1])),
        Column("slower", "faster than", "", slower, align="left"),
    ]
    return layout(columns, rows, Form.TERMINAL)


def is_faster(one: Latency, other: Latency) -> bool:
    """Return whether the first can be told to be faster.

    The 95% interval of the median over blocks of the ratio of both, for what slows a block slows
    both, lies below 1 by more than :data:`RESOLUTION`.
    """
    if len(one.blocks) != len(other.blocks):
        return False
    ratios = [a / b for a, b in zip(one.blocks, other.blocks, strict=True)]
    return median_interval(ratios)[1] < 1 - RESOLUTION


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of a median, whatever the distribution.

    Its ends are order statistics, as of the sign test (Hahn & Meeker 1991, section 5.2); NaN of
    fewer than six values, of which no two are far enough apart.
    """
    count, ordered = len(values), sorted(values)
    tail, outside = 0.0, 0
    for number in range(count // 2):
        tail += math.comb(count, number) / 2**count
        if 2 * tail > 0.05:
            break
        outside = number + 1
    if not outside:
        return math.nan, math.nan
    return ordered[outside - 1], ordered[-outside]
