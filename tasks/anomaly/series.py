"""Labelled time series, and how steps of a sequence are made of their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import Example, Splits

Samples = NDArray[np.float64]
Labels = NDArray[np.bool_]

LONGEST = 2000
"""Steps of a sequence to predict, at most; a longer series is read in pieces."""
LEAD_IN = 200
"""Steps at the start of each further piece that are read again, and not predicted again."""
SMALL = 0.01
"""Added to standard deviations under the logarithm, in the channel's own over training."""


@dataclass(frozen=True)
class Series:
    """A stretch of samples, at equal intervals.

    Args:
        values: ``[T, C]``, all finite.
        labels: ``[T]``, True where anomalous.
        group: who or what it comes from: the group of splits.
    """

    values: Samples
    labels: Labels
    group: str


class Parts(NamedTuple):
    """The series of a fold."""

    train: Sequence[Series]
    valid: Sequence[Series]
    test: Sequence[Series]


class Steps(NamedTuple):
    """How a series becomes sequences of steps.

    Args:
        window: samples of a step. A step of one sample has the sample as its features; a longer one
            has, of each channel, the mean, the logarithm of the standard deviation, and that of the
            differences from sample to sample.
        hop: in validation and test a series is read once from each of its samples 0, hop, 2 hop,
            ... below the window, so that steps of different readings overlap and steps of one never
            do.
        train_hop: so in training; ``window`` for one reading.
        crop: steps of a training sequence.
    """

    window: int
    hop: int
    train_hop: int
    crop: int


class Row(NamedTuple):
    """What stands in the targets of a step.

    Args:
        features: ``[N, F]``, in standard deviations of the training split.
        labels: ``[N, window]`` bool, of its samples.
        series: ``[N]`` int64, the number of the series.
        first: ``[N]`` int64, the step's first sample.
    """

    features: Tensor
    labels: Tensor
    series: Tensor
    first: Tensor


def unpack(targets: Tensor, window: int) -> Row:
    """Return what stands in targets ``[N, F + window + 2]``."""
    features = targets.shape[1] - window - 2
    return Row(
        targets[:, :features],
        targets[:, features : features + window] > 0.5,
        targets[:, -2].long(),
        targets[:, -1].long(),
    )


class Scale(NamedTuple):
    """Means and standard deviations ``[F]``; of what is constant the deviation is 1.

    A constant column is told by its values: their standard deviation may come out a rounding error
    above 0, and would blow up every later change.
    """

    mean: Samples
    std: Samples

    @staticmethod
    def of(rows: Sequence[Samples]) -> Scale:
        """Return those over the rows of arrays ``[N, F]``."""
        together = np.concatenate(rows)
        low, std = together.min(axis=0), together.std(axis=0)
        constant = together.max(axis=0) == low
        return Scale(
            np.where(constant, low, together.mean(axis=0)),
            np.where(constant | (std == 0), 1.0, std),
        )

    def __call__(self, rows: Samples) -> Samples:
        """Return rows in standard deviations from the mean."""
        return (rows - self.mean) / self.std


def log_deviation(deviation: Samples) -> Samples:
    """Return the feature that stands for a standard deviation, itself in training's deviations."""
    return np.log(deviation + SMALL)


def step_features(values: Samples, window: int) -> Samples:
    """Return the features ``[T // window, F]`` of a series' steps, as :class:`Steps` says.

    Args:
        values: ``[T, C]``, scaled.
        window: samples of a step; what is left at the end is dropped.
    """
    if window == 1:
        return values
    steps = len(values) // window
    # [C, steps, window]: what is summed over lies together in memory
    cut = np.ascontiguousarray(values[: steps * window].T).reshape(-1, steps, window)
    rough = np.diff(cut).std(axis=2)
    features = [cut.mean(axis=2), log_deviation(cut.std(axis=2)), log_deviation(rough)]
    return np.concatenate(features).T


