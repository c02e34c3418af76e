"""The watch: fetched once into the user's cache, or read from it; and what anomaly tasks share."""

from __future__ import annotations

import inspect
import io
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from sklearn.metrics import average_precision_score, roc_auc_score

from seqbench.api import Splits
from seqbench.tasks.anomaly import recordings as recordings_module
from seqbench.tasks.anomaly.detection import DetectionMetrics, detector_predictions
from seqbench.tasks.anomaly.recordings import (
    APART,
    LONGEST,
    SHORTEST,
    Key,
    Recordings,
    load_recordings,
    splice,
    turned,
)
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
from seqbench.tasks.anomaly.student import (
    FREEDOM,
    LIMIT,
    residual_nll,
    static_prediction,
)
from seqbench.tasks.anomaly.vus import label_ranges, vus_pr
from seqbench.tasks.anomaly.watch import BUFFER, WATCH_STEPS, Watch
from seqbench.testing import check_task
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid", "test")
WINDOW = WATCH_STEPS.window


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return load_recordings()


@pytest.fixture(scope="module")
def task() -> Watch:
    task = Watch()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Watch) -> Splits:
    return task.splits(3)


# The watch's data


def test_it_keeps_the_contract_of_tasks() -> None:
    check_task(Watch(fold=2))


def test_parameters_are_those_of_its_configuration() -> None:
    config = OmegaConf.load(ROOT / "conf" / "task" / "anomaly" / "watch.yaml")
    parameters = {
        name: parameter.default for name, parameter in inspect.signature(Watch).parameters.items()
    }
    assert config == {"name": "anomaly/watch", **parameters}


def test_recordings_are_those_of_the_archive(recordings: Recordings) -> None:
    """One for each of 10 subjects, 7 exercises and 2 sides; the first as the archive has it."""
    assert {
        (subject, exercise, side)
        for subject in range(1, 11)
        for exercise in range(7)
        for side in (0, 1)
    } == set(recordings)
    assert 244_102 == sum(len(values) for values in recordings.values())
    first = recordings[Key(7, 0, 1)]
    assert (1333, 6) == first.shape
    expected = [-1.083608, -0.018609, -0.02726, 0.41141, -1.603097, -2.488642]
    assert expected == pytest.approx(first[0].tolist(), rel=1e-6)


def test_sizes_are_those_of_the_data(task: Watch) -> None:
    counts = {name: [0, 0] for name in SPLITS}
    for fold in task.folds():
        parts = task.parts(fold)
        for name, part in zip(SPLITS, parts, strict=True):
            counts[name][0] += len(part)
            counts[name][1] += sum(len(series.values) for series in part)
    anomalous = sum(s.labels.sum() for fold in task.folds() for s in task.parts(fold).test)
    copies = recordings_module.COPIES
    assert dict(Watch.sizes) == {
        "train": f"{counts['train'][0] // copies} recordings of 5 subjects, each in 5 copies",
        "valid": f"{counts['valid'][0]} recordings of 1 subject",
        "test": (
            f"{counts['test'][0]} recordings of 4 subjects, {counts['test'][1]:,} samples,"
            f" {anomalous / counts['test'][1]:.1%} of them in a splice"
        ),
    }


def test_no_subject_is_on_both_sides(task: Watch) -> None:
    for fold in task.folds():
        splits = task.splits(fold)
        assert {f"subject {n}" for n in range(1, 6)} == {e.unit for e in splits.train}
        assert {"subject 6"} == {e.unit for e in splits.valid}
        assert {f"subject {n}" for n in range(7, 11)} == {e.unit for e in splits.test}


def test_splices_are_in_test_alone_and_labelled(task: Watch, recordings: Recordings) -> None:
    """Three of 100 to 200 samples, apart, from another exercise of the same subject and side."""
    for fold in task.folds():
        parts = task.parts(fold)
        assert not any(series.labels.any() for series in (*parts.train, *parts.valid))
        keys = [Key(subject, fold, side) for subject in range(7, 11) for side in (0, 1)]
        for series, key in zip(parts.test, keys, strict=True):
            original = recordings[key]
            assert original.shape == series.values.shape
            assert (original[~series.labels] == series.values[~series.labels]).all()
            ranges = label_ranges(series.labels)
            assert 3 == len(ranges)
            assert all(SHORTEST <= last - first + 1 <= LONGEST for first, last in ranges)
            borders = [-1, *(end for span in ranges for end in span), len(original)]
            gaps = np.diff(borders)[::2] - 1
            assert gaps.min() >= APART
            for first, last in ranges:
                spliced = series.values[first : last + 1].tobytes()
                sources = {
                    other
                    for other in range(7)
                    if spliced in recordings[key._replace(exercise=other)].tobytes()
                }
                assert len(sources) == 1
                assert fold not in sources


def test_splices_are_everywhere_the_same(recordings: Recordings) -> None:
    """Where they are comes of hashes; these places are part of the task's version."""
    ranges = label_ranges(splice(recordings, Key(7, 0, 0)).labels)
    assert [(399, 540), (654, 795), (960, 1148)] == ranges


