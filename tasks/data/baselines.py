"""Simple predictors of a class or a number for each sequence, fitted on the training split.

All see the columns as models do, standardised, missing values filled in; where values are missing,
what was observed is a column too. Their time is bounded: nearest neighbours compare at most
:data:`~.neighbours.PAIRS` pairs of sequences of at most 100 steps, and random kernels read at most
:data:`STEPS` steps in all; longer data are averaged over time first, or thinned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import Example, Splits
from seqbench.tasks.data import minirocket, neighbours
from seqbench.tasks.data.examples import input_spec
from seqbench.tasks.speech import baselines as statistical

BASELINES_VERSION = "1"
"""Changes whenever the same data would give other predictions."""
STEPS = 200_000
"""Of all sequences together that random kernels read."""
FEATURES = 2016
"""Of random kernels."""
STRENGTHS = tuple(10.0**power for power in range(-3, 5))
"""L2 penalties of ridge regressions, from which validation chooses."""
TEMPERATURES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Factors of a classifier's scores before they become probabilities, chosen by validation."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def classify(splits: Splits, classes: int) -> dict[str, list[Tensor]]:
    """Return log probabilities ``[K]`` of every test sequence, by baseline.

    * ``majority``, ``logistic_regression``, ``gradient_boosting``: see
      :func:`seqbench.tasks.speech.baselines.fit_baselines`: the shares of the classes, and two
      classifiers that see each column's mean, deviation and means over eighths of the time.
    * ``nearest_neighbour``: the class of the nearest training sequence under dynamic time warping;
      its probability is its accuracy on validation, smoothed.
    * ``random_kernels``: MiniRocket, and a ridge classifier on its features.

    Args:
        splits: targets are class numbers.
        classes: K.
    """
    from threadpoolctl import threadpool_limits

    scaled = _scaled(splits)
    labels, valid = _targets(splits.train).astype(int), _targets(splits.valid).astype(int)
    found = statistical.fit_baselines(scaled, classes)
    with threadpool_limits(limits=1):
        nearest = _nearest(scaled)
        right = int((labels[nearest[0]] == valid).sum())
        share = (right + 1) / (len(valid) + 2)
        rest = (1 - share) / max(classes - 1, 1)
        of_test = np.full((len(splits.test), classes), np.log(rest))
        of_test[np.arange(len(of_test)), labels[nearest[1]]] = np.log(share)
        scores = _ridge(scaled, np.eye(classes)[labels] * 2 - 1, lambda s: _accuracy(s, valid))
    rows = np.arange(len(valid))
    factor = max(TEMPERATURES, key=lambda f: _log_softmax(scores[0] * f)[rows, valid].sum())
    found["nearest_neighbour"] = list(torch.from_numpy(of_test))
    found["random_kernels"] = list(torch.from_numpy(_log_softmax(scores[1] * factor)))
    return found


def regress(splits: Splits) -> dict[str, list[Tensor]]:
    """Return predictions ``[1]`` of every test sequence, by baseline.

    * ``mean``: of the training targets.
    * ``ridge``: linear regression on each column's mean, deviation and means over eighths of the
      time, with the L2 penalty that validation chooses by MSE.
    * ``nearest_neighbour``: the target of the nearest training sequence under dynamic time warping.
    * ``random_kernels``: MiniRocket, and ridge regression on its features.

    Args:
        splits: targets are numbers.
    """
    from threadpoolctl import threadpool_limits

    scaled = _scaled(splits)
    targets, valid = _targets(splits.train), _targets(splits.valid)
    mean, std = targets.mean(), targets.std() if np.ptp(targets) > 0 else 1.0
    standard = ((targets - mean) / std)[:, None]

    def error(predicted: Floats) -> float:
        return float(((predicted[:, 0] * std + mean - valid) ** 2).mean())

    with threadpool_limits(limits=1):
        summaries = [
            np.stack([statistical.statistics(example.values) for example in part])
            for part in (scaled.train, scaled.valid, scaled.test)
        ]
        linear = fit_ridge(summaries, standard, error)[1]
        kernels = _ridge(scaled, standard, error)[1]
        nearest = _nearest(scaled)[1]
    found = {
        "mean": np.full(len(splits.test), mean),
        "ridge": linear[:, 0] * std + mean,
        "nearest_neighbour": targets[nearest],
        "random_kernels": kernels[:, 0] * std + mean,
    }
    return {name: list(torch.from_numpy(values)[:, None]) for name, values in found.items()}


def fit_ridge(
    features: Sequence[Floats], targets: Floats, error: Callable[[Floats], float]
) -> tuple[Floats, Floats]:
    """Return what ridge regression predicts for validation and test, ``[N, K]`` each.

    Args:
        features: ``[N, D]`` of training, validation and test; standardised here.
        targets: ``[N, K]`` of training.
        error: of predictions for validation; the penalty with the least is chosen.
    """
    mean, std = features[0].mean(axis=0), features[0].std(axis=0)
    varies = np.ptp(features[0], axis=0) > 0  # the std of equal numbers may not be 0
    train, *others = ((part - mean)[:, varies] / std[varies] for part in features)
    centre = targets.mean(axis=0)
    by_rows = len(train) <= train.shape[1]
    # of the kernel matrix or of the covariances, whichever is smaller
    matrix = train @ train.T if by_rows else train.T @ train
    values, vectors = np.linalg.eigh(matrix)
    values = values.clip(0)
    right = vectors.T @ ((targets - centre) if by_rows else train.T @ (targets - centre))
    left = [part @ train.T @ vectors if by_rows else part @ vectors for part in others]
    best: tuple[Floats, Floats] | None = None
    least = np.inf
    for strength in STRENGTHS:
        weights = right / (values + strength * len(train) / 100)[:, None]
        predicted = [part @ weights + centre for part in left]
        if best is None or error(predicted[0]) < least:
            best, least = (predicted[0], predicted[1]), error(predicted[0])
    assert best is not None
    return best


def _ridge(
    splits: Splits, targets: Floats, error: Callable[[Floats], float]
) -> tuple[Floats, Floats]:
    """Return what ridge regression on MiniRocket's features predicts for validation and test."""
    parts = (splits.train, splits.valid, splits.test)
    count = sum(map(len, parts))
    typical = int(np.median([len(example.values) for example in splits.train]))
    length = max(min(typical, STEPS // count), minirocket.TAPS)
    arrays = [_equal(part, length).transpose(0, 2, 1) for part in parts]
    fitted = minirocket.fit(arrays[0], FEATURES)
    return fit_ridge([minirocket.transform(part, fitted) for part in arrays], targets, error)


def _nearest(splits: Splits) -> tuple[Labels, Labels]:
    """Return the nearest training sequence of each of validation and test."""
    typical = int(np.median([len(example.values) for example in splits.train]))
    length = min(typical, neighbours.MOST_STEPS)
    band = max(int(np.ceil(neighbours.BAND * length)), 1)
    kept = neighbours.thinned(len(splits.train), len(splits.valid) + len(splits.test))
    train = _equal([splits.train[place] for place in kept], length)
    found = []
    for part in (splits.valid, splits.test):
        places = [
            neighbours.distances(_equal(part[start : start + 256], length), train, band).argmin(1)
            for start in range(0, len(part), 256)
        ]
        found.append(kept[np.concatenate(places)])
    return found[0], found[1]


def _equal(examples: Sequence[Example], length: int) -> Floats:
    """Return sequences ``[N, L, F]`` of one length; those that have it are as they are."""
    arrays = [example.values.double().numpy() for example in examples]
    return np.stack(
        [
            values if len(values) == length else neighbours.resampled(values, length)
            for values in arrays
        ]
    )


def _scaled(splits: Splits) -> Splits:
    """Return the splits with standardised columns, and what was observed as further ones."""
    spec = input_spec(splits.train)
    assert spec.mean is not None
    assert spec.std is not None
    mean, std = spec.mean, torch.where(spec.std > 0, spec.std, 1.0)

    def scale(example: Example) -> Example:
        values = (example.values - mean) / std
        if example.observed is not None:
            values = torch.cat([values, example.observed.to(values.dtype)], dim=1)
        return replace(example, values=values)

    return Splits(
        *([scale(one) for one in part] for part in (splits.train, splits.valid, splits.test))
    )


def _targets(examples: Sequence[Example]) -> Floats:
    return np.array([float(example.targets) for example in examples])


def _accuracy(scores: Floats, labels: Labels) -> float:
    return -float((scores.argmax(axis=1) == labels).mean())


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    logits: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logits
