"""Detectors that need no training by gradient: what every forecast has to be better than."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from seqbench.api import Example
from seqbench.tasks.anomaly.detection import detector_predictions
from seqbench.tasks.anomaly.series import Samples, Scale, Series, log_deviation, unpack
from seqbench.tasks.anomaly.student import static_prediction

DETECTORS_VERSION = "1"
"""Changes whenever the same data would give other scores."""

Scores = NDArray[np.float64]


def score_samples(
    train: Sequence[Series], test: Sequence[Series], span: int, window: int
) -> dict[str, list[Scores]]:
    """Return every detector's scores ``[T]`` of each test series.

    * ``constant``: the same score for all.
    * ``random``: evenly distributed, from a fixed seed.
    * ``z_score``: the root mean square of a sample's channels, in standard deviations.
    * ``mahalanobis``: the squared Mahalanobis distance of a sample.
    * ``window_mahalanobis``: that of the channels' means and standard deviations over ``span``
      samples around it.
    * ``statistics_mahalanobis``: that of the features which forecasts are of, over ``window``
      samples around it; where a step is longer than a sample.

    Means, deviations and covariances are those of the training series' samples without a label.

    Args:
        train: of a fold.
        test: of the fold.
        span: samples.
        window: samples of a step.
    """
    normal = [~series.labels for series in train]
    pairs = list(zip(train, normal, strict=True))
    scale = Scale.of([series.values[kept] for series, kept in pairs])
    samples = [scale(series.values) for series in test]
    draw = np.random.RandomState(0)  # the legacy generator: its numbers never change
    found = {
        "constant": [np.zeros(len(values)) for values in samples],
        "random": [draw.random_sample(len(values)) for values in samples],
        "z_score": [np.sqrt((values**2).mean(axis=1)) for values in samples],
    }
    for name, view in _views(span, window).items():
        rows = np.concatenate([view(scale(series.values))[kept] for series, kept in pairs])
        found[name] = _mahalanobis(rows, [view(values) for values in samples])
    return found


def detector_rows(
    scores: Sequence[Scores], first_number: int, examples: Sequence[Example], window: int
) -> list[Tensor]:
    """Return a detector's scores as predictions of examples' steps.

    Args:
        scores: ``[T]`` of each series.
        first_number: of the first of these series, in the examples' targets.
        examples: of these series.
        window: samples of a step.
    """
    rows = []
    for example in examples:
        row = unpack(example.targets, window)
        of_series = scores[int(row.series[0]) - first_number]
        samples = row.first.numpy()[:, None] + np.arange(window)
        rows.append(detector_predictions(torch.from_numpy(of_series[samples])))
    return rows


def static_rows(
    train: Sequence[Example], test: Sequence[Example], window: int, full: bool
) -> list[Tensor]:
    """Return the forecast that is the same for every step, fitted to training's normal steps."""
    normal = [
        unpack(example.targets[example.target_mask], window).features.double().numpy()
        for example in train
    ]
    prediction = static_prediction(np.concatenate(normal), full)
    return [prediction.expand(len(example.values), -1) for example in test]


def _views(span: int, window: int) -> dict[str, Callable[[Samples], Samples]]:
    """Return what each Mahalanobis detector sees of scaled samples, ``[T, C]`` to ``[T, F]``."""

    def moments(values: Samples) -> Samples:
        return np.concatenate(_moments(values, span), axis=1)

    def statistics(values: Samples) -> Samples:
        mean, deviation = _moments(values, window)
        differences = np.diff(values, axis=0, prepend=values[:1])
        rough = _moments(differences, window)[1]
        return np.concatenate([mean, log_deviation(deviation), log_deviation(rough)], axis=1)

    views: dict[str, Callable[[Samples], Samples]] = {
        "mahalanobis": np.asarray,
        "window_mahalanobis": moments,
    }
    return views if window == 1 else {**views, "statistics_mahalanobis": statistics}


def _moments(values: Samples, size: int) -> tuple[Samples, Samples]:
    """Return means and standard deviations over ``size`` samples around each; the ends repeat."""
    mean = uniform_filter1d(values, size, axis=0, mode="nearest")
    square = uniform_filter1d(values**2, size, axis=0, mode="nearest")
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _mahalanobis(train: Samples, test: Sequence[Samples]) -> list[Scores]:
    """Return squared distances from the training rows' mean; a constant feature counts nothing."""
    scale = Scale.of([train])
    inverse = np.linalg.pinv(
        np.cov(scale(train).T, ddof=0).reshape(train.shape[1], -1), hermitian=True
    )
    found = []
    for rows in test:
        residual = scale(rows)
        found.append(((residual @ inverse) * residual).sum(axis=1))
    return found
