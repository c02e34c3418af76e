"""Two models on several tasks. Below ten tasks these say nothing of other tasks.

Holm's adjustment over all tasks and pairs is :func:`seqbench.verdicts.family.holm` of all p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from seqbench.verdicts.components import ALPHA, Estimate


def better_on_at_least(p_values: ArrayLike, alpha: float = ALPHA / 2) -> NDArray[np.int64]:
    """Return the largest u for which "better on at least u of these T tasks" holds.

    ``(T - i + 1) p_(i) <= alpha`` for every i up to u (Benjamini and Heller 2008, Biometrics 64,
    with Bonferroni's combination). Too large a u comes with a chance of at most alpha.

    Args:
        p_values: one-sided ``[..., T]``, of the model not being better on a task
            (:meth:`~seqbench.verdicts.components.Estimate.p_at_most`); NaN, a task without a
            verdict, counts as 1.
        alpha: one-sided.
    """
    ordered = np.sort(np.where(np.isnan(p_values), 1.0, p_values), -1)
    holds = ordered * np.arange(ordered.shape[-1], 0, -1) <= alpha
    return np.asarray(np.cumprod(holds, -1).sum(-1))


def mean_of_these_tasks(estimates: Sequence[Estimate], alpha: float = ALPHA) -> Estimate:
    """Return the plain mean of the gains: on *these* tasks, and in a unit that they share.

    Args:
        estimates: of one pair, a task each, of test data that have nothing in common.
        alpha: 1 minus the level of the interval.
    """
    number = len(estimates)
    gain = sum(float(item.gain) for item in estimates) / number
    parts = [(float(item.error) / number) ** 2 for item in estimates]
    squares = [v**2 / float(item.df) for v, item in zip(parts, estimates, strict=True)]
    error, df = math.sqrt(sum(parts)), sum(parts) ** 2 / sum(squares)
    reach = float(stdtrit(df, 1 - alpha / 2)) * error
    p = 2 * float(stdtr(df, -abs(gain) / error))
    return Estimate(gain, gain - reach, gain + reach, p, error, df)
