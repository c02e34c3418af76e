"""Other draws of the test data, the same for every predictor, so that differences are paired."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
CHUNK = 100
"""Resamples that are made together; bounds the memory."""
SEED = 0


def resamples(groups: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each group is drawn, ``[R, groups]`` in chunks of :data:`CHUNK`.

    As many groups as there are, drawn with replacement: the bootstrap of Efron 1979, of whole
    groups where what they hold is alike (the cluster bootstrap of Field & Welsh 2007).

    Args:
        groups: patients, pieces, speakers, ...
    """
    generator = np.random.default_rng(SEED)
    for start in range(0, RESAMPLES, CHUNK):
        size = min(CHUNK, RESAMPLES - start)
        drawn = generator.multinomial(groups, np.full(groups, 1 / groups), size=size)
        yield drawn.astype(np.float64)


def weighted_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Return the mean of all groups in each resample.

    Args:
        values: ``[U]``, a mean over what each group holds.
        weights: ``[U]``, how much that is.
    """
    found: list[float] = []
    for counts in resamples(len(values)):
        found += ((counts @ (values * weights)) / (counts @ weights)).tolist()
    return found


def percentile_interval(bootstrap_scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles; what is not finite is left out."""
    finite = bootstrap_scores[np.isfinite(bootstrap_scores)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
