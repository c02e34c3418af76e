"""MiniRocket: shares of positive values after convolution with fixed kernels.

A. Dempster, D. F. Schmidt, G. I. Webb, MiniRocket: a very fast (almost) deterministic transform for
time series classification, KDD 2021. There are 84 kernels of length 9, whose weights are -1 six
times and 2 three times; each is dilated. A feature is the share of steps at which a kernel's
output exceeds a bias, and biases are quantiles of its outputs on training sequences. Of several
columns a kernel reads the sum over a random few, as in the authors' multivariate version.

Here all is computed in float64.

Legend: N sequences, F columns, T steps, D dilations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TAPS = 9
KERNELS = np.array(list(combinations(range(TAPS), 3)))
"""``[84, 3]``: where the weights are 2."""
MOST_DILATIONS = 32
MOST_CHANNELS = 9
"""Columns that a kernel reads, at most."""
MOST_NUMBERS = 2**24
"""Of shifted sequences that are held at a time."""


class Parameters(NamedTuple):
    """What a fitted transform knows.

    Args:
        channels: the columns that a kernel reads, for each of ``D * 84`` kernels.
        dilations: ``[D]``.
        counts: ``[D]``, features of each kernel of a dilation.
        biases: of all features, by dilation, kernel and feature.
    """

    channels: Sequence[Integers]
    dilations: Integers
    counts: Integers
    biases: Floats


def fit(sequences: Floats, features: int, seed: int = 0) -> Parameters:
    """Return the parameters for training sequences.

    Args:
        sequences: ``[N, F, T]``.
        features: about so many are computed, a multiple of 84.
        seed: of the random columns, and of the sequences that biases come from.
    """
    draw = np.random.RandomState(seed)  # the legacy generator: its numbers never change
    _, width, length = sequences.shape
    dilations, counts = fit_dilations(length, features)
    exponent = np.log2(min(width, MOST_CHANNELS) + 1)
    kernels = len(KERNELS) * len(dilations)
    sizes = (2 ** draw.uniform(0, exponent, kernels)).astype(int)
    channels = [draw.permutation(width)[:size] for size in sizes]
    golden = (np.sqrt(5) + 1) / 2
    quantiles = (np.arange(1, len(KERNELS) * counts.sum() + 1) * golden) % 1
    biases, first, number = [], 0, 0
    for dilation, count in zip(dilations, counts, strict=True):
        for kernel in KERNELS:
            chosen = sequences[draw.randint(len(sequences))]
            outputs = _outputs(*_sums(chosen[None], int(dilation)), channels[number], kernel)
            biases.append(np.quantile(outputs, quantiles[first : first + count]))
            first, number = first + count, number + 1
    return Parameters(channels, dilations, counts, np.concatenate(biases))


def fit_dilations(length: int, features: int) -> tuple[Integers, Integers]:
    """Return the dilations ``[D]`` for sequences of a length, and how many features each has."""
    of_kernel = max(features // len(KERNELS), 1)
    most = min(of_kernel, MOST_DILATIONS)
    exponent = np.log2(max(length - 1, TAPS - 1) / (TAPS - 1))
    spread = np.logspace(0, exponent, most, base=2).astype(np.int64)
    dilations, counts = np.unique(spread, return_counts=True)
    counts = (counts * (of_kernel / most)).astype(np.int64)
    for place in range(of_kernel - int(counts.sum())):
        counts[place % len(counts)] += 1
    return dilations, counts


def transform(sequences: Floats, parameters: Parameters) -> Floats:
    """Return the features of sequences, ``[N, 84 * counts.sum()]``.

    Args:
        sequences: ``[N, F, T]``.
        parameters: fitted.
    """
    rows = max(MOST_NUMBERS // (TAPS * sequences[0].size), 1)
    parts = [sequences[start : start + rows] for start in range(0, len(sequences), rows)]
    return np.concatenate([_transform(part, parameters) for part in parts])


def _transform(sequences: Floats, parameters: Parameters) -> Floats:
    count, _, steps = sequences.shape
    found = np.empty((count, len(parameters.biases)))
    first, number = 0, 0
    for place, (dilation, size) in enumerate(
        zip(parameters.dilations, parameters.counts, strict=True)
    ):
        base, taps = _sums(sequences, int(dilation))
        padding = (TAPS - 1) * int(dilation) // 2
        for index, kernel in enumerate(KERNELS):
            outputs = _outputs(base, taps, parameters.channels[number], kernel)
            if (place + index) % 2 and steps > 2 * padding:  # half of the kernels see no zeros
                outputs = outputs[:, padding:-padding]
            for column in range(first, first + int(size)):
                found[:, column] = (outputs > parameters.biases[column]).mean(axis=1)
            first, number = first + int(size), number + 1
    return found


def _sums(sequences: Floats, dilation: int) -> tuple[Floats, Floats]:
    """Return minus the sum of all taps ``[N, F, T]``, and three times each tap ``[9, N, F, T]``."""
    steps = sequences.shape[2]
    taps = np.zeros((TAPS, *sequences.shape))
    for tap in range(TAPS):
        shift = (tap - TAPS // 2) * dilation
        if abs(shift) < steps:
            into = slice(max(-shift, 0), steps - max(shift, 0))
            of = slice(max(shift, 0), steps - max(-shift, 0))
            taps[tap][:, :, into] = sequences[:, :, of]
    return -taps.sum(axis=0), 3 * taps


def _outputs(base: Floats, taps: Floats, channels: Integers, kernel: NDArray[np.int64]) -> Floats:
    """Return a kernel's outputs ``[N, T]``, summed over its columns."""
    outputs: Floats = base[:, channels].sum(axis=1)
    for tap in kernel:
        outputs = outputs + taps[tap][:, channels].sum(axis=1)
    return outputs
