"""A variant of a table: the runs of a model under one recipe, and what they count as."""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass

import numpy as np

from seqbench.reporting.difference import UNKNOWN, Difference, Interval
from seqbench.reporting.trials import ReportedTrial
from seqbench.verdicts.failures import failure_rate_at_most
from seqbench.verdicts.scores import Groups, Runs

PASSED = "passed"
NOT_AUDITED = "not audited: trained before audits"


@dataclass
class Variant:
    """A model with its parameters and recipe, under the same conditions.

    Args:
        label: by which the table names it.
        model: registered name.
        changes: what differs from the model's own configuration.
        trials: by seed.
        direction: ``min`` or ``max``.
        stand_in: what a run counts in a mean that failed by the model's own fault: the score of the
            trivial predictor; NaN if the task has none.
        interval: of the mean, trained again and tested on new groups; NaN where these cannot be
            judged.
        same_data_interval: of the mean, trained again and tested on these same test data.
        rank: the places that it may have among the ranked ones; None where nothing is claimed.
        is_best: whether it is better than every other one.
        control: from the control.
        baseline: from the best simple predictor.
    """

    label: str
    model: str
    changes: str
    trials: list[ReportedTrial]
    direction: str
    stand_in: float = math.nan
    interval: Interval = UNKNOWN
    same_data_interval: Interval = UNKNOWN
    rank: tuple[int, int] | None = None
    is_best: bool = False
    control: Difference | None = None
    baseline: Difference | None = None

    @functools.cached_property
    def scored(self) -> dict[int, ReportedTrial]:
        """Trials that have a score, by seed."""
        return {trial.seed: trial for trial in self.trials if trial.is_scored}

    @functools.cached_property
    def failed(self) -> list[ReportedTrial]:
        """Trials that failed by the model's own fault: they are results."""
        return [trial for trial in self.trials if trial.is_own_failure]

    @functools.cached_property
    def uncounted(self) -> list[ReportedTrial]:
        """Trials that are no result: they run, were stopped, or cannot be read."""
        return [t for t in self.trials if not t.is_scored and not t.is_own_failure]

    @property
    def number(self) -> int:
        """Runs that count."""
        return len(self.scored) + len(self.failed)

    @functools.cached_property
    def scores(self) -> list[float]:
        """Scores of the runs that finished, in the order of seeds."""
        return [trial.score for trial in self.scored.values()]

    @property
    def has_mean(self) -> bool:
        """Whether its mean is of all runs that count."""
        return bool(self.scores) and (not self.failed or math.isfinite(self.stand_in))

    @property
    def counted_scores(self) -> list[float]:
        """Scores of all runs that count; without a stand-in only of those that finished."""
        known = math.isfinite(self.stand_in)
        return [*self.scores, *([self.stand_in] * len(self.failed) if known else [])]

    @functools.cached_property
    def mean(self) -> float:
        """Of the runs that count; NaN without any that finished."""
        return statistics.fmean(self.counted_scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the runs that count; NaN of fewer than two."""
        found = self.counted_scores
        return statistics.stdev(found) if self.scores and len(found) > 1 else math.nan

    @property
    def fails_at_most(self) -> float:
        """The one-sided 95% upper limit of the rate at which it fails."""
        return failure_rate_at_most(len(self.failed), self.number) if self.number else 1.0

    @functools.cached_property
    def audit(self) -> str:
        """What audits say of it: ``passed``, or the first run's word that is worse."""
        found = dict.fromkeys(trial.audit for trial in self.trials if trial.audit)
        for word in found:
            if word.startswith("failed"):
                return word
        worse = [word for word in found if word != PASSED]
        if worse:
            return worse[0]
        silent = [trial for trial in self.scored.values() if not trial.audit]
        return NOT_AUDITED if silent else PASSED

    def runs(self, groups: Groups | None) -> Runs:
        """Return its runs as statistics take them: larger is better, failures are counted.

        Args:
            groups: of the test data; runs on others have no bootstrap scores.
        """
        found = list(self.scored.values())
        drawn = None
        if found and groups is not None and all(_fits(trial, groups) for trial in found):
            drawn = [trial.bootstrap_scores for trial in found]
        if drawn is not None and len({len(scores) for scores in drawn}) > 1:
            drawn = None
        return Runs.of(
            self.scores,
            None if drawn is None else np.array(drawn),
            larger_is_better=self.direction == "max",
            failed=len(self.failed),
        )

    @functools.cached_property
    def folds(self) -> dict[str, float]:
        """Mean score over seeds of each fold, by its name; empty where there is one."""
        found: dict[str, list[float]] = {}
        for trial in self.scored.values():
            for name, score in trial.folds.items():
                found.setdefault(name, []).append(score)
        return {name: statistics.fmean(scores) for name, scores in found.items()}

    def cost(self, name: str) -> float:
        """Return the median of a cost over seeds; NaN if no trial tells it."""
        found = [trial.costs[name] for trial in self.scored.values() if name in trial.costs]
        found = [value for value in found if math.isfinite(value)]
        return statistics.median(found) if found else math.nan

    @property
    def backend(self) -> str:
        """What ran the recurrence."""
        return ", ".join(dict.fromkeys(trial.backend for trial in self.scored.values()))


def _fits(trial: ReportedTrial, groups: Groups) -> bool:
    return len(trial.bootstrap_scores) > 0 and trial.group_sizes == groups.sizes


def by_weight(item: Variant) -> tuple[object, ...]:
    """Return a key that sorts variants: most runs first, then fewest changes, never by score."""
    return -len(item.scores), len(item.changes.split()), item.label
