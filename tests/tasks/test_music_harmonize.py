"""The harmonisation task, on the chorales: fetched once into the user's cache, or read from it."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from seqbench.api import Example, Splits, Visibility
from seqbench.tasks.music import Music
from seqbench.tasks.music import voices as voices_module
from seqbench.tasks.music.chorales import load_chorales
from seqbench.tasks.music.harmonize import CLASSES, LOWER, SOPRANO, Harmonize
from seqbench.tasks.music.pianoroll import Grid
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid", "test")
VOICES = ("alto", "tenor", "bass")


@pytest.fixture(scope="module")
def task() -> Harmonize:
    task = Harmonize()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Harmonize) -> Splits:
    return task.splits()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))


def parts(splits: Splits) -> dict[str, list[Example]]:
    return {name: list(getattr(splits, name)) for name in SPLITS}


def few(splits: Splits) -> Splits:
    """Return a fifteenth of the data."""
    return Splits(*(examples[::15] for examples in parts(splits).values()))


def scores(task: Harmonize, splits: Splits) -> dict[str, dict[str, float]]:
    """Return the baselines' metrics, as the harness scores them."""
    found = score_baselines(task, [task.baselines(splits)], [splits.test])
    return {name: of_baseline.compute() for name, of_baseline in found.items()}


# Data


@pytest.mark.parametrize("parameters", [{}, {"split_seed": 3}, {"grid": "sixteenth"}])
def test_the_split_is_that_of_music(parameters: dict[str, Any]) -> None:
    """Piece by piece and frame by frame, and so no near-duplicates are in two splits."""
    ours, theirs = (parts(task.splits()) for task in (Harmonize(**parameters), Music(**parameters)))
    for split in SPLITS:
        assert [e.group for e in theirs[split]] == [e.group for e in ours[split]]
        assert [len(e.values) for e in theirs[split]] == [len(e.values) for e in ours[split]]


def test_sizes_are_those_of_the_data(splits: Splits) -> None:
    sizes = {
        name: f"{len(examples)} pieces, {sum(len(e.values) for e in examples):,} frames"
        for name, examples in parts(splits).items()
    }
    assert dict(Harmonize.sizes) == sizes


@pytest.mark.parametrize("grid", ["quarter", "sixteenth"])
def test_tune_and_voices_give_the_score_back(grid: Grid) -> None:
    """What goes in and what is asked for are the four lines of the corpus, and nothing else."""
    corpus = load_chorales(grid)
    for example in [e for split in parts(Harmonize(grid=grid).splits()).values() for e in split]:
        index = corpus.names.index(example.group)
        pitches, begins = corpus.pitches[index], corpus.begins[index]
        tune, new = example.values[:, :-1], example.values[:, -1]
        assert torch.equal(tune.sum(dim=1), torch.from_numpy(pitches[:, 0] > 0).float())
        soprano = (tune @ torch.arange(SOPRANO.lowest, SOPRANO.highest + 1).float()).int()
        assert soprano.tolist() == pitches[:, 0].tolist()
        assert new.bool().tolist() == begins[:, 0].tolist()
        for voice, compass in enumerate(LOWER):
            classes = example.targets[:, voice]
            assert 0 <= classes.min() <= classes.max() < compass.classes
            sung = torch.where(classes > 0, classes + compass.lowest - 1, 0)
            assert sung.tolist() == pitches[:, 1 + voice].tolist()
        assert example.target_mask is None
        assert torch.float32 == example.values.dtype


def test_each_compass_is_the_corpus_own() -> None:
    pitches = np.concatenate(load_chorales("sixteenth").pitches)
    for compass, line in zip((SOPRANO, *LOWER), pitches.T, strict=True):
        assert (line[line > 0].min(), line.max()) == (compass.lowest, compass.highest)


def test_fingerprint_follows_the_data(task: Harmonize) -> None:
    others = [Harmonize(grid="sixteenth"), Harmonize(split_seed=1)]
    assert task.fingerprint() == Harmonize().fingerprint()
    assert 3 == len({task.fingerprint(), *(other.fingerprint() for other in others)})


# Loss, metrics and specifications


def test_loss_is_the_voices_cross_entropies_summed() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, sum(CLASSES), generator=generator, dtype=torch.float64)
    targets = torch.stack([torch.randint(size, (5,), generator=generator) for size in CLASSES], 1)
    expected = np.zeros(5)
    start = 0
    for voice, size in enumerate(CLASSES):
        p = scipy.special.softmax(logits[:, start : start + size].numpy(), axis=1)
        expected -= np.log(p[np.arange(5), targets[:, voice]])
        start += size
    np.testing.assert_allclose(expected, Harmonize().loss(logits, targets).numpy(), rtol=1e-12)


