"""Simple predictors of risk, fitted on a fold's training patients.

Validation chooses the penalty of the logistic regressions, and the learning rate, size and number
of trees of the gradient boosting, each by the mean negative log-likelihood.

Legend of shapes: M rows, one for each prediction, D features, N steps of all patients end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import Example, Splits

Floats = NDArray[np.float64]

BASELINES_VERSION = "1"
"""Changes whenever the same records would give other predictions."""
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Inverse L2 penalties C of the logistic regressions, on standardised features."""
BOOSTERS = ((0.05, 4), (0.05, 8))
"""Learning rates and leaves of the gradient boosting's trees."""
TREES = range(20, 301, 20)


class Rows(NamedTuple):
    """What is known at each prediction of a split, ``[M, D]`` by kind, and its label."""

    values: Floats
    """Last known values; before the first measurement the training patients' mean."""
    known: Floats
    """1 where the variable was ever measured, up to this step."""
    observed: Floats
    """1 where it is measured at this step."""
    elapsed: Floats
    """log(1 + time since the measurement before this step)."""
    change: Floats
    """Of the last known value, since the step before."""
    visits: Floats
    """``[M, 1]``: log of the number of steps so far."""
    static: Floats
    labels: Floats
    """``[M]``; NaN where there is none."""


def fit_baselines(
    splits: Splits, online: bool, demographics: tuple[str, slice]
) -> dict[str, list[Tensor]]:
    """Return every baseline's logits of the test patients: ``[T, 1]`` each if online, else ``[1]``.

    Where the training patients have one class alone, as the few of a smoke run may, or features in
    which they do not differ, a baseline is the prevalence.

    Args:
        splits: a fold's.
        online: whether steps have labels; else patients have, and are predicted at the last step.
        demographics: a name, and the static features that the baseline of that name sees.
    """
    from threadpoolctl import threadpool_limits

    train, valid, test = (
        rows_of(part, online) for part in (splits.train, splits.valid, splits.test)
    )
    labels = train.labels[~np.isnan(train.labels)]
    risk = (labels.sum() + 0.5) / (len(labels) + 1)
    prevalence = np.full(len(test.labels), np.log(risk / (1 - risk)))
    found = {"prevalence": prevalence}
    both = len(np.unique(labels)) == 2
    name, columns = demographics
    sets = {
        name: [rows.static[:, columns] for rows in (train, valid, test)],
        "logistic_regression": [_last_values(rows) for rows in (train, valid, test)],
        "logistic_regression_missingness": [_all_inputs(rows) for rows in (train, valid, test)],
    }
    with threadpool_limits(limits=1):  # threads fight over a busy machine's cores
        for name, features in sets.items():
            if not features[0].shape[1]:
                continue
            varies = np.ptp(features[0][~np.isnan(train.labels)], axis=0).any()
            found[name] = (
                _logistic_regression(features, train.labels, valid.labels)
                if both and varies
                else prevalence
            )
        features = [_trees_inputs(rows) for rows in (train, valid, test)]
        found["gradient_boosting"] = (
            _gradient_boosting(features, train.labels, valid.labels) if both else prevalence
        )
    lengths = [len(example.values) if online else 1 for example in splits.test]
    return {name: _by_patient(logits, lengths, online) for name, logits in found.items()}


def rows_of(examples: Sequence[Example], online: bool) -> Rows:
    """Return what is known at every step, or at each patient's last step."""
    lengths = np.array([len(example.values) for example in examples])
    starts = np.cumsum(lengths) - lengths
    start_of_step = np.repeat(starts, lengths)
    values = np.concatenate([example.values.double().numpy() for example in examples])
    observed = np.concatenate([_numpy(example.observed) for example in examples])
    delta = np.concatenate([_numpy(example.delta) for example in examples])
    static = np.stack([_numpy(example.static) for example in examples])
    counts = np.cumsum(observed, axis=0)
    counts -= (counts[starts] - observed[starts]).repeat(lengths, axis=0)
    change = np.diff(values, axis=0, prepend=values[:1])
    change[starts] = 0
    chosen = np.arange(len(values)) if online else starts + lengths - 1
    return Rows(
        values=values[chosen],
        known=(counts > 0)[chosen].astype(float),
        observed=observed[chosen],
        elapsed=np.log1p(delta[chosen]),
        change=change[chosen],
        visits=np.log(chosen - start_of_step[chosen] + 1.0)[:, None],
        static=static.repeat(lengths, axis=0)[chosen],
        labels=np.concatenate([_labels(example, online) for example in examples]),
    )


def _last_values(rows: Rows) -> Floats:
    return np.concatenate([rows.values, rows.known, rows.static], axis=1)


def _all_inputs(rows: Rows) -> Floats:
    return np.concatenate([_last_values(rows), rows.observed, rows.elapsed], axis=1)


def _trees_inputs(rows: Rows) -> Floats:
    values = np.where(rows.known > 0, rows.values, np.nan)
    others = (rows.observed, rows.elapsed, rows.change, rows.visits, rows.static)
    return np.concatenate([values, *others], axis=1)


def _logistic_regression(features: list[Floats], train: Floats, valid: Floats) -> Floats:
    from sklearn.linear_model import LogisticRegression

    fitted = ~np.isnan(train)
    mean, std = features[0][fitted].mean(axis=0), features[0][fitted].std(axis=0)
    varies = np.ptp(features[0][fitted], axis=0) > 0  # the std of equal numbers may not be 0
    scaled = [((part - mean)[:, varies] / std[varies]) for part in features]
    candidates = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=300)
        model.fit(scaled[0][fitted], train[fitted])
        candidates.append((model.decision_function(scaled[1]), model))
    _, best = min(candidates, key=lambda candidate: _nll(candidate[0], valid))
    logits: Floats = best.decision_function(scaled[2])
    return logits


def _gradient_boosting(features: list[Floats], train: Floats, valid: Floats) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = ~np.isnan(train)
    # what no training patient ever had measured cannot be binned
    seen = ~np.isnan(features[0][fitted]).all(axis=0)
    features = [part[:, seen] for part in features]
    best, least = np.zeros(0), np.inf
    for rate, leaves in BOOSTERS:
        model = HistGradientBoostingClassifier(
            learning_rate=rate,
            max_leaf_nodes=leaves,
            max_iter=TREES[-1],
            min_samples_leaf=20,
            l2_regularization=5.0,
            early_stopping=False,
            random_state=0,
        )
        model.fit(features[0][fitted], train[fitted])
        stages = zip(
            model.staged_decision_function(features[1]),
            model.staged_decision_function(features[2]),
            strict=True,
        )
        for trees, (chosen_on, logits) in enumerate(stages, start=1):
            if trees in TREES and (loss := _nll(chosen_on.ravel(), valid)) < least:
                best, least = logits.ravel(), loss
    return best


def _nll(logits: Floats, labels: Floats) -> float:
    return float(np.nanmean(np.logaddexp(0, logits) - labels * logits))


def _labels(example: Example, online: bool) -> Floats:
    labels = np.atleast_1d(example.targets.double().numpy())
    if online and example.target_mask is not None:
        labels = np.where(example.target_mask.numpy(), labels, np.nan)
    return labels


def _by_patient(logits: Floats, lengths: list[int], online: bool) -> list[Tensor]:
    parts = torch.split(torch.from_numpy(logits)[:, None], lengths)
    return list(parts) if online else [part[0] for part in parts]


def _numpy(tensor: Tensor | None) -> Floats:
    """Return a field that may be absent as numbers; absent has no column."""
    if tensor is None:
        return np.zeros(0)
    array: Floats = tensor.double().numpy()
    return array
