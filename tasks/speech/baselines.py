"""Simple classifiers of sequences, fitted on the training split.

All but the first see the same numbers of each sequence: each feature's mean, its standard
deviation and its means over equal segments of time, and the logarithm of the length.

Legend: N sequences, T steps, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import Example, Splits

BASELINES_VERSION = "1"
"""Changes whenever the same data would give other predictions."""
SEGMENTS = 8
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse L2 penalties C of the logistic regression, from which validation chooses."""
BOOSTING_ROUNDS = 50
"""Of the gradient boosting at most; validation chooses how many are kept."""
_SMALLEST = 1e-12  # a probability's floor in a logarithm
_CONSTANT = 1e-9  # a number that deviates less does not change: a mean that was subtracted

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def fit_baselines(splits: Splits, classes: int) -> dict[str, list[Tensor]]:
    """Return the log probabilities ``[K]`` of every test sequence, by baseline.

    ``majority`` gives every sequence the training split's smoothed shares ``(count + 1/2) / (N + K
    / 2)``. ``logistic_regression`` is multinomial, on standardised numbers. ``gradient_boosting``
    is scikit-learn's histogram-based one. Validation chooses, by NLL, the penalty of the one and
    the number of rounds of the other.

    Args:
        splits: a class that the training split lacks is all but impossible to the last two.
        classes: K.
    """
    from threadpoolctl import threadpool_limits

    train, valid, test = (
        np.stack([statistics(example.values) for example in examples])
        for examples in (splits.train, splits.valid, splits.test)
    )
    labels, valid_labels = _labels(splits.train), _labels(splits.valid)
    shares = (np.bincount(labels, minlength=classes) + 0.5) / (len(labels) + classes / 2)
    found = {"majority": np.tile(np.log(shares), (len(test), 1))}
    # problems this small run many times slower when threads fight over a busy machine's cores
    with threadpool_limits(limits=1):
        for name, fit in (
            ("logistic_regression", _logistic_regressions),
            ("gradient_boosting", _gradient_boosting),
        ):
            candidates = fit(train, labels, (valid, test)) if len(set(labels)) > 1 else []
            best = np.inf
            found[name] = found["majority"]  # where there is but one class
            for of_valid, of_test in candidates:
                nll = _nll(_all_classes(of_valid, labels, classes), valid_labels)
                if nll < best:
                    best, found[name] = nll, _all_classes(of_test, labels, classes)
    return {name: list(torch.from_numpy(logits)) for name, logits in found.items()}


def statistics(values: Tensor) -> Floats:
    """Return ``[F (2 + SEGMENTS) + 1]`` numbers of a sequence ``[T, F]``.

    A segment is an equal share of the time T, so its ends may fall inside a step.
    """
    steps = values.double().numpy()
    length = len(steps)
    sums = np.concatenate([np.zeros((1, steps.shape[1])), steps.cumsum(axis=0)])
    ends = np.linspace(0, length, SEGMENTS + 1)
    whole = np.minimum(ends.astype(int), length - 1)
    at_ends = sums[whole] + (ends - whole)[:, None] * steps[whole]
    segments = np.diff(at_ends, axis=0) * SEGMENTS / length
    parts = [steps.mean(axis=0), steps.std(axis=0), segments.ravel(), [np.log(length)]]
    return np.concatenate(parts)


def _logistic_regressions(
    train: Floats, labels: Labels, others: tuple[Floats, Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the probabilities that each penalty's model gives the other two parts."""
    from sklearn.linear_model import LogisticRegression

    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > _CONSTANT, std, 1.0)
    valid, test = ((part - mean) / std for part in others)
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=2000).fit((train - mean) / std, labels)
        yield model.predict_proba(valid), model.predict_proba(test)


def _gradient_boosting(
    train: Floats, labels: Labels, others: tuple[Floats, Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the probabilities that the model gives the other two parts after each round."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=BOOSTING_ROUNDS, learning_rate=0.2, max_depth=3, max_features=0.2, max_bins=31,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(train, labels)
    valid, test = (model.staged_predict_proba(part) for part in others)
    yield from zip(valid, test, strict=True)


def _all_classes(probabilities: Floats, labels: Labels, classes: int) -> Floats:
    """Return log probabilities ``[N, K]`` from those of the classes that were trained on."""
    logarithms = np.full((len(probabilities), classes), np.log(_SMALLEST))
    logarithms[:, np.unique(labels)] = np.log(np.maximum(probabilities, _SMALLEST))
    return logarithms


def _labels(examples: Sequence[Example]) -> Labels:
    return np.array([int(example.targets) for example in examples])


def _nll(log_probabilities: Floats, labels: Labels) -> float:
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