def test_metrics_do_not_depend_on_the_batches() -> None:
    """Of four frames the alto is right in three, the tenor in two, the bass in none."""
    targets = torch.tensor([[1, 2, 3], [4, 5, 6], [0, 22, 29], [22, 0, 0]])
    guesses = [[1, 2, 4], [4, 5, 0], [0, 21, 0], [3, 1, 29]]
    logits = torch.zeros(4, sum(CLASSES))
    for row, guess in enumerate(guesses):
        for voice, note in enumerate(guess):
            logits[row, sum(CLASSES[:voice]) + note] = 3.0
    whole, pieces = Harmonize().metrics(), Harmonize().metrics()
    whole.update(logits, targets, torch.arange(4))
    for rows in (slice(0, 1), slice(1, 4)):
        pieces.update(logits[rows], targets[rows], torch.arange(4)[rows])
    expected = {
        "nll": float(Harmonize().loss(logits.double(), targets).mean()),
        "alto_accuracy": 0.75,
        "tenor_accuracy": 0.5,
        "bass_accuracy": 0.0,
    }
    assert expected == pytest.approx(whole.compute(), rel=1e-12)
    assert expected == pytest.approx(pieces.compute(), rel=1e-12)
    empty = Harmonize().metrics().compute()
    assert set(Harmonize.metric_help) == set(empty) == set(expected)
    assert all(math.isnan(value) for value in empty.values())


def test_specifications(task: Harmonize, splits: Splits) -> None:
    """A pitch and an onset in, untouched; each voice's classes out, from its log frequencies."""
    inputs, outputs = task.input_spec(splits.train), task.output_spec(splits.train)
    assert (26, None) == (inputs.size, inputs.mean)
    assert 23 + 23 + 30 == outputs.size
    targets = torch.cat([example.targets for example in splits.train]).numpy()
    assert outputs.bias is not None
    for voice, bias in enumerate(outputs.bias.double().split(CLASSES)):
        size = CLASSES[voice]
        expected = [
            ((targets[:, voice] == note).sum() + 0.5) / (len(targets) + size / 2)
            for note in range(size)
        ]
        np.testing.assert_allclose(expected, bias.exp().numpy(), rtol=1e-5)


def test_a_voice_sees_the_whole_tune() -> None:
    assert Harmonize.visibility is Visibility.STEP


# Baselines, against computations that share no code with them


