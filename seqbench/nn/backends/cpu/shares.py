"""How the work of a call is shared out among threads: which, and what each takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

SMALL_WORK = 1 << 20
"""Products below which a second thread costs more than it saves."""

Shares = Callable[[int], list[tuple[int, int]]]
"""From a number of threads to the first and last of each share; none is empty."""


def threads_for(work: int) -> int:
    """Return how many threads are worth while for so many products."""
    return torch.get_num_threads() if work > SMALL_WORK else 1


def evenly(count: int) -> Shares:
    """Split so many columns evenly."""

    def split(threads: int) -> list[tuple[int, int]]:
        edges = [count * n // threads for n in range(threads + 1)]
        return [(a, b) for a, b in pairwise(edges) if a < b]

    return split


def by_steps(lengths: Tensor) -> Shares:
    """Split sequences of ``[B]`` lengths so that each share has about as many steps."""

    def split(threads: int) -> list[tuple[int, int]]:
        if threads == 1:
            return [(0, len(lengths))]
        until = lengths.cumsum(0)
        each = int(until[-1]) / threads
        wanted = until.new_tensor([each * n for n in range(1, threads)], dtype=torch.float64)
        inner = (torch.searchsorted(until.double(), wanted) + 1).tolist()
        edges = [0, *inner, len(lengths)]
        return [(a, b) for a, b in pairwise(edges) if a < b]

    return split
