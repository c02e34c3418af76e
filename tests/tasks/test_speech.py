"""The speech task, on the digits: fetched once into the user's cache, or read from it."""

from __future__ import annotations

import ast
import inspect
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression

from seqbench.api import Example, Splits
from seqbench.tasks import speech as speech_module
from seqbench.tasks.speech import Speech
from seqbench.tasks.speech import baselines as baselines_module
from seqbench.tasks.speech.baselines import SEGMENTS, fit_baselines, statistics
from seqbench.tasks.speech.classification import BINS, ClassificationMetrics
from seqbench.tasks.speech.recordings import load_digits
from seqbench.tasks.speech.takes import SPEAKERS, TAKES
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def task() -> Speech:
    task = Speech()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def official() -> Speech:
    task = Speech(split="official")
    task.prepare()
    return task


def parts(splits: Splits) -> dict[str, list[Example]]:
    return {name: list(getattr(splits, name)) for name in SPLITS}


# Data


def test_every_take_of_every_digit_by_every_speaker_is_there_once() -> None:
    """The speakers and takes that the package adds agree with the archive's own digits.

    Any two of them exchanged, between digits, would leave one take out and have another twice.
    """
    recordings = load_digits()
    names = Counter(recording.name for recording in recordings)
    expected = {
        f"{digit}_{speaker}_{take}"
        for digit in range(10)
        for speaker in SPEAKERS
        for take in range(TAKES)
    }
    assert expected == set(names)
    assert set(names.values()) == {1}
    for recording in recordings:
        digit, speaker, _ = recording.name.split("_")
        assert (digit, speaker) == (recording.word, recording.speaker)
        assert recording.cepstra.shape[1] == 13
    assert (6, 92) == (
        min(len(recording.cepstra) for recording in recordings),
        max(len(recording.cepstra) for recording in recordings),
    )


def test_speakers_are_told_apart_by_their_voice() -> None:
    """The names follow the sound: mean cepstra find the speaker of an unseen recording.

    Under names that did not belong to the recordings it would be one in six.
    """
    recordings = load_digits()
    means = np.stack([recording.cepstra.mean(axis=0) for recording in recordings])
    speakers = np.array([recording.speaker for recording in recordings])
    means = (means - means.mean(axis=0)) / means.std(axis=0)
    model = LogisticRegression(max_iter=1000).fit(means[::2], speakers[::2])
    assert model.score(means[1::2], speakers[1::2]) > 0.95


