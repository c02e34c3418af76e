"""Simple predictors of steps, which see a few steps around each.

Legend: T steps, F columns, W steps of a window, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import Example, Splits
from seqbench.tasks.data.baselines import fit_ridge
from seqbench.tasks.data.examples import input_spec

WINDOWS_VERSION = "2"
"""Changes whenever the same data would give other predictions."""
MOST_INPUTS = 1000
"""Numbers that a window has: it is shorter where there are many columns."""
MOST_ROWS = 20_000
"""Steps that are fitted on, evenly spread over the training split."""
REACHES = ((4, 4), (24, 8))
"""Steps before one that are seen, and after it where a task allows that; validation chooses."""
PENALTIES = (0.01, 0.1, 1.0)
"""Inverse L2 penalties of the logistic regression, from which validation chooses."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def label_steps(splits: Splits, classes: int, online: bool) -> dict[str, list[Tensor]]:
    """Return log probabilities ``[T, K]`` of every test sequence, by baseline.

    * ``majority``: the training steps' smoothed shares, ``(count + 1/2) / (N + K / 2)``.
    * ``logistic_regression``: multinomial, of the steps around one, or up to it if ``online``.

    Args:
        splits: targets are class numbers of steps.
        classes: K.
        online: whether steps after one may not be seen.
    """
    labels = _counted([example.targets.numpy() for example in splits.train], splits.train)
    shares = (np.bincount(labels, minlength=classes) + 0.5) / (len(labels) + classes / 2)
    logs = torch.from_numpy(np.log(shares))
    found = {"majority": [logs.expand(len(example.values), -1) for example in splits.test]}
    found["logistic_regression"] = found["majority"]  # where there is but one class
    if len(set(labels.tolist())) > 1:
        found["logistic_regression"] = _logistic(splits, labels, classes, online)
    return found


def _logistic(splits: Splits, labels: Labels, classes: int, online: bool) -> list[Tensor]:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    truth = _counted([example.targets.numpy() for example in splits.valid], splits.valid)
    kept = _spread(len(labels))
    least, best = np.inf, None
    with threadpool_limits(limits=1):
        for behind, ahead in REACHES:
            view = _view(splits, 0 if online else ahead, behind)
            train = _counted([view(example) for example in splits.train], splits.train)
            valid = _counted([view(example) for example in splits.valid], splits.valid)
            for strength in PENALTIES:
                model = LogisticRegression(C=strength, max_iter=500).fit(train[kept], labels[kept])
                logits = _all_classes(model, valid, classes)
                nll = -logits[np.arange(len(truth)), truth].mean()
                if best is None or nll < least:
                    least, best = nll, (model, view)
        assert best is not None
        model, view = best
        return [
            torch.from_numpy(_all_classes(model, view(example), classes)) for example in splits.test
        ]


def _all_classes(model: Any, rows: Floats, classes: int) -> Floats:
    """Return log probabilities ``[N, K]``; a class that was not trained on has next to none."""
    known = np.asarray(model.classes_)
    logits = np.full((len(rows), classes), np.log(1e-12))
    chances = model.predict_proba(rows)
    logits[:, known] = np.log(np.maximum(chances, 1e-12))
    return logits


def forecast(
    splits: Splits,
    columns: Sequence[int],
    horizon: int,
    season: int,
    ends: int,
    two_sided: bool = False,
) -> dict[str, list[Tensor]]:
    """Return forecasts ``[T, horizon * len(columns)]`` of every test sequence, by baseline.

    * ``mean``: of the training steps.
    * ``last``: the last value that may be seen.
    * ``seasonal``: the value one season before, or as many as there must be; ``last`` where a
      sequence has not gone on for so long.
    * ``ridge``: linear regression on the last steps of all columns, with the window and the L2
      penalty that validation chooses by MSE.

    Of those that see both sides there are ``mean``, ``two_sided_neighbours``, the mean of the
    values before and after, and ``two_sided_ridge``.

    Args:
        splits: targets are the values that follow, ``[T, horizon * len(columns)]``.
        columns: that are forecast.
        horizon: steps ahead.
        season: steps of a season.
        ends: steps before its target at which a window ends: 1 where a step is predicted from the
            steps before it, 0 where its targets follow it.
        two_sided: whether the steps after the predicted one are seen as well; of one step ahead.
    """
    spec = input_spec(splits.train)
    assert spec.mean is not None
    mean = spec.mean.double()[list(columns)].repeat(horizon)
    found = {"mean": [mean.expand(len(example.values), -1) for example in splits.test]}
    if two_sided:
        found["two_sided_neighbours"] = [
            _neighbours(example.values.double()[:, list(columns)]) for example in splits.test
        ]
        found["two_sided_ridge"] = _ridge(splits, ends, two_sided)
        return found
    for name, back in (("last", 0), ("seasonal", season)):
        found[name] = [_back(example, columns, horizon, back, ends) for example in splits.test]
    found["ridge"] = _ridge(splits, ends, two_sided)
    return found


