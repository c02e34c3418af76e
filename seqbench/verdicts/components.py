"""The parts of the variance of a difference, and what a t test makes of them.

Seeds are nested in models, test groups are shared by all runs of both. D is the difference of the
seeds' means, larger is better for the first model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from seqbench.verdicts.scores import Array, Groups, Runs, Value, group_df, shrinkage, spread

ALPHA = 0.05
_ROUNDING = 1e-12
"""Of the largest score: a smaller difference is one of rounding."""


@dataclass(frozen=True, eq=False)
class Components:
    """The difference D of two models' means and the parts of its variance, arrays ``[...]``.

    Args:
        gain: D, the first model's mean minus the second's.
        groups: of the seeds' mean difference over draws of test groups; NaN where it is unknown.
        groups_df: of ``groups``.
        a: of the first model's mean over seeds, on these test data.
        a_df: of ``a``; infinite of a model without seeds.
        b: of the second's.
        b_df: of ``b``.
        both: of seed and group together, which ``groups`` and ``a + b`` both contain.
        rounding: the standard error is at least this, so that rounding is no difference.
    """

    gain: Array
    groups: Array
    groups_df: Value
    a: Array
    a_df: float
    b: Array
    b_df: float
    both: Array
    rounding: Array

    def swapped(self) -> Components:
        """Return the second model's difference from the first."""
        return replace(self, gain=-self.gain, a=self.b, a_df=self.b_df, b=self.a, b_df=self.a_df)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A difference with its test and interval; numbers, or arrays over data sets ``[...]``.

    Args:
        gain: the first model's mean minus the second's, in the metric's unit; above 0 the first is
            better, also of a metric that is to be small.
        low: end of its ``1 - alpha`` interval.
        high: the other end.
        p: two-sided, of no difference (or of ``null``).
        error: standard error.
        df: degrees of freedom of the t distribution.
    """

    gain: Value
    low: Value
    high: Value
    p: Value
    error: Value
    df: Value

    @classmethod
    def of(cls, gain: Value, error: Value, df: Value, alpha: float) -> Estimate:
        """Return a difference with the test and ``1 - alpha`` interval of its t distribution."""
        reach = stdtrit(df, 1 - alpha / 2) * error
        p = 2 * stdtr(df, -np.abs(gain) / error)
        return cls(gain, gain - reach, gain + reach, p, error, df)

    def swapped(self) -> Estimate:
        """Return the second model's difference from the first."""
        return replace(self, gain=-self.gain, low=-self.high, high=-self.low)

    @property
    def not_excluded(self) -> Value:
        """The largest difference, of either direction, inside the interval."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def p_of(self, null: float) -> Value:
        """Return the two-sided p of a gain of ``null``."""
        return 2 * stdtr(self.df, -np.abs(self.gain - null) / self.error)

    def p_equivalent(self, margin: float) -> Value:
        """Return the p of a difference of at least ``margin``: small if the models are equivalent.

        The larger of the two one-sided p (Schuirmann 1987). At most a where the ``1 - 2 a``
        interval lies within ``-margin`` and ``margin``.
        """
        return stdtr(self.df, (np.abs(self.gain) - margin) / self.error)


def from_groups(a: Array, b: Array, sizes: Array | None = None) -> Components:
    """Return the components from every group's score.

    The score of a run is the mean over groups, weighted by their sizes.

    Args:
        a: of the first model's runs ``[..., n, G]``.
        b: of the second's ``[..., m, G]``.
        sizes: how much a group counts ``[..., G]``; None if all count alike.
    """
    g = a.shape[-1]
    w = np.full(g, 1.0) if sizes is None else np.asarray(sizes, dtype=np.float64)
    unshrunk = shrinkage(w)
    w = w / w.sum(-1, keepdims=True)
    weights = w[..., None, :]
    runs = [(y * weights).sum(-1) for y in (a, b)]
    gain = runs[0].mean(-1) - runs[1].mean(-1)
    between = w * (a.mean(-2) - b.mean(-2) - gain[..., None])
    both = np.zeros_like(gain)
    for y, run in zip((a, b), runs, strict=True):
        n = y.shape[-2]
        rest = y - y.mean(-2, keepdims=True) - (run - run.mean(-1, keepdims=True))[..., None]
        both += unshrunk * ((weights * rest) ** 2).sum((-1, -2)) / ((n - 1) * n)
    of_groups = unshrunk * (between**2).sum(-1)
    return _assembled(Runs(runs[0]), Runs(runs[1]), of_groups, group_df(w), both)


def from_bootstrap(a: Runs, b: Runs, groups: Groups) -> Components:
    """Return the components from bootstrap scores, of any metric.

    The variance over draws of G groups is that of influences divided by G, not G - 1, so
    ``G / (G - 1)`` puts it right. It is enough for unequal groups, too: draws that hold a large one
    more than once, or not at all, vary more than influences say. Draws without a score for any
    run of the two are left out.

    Raises:
        ValueError: a model has no bootstrap scores, or not as many draws as the other.
    """
    if a.bootstrap is None or b.bootstrap is None:
        raise ValueError("there are no bootstrap scores")
    if a.bootstrap.shape[-1] != b.bootstrap.shape[-1]:
        raise ValueError("the two models' bootstrap scores are of different draws")
    known = scored_draws(a, b)
    unshrunk = groups.number / (groups.number - 1)
    drawn = [runs.bootstrap[..., known] for runs in (a, b) if runs.bootstrap is not None]
    means = [scores.mean(-2) for scores in drawn]
    both = np.zeros(a.scores.shape[:-1])
    for runs, scores, mean in zip((a, b), drawn, means, strict=True):
        n = runs.scores.shape[-1]
        if not runs.fixed and n > 1:
            rest = (scores - mean[..., None, :]).var(-1, ddof=1).sum(-1)
            both = both + unshrunk * rest / ((n - 1) * n)
    of_groups = unshrunk * (means[0] - means[1]).var(-1, ddof=1)
    return _assembled(a, b, of_groups, groups.df, both)


def scored_draws(a: Runs, b: Runs) -> NDArray[np.bool_]:
    """Return which draws have a score for every run of both models, booleans ``[R]``."""
    known = [
        np.isfinite(runs.bootstrap).reshape(-1, runs.bootstrap.shape[-1]).all(0)
        for runs in (a, b)
        if runs.bootstrap is not None
    ]
    return np.asarray(np.logical_and.reduce(known))


def from_seeds(a: Runs, b: Runs) -> Components:
    """Return the components without the groups' part, for claims on these test data alone."""
    unknown = np.full(a.scores.shape[:-1], np.nan)
    return _assembled(a, b, unknown, np.nan, unknown)