def make_splits(parts: Parts, steps: Steps, first_number: int = 0) -> Splits:
    """Return a fold's sequences; ``values`` are features, ``targets`` what :class:`Row` says.

    All scales are the training series'. In training and validation no step counts that holds a
    labelled sample: models learn what is normal, and the monitor sees nothing else.

    Args:
        parts: of the fold; each has at least one step somewhere.
        steps: how they are cut.
        first_number: of the first series of ``train``; then they are counted on through ``valid``
            and ``test``.
    """
    channels = Scale.of([series.values[~series.labels] for series in parts.train])
    everything = [*parts.train, *parts.valid, *parts.test]
    readings = [
        _readings(
            series,
            first_number + number,
            channels(series.values),
            steps.window,
            steps.train_hop if number < len(parts.train) else steps.hop,
        )
        for number, series in enumerate(everything)
    ]
    border, last = len(parts.train), len(parts.train) + len(parts.valid)
    train = [reading for of_series in readings[:border] for reading in of_series]
    valid = [reading for of_series in readings[border:last] for reading in of_series]
    test = [reading for of_series in readings[last:] for reading in of_series]
    scale = Scale.of([reading.features[reading.normal] for reading in train])
    train_whole = [_example(reading, scale, reading.normal) for reading in train]
    valid_whole = [_example(reading, scale, reading.normal) for reading in valid]
    test_whole = [_example(reading, scale, None) for reading in test]
    return Splits(
        [crop for whole in train_whole for crop in _crops(whole, steps.crop) if _counts(crop)],
        [piece for whole in valid_whole for piece in _pieces(whole) if _counts(piece)],
        [piece for whole in test_whole for piece in _pieces(whole) if _counts(piece)],
    )


def _crops(sequence: Example, size: int) -> list[Example]:
    """Return a sequence's stretches of some steps, each half over the one before; all are used."""
    length = len(sequence.values)
    starts = list(range(0, max(length - size, 0) + 1, max(size // 2, 1)))
    if starts[-1] + size < length:
        starts.append(length - size)
    return [_cut(sequence, start, start + size) for start in starts]


class _Reading(NamedTuple):
    """The steps of a series that is read from one of its samples on."""

    features: Samples
    labels: Labels  # [N, window]
    where: NDArray[np.float64]  # [N, 2]: the series' number, the step's first sample
    group: str

    @property
    def normal(self) -> Labels:
        """``[N]``: no sample of the step is labelled."""
        return np.logical_not(self.labels.any(axis=1))


def _readings(
    series: Series, number: int, scaled: Samples, window: int, hop: int
) -> list[_Reading]:
    found = []
    for start in range(0, window, hop):
        features = step_features(scaled[start:], window)
        count = len(features)
        labels = series.labels[start : start + count * window].reshape(count, window)
        first = start + window * np.arange(count)
        where = np.stack([np.full(count, number), first], axis=1).astype(np.float64)
        found.append(_Reading(features, labels, where, series.group))
    return found


def _example(reading: _Reading, scale: Scale, counts: Labels | None) -> Example:
    values = torch.from_numpy(scale(reading.features)).float()
    rest = np.concatenate([reading.labels, reading.where], axis=1)
    targets = torch.cat([values, torch.from_numpy(rest).float()], dim=1)
    mask = None if counts is None else torch.from_numpy(counts)
    return Example(values, targets, mask, group=reading.group)


def _pieces(sequence: Example) -> list[Example]:
    """Return a sequence cut where it is longer than :data:`LONGEST`; every step counts once."""
    length = len(sequence.values)
    pieces = []
    for start in range(0, max(length - LEAD_IN, 1), LONGEST - LEAD_IN):
        piece = _cut(sequence, start, start + LONGEST)
        if start:
            mask = torch.arange(len(piece.values)) >= LEAD_IN
            if piece.target_mask is not None:
                mask &= piece.target_mask
            piece = Example(piece.values, piece.targets, mask, group=piece.group)
        pieces.append(piece)
    return pieces


def _cut(sequence: Example, start: int, stop: int) -> Example:
    mask = sequence.target_mask
    return Example(
        sequence.values[start:stop],
        sequence.targets[start:stop],
        None if mask is None else mask[start:stop],
        group=sequence.group,
    )


def _counts(example: Example) -> bool:
    if not len(example.values):
        return False
    return example.target_mask is None or bool(example.target_mask.any())
