"""Distances under dynamic time warping, of which nearest neighbours are made.

H. Sakoe, S. Chiba, Dynamic programming algorithm optimization for spoken word recognition, IEEE
TASSP 26, 1978, with their band: steps that are matched are at most a tenth of the length apart.
Sequences are brought to one length first, by means over equal shares of time (C. A. Ratanamahatana,
E. Keogh, Everything you know about dynamic time warping is wrong, 2004).

Legend: A and B sequences, L steps, F columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BAND = 0.1
"""Of the length."""
MOST_STEPS = 100
"""L; a longer sequence is averaged."""
PAIRS = 300_000
"""Pairs of sequences that are compared: training is thinned where there would be more."""


def resampled(values: Floats, length: int) -> Floats:
    """Return the means of a sequence ``[T, F]`` over equal shares of time, ``[L, F]``."""
    steps = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
    ends = np.linspace(0, steps, length + 1)
    whole = np.minimum(ends.astype(int), steps - 1)
    at_ends = sums[whole] + (ends - whole)[:, None] * values[whole]
    shares: Floats = np.diff(at_ends, axis=0) * length / steps
    return shares


def distances(ones: Floats, others: Floats, band: int) -> Floats:
    """Return the squared distances ``[A, B]`` under warping: sums of squared differences.

    Args:
        ones: ``[A, L, F]``.
        others: ``[B, L, F]``.
        band: steps that matched ones may be apart.
    """
    length = ones.shape[1]
    nothing = np.full((len(ones), len(others)), np.inf)
    before: dict[int, Floats] = {-1: np.zeros_like(nothing)}
    squares = [(ones**2).sum(axis=2), (others**2).sum(axis=2)]
    for row in range(length):
        current: dict[int, Floats] = {}
        for column in range(max(row - band, 0), min(row + band + 1, length)):
            cost = squares[0][:, row, None] + squares[1][None, :, column]
            cost = np.maximum(cost - 2 * ones[:, row] @ others[:, column].T, 0)
            least = np.minimum(before.get(column, nothing), before.get(column - 1, nothing))
            current[column] = cost + np.minimum(least, current.get(column - 1, nothing))
        before = current
    return before[length - 1]


def thinned(count: int, queries: int) -> NDArray[np.int64]:
    """Return which training sequences are compared with so many others, evenly spread."""
    most = max(min(count, PAIRS // max(queries, 1)), 1)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))
