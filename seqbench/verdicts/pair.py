"""Two models on one task: what training again and new test groups would change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seqbench.verdicts.components import (
    ALPHA,
    Components,
    Estimate,
    from_bootstrap,
    from_seeds,
    on_new_data,
    on_these_data,
    scored_draws,
)
from seqbench.verdicts.failures import filled, vanishes_at
from seqbench.verdicts.scores import FEW, Groups, Runs, counted
from seqbench.verdicts.single_runs import SingleRuns, compare_single_runs

_FEW_DRAWS = 100


@dataclass(frozen=True, eq=False)
class Pair:
    """What is known of the first model against the second. Gains above 0: the first is better.

    Args:
        on_these_data: E1, trained again on these training data and scored on these same test data;
            None where the means are unknown.
        on_new_data: E2, the same scored on new test groups from the same source; None where the
            test data cannot tell.
        single: P, of single runs; None where these say nothing.
        why_not: why there is no verdict on new data, a clause; empty where there is one.
        parts: the components of the variance, for planning; None where the means are unknown.
        vanishes_at: how much more often the better model must fail for its lead to vanish; None
            where it never does, or is not known.
    """

    on_these_data: Estimate | None
    on_new_data: Estimate | None
    single: SingleRuns | None
    why_not: str
    parts: Components | None
    vanishes_at: float | None

    def swapped(self) -> Pair:
        """Return what is known of the second model against the first."""
        return replace(
            self,
            on_these_data=self.on_these_data and self.on_these_data.swapped(),
            on_new_data=self.on_new_data and self.on_new_data.swapped(),
            single=self.single and self.single.swapped(),
            parts=self.parts and self.parts.swapped(),
        )


def compare(
    a: Runs,
    b: Runs,
    groups: Groups | None = None,
    trivial: Runs | None = None,
    alpha: float | None = ALPHA,
) -> Pair:
    """Compare two models by their runs, which are not paired by seed.

    Args:
        a: scores ``[n]``, bootstrap scores ``[n, R]`` over the same draws as the other's.
        b: the same of the second.
        groups: of the test data; None if they have none.
        trivial: the task's trivial predictor, whose score a failed run counts in means.
        alpha: 1 minus the level of the intervals; None where no look was planned after so many
            seeds (:meth:`seqbench.verdicts.looks.Looks.level_at`): exploratory, at 95%.
    """
    unplanned = "no look was planned after so many seeds" if alpha is None else ""
    alpha = ALPHA if alpha is None else alpha
    single = compare_single_runs(a, b, alpha)
    lost = _unknown_means(a, b, trivial)
    if lost:
        return Pair(None, None, single, lost, None, None)
    if trivial is not None:
        a, b = filled(a, trivial), filled(b, trivial)
    why_not, new = _no_new_groups(a, b, groups), None
    if why_not or groups is None:
        parts = from_seeds(a, b)
    else:
        parts = from_bootstrap(a, b, groups)
        new = on_new_data(parts, alpha)
    vanishing = None
    if trivial is not None and trivial.scores.size:
        gain = float(parts.gain)
        mean = float((a if gain > 0 else b).scores.mean())
        vanishing = vanishes_at(abs(gain), mean, float(trivial.scores[0]))
    why_not = why_not or _too_few_seeds(a, b) or unplanned
    return Pair(on_these_data(parts, alpha), new, single, why_not, parts, vanishing)


def _unknown_means(a: Runs, b: Runs, trivial: Runs | None) -> str:
    """Say why the means cannot be compared; empty where they can."""
    for runs in (a, b):
        if not runs.number:
            return "a model has no runs"
        if runs.number < 2 and not runs.fixed:
            return "a model has 1 run"
        if runs.failed and (trivial is None or not trivial.scores.size):
            return "what a failed run counts in a mean is not known"
    return ""


def _no_new_groups(a: Runs, b: Runs, groups: Groups | None) -> str:
    """Say why new test groups cannot be judged; empty where they can."""
    if groups is None or not groups.number:
        return "the test data have no groups"
    if groups.why_not:
        return groups.why_not
    if a.bootstrap is None or b.bootstrap is None:
        return "there are no bootstrap scores"
    if a.bootstrap.shape[-1] != b.bootstrap.shape[-1]:
        return "the bootstrap scores are of different draws"
    known = int(scored_draws(a, b).sum())
    if known < _FEW_DRAWS:
        return f"{counted(known, 'draw')} of test groups with a score, fewer than {_FEW_DRAWS}"
    return ""


def _too_few_seeds(a: Runs, b: Runs) -> str:
    least = min((runs.number for runs in (a, b) if not runs.fixed), default=FEW)
    return f"{counted(least, 'seed')} of a model, fewer than {FEW}" if least < FEW else ""