def _assembled(a: Runs, b: Runs, groups: Array, groups_df: Value, both: Array) -> Components:
    (of_a, a_df), (of_b, b_df) = spread(a.scores, a.fixed), spread(b.scores, b.fixed)
    gain = a.scores.mean(-1) - b.scores.mean(-1)
    largest = np.maximum(np.abs(a.scores).max(-1), np.abs(b.scores).max(-1))
    rounding = _ROUNDING * largest + np.finfo(np.float64).tiny
    return Components(gain, groups, groups_df, of_a, a_df, of_b, b_df, both, rounding)


def on_new_data(parts: Components, alpha: float = ALPHA) -> Estimate:
    """Return the test and interval of E2: trained again, scored on new test groups.

    ``V = max(V_g, V_A + V_B, V_g + V_A + V_B - V_sg)``, as V_sg is in both. Degrees of freedom
    ``V^2 / (V_g^2 / f_g + V_A^2 / (n_A - 1) + V_B^2 / (n_B - 1))`` (Satterthwaite 1946), at least
    the smallest of the three.
    """
    seeds = parts.a + parts.b
    joint = parts.groups + seeds - parts.both
    variance = np.maximum(np.maximum(parts.groups, seeds), joint)
    squares = parts.groups**2 / parts.groups_df + parts.a**2 / parts.a_df + parts.b**2 / parts.b_df
    least = np.minimum(min(parts.a_df, parts.b_df), parts.groups_df)
    return _judged(parts, variance, squares, least, alpha)


def on_these_data(parts: Components, alpha: float = ALPHA) -> Estimate:
    """Return the test and interval of E1: trained again, scored on the same test data.

    Welch 1947, for runs that are not paired.
    """
    squares = parts.a**2 / parts.a_df + parts.b**2 / parts.b_df
    return _judged(parts, parts.a + parts.b, squares, min(parts.a_df, parts.b_df), alpha)


def _judged(
    parts: Components, variance: Array, squares: Array, least: Value, alpha: float
) -> Estimate:
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.fmax(variance**2 / squares, least)
    error = np.maximum(np.sqrt(variance), parts.rounding)
    return Estimate.of(parts.gain, error, df, alpha)
