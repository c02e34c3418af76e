"""What anomaly tasks share: steps of series, forecasts of them, and scores of samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from seqbench.api import Splits
from seqbench.tasks.anomaly.detection import DetectionMetrics, detector_predictions
from seqbench.tasks.anomaly.recordings import SHORTEST
from seqbench.tasks.anomaly.series import (
    LEAD_IN,
    Parts,
    Scale,
    Series,
    Steps,
    make_splits,
    step_features,
    unpack,
)
from seqbench.tasks.anomaly.student import FREEDOM, LIMIT, residual_nll, static_prediction
from seqbench.tasks.anomaly.vus import vus_pr
from seqbench.tasks.anomaly.watch import BUFFER, WATCH_STEPS, Watch

SPLITS = ("train", "valid", "test")
WINDOW = WATCH_STEPS.window


@pytest.fixture(scope="module")
def task() -> Watch:
    task = Watch()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Watch) -> Splits:
    return task.splits(3)


# Steps


def test_features_of_a_step_are_its_statistics() -> None:
    values = np.arange(24.0).reshape(12, 2) ** 2
    found = step_features(values, 5)
    assert (2, 6) == found.shape
    first = values[:5]
    expected = [
        *first.mean(axis=0),
        *np.log(first.std(axis=0) + 0.01),
        *np.log(np.diff(first, axis=0).std(axis=0) + 0.01),
    ]
    assert expected == pytest.approx(found[0].tolist())
    assert step_features(values, 1) is values


def make_parts(rng: np.random.Generator, lengths: tuple[int, int, int]) -> Parts:
    parts = []
    for number, length in enumerate(lengths):
        labels = np.zeros(length, dtype=bool)
        labels[length // 2 : length // 2 + 7] = True
        parts.append([Series(rng.normal(size=(length, 2)), labels, str(number))])
    return Parts(*parts)


def test_every_step_of_every_reading_counts_once() -> None:
    """In test also where a series is cut into pieces; in the others, the steps without a label."""
    parts = make_parts(np.random.default_rng(0), (203, 107, 20_011))
    splits = make_splits(parts, Steps(window=4, hop=2, train_hop=4, crop=8), 50)
    assert 6 == len(splits.test)  # two readings of 5,002 steps, each in three pieces
    firsts: list[int] = []
    for example in splits.test:
        kept = slice(None) if example.target_mask is None else example.target_mask
        firsts += unpack(example.targets[kept], 4).first.tolist()
    assert sorted([*range(0, 20_008, 4), *range(2, 20_010, 4)]) == sorted(firsts)
    valid = [unpack(example.targets[example.target_mask], 4) for example in splits.valid]
    labels = parts.valid[0].labels
    expected = [
        first for first in range(0, 104, 2) if first <= 103 and not labels[first : first + 4].any()
    ]
    assert expected == sorted(first for row in valid for first in row.first.tolist())
    trained = {
        first
        for example in splits.train
        for first in unpack(example.targets[example.target_mask], 4).first.tolist()
    }
    labels = parts.train[0].labels
    assert {f for f in range(0, 200, 4) if not labels[f : f + 4].any()} == trained
    assert all(len(example.values) == 8 for example in splits.train)
    assert {50, 51, 52} == {
        int(example.targets[0, -2]) for part in SPLITS for example in getattr(splits, part)
    }


def test_a_long_series_is_read_with_a_lead_in() -> None:
    """Each further piece begins with steps that are read again and do not count."""
    parts = make_parts(np.random.default_rng(0), (50, 50, 4500))
    test = make_splits(parts, Steps(1, 1, 1, 8)).test
    assert [2000, 2000, 900] == [len(example.values) for example in test]
    assert test[0].target_mask is None
    assert torch.equal(test[0].values[-LEAD_IN:], test[1].values[:LEAD_IN])
    mask = test[1].target_mask
    assert mask is not None
    assert [False] * LEAD_IN + [True] * 1800 == mask.tolist()


def test_scales_are_the_training_splits() -> None:
    """What is in the other parts moves nothing in training; training's normal steps are scaled."""
    rng = np.random.default_rng(0)
    parts = make_parts(rng, (300, 100, 100))
    steps = Steps(5, 5, 5, 10)
    before = make_splits(parts, steps)
    moved = Series(100 + 9 * parts.test[0].values, parts.test[0].labels, "2")
    after = make_splits(parts._replace(test=[moved]), steps)
    for one, other in zip(before.train, after.train, strict=True):
        assert torch.equal(one.values, other.values)
    rows: dict[int, torch.Tensor] = {}
    for example in before.train:
        row = unpack(example.targets[example.target_mask], 5)
        rows |= dict(zip(row.first.tolist(), row.features, strict=True))
    together = torch.stack(list(rows.values()))
    assert together.mean(dim=0).tolist() == pytest.approx([0] * 6, abs=1e-6)
    assert together.std(dim=0, correction=0).tolist() == pytest.approx([1] * 6, rel=1e-5)


