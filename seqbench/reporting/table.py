"""A report's table: variants, their differences, and what of them is real."""

from __future__ import annotations

import functools
import itertools
import math
import statistics as plain
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seqbench.records import LeftOut, MetricInfo
from seqbench.reporting import statistics
from seqbench.reporting.statistics import FEW, Interval
from seqbench.reporting.trials import ReportedTrial

ALPHA = 0.05
UNKNOWN = Interval(math.nan, math.nan)
MOST_PAIRED = 40
"""Variants of which every pair is compared; of more, each is compared with the control alone."""
LOST = "configuration lost"
"""What the table of runs is called of which nobody knows any more what they were."""
FUTURE = "past+future"


@dataclass(frozen=True)
class Difference:
    """Two variants of the same conditions, over the seeds that both have finished.

    Args:
        seeds: how many those are.
        mean: of the first one's scores minus the second one's.
        interval: 95% interval of that mean.
        groups: 95% interval over other draws of the test data, all seeds averaged; None without.
        p: of the exact sign-flip test, two-sided.
        p_holm: that, adjusted for the tests beside it (Holm 1979).
        smallest_p: the smallest that so many seeds could have reached.
        improvement: probability that a run of the first is better than one of the second.
        effect: the mean difference in standard deviations of the differences.
        practical: half the width of the region in which a difference does not matter.
        equivalent: whether the interval lies in that region, which fewer than ``FEW`` seeds cannot
            show; None if no region was given.
    """

    seeds: int
    mean: float
    interval: Interval
    groups: Interval | None
    p: float
    p_holm: float
    smallest_p: float
    improvement: float
    effect: float
    practical: float | None
    equivalent: bool | None

    @property
    def is_real(self) -> bool:
        """Whether the adjusted test says so."""
        return self.p_holm <= ALPHA


