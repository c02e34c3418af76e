"""What the rows of a report's tables are about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from seqbench.reporting.difference import Difference
from seqbench.reporting.latency import Latency, latencies
from seqbench.reporting.overview import Across, Overview
from seqbench.reporting.splits import SplitDifference, SplitTable
from seqbench.reporting.table import Table
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.variant import Variant


class Compared(Protocol):
    """A row about something that is compared with something else."""

    @property
    def difference(self) -> Difference | None:
        """From what it is compared with; None if there is none."""

    @property
    def level(self) -> float:
        """A score of the row, which decides how many digits a difference has."""

    @property
    def is_control(self) -> bool:
        """Whether it is what the other rows are compared with."""


@dataclass(frozen=True)
class VariantRow:
    """A row about a variant: of a table's scores, or of its costs."""

    table: Table
    variant: Variant

    @property
    def difference(self) -> Difference | None:
        """From the control."""
        return self.variant.control

    @property
    def level(self) -> float:
        """Its mean score."""
        return self.variant.mean

    @property
    def latency(self) -> Latency | None:
        """The time of a step, if the table's models were timed together."""
        return latencies(self.table).get(self.variant.label)

    @property
    def step_seconds(self) -> float:
        """Its median, or else that of the trials' own times; NaN without."""
        found = self.latency
        return self.variant.cost("step_seconds") if found is None else found.seconds

    @property
    def is_control(self) -> bool:
        """Whether the others are compared with it."""
        return self.variant.label == self.table.control

    @property
    def is_best(self) -> bool:
        """Whether it is better than every other one."""
        return self.variant.is_best


@dataclass(frozen=True)
class PairRow:
    """A row about two variants, the better one first."""

    one: Variant
    other: Variant
    difference: Difference
    is_control: bool = False

    @property
    def level(self) -> float:
        """Mean score of the first."""
        return self.one.mean


@dataclass(frozen=True)
class FoldRow:
    """A row about a fold: its name, and the mean score over seeds of each variant, by label."""

    name: str
    means: Mapping[str, float]


@dataclass(frozen=True)
class ModelRow:
    """A row about a model across tasks, with the plain mean of its normalised scores."""

    model: str
    value: float
    scores: Sequence[float]


@dataclass(frozen=True)
class AcrossRow:
    """A row about two models across tasks, and how the first does against the second, and back."""

    one: str
    other: str
    better: Across
    worse: Across


@dataclass(frozen=True)
class SplitRow:
    """A row about two variants over splits; ``level`` is a score of theirs."""

    pair: SplitDifference
    level: float


@dataclass(frozen=True)
class TrialRow:
    """A row about a trial; ``place`` is None for one that no table holds, as it is a candidate."""

    trial: ReportedTrial
    place: VariantRow | None


def variant_rows(table: Table) -> list[VariantRow]:
    """Return a row for each variant of a table."""
    return [VariantRow(table, item) for item in table.variants]


def pair_rows(table: Table) -> list[PairRow]:
    """Return a row for each pair that was compared, once."""
    able = table.able
    found = [
        (one, other, table.pair(one.label, other.label))
        for number, one in enumerate(able)
        for other in able[number + 1 :]
    ]
    return [PairRow(one, other, pair) for one, other, pair in found if pair is not None]


def fold_rows(table: Table) -> list[FoldRow]:
    """Return a row for each fold of a table, in the order of the folds; none of a single one."""
    found = {item.label: item.folds for item in table.able}
    names = dict.fromkeys(name for means in found.values() for name in means)
    return [
        FoldRow(name, {label: means.get(name, math.nan) for label, means in found.items()})
        for name in names
    ]


def places_of(tables: Sequence[Table]) -> dict[str, VariantRow]:
    """Return by run in which table, and of which variant, a trial is."""
    return {
        trial.run_id: row
        for table in tables
        for row in variant_rows(table)
        for trial in row.variant.trials
    }


def model_rows(overview: Overview) -> list[ModelRow]:
    """Return a row for each model of an overview."""
    return [ModelRow(m, overview.mean(m), found) for m, found in overview.scores.items()]


def across_rows(overview: Overview) -> list[AcrossRow]:
    """Return a row for each two models of an overview; none where nothing is claimed."""
    both = itertools.combinations(overview.scores, 2) if overview.pairs else ()
    pairs = overview.pairs
    return [AcrossRow(one, other, pairs[one, other], pairs[other, one]) for one, other in both]


def split_rows(item: SplitTable) -> list[SplitRow]:
    """Return a row for each two variants over splits."""
    level = item.tables[0].ranked[0].mean
    return [SplitRow(pair, level) for pair in item.differences]