def rows(examples: list[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Return the soprano at t - 1, t, t + 1 (26 beyond the piece) and the voices, by frame."""
    x, y = [], []
    for example in examples:
        sung = [int(frame.argmax()) + 1 if frame.any() else 0 for frame in example.values[:, :-1]]
        for step in range(len(sung)):
            before = sung[step - 1] if step else 26
            after = sung[step + 1] if step + 1 < len(sung) else 26
            x.append([before, sung[step], after])
            y.append(example.targets[step].tolist())
    return np.array(x), np.array(y)


def softmax_regression(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Return weights and intercepts ``[F + 1, C]`` of a multinomial regression, by L-BFGS."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.ones(x.shape[1]), 0)[:, None] / strength

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, y.shape[1])
        logs = scipy.special.log_softmax(design @ weights, axis=1)
        gradient = design.T @ (np.exp(logs) - y) + penalty * weights
        return -(y * logs).sum() + (penalty * weights**2).sum() / 2, gradient.ravel()

    start = np.zeros(design.shape[1] * y.shape[1])
    options = {"maxiter": 2000, "maxfun": 4000}
    with threadpool_limits(limits=1):
        found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    assert found.success
    return np.asarray(found.x).reshape(-1, y.shape[1])


@pytest.mark.usefixtures("own_cache")
def test_unigram_and_table_equal_counting(splits: Splits) -> None:
    """On some of the chorales, counted note by note."""
    subset = few(splits)
    found = scores(Harmonize(), subset)
    x, y = rows(list(subset.train))
    test_x, test_y = rows(list(subset.test))
    unigram = table = 0.0
    for voice, size in enumerate(CLASSES):
        for (_, now, _), note in zip(test_x, test_y[:, voice], strict=True):
            p = ((y[:, voice] == note).sum() + 0.5) / (len(y) + size / 2)
            same = x[:, 1] == now
            q = ((y[same, voice] == note).sum() + 5 * p) / (same.sum() + 5)
            unigram -= math.log(p) / len(test_y)
            table -= math.log(q) / len(test_y)
    assert unigram == pytest.approx(found["unigram"]["nll"], rel=1e-9)
    assert table == pytest.approx(found["soprano_table"]["nll"], rel=1e-9)


@pytest.mark.usefixtures("own_cache")
def test_logistic_regression_equals_another_optimiser(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some of the chorales; the penalty is the one that validation prefers for all voices."""
    strengths = (0.03, 0.3)
    monkeypatch.setattr(voices_module, "STRENGTHS", strengths)
    monkeypatch.setattr(voices_module, "WINDOWS", (1,))
    subset = few(splits)
    data = {name: rows(part) for name, part in parts(subset).items()}
    inputs = {name: np.eye(27)[x].reshape(len(x), -1) for name, (x, _) in data.items()}
    best = (math.inf, 0.0)
    for strength in strengths:
        nll = dict.fromkeys(SPLITS, 0.0)
        for voice, size in enumerate(CLASSES):
            y = data["train"][1][:, voice]
            seen = np.unique(y)
            *weights, intercepts = softmax_regression(
                inputs["train"], np.eye(size)[y][:, seen], strength
            )
            marginal = (np.bincount(y, minlength=size) + 0.5) / (len(y) + size / 2)
            for name, (_, targets) in data.items():
                p = np.tile(marginal, (len(targets), 1))
                fitted = scipy.special.softmax(inputs[name] @ weights + intercepts, axis=1)
                p[:, seen] = fitted * marginal[seen].sum()
                right = p[np.arange(len(p)), targets[:, voice]]
                nll[name] -= np.log(right).mean()
        best = min(best, (nll["valid"], nll["test"]))
    found = scores(Harmonize(), subset)["logistic_regression"]["nll"]
    assert best[1] == pytest.approx(found, abs=2e-3)


@pytest.mark.usefixtures("own_cache")
def test_baselines_are_distributions_of_every_voice(splits: Splits) -> None:
    """Also of notes that the few training pieces lack, so that no surprise costs infinitely."""
    subset = few(splits)
    for predictions in Harmonize().baselines(subset).values():
        for example, prediction in zip(subset.test, predictions, strict=True):
            assert (len(example.values), sum(CLASSES)) == prediction.shape
            assert torch.float64 == prediction.dtype
            assert prediction.isfinite().all()
            for voice in prediction.split(CLASSES, dim=1):
                torch.testing.assert_close(
                    torch.ones(len(voice)).double(), voice.exp().sum(dim=1), rtol=0, atol=1e-9
                )


def test_the_card_shows_the_measured_scores(task: Harmonize, splits: Splits) -> None:
    found = {name: metrics["nll"] for name, metrics in scores(task, splits).items()}
    assert dict(Harmonize.baseline_scores) == pytest.approx(found, abs=1e-3)
    assert sorted(found, key=lambda name: -found[name]) == list(Harmonize.baseline_scores)


# The card and the configuration


@pytest.mark.parametrize("grid", ["quarter", "sixteenth"])
def test_picture_shows_a_few_bars(grid: Grid) -> None:
    """Of a training piece, four voices, and no more of the notes, which are not ours."""
    task = Harmonize(grid=grid)
    figure = Figure()
    caption = task.picture(figure)
    unit = task.splits().train[0].group
    assert unit in caption
    (axes,) = figure.axes
    bars = [bar for group in axes.containers for bar in group]
    assert 10 < max(bar.get_x() + bar.get_width() for bar in bars) <= 16
    begins = load_chorales(grid).begins[load_chorales(grid).names.index(unit)]
    frames = 16 if grid == "quarter" else 64
    assert begins[:frames].sum(axis=0).tolist() == [len(group) for group in axes.containers]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid": "quater"}, r"task\.grid .*quarter, sixteenth, not 'quater' \(did you mean 'qua"),
        ({"split_seed": -1}, r"task\.split_seed must be at least 0, not -1"),
    ],
)
def test_impossible_values(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Harmonize(**parameters)


def test_configuration_is_the_constructor() -> None:
    """The YAML has every parameter with its default, and the docstring explains each."""
    config = OmegaConf.load(ROOT / "conf" / "task" / "music" / "harmonize.yaml")
    parameters = inspect.signature(Harmonize).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert {"name": "music/harmonize", **defaults} == OmegaConf.to_container(config)
    arguments = str(Harmonize.__doc__).partition("Args:")[2]
    assert all(f"\n        {name}: " in arguments for name in defaults)
