"""The baselines of music: counted, fitted, kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.optimize
import scipy.special
import torch
from threadpoolctl import threadpool_limits

from seqbench.api import Example, Sight, Splits
from seqbench.tasks import music as music_module
from seqbench.tasks.music import Music
from seqbench.tasks.music import baselines as baselines_module
from seqbench.training.scoring import score_baselines

SPLITS = ("train", "valid", "test")
KEYS = 88


@pytest.fixture(scope="module")
def task() -> Music:
    task = Music()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Music) -> Splits:
    return task.splits()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def parts(splits: Splits) -> dict[str, list[Example]]:
    return {name: list(getattr(splits, name)) for name in SPLITS}


def scores(task: Music, splits: Splits, sight: Sight = "past") -> dict[str, dict[str, float]]:
    """Return the baselines' metrics, as the harness scores them."""
    found = score_baselines(task, [task.baselines_for(splits, sight)], [splits.test])
    return {name: of_baseline.compute() for name, of_baseline in found.items()}


def few(splits: Splits) -> Splits:
    """Return a fifteenth of the data."""
    return Splits(*(examples[::15] for examples in parts(splits).values()))


# Baselines, against computations that share no code with them


def pairs(examples: list[Example], first: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y frame by frame, the first of a piece after silence or left out."""
    before, now = [], []
    for example in examples:
        last = np.zeros(KEYS)
        for step, frame in enumerate(example.values.double().numpy()):
            if step or first:
                before.append(last)
                now.append(frame)
            last = frame
    return np.array(before), np.array(now)


def nll(p: np.ndarray, now: np.ndarray) -> float:
    return float(-np.log(np.where(now > 0, p, 1 - p)).sum() / len(now))


def all_keys_at_once(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Return weights and intercepts ``[F + 1, 88]`` of the logistic regressions, by L-BFGS."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.ones(x.shape[1]), 0)[:, None] / strength

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, y.shape[1])
        logits = design @ weights
        value = (np.logaddexp(0, logits) - y * logits).sum() + (penalty * weights**2).sum() / 2
        gradient = design.T @ (scipy.special.expit(logits) - y) + penalty * weights
        return value, gradient.ravel()

    start = np.zeros(design.shape[1] * y.shape[1])
    options = {"maxiter": 2000, "maxfun": 4000}
    with threadpool_limits(limits=1):
        found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    assert found.success
    return np.asarray(found.x).reshape(-1, y.shape[1])


@pytest.mark.parametrize("frames", ["all", "from_second"])
def test_unigram_and_markov_equal_counting(
    frames: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some of the chorales, counted key by key and state by state."""
    task = Music(frames=frames)
    subset = few(task.splits())
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path))  # computed here, not read from a cache
    found = scores(task, subset)
    x, y = pairs(list(subset.train), frames == "all")
    test_x, test_y = pairs(list(subset.test), frames == "all")
    unigram = np.array([(y[:, key].sum() + 0.5) / (len(y) + 1) for key in range(KEYS)])
    assert found["unigram"]["nll"] == pytest.approx(nll(unigram, test_y), rel=1e-9)
    markov = np.empty((2, KEYS))
    for key in range(KEYS):
        for state in (0, 1):
            after = y[x[:, key] == state, key]
            markov[state, key] = (after.sum() + 5 * unigram[key]) / (len(after) + 5)
    p = np.where(test_x > 0, markov[1], markov[0])
    assert found["markov"]["nll"] == pytest.approx(nll(p, test_y), rel=1e-9)


def around(example: Example, width: int) -> np.ndarray:
    """Return each frame's neighbours before and after it, one by one, with silence at the ends."""
    roll = example.values.double().numpy()
    rows = []
    for step in range(len(roll)):
        places = [*range(step - width, step), *range(step + 1, step + width + 1)]
        inside = [roll[at] if 0 <= at < len(roll) else np.zeros(KEYS) for at in places]
        rows.append(np.concatenate(inside))
    return np.array(rows)