def _neighbours(values: Tensor) -> Tensor:
    """Return the mean of the values before and after each, of the one that there is at the ends."""
    before = torch.cat([values[:1], values[:-1]])
    after = torch.cat([values[1:], values[-1:]])
    found = (before + after) / 2
    found[0], found[-1] = after[0], before[-1]
    return found


def _ridge(splits: Splits, ends: int, two_sided: bool) -> list[Tensor]:
    """Return what ridge regression on steps nearby predicts, as a change from the mean."""
    from threadpoolctl import threadpool_limits

    targets = [
        _counted([example.targets.double().numpy() for example in part], part)
        for part in (splits.train, splits.valid)
    ]
    kept = _spread(len(targets[0]))
    mean, std = targets[0].mean(axis=0), targets[0].std(axis=0)
    std = np.where(np.ptp(targets[0], axis=0) > 0, std, 1.0)
    truth = (targets[1] - mean) / std

    def error(predicted: Floats) -> float:
        return float(((predicted - truth) ** 2).mean())

    best, least = np.empty(0), np.inf
    with threadpool_limits(limits=1):
        for behind, ahead in REACHES:
            view = (
                _view(splits, ahead, behind + 1, without=True)
                if two_sided
                else _view(splits, -ends, behind)
            )
            train, valid = (
                _counted([view(example) for example in part], part)
                for part in (splits.train, splits.valid)
            )
            test = np.concatenate([view(example) for example in splits.test])
            of_valid, of_test = fit_ridge(
                [train[kept], valid, test], (targets[0][kept] - mean) / std, error
            )
            if not len(best) or error(of_valid) < least:
                best, least = of_test, error(of_valid)
    lengths = [len(example.values) for example in splits.test]
    return list(torch.split(torch.from_numpy(best * std + mean), lengths))


def _back(example: Example, columns: Sequence[int], horizon: int, season: int, ends: int) -> Tensor:
    """Return for each step the last value, or the one a season before each that is forecast."""
    values = example.values.double()[:, list(columns)]
    steps = torch.arange(len(values))
    last = (steps - ends).clamp(min=0)
    found = []
    for ahead in range(horizon):
        places = last
        if season:
            before = steps - ends + 1 + ahead - season * (ahead // season + 1)
            places = torch.where(before >= 0, before, last)
        found.append(values[places])
    return torch.cat(found, dim=1)


def _view(
    splits: Splits, ahead: int, behind: int, without: bool = False
) -> Callable[[Example], Floats]:
    """Return what is seen of each step: standardised steps up to ``ahead`` after it.

    Before a sequence's first step and after its last there are zeros, the training means.

    Args:
        splits: whose training split gives means and deviations.
        ahead: at least -1.
        behind: steps up to the one itself, or where ``ahead`` is -1 up to the one before it.
        without: whether the step itself is left out.
    """
    spec = input_spec(splits.train)
    assert spec.mean is not None
    assert spec.std is not None
    mean, std = spec.mean.double(), torch.where(spec.std > 0, spec.std, 1.0).double()
    width = len(mean) * (2 if spec.missing else 1)
    most = max(MOST_INPUTS // width, 1)
    after = min(ahead, max((most - 1) // 2, 0)) if ahead > 0 else ahead
    size = min(behind + max(after, 0), most)
    steps = [at for at in range(size) if not (without and at == size - 1 - after)]

    def view(example: Example) -> Floats:
        rows = (example.values.double() - mean) / std
        if example.observed is not None:
            rows = torch.cat([rows, example.observed.double()], dim=1)
        length = len(rows)
        padded = np.zeros((length + size + abs(after), rows.shape[1]))
        padded[size : size + length] = rows.numpy()
        # step t is row t + size there, and its window ends with row t + size + after
        first = 1 + after
        cut = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
        return np.ascontiguousarray(cut[first : first + length, :, steps]).reshape(length, -1)

    return view


def _counted(arrays: Sequence[NDArray[Any]], examples: Sequence[Example]) -> NDArray[Any]:
    """Return the rows of arrays ``[T, ...]`` that count, of all examples."""
    return np.concatenate(
        [
            array if example.target_mask is None else array[example.target_mask.numpy()]
            for array, example in zip(arrays, examples, strict=True)
        ]
    )


def _spread(count: int) -> Labels:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).astype(np.int64))
