"""The watch: fetched once into the user's cache, or read from it."""

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
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from seqbench.api import Splits
from seqbench.config.composition import compose, settings
from seqbench.tasks.anomaly import recordings as recordings_module
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
from seqbench.tasks.anomaly.vus import label_ranges
from seqbench.tasks.anomaly.watch import WATCH_STEPS, Watch
from seqbench.testing import check_task
from seqbench.training.fit import fit
from seqbench.training.scoring import FoldScores, model_rows, score_baselines
from seqbench.trials.trial import load

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
        assert {f"subject {n}" for n in range(1, 6)} == {e.group for e in splits.train}
        assert {"subject 6"} == {e.group for e in splits.valid}
        assert {f"subject {n}" for n in range(7, 11)} == {e.group for e in splits.test}


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
        ({"fold": 7}, "task.fold must be 0..6, PEN, ABD, FEL, IR, ER, TRAP, ROW or all, not 7"),
        (
            {"fold": True},
            "task.fold must be 0..6, PEN, ABD, FEL, IR, ER, TRAP, ROW or all, not True",
        ),
        ({"source": " "}, "task.source must be a path or null, not empty"),
        ({"window": 10}, "task.window=10 needs a task.source: the watch's protocol is fixed"),
        ({"buffer": 10}, "task.buffer=10 needs a task.source: the watch's protocol is fixed"),
        ({"lead": 0.5}, "task.lead=0.5 needs a task.source: the watch's protocol is fixed"),
        ({"label": "x"}, "task.label=x needs a task.source: the watch's protocol is fixed"),
        ({"source": "x", "window": 0}, "task.window must be at least 1 sample, not 0"),
        ({"source": "x", "window": 3}, "task.window=3 is too short for statistics"),
        ({"source": "x", "buffer": -1}, "task.buffer must be at least 0 samples, not -1"),
        (
            {"source": "x", "lead": 0},
            "task.lead must be a share above 0 or a number of rows, not 0",
        ),
        (
            {"source": "x", "lead": math.nan},
            "task.lead must be a share above 0 or a number of rows, not nan",
        ),
        (
            {"source": "x", "lead": math.inf},
            "task.lead must be a share above 0 or a number of rows, not inf",
        ),
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
        found: np.ndarray = np.einsum(
            "ni,ij,nj->n", test - rows.mean(0), inverse, test - rows.mean(0)
        )
        return found

    parts = task.parts(3)
    train, test = [series.values for series in parts.train], parts.test[0].values
    predictions = task.baselines(splits)  # the first: of the first test series from sample 0 on
    count = WINDOW * len(splits.test[0].values)
    point = predictions["mahalanobis"][0][:, 1:].ravel().numpy()
    assert distances(train, test)[:count] == pytest.approx(point)
    window = predictions["window_mahalanobis"][0][:, 1:].ravel().numpy()
    expected = distances([moments(values) for values in train], moments(test))
    assert expected[:count] == pytest.approx(window, rel=1e-6)


@pytest.mark.slow
def test_a_trained_model_beats_window_mahalanobis(tmp_path: Path) -> None:
    """On one exercise, with the recipe that `seqbench task=anomaly` takes."""
    overrides = ["task=anomaly", "model=lstm", "task.fold=3", "trainer.progress=false"]
    trial = load(settings(compose(overrides)))
    (data,) = trial.data()
    predictor = trial.predictor(data)
    fit(trial.training(data, predictor, tmp_path / "best.ckpt"))
    data.unseal()
    model = FoldScores(trial.task, "folds")
    model.add(model_rows(predictor, data.test()), len(data.splits.test))
    baselines = trial.task.baselines(data.splits)
    detectors = score_baselines(trial.task, [baselines], [data.splits.test])
    window = detectors["window_mahalanobis"].compute()
    assert model.compute()["vus_pr"] > window["vus_pr"]
    assert model.compute()["auprc"] > window["auprc"]
