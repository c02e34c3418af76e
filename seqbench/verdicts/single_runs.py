"""The chance that a new run of one model beats a new run of another on this test set.

P = P(a > b) + P(a = b) / 2. A failed run, -inf, loses to every finished one and ties with another
failed one. P is about the runs that a user would get, where the mean hides one bad run in ten.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, expit, logit, stdtrit
from scipy.stats import binomtest

from seqbench.verdicts.components import ALPHA
from seqbench.verdicts.scores import Array, Runs

_SEED = 17
_EXACT = 200_000  # ways to share out 20 runs: 184,756
_EXACT_TIED = 10_000  # a pattern of ties is met once, so its distribution is made for one use
_TIE = 1e-9  # relative


@dataclass(frozen=True)
class SingleRuns:
    """P with its test and interval.

    Args:
        chance: P.
        low: end of its ``1 - alpha`` interval.
        high: the other end.
        p: two-sided, of P = 1/2.
        smallest_p: the smallest p that so few runs can have, where those of one model all win.
    """

    chance: float
    low: float
    high: float
    p: float
    smallest_p: float

    def swapped(self) -> SingleRuns:
        """Return the chance that the second model's run beats the first's."""
        return replace(self, chance=1 - self.chance, low=1 - self.high, high=1 - self.low)

    def supports(self, first: bool, alpha: float) -> bool:
        """Return whether single runs of one model are better, as a claim about means needs it.

        p is at most alpha or, where so few runs cannot reach that (at a planned look at six seeds),
        it is the smallest that there is.

        Args:
            first: whether it is the first model.
            alpha: of the claim.
        """
        agrees = self.chance > 0.5 if first else self.chance < 0.5
        return agrees and self.p <= max(alpha, self.smallest_p * (1 + _TIE))


def compare_single_runs(a: Runs, b: Runs, alpha: float = ALPHA) -> SingleRuns | None:
    """Return P of two models; None where single runs say nothing.

    Of two models with seeds: Brunner and Munzel's test by permutation. Of a model and a fixed
    score: the exact sign test, with Clopper and Pearson's interval, in which ties count against
    either end. Of two fixed scores, or of a model of no run or one: None.
    """
    x, y = a.single, b.single
    if not (len(x) and len(y)):
        return None
    if a.fixed or b.fixed:
        if a.fixed and b.fixed:
            return None
        if a.fixed:
            return _against_fixed(y, float(x[0]), alpha).swapped()
        return _against_fixed(x, float(y[0]), alpha)
    if min(len(x), len(y)) < 2:
        return None
    chance, variance, df = brunner_munzel(x, y)
    low, high = chance_interval(chance, variance, df, (len(x), len(y)), alpha)
    smallest = 2 / math.comb(len(x) + len(y), len(x))
    return SingleRuns(chance, low, high, permuted_p(x, y), smallest)


def brunner_munzel(x: ArrayLike, y: ArrayLike) -> tuple[float, float, float]:
    """Return P, its variance, and the degrees of freedom of its t approximation.

    Brunner and Munzel 2000 (Biometrical Journal 42, equation 4.4 and theorem 4.1). The variance is
    at least ``1 / (2 n m min(n, m))``, so that samples which do not overlap keep a finite statistic
    (Neubert and Brunner 2007).

    Args:
        x: scores ``[n]``, n at least 2, -inf for a failed run.
        y: scores ``[m]``.
    """
    above = _above(np.asarray(x, np.float64), np.asarray(y, np.float64))
    m, n = above.shape[1], above.shape[0]
    u, v = above.mean(1), above.mean(0)
    of_x, of_y = float(u.var(ddof=1)) / n, float(v.var(ddof=1)) / m
    variance, df = of_x + of_y, n + m - 2.0
    if variance > 0:
        df = variance**2 / (of_x**2 / (n - 1) + of_y**2 / (m - 1))
    return float(u.mean()), max(variance, _least_variance(n, m)), df


def chance_interval(
    chance: float, variance: float, df: float, sizes: tuple[int, int], alpha: float = ALPHA
) -> tuple[float, float]:
    """Return the interval of P on the logit scale, P drawn in from 0 and 1 by half a pair.

    Conservative of few runs: of ten it misses in one or two of a hundred.

    Args:
        chance: P as :func:`brunner_munzel` returns it, with its variance and df.
        variance: of it.
        df: of the variance.
        sizes: n and m.
        alpha: 1 minus the level.
    """
    half = 0.5 / (sizes[0] * sizes[1])
    inner = min(max(chance, half), 1 - half)
    reach = float(stdtrit(df, 1 - alpha / 2)) * math.sqrt(variance) / (inner * (1 - inner))
    middle = float(logit(inner))
    return float(expit(middle - reach)), float(expit(middle + reach))


def permuted_p(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p of P = 1/2 of the permuted, studentised statistic.

    Neubert and Brunner 2007 (Computational Statistics and Data Analysis 51): it keeps its level
    where the shapes differ. All ways to share out the runs are counted, up to ten runs of each
    (of tied scores seven); of more, a fixed random choice of 199,999 (9,999), the p of which is
    ``(k + 1) / (B + 1)`` (Phipson and Smyth 2010). The same scores always have the same p.

    Args:
        x: scores ``[n]``, n at least 2, -inf for a failed run.
        y: scores ``[m]``.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    chance, variance, _ = brunner_munzel(x, y)
    _, ties = np.unique(np.concatenate([x, y]), return_counts=True)
    statistics, exact = _permuted(len(x), len(y), tuple(ties.tolist()))
    least = abs(chance - 0.5) / math.sqrt(variance) * (1 - _TIE)
    extreme = len(statistics) - int(np.searchsorted(statistics, least))
    return extreme / len(statistics) if exact else (extreme + 1) / (len(statistics) + 1)


@lru_cache(maxsize=32)
def _permuted(n: int, m: int, ties: tuple[int, ...]) -> tuple[Array, bool]:
    """Return all statistics ``|P - 1/2| / error``, rising, and whether these are all there are.

    They depend on the scores through their ranks alone, so on how many are equal.

    Args:
        n: runs of the first model.
        m: of the second.
        ties: how often each score is there, from the lowest.
    """
    most = _EXACT if all(number == 1 for number in ties[1:]) else _EXACT_TIED
    ranks = np.repeat(np.arange(len(ties)), ties).astype(np.float64)
    above = _above(ranks, ranks).astype(np.float32)
    members, exact = _shared_out(n, m, most)
    found = []
    for first in np.array_split(members, -(-len(members) // 20_000)):
        # Counts of halves: exact in float32, so that equal statistics are equal.
        second = 1 - first
        below_first = first * (second @ above.T)
        below_second = second * (first @ above.T)
        chance = below_first.sum(1, dtype=np.float64) / (n * m)
        u = _variance_of_mean(below_first, n) / m**2
        v = _variance_of_mean(below_second, m) / n**2
        found.append(np.abs(chance - 0.5) / np.sqrt(np.maximum(u + v, _least_variance(n, m))))
    return np.sort(np.concatenate(found)), exact


@lru_cache(maxsize=2)
def _shared_out(n: int, m: int, most: int) -> tuple[NDArray[np.float32], bool]:
    """Return which of n + m runs are the first model's ``[B, n + m]``, and whether it is all ways.

    All of them if there are at most ``most``, otherwise ``most - 1`` at random.
    """
    if math.comb(n + m, n) <= most:
        chosen = np.array(list(itertools.combinations(range(n + m), n)))
    else:
        keys = np.random.default_rng([_SEED, n, m]).random((most - 1, n + m))
        chosen = np.argsort(keys, axis=1)[:, :n]
    members = np.zeros((len(chosen), n + m), dtype=np.float32)
    np.put_along_axis(members, chosen, 1, axis=1)
    return members, len(members) == math.comb(n + m, n)


def _variance_of_mean(counts: NDArray[np.float32], n: int) -> Array:
    """Return the variance of the mean of the n members' counts, where others have 0."""
    total, squares = counts.sum(1, dtype=np.float64), (counts**2).sum(1, dtype=np.float64)
    return np.asarray((squares - total**2 / n) / (n - 1) / n)


def _above(x: Array, y: Array) -> Array:
    """Return 1 where a score of x is above one of y, 1/2 where they are equal ``[n, m]``."""
    return np.asarray((x[:, None] > y) + 0.5 * (x[:, None] == y))


def _least_variance(n: int, m: int) -> float:
    return 1 / (2 * n * m * min(n, m))


def _against_fixed(x: Array, score: float, alpha: float) -> SingleRuns:
    """Return P against a score that training again does not change."""
    n, wins, ties = len(x), int((x > score).sum()), int((x == score).sum())
    p = float(binomtest(wins, n - ties).pvalue) if n > ties else 1.0
    low = float(betaincinv(wins, n - wins + 1, alpha / 2)) if wins else 0.0
    lost = n - wins - ties
    high = 1 - (float(betaincinv(lost, n - lost + 1, alpha / 2)) if lost else 0.0)
    return SingleRuns((wins + ties / 2) / n, low, high, p, 2.0 ** (1 - n))
