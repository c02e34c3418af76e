"""Two models on several tasks. Below ten tasks this says nothing of other tasks.

Holm's adjustment over all tasks and pairs is :func:`seqbench.verdicts.family.holm` of all p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqbench.verdicts.components import ALPHA


def better_on_at_least(p_values: ArrayLike, alpha: float = ALPHA / 2) -> NDArray[np.int64]:
    """Return the largest u for which "better on at least u of these T tasks" holds.

    ``(T - i + 1) p_(i) <= alpha`` for every i up to u (Benjamini and Heller 2008, Biometrics 64,
    with Bonferroni's combination). Too large a u comes with a chance of at most alpha.

    Args:
        p_values: one-sided ``[..., T]``, of the model not being better on a task; NaN, a task
            without a verdict, counts as 1.
        alpha: one-sided.
    """
    ordered = np.sort(np.where(np.isnan(p_values), 1.0, p_values), -1)
    holds = ordered * np.arange(ordered.shape[-1], 0, -1) <= alpha
    return np.asarray(np.cumprod(holds, -1).sum(-1))