@pytest.mark.usefixtures("own_cache")
def test_the_two_sided_markov_chain_equals_counting(splits: Splits) -> None:
    """State by state of the frames before and after."""
    subset = few(splits)
    found = scores(Music(), subset, "past+future")["two_sided_markov"]["nll"]
    x = {name: np.concatenate([around(e, 1) for e in part]) for name, part in parts(subset).items()}
    y = {name: pairs(part, first=True)[1] for name, part in parts(subset).items()}
    total = 0.0
    for key in range(KEYS):
        unigram = (y["train"][:, key].sum() + 0.5) / (len(y["train"]) + 1)
        for before in (0, 1):
            for after in (0, 1):
                train, test = (
                    y[name][(x[name][:, key] == before) & (x[name][:, KEYS + key] == after), key]
                    for name in ("train", "test")
                )
                p = (train.sum() + 5 * unigram) / (len(train) + 5)
                total -= np.log(np.where(test > 0, p, 1 - p)).sum()
    assert found == pytest.approx(total / len(y["test"]), rel=1e-9)


@pytest.mark.parametrize("sight", ["past", "past+future"])
def test_baselines_see_what_a_model_may_see(splits: Splits, sight: Sight, own_cache: Path) -> None:
    """A frame's own notes never, later ones only beside a model that reads backwards."""
    subset = few(splits)
    one = subset.test[0]
    moved = one.values.clone()
    moved[10] = 1 - moved[10]
    changed = Splits(subset.train, subset.valid, [Example(moved, moved, group=one.group)])
    task = Music()
    before, after = (task.baselines_for(part, sight) for part in (subset, changed))
    sees: dict[str, set[int]] = {}
    for name in before:
        differs = (before[name][0] != after[name][0]).any(dim=1)
        sees[name] = {int(step) - 10 for step in differs.nonzero()}
        assert 0 not in sees[name]
        assert sight == "past+future" or min(sees[name], default=1) > 0
    if sight == "past+future":
        assert {-1, 1} == sees["two_sided_markov"]
        assert {-1, 1} <= sees["two_sided_logistic_regression"]
        assert all(-offset in sees["two_sided_logistic_regression"]
                   for offset in sees["two_sided_logistic_regression"])  # fmt: skip
    else:
        assert {1} == sees["markov"]
        assert 1 in sees["logistic_regression"]
    assert set() == sees["unigram"]