def test_each_speaker_tests_one_fold_and_validates_another(task: Speech) -> None:
    """Fold k tests the k-th speaker by name and validates the next; no speaker on two sides."""
    assert task.folds() == tuple(range(6))
    for fold in task.folds():
        found = parts(task.splits(fold))
        speakers = {name: {e.group for e in examples} for name, examples in found.items()}
        test, valid = SPEAKERS[fold], SPEAKERS[(fold + 1) % 6]
        assert {"train": set(SPEAKERS) - {test, valid}, "valid": {valid}, "test": {test}} == (
            speakers
        )
        assert [2000, 500, 500] == [len(examples) for examples in found.values()]
        for examples in found.values():
            counts = Counter(int(example.targets) for example in examples)
            assert counts == dict.fromkeys(range(10), len(examples) // 10)


def test_official_takes(official: Speech) -> None:
    """Takes 0-4 of each digit by each speaker test; 5-9 validate and 10-49 train."""
    assert official.folds() == (0,)
    wanted = {"test": range(5), "valid": range(5, 10), "train": range(10, 50)}
    for name, examples in parts(official.splits()).items():
        expected = {f"{d}_{s}_{t}" for d in range(10) for s in SPEAKERS for t in wanted[name]}
        assert expected == {example.group for example in examples}
        assert len(examples) == len(expected)


def test_one_fold_of_six() -> None:
    """A fold alone is the same as among all."""
    alone, together = Speech(fold=4), Speech()
    alone.prepare()
    together.prepare()
    assert alone.folds() == (4,)
    for mine, other in zip(alone.splits(4).test, together.splits(4).test, strict=True):
        assert torch.equal(mine.values, other.values)


def test_values_are_cepstra_of_speech_and_their_deltas(task: Speech) -> None:
    """13 coefficients and what is made of them; some frames are silence and left out."""
    assert {26} == {example.values.shape[1] for example in task.splits(0).test}
    assert [13, 39] == [Speech(deltas=n).splits().train[0].values.shape[1] for n in (0, 2)]
    raw = {recording.name: len(recording.cepstra) for recording in load_digits()}
    kept = {
        example.group: len(example.values)
        for examples in parts(Speech(split="official").splits()).values()
        for example in examples
    }
    assert all(0 < kept[name] <= raw[name] for name in raw)
    assert 0.5 < sum(kept.values()) / sum(raw.values()) < 0.95


def test_fingerprint_follows_the_data_as_they_are_used(task: Speech, official: Speech) -> None:
    same = Speech(warp=0.1, trim=4, noise=0.1, mask=3)
    others = [official, Speech(fold=0), Speech(fold=1), Speech(deltas=0)]
    for each in (same, *others):
        each.prepare()
    assert task.fingerprint() == same.fingerprint()
    assert len({task.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_specifications(task: Speech) -> None:
    """Standardised by the training frames; ten logits."""
    train = task.splits(2).train
    frames = torch.cat([example.values for example in train]).double().numpy()
    spec = task.input_spec(train)
    assert spec.mean is not None
    assert spec.std is not None
    np.testing.assert_allclose(frames.mean(axis=0), spec.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), spec.std.numpy(), rtol=1e-6)
    assert (26, 10) == (spec.size, task.output_spec(train).size)


def test_augmentation_varies_cepstra_and_their_deltas_alike(task: Speech) -> None:
    """With a warp alone, deltas are those of the warped cepstra; without anything, the example."""
    example = task.splits(0).train[0]
    generator = torch.Generator().manual_seed(0)
    still = Speech(warp=0, trim=0, noise=0, mask=0).augment(example, generator)
    torch.testing.assert_close(example.values, still.values, rtol=0, atol=1e-4)
    moved = Speech(warp=0.3, trim=0, noise=0, mask=0).augment(example, generator)
    again = speech_module.features(moved.values[:, :13], 1)
    torch.testing.assert_close(again, moved.values, rtol=0, atol=1e-4)
    assert (moved.values - example.values).abs().max() > 1
    assert (example.targets, example.group) == (moved.targets, moved.group)


# Loss and metrics


def draw(rows: int, classes: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, (rows,), generator=generator)
    logits[torch.arange(rows), targets] += scale / 2
    return logits, targets


def expected_ece(p: np.ndarray, targets: np.ndarray) -> float:
    """Compute eq. 5 of Guo et al. bin by bin."""
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == targets
    total = 0.0
    for m in range(1, BINS + 1):
        inside = (confidence > (m - 1) / BINS) & (confidence <= m / BINS)
        if inside.any():
            gap = abs(hit[inside].mean() - confidence[inside].mean())
            total += inside.sum() / len(p) * gap
    return float(total)


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_metrics_are_their_definitions(scale: float) -> None:
    """Against scikit-learn, and the calibration error's equation, fed in uneven pieces."""
    logits, targets = draw(700, 10, scale)
    metrics = ClassificationMetrics(10)
    for rows in (slice(0, 1), slice(1, 500), slice(500, 700)):
        metrics.update(logits[rows], targets[rows], torch.arange(700)[rows])
    p, y = logits.softmax(dim=1).numpy(), targets.numpy()
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(y, p.argmax(axis=1)),
        "macro_f1": sklearn.metrics.f1_score(y, p.argmax(axis=1), average="macro"),
        "nll": sklearn.metrics.log_loss(y, p, labels=range(10)),
        "ece": expected_ece(p, y),
    }
    assert metrics.compute() == pytest.approx(expected, rel=1e-12)


def test_calibration_error_by_hand() -> None:
    """Two predictions at .75, one of them right; two at .95, both right: (.25 + .05) / 2."""
    p = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.95, 0.05], [0.05, 0.95]]).double()
    metrics = ClassificationMetrics(2)
    metrics.update(p.log(), torch.tensor([0, 1, 0, 1]), torch.arange(4))
    assert metrics.compute()["ece"] == pytest.approx((0.25 + 0.05) / 2)
    assert metrics.compute()["accuracy"] == 0.75


def test_f1_leaves_out_a_word_that_is_neither_there_nor_predicted() -> None:
    logits = torch.tensor([[4.0, 0, 0], [4.0, 0, 0], [0, 4.0, 0]])
    metrics = ClassificationMetrics(3)
    metrics.update(logits, torch.tensor([0, 1, 1]), torch.arange(3))
    assert metrics.compute()["macro_f1"] == pytest.approx(2 / 3)


def test_metrics_of_nothing() -> None:
    scores = ClassificationMetrics(10).compute()
    assert list(scores) == ["accuracy", "macro_f1", "nll", "ece"]
    assert all(math.isnan(value) for value in scores.values())


# Baselines


@pytest.mark.parametrize("steps", [1, 5, 8, 19])
def test_statistics_are_means_over_equal_shares_of_time(steps: int) -> None:
    """A segment's mean is that of the sequence repeated SEGMENTS times, cut into whole steps."""
    values = torch.randn(steps, 3, generator=torch.Generator().manual_seed(0))
    x = values.double().numpy()
    segments = np.repeat(x, SEGMENTS, axis=0).reshape(SEGMENTS, steps, 3).mean(axis=1)
    expected = np.concatenate([x.mean(axis=0), x.std(axis=0), segments.ravel(), [np.log(steps)]])
    np.testing.assert_allclose(expected, statistics(values), atol=1e-12)