@dataclass
class Variant:
    """A model with its parameters and recipe, under the same conditions.

    Args:
        label: by which the table names it.
        model: registered name.
        changes: what differs from the model's own configuration.
        trials: by seed.
        direction: ``min`` or ``max``.
    """

    label: str
    model: str
    changes: str
    trials: list[ReportedTrial]
    direction: str
    interval: Interval = UNKNOWN
    groups: Interval | None = None
    rank: tuple[int, int] = (1, 1)
    control: Difference | None = None

    @functools.cached_property
    def scored(self) -> dict[int, ReportedTrial]:
        """Trials that have a score, by seed."""
        return {trial.seed: trial for trial in self.trials if trial.is_scored}

    @functools.cached_property
    def scores(self) -> list[float]:
        """Scores in the order of seeds."""
        return [trial.score for trial in self.scored.values()]

    @functools.cached_property
    def mean(self) -> float:
        """Of the scores; NaN without any."""
        return plain.fmean(self.scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the scores over seeds; NaN of fewer than two."""
        return plain.stdev(self.scores) if len(self.scores) > 1 else math.nan

    @property
    def is_skewed(self) -> bool:
        """Whether the scores lie so unevenly that an interval may not hold what it says."""
        return statistics.is_skewed(np.array(self.scores))

    @functools.cached_property
    def folds(self) -> dict[str, float]:
        """Mean score over seeds of each fold, by its name; empty where there is one."""
        found: dict[str, list[float]] = {}
        for trial in self.scored.values():
            for name, score in trial.folds.items():
                found.setdefault(name, []).append(score)
        return {name: plain.fmean(scores) for name, scores in found.items()}

    def cost(self, name: str) -> float:
        """Return the median of a cost over seeds; NaN if no trial tells it."""
        found = [trial.costs[name] for trial in self.scored.values() if name in trial.costs]
        found = [value for value in found if math.isfinite(value)]
        return plain.median(found) if found else math.nan

    @property
    def backend(self) -> str:
        """What ran the recurrence."""
        return ", ".join(dict.fromkeys(trial.backend for trial in self.scored.values()))

    @property
    def context(self) -> str:
        """What predictions saw."""
        return next((trial.context for trial in self.trials if trial.context), "")


@dataclass
class Table:
    """The variants of the same conditions; on ``next`` tasks of one context.

    Args:
        task: registered name.
        title: what a person calls its data.
        sources: where they lay, as whole paths; empty for built-in ones.
        changes: what of the conditions differs from the task's own configuration; and where the
            data lie, if others are called alike.
        conditions: its hash.
        two_sided: whether its predictions see what comes after.
        variants: the best mean first.
        control: label of the variant that others are compared with; empty without.
        wanted: the control that was asked for; empty if none was.
        metric: the primary one.
        baselines: the task's simple predictors by name, the best first.
        newest: when its latest run with a score began, in seconds since 1970; without any, its
            latest run.
        pairs: differences of variants by their labels, both ways round; of more than
            ``MOST_PAIRED`` variants only those with the control.
        is_old: whether later conditions of the same task, changes and budget have replaced it.
        identifier: unique among the tables of a report, and the same in the next one.
    """

    task: str
    title: str
    sources: frozenset[str]
    changes: str
    conditions: str
    two_sided: bool
    variants: list[Variant]
    control: str
    wanted: str
    metric: MetricInfo
    baselines: dict[str, float]
    newest: float
    pairs: dict[tuple[str, str], Difference] = field(default_factory=dict)
    is_old: bool = False
    identifier: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        words = [self.title, *([self.changes] if self.changes else [])]
        return " ".join(words) + (f" (context={FUTURE})" if self.two_sided else "")

    @property
    def data(self) -> tuple[str, ...]:
        """What tells its data from those of other tables, whatever a person calls them."""
        return (self.task, *sorted(self.sources)[:1])

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What of the user's own data was not used, and why; of its latest trial."""
        said = [trial for trial in self.trials if trial.left_out]
        return max(said, key=lambda trial: trial.began).left_out if said else ()

    @property
    def trials(self) -> list[ReportedTrial]:
        """All trials, variant by variant."""
        return [trial for variant in self.variants for trial in variant.trials]

    @property
    def able(self) -> list[Variant]:
        """Variants that have a score."""
        return [item for item in self.variants if item.scores]

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what its runs were, so that nothing of it can be compared."""
        return self.changes == LOST

    @property
    def is_large(self) -> bool:
        """Whether variants are too many to compare every pair."""
        return len(self.able) > MOST_PAIRED

    @property
    def is_paired(self) -> bool:
        """Whether any two of its variants share a seed."""
        return bool(self.pairs)

    @property
    def is_smoke(self) -> bool:
        """Whether it was trained on a part of the data."""
        return any(trial.is_smoke for trial in self.trials)

    @property
    def seeds(self) -> int:
        """The largest number of seeds that two variants share, or that the only one has."""
        if len(self.able) == 1:
            return len(self.able[0].scores)
        return max((pair.seeds for pair in self.pairs.values()), default=0)

    @property
    def is_exploratory(self) -> bool:
        """Whether no two variants share enough seeds for an adjusted p that can reach 0.05."""
        return self.seeds < self.seeds_needed

    @property
    def seeds_needed(self) -> int:
        """Seeds from which on a difference of two variants can be told, all pairs adjusted."""
        pairs = max(1, len(self.pairs) // 2)
        return next(n for n in itertools.count(FEW) if pairs * statistics.smallest_p(n) <= ALPHA)

    @property
    def sign(self) -> int:
        """1 where smaller is better, otherwise -1."""
        return 1 if self.metric.direction == "min" else -1

    @property
    def complete_seeds(self) -> list[int]:
        """Seeds that every variant with a score has finished."""
        found = [set(item.scored) for item in self.variants if item.scored]
        return sorted(set.intersection(*found)) if found else []

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The best simple predictor and its score; None without any."""
        return next(iter(self.baselines.items()), None)

    @property
    def trivial_baseline(self) -> tuple[str, float] | None:
        """The weakest simple predictor and its score; None without any."""
        return list(self.baselines.items())[-1] if self.baselines else None

    def pair(self, one: str, other: str) -> Difference | None:
        """Return the difference of two variants, by their labels; None without shared seeds."""
        return self.pairs.get((one, other))

    def beats(self, one: Variant, other: Variant) -> bool:
        """Return whether a variant is separably better than another."""
        pair = self.pair(one.label, other.label)
        return pair is not None and self.favours_first(pair)

    def favours_first(self, pair: Difference) -> bool:
        """Return whether the first of two is separably better."""
        return pair.is_real and self.sign * pair.mean < 0


def by_weight(item: Variant) -> tuple[object, ...]:
    """Return a key that sorts variants: most seeds first, then fewest changes, never by score."""
    return -len(item.scores), len(item.changes.split()), item.label
