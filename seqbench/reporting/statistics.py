"""The statistics of a report: paired tests, intervals, effect sizes and ranks. NumPy, mostly.

A run's score is one number. Runs of two models with the same seed saw the same batches, so models
are compared by the differences of such pairs. Nothing here draws without a seed of its own, so the
same scores give the same report. ``docs/statistics.md`` says what it all means.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

FEW = 6
"""Fewer seeds than this are exploratory: 2 / 2**5 = 0.0625, so p cannot fall below 0.05."""

_ENUMERATED = 20
_FLIPS = 100_000
_FLIPS_AT_ONCE = 10_000
_RESAMPLES = 9_999
_TIE = 1e-9  # of the sum of absolute differences
_ROUNDING = 1e-12  # of the largest absolute value, or the one farthest from the mean


class Interval(NamedTuple):
    """The two ends, in the unit of what was measured; NaN where nothing can be said."""

    low: float
    high: float


_UNKNOWN = Interval(math.nan, math.nan)


def smallest_p(n: int) -> float:
    """Return the smallest two-sided p that the exact sign-flip test can reach: 2 / 2**n.

    Args:
        n: pairs; below 1 the answer is 1.
    """
    return 2.0 ** (1 - max(n, 1))


def sign_flip(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p of the paired sign-flip test of the mean.

    If two models do not differ, a pair's difference is as likely to be d as -d. p is the share of
    all ``2**n`` choices of signs, the observed one included, whose absolute mean is at least the
    observed one. Means that are equal but for rounding count as equal (Fisher 1935, The Design of
    Experiments, section 21).

    Above 20 pairs p is ``(k + 1) / (m + 1)`` with k of m = 100,000 random choices at least as
    extreme (Phipson and Smyth 2010): never below 1 / 100,001.

    Args:
        differences: of paired scores ``[n]``.
        seed: of the random choices above 20 pairs.

    Returns:
        p; NaN of no differences, or where one is not finite.
    """
    values, _ = _scaled(differences)
    if not values.size or not np.isfinite(values).all():
        return math.nan
    if not values.any():
        return 1.0
    least = abs(values.sum()) - _TIE * np.abs(values).sum()
    if values.size <= _ENUMERATED:
        # The first sign can stay: flipping all signs leaves the absolute sum as it is.
        sums = values[:1]
        for value in values[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= least))
    extreme = 0
    for packed in np.split(_flips(values.size, seed), _FLIPS // _FLIPS_AT_ONCE):
        flipped = np.unpackbits(packed, axis=1, count=values.size)
        sums = values.sum() - 2 * (flipped.astype(np.float64) @ values)
        extreme += int(np.count_nonzero(np.abs(sums) >= least))
    return (extreme + 1) / (_FLIPS + 1)


@functools.lru_cache(maxsize=2)
def _flips(n: int, seed: int) -> NDArray[np.uint8]:
    """Return random choices of which of n values to flip, eight to a byte ``[100_000, n / 8]``."""
    return np.random.default_rng(seed).integers(0, 256, (_FLIPS, -(-n // 8)), dtype=np.uint8)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for being several (Holm 1979).

    The i-th smallest of m becomes ``max over j <= i of (m - j + 1) p_j``, at most 1. Whoever calls
    those of at most a real makes a false claim in at most a share a of such families. That holds
    however the tests depend on each other, as they do when all share a control.

    Args:
        p_values: in any order; NaN where there was no test, which then does not count.

    Returns:
        Adjusted values in the same order; NaN where it was NaN.
    """
    values = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted = np.full(values.shape, math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return [float(value) for value in adjusted]


def mean_interval(values: ArrayLike, seed: int = 0, level: float = 0.95) -> Interval:
    """Return an interval of the mean of independent values.

    From ``FEW`` values on the bootstrap-t of Efron and Tibshirani 1993 (An Introduction to the
    Bootstrap, section 12.5): ``t* = (m* - m) / se*`` of 9,999 resamples, whose
    quantiles take the place of Student's, ``(m - t*_high se, m - t*_low se)``. It follows skew,
    which Student's interval does not. Fewer values say nothing about their distribution: then it
    is Student's t interval, which assumes normal scores.

    A resample that drew one value only has no spread: its t* is infinite with the sign of
    ``m* - m`` (the limit of ever smaller spreads), or 0 where m* = m. It counts like any other,
    so that dropping it cannot shorten the interval. If values are so tied that an end became
    infinite, Student's t interval is returned.

    Args:
        values: scores, or differences of paired scores ``[n]``.
        seed: of the resamples; the same seed and n draw the same positions.
        level: share of such intervals that are to hold the true mean.

    Returns:
        The interval, in the values' unit; NaN of fewer than two values, or where one is not
        finite; the value itself if all are the same (but for rounding).
    """
    sample, unit = _scaled(values)
    n = sample.size
    if n < 2 or not np.isfinite(sample).all():
        return _UNKNOWN
    if _is_constant(sample):
        return Interval(float(sample[0]) * unit, float(sample[0]) * unit)
    mean = float(sample.mean())
    error = float(sample.std(ddof=1)) / math.sqrt(n)
    low, high = _studentised(sample, seed, level) if n >= FEW else (-math.inf, math.inf)
    if not (math.isfinite(low) and math.isfinite(high)):
        high = float(stdtrit(n - 1, (1 + level) / 2))
        low = -high
    return Interval((mean - high * error) * unit, (mean - low * error) * unit)


def _studentised(sample: NDArray[np.float64], seed: int, level: float) -> tuple[float, float]:
    """Return the two quantiles of t* over resamples; infinite if too many have no spread."""
    centred = sample - sample.mean()
    centred /= np.abs(centred).max()
    drawn = centred[_positions(sample.size, seed)]
    means = drawn.mean(axis=1)
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(sample.size)
    flat = errors <= _ROUNDING
    limits = np.where(np.abs(means) <= _ROUNDING, 0.0, np.copysign(math.inf, means))
    t = np.divide(means, errors, out=limits, where=~flat)
    # With 9,999 resamples the quantiles are order statistics: the 250th from either end for 0.95.
    rank = max(round((_RESAMPLES + 1) * (1 - level) / 2), 1)
    t = np.partition(t, [rank - 1, _RESAMPLES - rank])
    return float(t[rank - 1]), float(t[_RESAMPLES - rank])


@functools.lru_cache(maxsize=8)
def _positions(n: int, seed: int) -> NDArray[np.intp]:
    """Return which of n values each resample takes ``[B, n]``."""
    positions = np.random.default_rng(seed).integers(0, n, (_RESAMPLES, n), dtype=np.intp)
    positions.flags.writeable = False
    return positions


def _scaled(values: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Return values over the largest absolute one ``[n]``, whose squares are finite, and that."""
    sample = np.asarray(values, dtype=np.float64).ravel()
    unit = float(np.abs(sample).max(initial=0))
    return (sample / unit, unit) if 0 < unit < math.inf else (sample, 1.0)


def _is_constant(scaled: NDArray[np.float64]) -> bool:
    """Whether values from :func:`_scaled` are the same but for rounding."""
    return bool(np.ptp(scaled) <= _ROUNDING)


def skewness(values: ArrayLike) -> float:
    """Return the adjusted Fisher-Pearson skewness ``G1 = sqrt(n (n - 1)) / (n - 2) m3 / m2**1.5``.

    Joanes and Gill 1998, Comparing measures of sample skewness and kurtosis; m2 and m3 are the
    central moments. It has no unit; 0 is symmetric, above 0 the long tail is at the top.

    Args:
        values: ``[n]``.

    Returns:
        G1; NaN of fewer than three values, of equal ones, or where one is not finite.
    """
    sample, _ = _scaled(values)
    n = sample.size
    if n < 3 or not np.isfinite(sample).all() or _is_constant(sample):
        return math.nan
    centred = sample - sample.mean()
    centred /= np.abs(centred).max()
    ratio = np.mean(centred**3) / np.mean(centred**2) ** 1.5
    return float(math.sqrt(n * (n - 1)) / (n - 2) * ratio)


def is_skewed(values: ArrayLike) -> bool:
    """Return whether values lie so unevenly that an interval may not hold what it says.

    That is where ``|G1|`` is more than twice its standard error under normality,
    ``sqrt(6 n (n - 1) / ((n - 2) (n + 1) (n + 3)))`` (Joanes and Gill 1998). False below ``FEW``
    values; ten show only strong skew, so False is no proof of symmetry.

    Args:
        values: ``[n]``.
    """
    n = np.size(values)
    if n < FEW:
        return False
    error = math.sqrt(6 * n * (n - 1) / ((n - 2) * (n + 1) * (n + 3)))
    return abs(skewness(values)) > 2 * error


def effect_size(differences: ArrayLike) -> float:
    """Return the mean paired difference in standard deviations of the differences.

    ``d_z = mean / sd`` (Cohen 1988, chapter 2) times the correction for small samples
    ``1 - 3 / (4 (n - 1) - 1)`` (Hedges 1981), without which few pairs exaggerate.

    Args:
        differences: of paired scores ``[n]``.

    Returns:
        The corrected d_z, without a unit. Without any spread it is infinite with the sign of the
        mean, or 0 if all are 0. NaN of fewer than two differences, of two that differ (the
        correction does not exist), or where one is not finite.
    """
    values, _ = _scaled(differences)
    n = values.size
    if n < 2 or not np.isfinite(values).all():
        return math.nan
    if _is_constant(values):
        return math.copysign(math.inf, values[0]) if values.any() else 0.0
    if n == 2:
        return math.nan
    return float(values.mean() / values.std(ddof=1)) * (1 - 3 / (4 * (n - 1) - 1))


def improvement(ours: ArrayLike, theirs: ArrayLike, direction: str) -> float:
    """Return the probability that a run of ours is better than a run of theirs.

    ``P(better) + P(equal) / 2`` over all pairs of runs, whatever their seeds: the Mann-Whitney U
    over n m (Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice, section 4.3).

    Args:
        ours: scores ``[n]``.
        theirs: scores ``[m]``.
        direction: ``min`` or ``max``: which scores are better.

    Returns:
        From 0 to 1; NaN if either has no runs, or a NaN.

    Raises:
        ValueError: another direction.
    """
    if direction not in ("min", "max"):
        raise ValueError(f"direction must be min or max, not {direction!r}")
    mine = np.asarray(ours, dtype=np.float64).ravel()
    others = np.asarray(theirs, dtype=np.float64).ravel()
    if not mine.size or not others.size or np.isnan(mine).any() or np.isnan(others).any():
        return math.nan
    rows = mine[:, None]
    better = rows < others if direction == "min" else rows > others
    return float(np.mean(better) + np.mean(rows == others) / 2)


def rank_intervals(better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ranks that each of K models may have, 1 the best.

    A model's rank is at least 1 + the number that are separably better, and at most K - the number
    that it is separably better than. If a false claim is among the tests in at most 5% of reports,
    a rank lies outside its interval in at most 5% of them too (Al Mohamad et al. 2022,
    Simultaneous confidence intervals for ranks).

    Args:
        better: whether the model of the row is separably better than that of the column ``[K, K]``.

    Returns:
        The smallest and the largest rank of each model.
    """
    matrix = np.asarray(better, dtype=bool)
    best = 1 + matrix.sum(axis=0)
    worst = len(matrix) - matrix.sum(axis=1)
    return [(int(low), int(high)) for low, high in zip(best, worst, strict=True)]


def iqm(scores: ArrayLike) -> float:
    """Return the interquartile mean: the mean without the lowest and the highest quarter.

    A quarter is ``floor(n / 4)`` values, so that weights are whole (Agarwal et al. 2021, section
    4.3).

    Args:
        scores: normalised scores of all runs and tasks, of any shape, without NaN.

    Returns:
        The mean, in the scores' unit; NaN of no scores.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    if not values.size:
        return math.nan
    cut = values.size // 4
    return float(values[cut : values.size - cut].mean())


def stratified_interval(
    scores: Sequence[NDArray[np.float64]],
    statistic: Callable[[NDArray[np.float64]], float],
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the 95% percentile interval of a statistic across tasks.

    Runs are drawn again within each task; tasks are not, so the interval speaks of these tasks
    only (Agarwal et al. 2021, section 4.1, stratified bootstrap).

    Args:
        scores: an array ``[n_runs]`` for each task; one without runs adds nothing.
        statistic: of the runs of all tasks together ``[N]``.
        resamples: how many.
        seed: of the draws; the same seed draws the same runs of tasks with as many.

    Returns:
        The interval, in the statistic's unit; NaN without any runs.
    """
    tasks = [np.asarray(task, dtype=np.float64) for task in scores if len(task)]
    if not tasks:
        return _UNKNOWN
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [task[rng.integers(0, len(task), (resamples, len(task)))] for task in tasks], axis=1
    )
    return group_interval(np.array([statistic(row) for row in drawn]))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Return the share of runs whose score is above each threshold.

    Agarwal et al. 2021, section 4.2: the empirical tail of scores, where a larger one is better.

    Args:
        scores: normalised scores ``[N]``.
        thresholds: ``[M]``, in the same unit.

    Returns:
        Shares ``[M]``; NaN without any scores.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    levels = np.asarray(thresholds, dtype=np.float64)
    if not values.size:
        return np.full(levels.shape, math.nan)
    return 1 - np.searchsorted(values, levels, side="right") / values.size


def group_interval(bootstrap_scores: ArrayLike) -> Interval:
    """Return the 95% percentile interval: the 2.5 and 97.5 percentiles of bootstrap scores.

    Efron and Tibshirani 1993, section 13.3.

    Args:
        bootstrap_scores: a score for each draw of the test data's groups ``[B]``; NaN, where a
            draw has no score (an AUROC without deaths), and what is infinite are left out.

    Returns:
        The interval, in the score's unit; NaN without any.
    """
    values = np.asarray(bootstrap_scores, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return _UNKNOWN
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))


def is_equivalent(interval: Interval, practical: float) -> bool:
    """Return whether a difference is known to be too small to matter.

    That is where its whole interval lies strictly between -practical and practical. With a 95%
    interval this is two one-sided tests at 2.5% (Schuirmann 1987).

    Args:
        interval: of the difference; False if an end is NaN.
        practical: the smallest difference that matters, in the same unit.
    """
    return -practical < interval.low and interval.high < practical
