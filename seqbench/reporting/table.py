"""A report's table: variants, their differences, and what of them may be claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seqbench.records import LeftOut, MetricInfo
from seqbench.reporting.difference import Difference
from seqbench.reporting.look import UNSEEN, SeedLook
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.variant import NOT_AUDITED, PASSED, Variant
from seqbench.verdicts.family import Best, Claim
from seqbench.verdicts.scores import Groups

MOST_PAIRED = 40
"""Variants of which every pair is compared; of more, each is compared with the control alone."""
LOST = "configuration lost"
"""What the table of runs is called of which nobody knows any more what they were."""
FUTURE = "past+future"


@dataclass(frozen=True)
class Margin:
    """The smallest difference that is worth having, in the metric's unit, and why."""

    amount: float
    reason: str


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
        without_score: simple predictors whose score is not finite.
        baseline_bootstrap: of simple predictors, their scores over draws of the test data ``[R]``.
        newest: when its latest run with a score began, in seconds since 1970; without any, its
            latest run.
        groups: of the test data; None where no run tells them.
        look: whether anything may be claimed, and at which level.
        margin: the smallest difference that is worth having; None if nobody says.
        pairs: differences of variants by their labels, both ways round; of more than
            ``MOST_PAIRED`` variants only those with the control.
        best: the ranked variant that is better than each other one; None without.
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
    without_score: list[str] = field(default_factory=list)
    baseline_bootstrap: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    groups: Groups | None = None
    look: SeedLook = UNSEEN
    margin: Margin | None = None
    best: Best | None = None
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
    def ranked(self) -> list[Variant]:
        """Variants with a score that may be ranked: those that passed the audit.

        If none did and some were trained before audits were made, these are compared with each
        other; the table then says so and claims nothing.
        """
        found = [item for item in self.able if item.audit == PASSED]
        return found or [item for item in self.able if item.audit == NOT_AUDITED]

    @property
    def is_audited(self) -> bool:
        """Whether those that are ranked passed the audit."""
        return any(item.audit == PASSED for item in self.able)

    @property
    def is_large(self) -> bool:
        """Whether variants are too many to compare every pair."""
        return len(self.ranked) > MOST_PAIRED

    @property
    def is_smoke(self) -> bool:
        """Whether it was trained on a part of the data."""
        return any(trial.is_smoke for trial in self.trials)

    @property
    def is_exploratory(self) -> bool:
        """Whether nothing may be claimed, whatever the numbers are."""
        return bool(self.look.why_not)

    @property
    def group(self) -> str:
        """What the groups of the test data are: ``patient``; empty without."""
        return next((trial.group for trial in self.trials if trial.group), "")

    @property
    def sign(self) -> int:
        """1 where smaller is better, otherwise -1."""
        return 1 if self.metric.direction == "min" else -1

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The best simple predictor and its score; None without any."""
        return next(iter(self.baselines.items()), None)

    @property
    def trivial_baseline(self) -> tuple[str, float] | None:
        """The weakest simple predictor and its score; None without any."""
        return list(self.baselines.items())[-1] if self.baselines else None

    def pair(self, one: str, other: str) -> Difference | None:
        """Return the difference of two variants, by their labels; None if they are not compared."""
        return self.pairs.get((one, other))

    def claims(self, one: Variant, other: Variant) -> Claim | None:
        """Return what is claimed of two in favour of the first; None if nothing is."""
        pair = self.pair(one.label, other.label)
        return pair.claim if pair is not None and pair.favours_first else None

    def is_better(self, one: Variant, other: Variant) -> bool:
        """Return whether a variant is better than another: in the mean and in single runs."""
        return self.claims(one, other) is Claim.BETTER