def test_baselines_score_what_the_card_says(task: Speech) -> None:
    """The mean over six folds, and in the order of their strength."""
    splits = [task.splits(fold) for fold in task.folds()]
    found = score_baselines(
        task, [task.baselines(split) for split in splits], [split.test for split in splits]
    )
    scores = {name: fold_scores.compute()["accuracy"] for name, fold_scores in found.items()}
    assert dict(Speech.baseline_scores) == pytest.approx(scores, abs=0.005)
    nll = found["majority"].compute()["nll"]
    assert nll == pytest.approx(math.log(10), abs=1e-6)


def test_baselines_never_see_test_and_choose_on_validation(
    task: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other test recordings get the same prediction; the chosen penalty is validation's best."""
    monkeypatch.setattr(baselines_module, "BOOSTING_ROUNDS", 3)
    whole = task.splits(0)
    small = Splits(whole.train[:300], whole.valid[:100], whole.test[:40])
    other = Splits(small.train, small.valid, list(reversed(whole.test[20:40])))
    one, two = fit_baselines(small, 10), fit_baselines(other, 10)
    for name in one:
        for mine, theirs in zip(one[name][20:], reversed(two[name]), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)

    def numbers(examples: list[Example]) -> tuple[np.ndarray, np.ndarray]:
        x = np.stack([statistics(example.values) for example in examples])
        return x, np.array([int(example.targets) for example in examples])

    (x, y), (valid_x, valid_y), (test_x, _) = (numbers(part) for part in parts(small).values())
    std = np.where(x.std(axis=0) > 1e-9, x.std(axis=0), 1)
    best = (math.inf, np.empty(0))
    for strength in baselines_module.STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=2000).fit((x - x.mean(axis=0)) / std, y)
        p = model.predict_proba((valid_x - x.mean(axis=0)) / std)
        test_p = model.predict_log_proba((test_x - x.mean(axis=0)) / std)
        best = min(best, (sklearn.metrics.log_loss(valid_y, p), test_p), key=lambda pair: pair[0])
    np.testing.assert_allclose(best[1], torch.stack(one["logistic_regression"]), atol=1e-9)


@pytest.mark.parametrize("words", [[4], [2, 4]])
def test_baselines_of_few_words(task: Speech, words: list[int]) -> None:
    """A cut training split may lack words: they are all but impossible, and nothing fails."""
    whole = task.splits(0)
    train = [example for example in whole.train[:200] if int(example.targets) in words]
    found = fit_baselines(Splits(train, whole.valid[:10], whole.test[:10]), 10)
    for name, predictions in found.items():
        logits = torch.stack(predictions)
        assert logits.shape == (10, 10)
        assert logits.isfinite().all()
        assert set(logits.argmax(dim=1).tolist()) <= set(words), name


# The card and the configuration


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"split": "offical"},
            r"task\.split .*leave_speakers_out, official, not 'offical' \(did you mean 'official'",
        ),
        ({"fold": 6}, r"task\.fold must be 0\.\.5 or all with leave_speakers_out, not 6"),
        ({"fold": -1}, r"task\.fold must be 0\.\.5 or all with leave_speakers_out, not -1"),
        ({"fold": True}, r"task\.fold must be 0\.\.5 or all with leave_speakers_out, not True"),
        ({"fold": 1, "split": "official"}, r"task\.fold must be 0, its only fold, or all with off"),
        ({"source": " "}, r"task\.source must be a path or null"),
        ({"sample_rate": 16_000}, r"task\.sample_rate=16000 needs a task\.source: the built-in"),
        ({"sample_rate": 4000, "source": "x"}, r"task\.sample_rate must be in 8000\.\.48000 Hz"),
        ({"deltas": 3}, r"task\.deltas must be in 0\.\.2, not 3"),
        ({"warp": 2.0}, r"task\.warp must be in 0\.\.0\.5, not 2\.0"),
    ],
)
def test_impossible_values(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Speech(**parameters)


def test_configuration_is_the_constructor() -> None:
    """The YAML has every parameter with its default, and the docstring explains each."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(Speech).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "task" / "speech.yaml"))
    assert {"name": "speech", **defaults} == config
    documented = inspect.getdoc(Speech)
    assert documented is not None
    assert all(f"\n    {name}: " in documented for name in defaults)


def test_the_card_is_literal() -> None:
    """Version, citation, licence and sizes can be read without importing the module."""
    tree = ast.parse(Path(speech_module.__file__).read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    card = {}
    for node in body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name):
            card[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    expected = {"version", "citation", "licence", "sizes", "baseline_scores", "pooling", "group"}
    expected |= {"smallest_difference", "source_files"}
    assert expected == set(card)
    assert set(Speech.metric_help) == set(ClassificationMetrics(2).compute())


def test_the_picture_shows_one_word_by_two_speakers(task: Speech) -> None:
    figure = Figure()
    caption = task.picture(figure)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len({title.split("_")[0] for title in titles}) == 1
    assert len({title.split("_")[1] for title in titles}) == 2
    assert f"The digit {titles[0][0]} by two speakers" in caption