@pytest.mark.parametrize("value", [2.0, 36.6])
def test_a_constant_feature_has_the_scale_one(value: float) -> None:
    """Also where its standard deviation comes out as 5e-14, as that of 77 times 36.6 does."""
    rows = np.stack([np.arange(77.0), np.full(77, value)], axis=1)
    scale = Scale.of([rows])
    assert [rows[:, 0].std(), 1.0] == pytest.approx(scale.std.tolist())
    assert [0.0, 5.0] == pytest.approx(scale(np.array([[38.0, value + 5]]))[0].tolist())


def test_labels_are_no_input_and_no_part_of_the_loss(task: Watch, splits: Splits) -> None:
    """Other labels of the test series change neither what models see nor the loss."""
    parts = make_parts(np.random.default_rng(0), (200, 100, 100))
    unlabelled = Series(parts.test[0].values, np.zeros(100, dtype=bool), "2")
    steps = Steps(5, 1, 5, 10)
    for one, other in zip(
        make_splits(parts, steps).test,
        make_splits(parts._replace(test=[unlabelled]), steps).test,
        strict=True,
    ):
        assert torch.equal(one.values, other.values)
    targets = splits.test[0].targets
    features = splits.test[0].values.shape[1]
    flipped = targets.clone()
    flipped[:, features : features + WINDOW] = 1 - targets[:, features : features + WINDOW]
    predictions = torch.randn(len(targets), 2 * features)
    assert torch.equal(task.loss(predictions, targets), task.loss(predictions, flipped))


# The forecast


def random_forecast(features: int, full: bool) -> tuple[torch.Tensor, np.ndarray]:
    """Return a prediction ``[K]`` and the lower-triangular L that it stands for."""
    generator = torch.Generator().manual_seed(features)
    size = 2 * features + full * features * (features - 1) // 2
    prediction = torch.randn(size, generator=generator, dtype=torch.float64)
    diagonal = np.exp(LIMIT * np.tanh(prediction[features : 2 * features].numpy() / LIMIT))
    lower = np.diag(diagonal)
    if full:
        lower[np.tril_indices(features, -1)] = prediction[2 * features :].numpy()
    return prediction, lower


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_the_loss_is_the_nll_of_the_multivariate_t(features: int, full: bool) -> None:
    """Against scipy, per feature."""
    prediction, lower = random_forecast(features, full)
    observed = np.random.default_rng(0).normal(size=(4, features))
    reference = scipy.stats.multivariate_t(
        prediction[:features].numpy(), np.linalg.inv(lower.T @ lower), df=FREEDOM
    )
    found = residual_nll(prediction.expand(4, -1), torch.from_numpy(observed))
    expected = -np.atleast_1d(reference.logpdf(observed)) / features
    assert expected == pytest.approx(found.numpy())


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("features", [1, 3, 10])
def test_static_is_the_most_likely_forecast(features: int, full: bool) -> None:
    """No small step away from it in any parameter makes training more likely."""
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(features, features)) / np.sqrt(features)
    observed = rng.standard_t(4, size=(500, features)) @ (np.eye(features) + mix) + 3
    static = static_prediction(observed, full, iterations=300).double().requires_grad_()
    nll = residual_nll(static.expand(500, -1), torch.from_numpy(observed)).mean()
    (gradient,) = torch.autograd.grad(nll, static)
    assert gradient.abs().max() < 1e-3
    gaussian = torch.zeros(len(static), dtype=torch.float64)
    gaussian[:features] = torch.from_numpy(observed.mean(axis=0))
    assert nll < residual_nll(gaussian.expand(500, -1), torch.from_numpy(observed)).mean()


