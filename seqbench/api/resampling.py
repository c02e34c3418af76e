"""Bootstrap resamples of the test data, the same for every predictor, so differences are paired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
CHUNK = 100
"""Resamples computed together; bounds the memory."""
SEED = 0


class GroupCounts(NamedTuple):
    """How much each group of the test data counts in a metric; never which group it is.

    Statistics need it: few large groups decide as much as few groups (Bell & McCaffrey 2002).
    """

    sizes: tuple[float, ...]
    """``[G]``, in rising order: a group's predictions, or 1 where groups count alike."""
    classes: tuple[int, ...] = ()
    """Groups with cases and groups with controls, where each group has one label and the metric
    ranks cases above controls (AUROC, average precision); else empty."""

    @classmethod
    def of(cls, sizes: Iterable[float], classes: tuple[int, ...] = ()) -> GroupCounts:
        """Return them from sizes in any order."""
        return cls(tuple(sorted(float(size) for size in sizes)), classes)


def resamples(groups: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each resample has each group, ``[R, groups]`` in chunks of :data:`CHUNK`.

    Each resample draws ``groups`` groups with replacement: the bootstrap of Efron (1979), applied
    to whole groups because values within a group are correlated (the cluster bootstrap of Field &
    Welsh 2007).

    Args:
        groups: number of groups, for example of patients, pieces or speakers.
    """
    generator = np.random.default_rng(SEED)
    for start in range(0, RESAMPLES, CHUNK):
        size = min(CHUNK, RESAMPLES - start)
        drawn = generator.multinomial(groups, np.full(groups, 1 / groups), size=size)
        yield drawn.astype(np.float64)


def weighted_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Return the weighted mean over the groups of each resample.

    Args:
        values: ``[G]``, the mean of each group.
        weights: ``[G]``, the weight of each group, for example its number of predictions.
    """
    found: list[float] = []
    for counts in resamples(len(values)):
        found += ((counts @ (values * weights)) / (counts @ weights)).tolist()
    return found


def percentile_interval(bootstrap_scores: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentiles of the finite scores; NaN if there are none."""
    finite = bootstrap_scores[np.isfinite(bootstrap_scores)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