def test_validation_and_training_are_normal_movement(task: Watch, recordings: Recordings) -> None:
    parts = task.parts(4)
    assert recordings[Key(6, 4, 0)].tolist() == parts.valid[0].values.tolist()
    assert recordings[Key(1, 4, 0)].tolist() == parts.train[0].values.tolist()


def test_a_turned_copy_is_the_recording_under_a_rotation(recordings: Recordings) -> None:
    """Lengths and angles between vectors stay; copies differ, and by a few degrees."""
    values = recordings[Key(2, 1, 1)]
    copies = [turned(values, Key(2, 1, 1), copy) for copy in range(4)]
    assert copies[0] is values
    for copy in copies[1:]:
        for vectors in (slice(0, 3), slice(3, 6)):
            before, after = values[:, vectors], copy[:, vectors]
            assert before[:50] @ before[:50].T == pytest.approx(after[:50] @ after[:50].T)
        rotation = np.linalg.lstsq(values[:, :3], copy[:, :3])[0].T
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert rotation == pytest.approx(np.linalg.lstsq(values[:, 3:], copy[:, 3:])[0].T)
        angle = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
        assert 0.5 < angle < 40
    assert not np.allclose(copies[1], copies[2])


def test_an_archive_that_names_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(pickle.dumps(os.getcwd))
    with pytest.raises(pickle.UnpicklingError, match="it names"):
        recordings_module._read_object(file.getvalue())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"fold": 7}, "task.fold must be 0..6 or all, not 7"),
        ({"fold": True}, "task.fold must be 0..6 or all, not True"),
        ({"source": " "}, "task.source must be a path or null, not empty"),
        ({"window": 10}, "task.window=10 needs a task.source: the watch's protocol is fixed"),
        ({"buffer": 10}, "task.buffer=10 needs a task.source: the watch's protocol is fixed"),
        ({"label": "x"}, "task.label=x needs a task.source: the watch's protocol is fixed"),
        ({"source": "x", "window": 0}, "task.window must be at least 1 sample, not 0"),
        ({"source": "x", "window": 3}, "task.window=3 is too short for statistics"),
        ({"source": "x", "buffer": -1}, "task.buffer must be at least 0 samples, not -1"),
        ({"source": "x", "lead": 0}, "task.lead must be above 0, not 0"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=r"task\.") as refused:
        Watch(**parameters)
    assert str(refused.value).startswith(expected)


def test_a_picture_of_a_test_recording(task: Watch) -> None:
    figure = Figure()
    assert task.picture(figure).startswith("A test recording of PEN")
    assert ["ax (g)", "ay (g)", "az (g)"] == [axes.get_ylabel() for axes in figure.axes]
    assert 3 == len(figure.axes[0].patches)


# Detectors


def test_detectors_score_what_the_card_says(task: Watch) -> None:
    splits = [task.splits(fold) for fold in task.folds()]
    baselines = [task.baselines(of_fold) for of_fold in splits]
    found = score_baselines(task, baselines, [of_fold.test for of_fold in splits])
    scores = {name: of.compute() for name, of in found.items()}
    expected = {name: pytest.approx(of["vus_pr"], abs=1e-3) for name, of in scores.items()}
    assert dict(Watch.baseline_scores) == expected
    assert scores["constant"]["auroc"] == 0.5
    assert math.isnan(scores["mahalanobis"]["nll"])
    assert math.isfinite(scores["static"]["nll"])


def test_detectors_are_what_an_independent_computation_gives(task: Watch, splits: Splits) -> None:
    """Point and window Mahalanobis, straight from their definitions."""

    def moments(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((50, 49), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 100, axis=0)
        return np.concatenate([windows.mean(axis=2), windows.std(axis=2)], axis=1)

    def distances(train: list[np.ndarray], test: np.ndarray) -> np.ndarray:
        rows = np.concatenate(train)
        inverse = np.linalg.inv(np.cov(rows.T, ddof=0))
        return np.einsum("ni,ij,nj->n", test - rows.mean(0), inverse, test - rows.mean(0))

    parts = task.parts(3)
    train, test = [series.values for series in parts.train], parts.test[0].values
    predictions = task.baselines(splits)  # the first: of the first test series from sample 0 on
    count = WINDOW * len(splits.test[0].values)
    point = predictions["mahalanobis"][0][:, 1:].ravel().numpy()
    assert distances(train, test)[:count] == pytest.approx(point)
    window = predictions["window_mahalanobis"][0][:, 1:].ravel().numpy()
    expected = distances([moments(values) for values in train], moments(test))
    assert expected[:count] == pytest.approx(window, rel=1e-6)


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
    assert [False] * LEAD_IN + [True] * 1800 == test[1].target_mask.tolist()


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


def test_a_constant_feature_has_the_scale_one() -> None:
    scale = Scale.of([np.array([[1.0, 2.0], [3.0, 2.0]])])
    assert [[1.0, 0.0]] == scale(np.array([[3.0, 2.0]])).tolist()


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
    other = targets.clone()
    other[:, features : features + WINDOW] = 1 - other[:, features : features + WINDOW]
    predictions = torch.randn(len(targets), 2 * features)
    assert torch.equal(task.loss(predictions, targets), task.loss(predictions, other))


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