def test_static_bears_constant_and_doubled_features() -> None:
    rng = np.random.default_rng(0)
    column = rng.normal(size=100)
    observed = np.stack([column, column, np.ones(100)], axis=1)
    assert static_prediction(observed, True).isfinite().all()


def test_the_head_starts_at_static(task: Watch, splits: Splits) -> None:
    spec = task.output_spec(splits.train)
    assert 18 + 18 + 18 * 17 // 2 == spec.size
    assert spec.bias is not None
    assert torch.equal(spec.bias, task.baselines(splits)["static"][0][0])


# Scores


def test_a_samples_score_is_the_mean_over_the_steps_that_hold_it() -> None:
    """Two series, one read twice; what a detector says of its samples and what a forecast does."""
    window, features = 2, 1
    labels = [[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]
    where = [[7, 0], [7, 2], [7, 1], [7, 3], [9, 0]]
    values = [0.0, 3.0, 1.0, 0.0, 0.5]
    targets = torch.tensor(
        [[value, *row, *at] for value, row, at in zip(values, labels, where, strict=True)]
    )
    metrics = DetectionMetrics(window, 2)
    forecast = torch.zeros(5, 2 * features)
    sequences = torch.tensor([0, 0, 1, 1, 2])
    metrics.update(forecast[:2], targets[:2], sequences[:2])
    metrics.update(forecast[2:], targets[2:], sequences[2:])
    nll = residual_nll(forecast, targets[:, :1]).tolist()
    expected = [
        [nll[0], (nll[0] + nll[2]) / 2, (nll[1] + nll[2]) / 2, (nll[1] + nll[3]) / 2, nll[3]],
        [nll[4], nll[4]],
    ]
    scores, anomalous = metrics.samples()
    assert [pytest.approx(series) for series in expected] == [list(series) for series in scores]
    assert [[0, 0, 1, 1, 0], [0, 0]] == [series.tolist() for series in anomalous]
    together, flat = np.concatenate(scores), np.concatenate(anomalous)
    assert metrics.compute() == pytest.approx(
        {
            "vus_pr": vus_pr(scores, anomalous, 2),
            "auprc": average_precision_score(flat, together),
            "auroc": roc_auc_score(flat, together),
            "nll": (nll[0] + nll[4]) / 2,
        }
    )
    detector = DetectionMetrics(window, 2)
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    detector.update(detector_predictions(given), targets, sequences)
    assert [[1, 2, 3, 4, 5], [6, 7]] == [list(series) for series in detector.samples()[0]]
    assert math.isnan(detector.compute()["nll"])


def test_a_forecast_that_is_not_finite_has_no_score() -> None:
    targets = torch.tensor([[0.0, 1, 0, 0], [0.0, 0, 0, 1]])
    metrics = DetectionMetrics(1, 2)
    metrics.update(torch.full((2, 2), math.nan), targets, torch.zeros(2, dtype=torch.long))
    assert all(math.isnan(value) for value in metrics.compute().values())


def test_validation_without_anomalies_has_an_nll_alone(task: Watch, splits: Splits) -> None:
    metrics = task.metrics()
    static = task.output_spec(splits.train).bias
    assert static is not None
    for number, example in enumerate(splits.valid):
        count = len(example.values)
        metrics.update(static.expand(count, -1), example.targets, torch.full((count,), number))
    scores = metrics.compute()
    assert math.isfinite(scores["nll"])
    assert all(math.isnan(scores[name]) for name in ("vus_pr", "auprc", "auroc"))


def test_the_buffer_is_as_wide_as_the_shortest_splice() -> None:
    assert SHORTEST == BUFFER


def test_rows_are_what_targets_say(splits: Splits) -> None:
    example = splits.test[0]
    row = unpack(example.targets, WINDOW)
    assert torch.equal(example.values, row.features)
    assert list(range(0, WINDOW * len(example.values), WINDOW)) == row.first.tolist()