@pytest.mark.usefixtures("own_cache")
def test_validation_chooses_the_window(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames repeat those of two steps before, which a window of one does not see."""
    monkeypatch.setattr(baselines_module, "STRENGTHS", (1.0,))
    generator = torch.Generator().manual_seed(0)

    def piece() -> Example:
        values = torch.zeros(80, KEYS)
        values[:, 40:44] = torch.bernoulli(torch.full((80, 4), 0.5), generator=generator)
        for step in range(2, 80):
            values[step, 40:44] = values[step - 2, 40:44]
        return Example(values, values)

    made = Splits(*([piece() for _ in range(6)] for _ in range(3)))
    wide = scores(Music(), made)["logistic_regression"]["nll"]
    monkeypatch.setattr(baselines_module, "WINDOWS", (1,))
    monkeypatch.setattr(music_module, "BASELINES_VERSION", "narrow")
    narrow = scores(Music(), made)["logistic_regression"]["nll"]
    assert wide < 0.5 * narrow


def test_logistic_regression_equals_another_optimiser(
    splits: Splits, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some of the chorales, every frame on its own and all keys in one L-BFGS."""
    strengths = (0.03, 0.3)  # two that L-BFGS is quick with, of which validation prefers one
    monkeypatch.setattr(baselines_module, "STRENGTHS", strengths)
    monkeypatch.setattr(baselines_module, "WINDOWS", (1,))
    subset = few(splits)
    data = {name: pairs(part, first=True) for name, part in parts(subset).items()}
    (x, y), (_, test_y) = data["train"], data["test"]
    changing = np.flatnonzero((y.min(axis=0) == 0) & (y.max(axis=0) == 1))
    best = (math.inf, np.empty(0))
    for strength in strengths:
        *weights, intercepts = all_keys_at_once(x, y[:, changing], strength)
        predicted = {}
        for name, (rows, now) in data.items():
            predicted[name] = np.full(now.shape, 0.5 / (len(y) + 1))  # keys that never sound
            predicted[name][:, changing] = scipy.special.expit(rows @ weights + intercepts)
        best = min(best, (nll(predicted["valid"], data["valid"][1]), predicted["test"]))
    hits = ((best[1] > 0.5) & (test_y > 0)).sum()
    union = ((best[1] > 0.5) | (test_y > 0)).sum()
    expected = {"nll": nll(best[1], test_y), "frame_accuracy": hits / union}
    found = scores(Music(), subset)["logistic_regression"]
    assert found == pytest.approx(expected, abs=2e-3)


def test_baselines_stand_in_their_order(task: Music, splits: Splits) -> None:
    """The card's scores are those measured on the whole data, in the order of strength."""
    found: dict[str, float] = {}
    for sight in ("past", "past+future"):
        found |= {name: item["nll"] for name, item in scores(task, splits, sight).items()}  # type: ignore[arg-type]
    assert list(found) == list(Music.baseline_scores)
    assert dict(Music.baseline_scores) == pytest.approx(found, abs=1e-3)
    exact = [11.329912, 10.696791]
    assert [found["unigram"], found["markov"]] == pytest.approx(exact, abs=1e-6)


def test_baselines_predict_every_frame(papers_file: str) -> None:
    """Frames that do not count are predicted too: the harness leaves them out."""
    task = Music(source=papers_file)
    splits = task.splits()
    for predictions in task.baselines(splits).values():
        for example, prediction in zip(splits.test, predictions, strict=True):
            assert (len(example.values), KEYS) == prediction.shape
            assert torch.float64 == prediction.dtype


def test_baselines_know_a_key_that_always_or_never_sounds(own_cache: Path) -> None:
    """Such a key keeps its smoothed log odds, and the scores stay finite on surprises."""
    values = torch.zeros(20, KEYS)
    values[:, 3] = 1
    values[::2, 50] = 1
    surprise = values.clone()
    surprise[5, 3], surprise[6, 80] = 0, 1
    found = scores(Music(), Splits(*([Example(v, v)] for v in (values, values, surprise))))
    assert all(math.isfinite(value) for metrics in found.values() for value in metrics.values())
    always = math.log(20.5 / 0.5)  # log odds of a key that always sounds; a silent one's are minus
    floor = 19 * math.log1p(math.exp(-always)) + math.log1p(math.exp(always))  # key 3
    floor += 19 * math.log1p(math.exp(-always)) + math.log1p(math.exp(always))  # key 80
    floor += 20 * 85 * math.log1p(math.exp(-always))  # the silent keys
    other = (found["logistic_regression"]["nll"] * 20 - floor) / 20  # key 50, which alternates
    assert 0 < other < 0.2


@pytest.mark.slow
def test_baselines_are_cached_and_checked(
    papers_file: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are computed once for the same data, whatever ``transpose``, and again if damaged."""
    computed = []
    fit = music_module.fit_baselines

    def counted(*args: Any) -> Any:
        computed.append(1)
        return fit(*args)

    monkeypatch.setattr(music_module, "fit_baselines", counted)

    def found(**parameters: Any) -> dict[str, dict[str, float]]:
        task = Music(source=papers_file, **parameters)
        return scores(task, task.splits())

    first = found()
    assert first == found() == found(transpose=4)
    assert len(computed) == 1
    (path,) = own_cache.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert first == found()
    assert len(computed) == 2
    found(frames="all")
    assert len(computed) == 3


def test_baselines_need_no_cache_folder(
    papers_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "file"))
    task = Music(source=papers_file)
    assert set(task.baselines(task.splits())) == {"unigram", "markov", "logistic_regression"}
