"""How many seeds, groups and splits it takes to see a difference, and what no seeds can show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import nctdtrinc, stdtrit
from scipy.stats import nct

from seqbench.verdicts.components import ALPHA, Components
from seqbench.verdicts.scores import FEW, Array, Groups, Value

POWER = 0.8
_MOST = 100_000
_DRAWS = 400
_SEED = 17


@dataclass(frozen=True, eq=False)
class Variances:
    """What makes the scores of two models differ, in the metric's unit squared; numbers or arrays.

    With n seeds each and G groups: ``V_A = (seeds_a + rest / G) / n``, likewise V_B,
    ``V_sg = (1 / n_A + 1 / n_B) rest / G`` and ``V_g = group / G + V_sg``.

    Args:
        group: of a group's difference between the models, whatever the seeds.
        seeds_a: over seeds of the first model, which more groups do not lessen.
        seeds_b: of the second's.
        rest: of a run in a group, beyond both.
        fixed_b: whether the second has no seeds: a baseline.
        df_share: degrees of freedom of the groups divided by G - 1; below 1 of unequal groups.
    """

    group: Value
    seeds_a: Value
    seeds_b: Value
    rest: Value = 0.0
    fixed_b: bool = False
    df_share: float = 1.0

    @classmethod
    def of(cls, parts: Components, groups: Groups) -> Variances:
        """Return what a pair's components say of the variances."""
        one, other = (0.0 if math.isinf(df) else 1 / (df + 1) for df in (parts.a_df, parts.b_df))
        if not one and other:
            return cls.of(parts.swapped(), groups)
        inverse = one + other
        both = float(parts.both)
        rest = both * groups.number / inverse if inverse else 0.0
        of_a, of_b = (
            max(float(variance) / share - rest / groups.number, 0.0) if share else 0.0
            for variance, share in ((parts.a, one), (parts.b, other))
        )
        group = groups.number * max(float(parts.groups) - both, 0.0)
        share = groups.df / (groups.number - 1)
        return cls(group, of_a, of_b, rest, not other, share)

    def error_and_df(self, n: ArrayLike, groups: ArrayLike) -> tuple[Array, Array]:
        """Return the standard error of a difference, and the degrees of freedom of its t test.

        Args:
            n: seeds of each model.
            groups: of the test data.
        """
        n, g = np.asarray(n, np.float64), np.asarray(groups, np.float64)
        of_a = (self.seeds_a + self.rest / g) / n
        of_b = 0.0 * of_a if self.fixed_b else (self.seeds_b + self.rest / g) / n
        both = (1 if self.fixed_b else 2) * self.rest / g / n
        of_groups, of_groups_df = self.group / g + both, self.df_share * (g - 1)
        variance = np.maximum(of_a + of_b + self.group / g, np.finfo(np.float64).tiny)
        squares = of_groups**2 / of_groups_df + (of_a**2 + of_b**2) / (n - 1)
        least = np.minimum(of_groups_df, n - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(variance), np.fmax(variance**2 / squares, least)


def power(
    gain: ArrayLike, n: ArrayLike, groups: ArrayLike, variances: Variances, alpha: float = ALPHA
) -> Array:
    """Return the chance to find a true gain with E2's t test, by the noncentral t distribution.

    Args:
        gain: above 0.
        n: seeds of each model, at least two.
        groups: of the test data, at least two.
        variances: of the two models.
        alpha: divided by the number of pairs where Holm's adjustment will follow.
    """
    error, df = variances.error_and_df(n, groups)
    return np.asarray(nct.sf(stdtrit(df, 1 - alpha / 2), df, np.asarray(gain) / error))


def detectable(
    n: ArrayLike, groups: ArrayLike, variances: Variances, alpha: float = ALPHA, goal: float = POWER
) -> Array:
    """Return the smallest gain that is found with a power of ``goal``; see :func:`power`."""
    error, df = variances.error_and_df(n, groups)
    return np.asarray(error * _noncentrality(df, alpha, goal))


def floor(
    groups: ArrayLike, variances: Variances, alpha: float = ALPHA, goal: float = POWER
) -> Array:
    """Return the gain below which no number of seeds finds anything: more groups are needed.

    Of many groups 2.8 standard errors of a difference between models without seeds.
    """
    g = np.asarray(groups, np.float64)
    df = variances.df_share * (g - 1)
    return np.asarray(np.sqrt(variances.group / g) * _noncentrality(df, alpha, goal))


def _noncentrality(df: ArrayLike, alpha: float, goal: float) -> Array:
    """Return how many standard errors a gain must have."""
    return np.asarray(nctdtrinc(df, 1 - goal, stdtrit(df, 1 - alpha / 2)))


def seeds_needed(
    gain: float, groups: int, variances: Variances, alpha: float = ALPHA, goal: float = POWER
) -> Array:
    """Return how many seeds of each model find a gain, at least five; infinite if none do."""
    return _fewest(lambda n: detectable(n, groups, variances, alpha, goal) <= gain, variances)


def groups_needed(
    gain: float, n: int, variances: Variances, alpha: float = ALPHA, goal: float = POWER
) -> Array:
    """Return how many test groups find a gain with n seeds, at least five; infinite if none do."""
    return _fewest(lambda g: detectable(n, g, variances, alpha, goal) <= gain, variances)


def _fewest(enough: Callable[[Array], NDArray[np.bool_]], variances: Variances) -> Array:
    """Return the smallest number that is enough, by bisection; infinite if too many are not."""
    shape = np.broadcast(variances.group, variances.seeds_a, variances.seeds_b).shape
    low, high = np.full(shape, FEW - 1.0), np.full(shape, float(_MOST))
    possible = enough(high)
    while (high - low > 1).any():
        middle = np.maximum(np.floor((low + high) / 2), FEW)
        found = enough(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return np.where(possible, high, np.inf)


def plausible(parts: Components, groups: Groups, seed: int = _SEED) -> Variances:
    """Return 400 draws of the variances that a pilot leaves possible, for :func:`in_range`.

    Each component is multiplied by ``df / chi-squared(df)``, as if the scores were normal.

    Args:
        parts: a pair's components, of a pilot.
        groups: of its test data.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found = Variances.of(parts, groups)

    def drawn(value: Value, df: float) -> Array:
        by = df / rng.chisquare(df, _DRAWS) if math.isfinite(df) else np.ones(_DRAWS)
        return np.asarray(value * by)

    one, other = parts.a_df, parts.b_df
    if math.isinf(one):
        one, other = other, one
    cross = min(one, other) * (groups.number - 1)
    return Variances(
        drawn(found.group, groups.df),
        drawn(found.seeds_a, one),
        drawn(found.seeds_b, other),
        drawn(found.rest, cross if math.isfinite(cross) else math.inf),
        found.fixed_b,
        found.df_share,
    )


def in_range(values: ArrayLike) -> tuple[float, float]:
    """Return the 10% and 90% quantiles of what :func:`plausible` variances give."""
    low, high = np.quantile(np.asarray(values, np.float64), [0.1, 0.9], method="nearest")
    return float(low), float(high)


def detectable_over_splits(
    splits: int, variance: float, test_share: float, alpha: float = ALPHA, goal: float = POWER
) -> float:
    """Return the gain that E3 finds over so many splits, about.

    Args:
        splits: of one data set.
        variance: of the gains over splits.
        test_share: see :func:`seqbench.verdicts.splits.over_splits`.
        alpha: of the test.
        goal: the power.
    """
    reach = stdtrit(splits - 1, 1 - alpha / 2) + stdtrit(splits - 1, goal)
    return float(reach * math.sqrt((1 / splits + test_share) * variance))
