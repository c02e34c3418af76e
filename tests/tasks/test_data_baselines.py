"""Baselines of the tasks on a user's own sequences, against other computations of the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from seqbench.api import Example, Splits
from seqbench.registry.plugins import registry
from seqbench.tasks.data import baselines, minirocket, neighbours, windows
from seqbench.training.predictor import sights
from seqbench.training.scoring import score_baselines

Floats = NDArray[np.float64]


def waves(cases: int, channels: int, steps: int) -> Floats:
    """Return the sequences on which aeon's numbers were computed."""
    i = np.arange(cases * channels * steps, dtype=np.float64).reshape(cases, channels, steps)
    return np.sin(i * i * 0.001 + i) + 0.25 * np.cos(i)


@pytest.mark.parametrize(
    ("length", "features", "dilations", "counts"),
    [
        (40, 252, [1, 2, 4], [1, 1, 1]),
        (9, 84, [1], [1]),
        (
            100,
            2016,
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12],
            [7, 4, 2, 2, 2, 1, 2, 1, 1, 1, 1],
        ),
        (84, 10_000, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [38, 19, 15, 12, 8, 7, 7, 7, 3, 3]),
    ],
)
def test_dilations_are_aeons(
    length: int, features: int, dilations: list[int], counts: list[int]
) -> None:
    """Aeon 1.6.0: ``_minirocket._fit_dilations(length, features, 32)``."""
    found = minirocket.fit_dilations(length, features)
    assert dilations == found[0].tolist()
    assert counts == found[1].tolist()


def test_features_are_aeons() -> None:
    """Fitted on one sequence of one column nothing is drawn, so that all must be the same.

    The numbers are those of aeon 1.6.0, in float32: ``MiniRocket(n_kernels=252, random_state=0)``,
    fitted on ``waves(4, 1, 40)[:1]``; every 28th of its biases and of the features of sequences 1
    and 3, and the sums of each sequence's features.
    """
    sequences = waves(4, 1, 40)
    fitted = minirocket.fit(sequences[:1], 252)
    biases = [1.047627, 5.399869, -1.700964, 0.003775, 0.304115]
    biases += [-4.614947, -0.147446, 0.501739, -6.311366]
    np.testing.assert_allclose(fitted.biases[::28], biases, rtol=0, atol=2e-6)
    features = minirocket.transform(sequences, fitted)
    second = [0.375, 0.05, 0.725, 0.541667, 0.416667, 0.75, 0.55, 0.4, 1.0]
    fourth = [0.375, 0.025, 0.7, 0.541667, 0.416667, 0.791667, 0.55, 0.4, 1.0]
    np.testing.assert_allclose(features[[1, 3], ::28], [second, fourth], rtol=0, atol=1e-6)
    sums = [126.779167, 124.993752, 122.866669, 123.82917]
    np.testing.assert_allclose(features.sum(axis=1), sums, rtol=0, atol=1e-5)


def test_a_kernel_reads_the_sum_of_its_columns() -> None:
    sequences = waves(5, 3, 30)
    fitted = minirocket.fit(sequences.sum(axis=1, keepdims=True), 252)
    alone = minirocket.transform(sequences.sum(axis=1, keepdims=True), fitted)
    of_all = fitted._replace(channels=[np.arange(3)] * len(fitted.channels))
    np.testing.assert_allclose(alone, minirocket.transform(sequences, of_all))
    second = minirocket.fit(sequences[:, 1:2], 252)
    chosen = second._replace(channels=[np.array([1])] * len(second.channels))
    expected = minirocket.transform(sequences[:, 1:2], second)
    np.testing.assert_array_equal(expected, minirocket.transform(sequences, chosen))


def test_many_sequences_are_transformed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = waves(7, 2, 20)
    fitted = minirocket.fit(sequences, 84)
    whole = minirocket.transform(sequences, fitted)
    monkeypatch.setattr(minirocket, "MOST_NUMBERS", 9 * 2 * 20 * 2)
    np.testing.assert_array_equal(whole, minirocket.transform(sequences, fitted))


def warped(one: Floats, other: Floats, band: int) -> float:
    """Return the distance of two sequences by the recursion as it is written in books."""
    size = len(one)
    table = np.full((size + 1, size + 1), np.inf)
    table[0, 0] = 0
    for i in range(1, size + 1):
        for j in range(1, size + 1):
            if abs(i - j) <= band:
                cost = ((one[i - 1] - other[j - 1]) ** 2).sum()
                table[i, j] = cost + min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
    return float(table[size, size])


@pytest.mark.parametrize("band", [1, 3, 12])
def test_distances_are_those_of_the_recursion(band: int) -> None:
    draw = np.random.default_rng(0)
    ones, others = draw.normal(size=(3, 12, 2)), draw.normal(size=(4, 12, 2))
    expected = [[warped(one, other, band) for other in others] for one in ones]
    np.testing.assert_allclose(expected, neighbours.distances(ones, others, band))


def test_resampling_keeps_means_over_time() -> None:
    values = np.array([[0.0], [1], [2], [3]])
    assert [[0.5], [2.5]] == neighbours.resampled(values, 2).tolist()
    assert [[0], [0], [1], [1], [2], [2], [3], [3]] == neighbours.resampled(values, 8).tolist()
    np.testing.assert_allclose([[1 / 4], [6 / 4], [11 / 4]], neighbours.resampled(values, 3))


def test_training_is_thinned_where_there_are_too_many_pairs() -> None:
    assert list(range(10)) == neighbours.thinned(10, 5).tolist()
    kept = neighbours.thinned(10_000, neighbours.PAIRS // 100)
    assert 100 == len(kept)
    assert [0, 9999] == [kept[0], kept[-1]]


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_ridge_is_scikit_learns(shape: tuple[int, int]) -> None:
    """With one penalty to choose from, by rows or by columns, whichever are fewer."""
    draw = np.random.default_rng(0)
    parts = [
        draw.normal(size=shape),
        draw.normal(size=(4, shape[1])),
        draw.normal(size=(3, shape[1])),
    ]
    targets = draw.normal(size=(shape[0], 2))
    for strength in (0.01, 10.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(baselines, "STRENGTHS", (strength,))
            found = baselines.fit_ridge(parts, targets, lambda _: 0.0)
        mean, std = parts[0].mean(axis=0), parts[0].std(axis=0)
        model = Ridge(alpha=strength * shape[0] / 100)
        model.fit((parts[0] - mean) / std, targets)
        for part, predicted in zip(parts[1:], found, strict=True):
            np.testing.assert_allclose(model.predict((part - mean) / std), predicted, atol=1e-8)


def examples(count: int, steps: int, seed: int, shift: bool = True) -> list[Example]:
    """Return sequences of two classes, which differ in their mean."""
    generator = torch.Generator().manual_seed(seed)
    return [
        Example(
            torch.randn(steps + n % 3, 2, generator=generator) + (2.0 * (n % 2) if shift else 0),
            torch.tensor(n % 2),
            group=f"{seed} {n}",
        )
        for n in range(count)
    ]


def test_classifiers_find_what_is_plain_and_give_probabilities() -> None:
    splits = Splits(examples(60, 12, 0), examples(20, 12, 1), examples(20, 12, 2))
    found = baselines.classify(splits, 3)
    labels = torch.tensor([n % 2 for n in range(20)])
    for name, predictions in found.items():
        logits = torch.stack(predictions)
        assert (20, 3) == logits.shape
        if name != "majority":
            torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(20).double())
            assert (logits.argmax(dim=1) == labels).double().mean() >= 0.95, name
    assert {"nearest_neighbour", "random_kernels", "logistic_regression"} < found.keys()


def test_regressions_find_what_is_plain() -> None:
    def numbers(part: list[Example]) -> list[Example]:
        return [Example(e.values, 50 + 10 * e.values.double().mean(), group=e.group) for e in part]

    parts = [numbers(examples(n, 12, seed, False)) for n, seed in ((80, 0), (20, 1), (20, 2))]
    found = baselines.regress(Splits(*parts))
    targets = torch.stack([example.targets for example in parts[2]])
    errors = {
        name: float((torch.cat(predictions) - targets).square().mean())
        for name, predictions in found.items()
    }
    mean = torch.stack([example.targets for example in parts[0]]).mean()
    assert float((mean - targets).square().mean()) == pytest.approx(errors["mean"])
    assert errors["ridge"] < 0.01 * errors["mean"]


def test_last_and_seasonal_values() -> None:
    values = torch.arange(8.0)[:, None]
    example = Example(values, torch.zeros(8, 2))

    def back(horizon: int, season: int, ends: int) -> list[list[float]]:
        found: list[list[float]] = windows._back(example, [0], horizon, season, ends).tolist()
        return found

    assert [[0], [0], [1], [2], [3], [4], [5], [6]] == back(1, 0, 1)
    assert [0, 0, 1, 0, 1, 2, 3, 4] == [row[0] for row in back(1, 3, 1)]
    assert [[3, 3], [4, 4]] == back(2, 0, 0)[3:5]
    assert [[1, 2], [2, 3]] == back(2, 3, 0)[3:5]
    assert [2, 3, 4, 2, 3] == back(5, 3, 0)[4], "a season that has not come is the one before"


@pytest.mark.parametrize("ahead", [-1, 0, 8])
def test_a_window_sees_what_it_may(ahead: int) -> None:
    """No step after the one that it ends with changes it; that one does."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(40, 2, generator=generator)
    train = [Example(values, torch.zeros(40))]
    view = windows._view(Splits(train, train, train), ahead, 24)
    before = view(train[0])
    for step in (5, 20):
        other = values.clone()
        other[step + ahead + 1 :] += 1
        after = view(Example(other, torch.zeros(40)))
        np.testing.assert_array_equal(before[: step + 1], after[: step + 1])
        assert (before[step + 1] != after[step + 1]).any()


def test_a_window_without_its_step_sees_the_others() -> None:
    """As beside a model that reads both ways: four steps before and four after, not the step."""
    values = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    train = [Example(values, torch.zeros(40))]
    view = windows._view(Splits(train, train, train), 4, 5, without=True)
    before, other = view(train[0]), values.clone()
    other[20] += 1
    changed = (view(Example(other, torch.zeros(40))) != before).any(axis=1)
    assert [16, 17, 18, 19, 21, 22, 23, 24] == np.flatnonzero(changed).tolist()


def test_two_sided_forecasts_see_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are the mean of their neighbours are found; those at the ends have only one."""
    values = torch.tensor([1.0, 4, 2, 8])[:, None]
    assert [[4.0], [1.5], [6.0], [2.0]] == windows._neighbours(values).tolist()
    draw = torch.Generator().manual_seed(0)

    def sequence() -> Example:
        values = torch.randn(60, 1, generator=draw)
        values[1:-1:2] = (values[:-2:2] + values[2::2]) / 2
        mask = torch.arange(60) % 2 == 1
        mask[-1] = False
        return Example(values, values, mask)

    splits = Splits(*([sequence() for _ in range(4)] for _ in range(3)))
    found = windows.forecast(splits, [0], 1, 24, 1, two_sided=True)
    assert ["mean", "two_sided_neighbours", "two_sided_ridge"] == list(found)
    for name, least in (("mean", 0.3), ("two_sided_neighbours", 0.0), ("two_sided_ridge", 0.0)):
        errors = [
            float((forecast - example.targets)[example.target_mask].square().mean())
            for forecast, example in zip(found[name], splits.test, strict=True)
        ]
        assert least - 1e-9 <= np.mean(errors) < least + 0.5 * (least > 0) + 1e-4


@pytest.mark.parametrize("online", [False, True])
def test_labels_of_steps(online: bool) -> None:
    """The label is whether the column was high three steps ago; unknown steps are left out."""

    def sequence(seed: int) -> Example:
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(60, 1, generator=generator)
        targets = (values.roll(3, 0)[:, 0] > 0).long()
        return Example(values, targets, torch.arange(60) >= 3)

    parts = [[sequence(10 * part + n) for n in range(6)] for part in range(3)]
    found = windows.label_steps(Splits(*parts), 2, online)
    for example, logits in zip(parts[2], found["logistic_regression"], strict=True):
        right = (logits.argmax(dim=1) == example.targets)[3:].double().mean()
        assert right > 0.8
        torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(60).double())


@pytest.mark.parametrize(
    "name",
    [
        "classify",
        pytest.param("regress", marks=pytest.mark.nightly),
        pytest.param("label", marks=pytest.mark.nightly),
        "forecast",
        "anomaly",
    ],
)
def test_the_cards_scores_are_those_of_the_built_in_data(name: str) -> None:
    task = registry().get("task", f"data/{name}").load()()
    splits = task.splits()
    found = {}
    for sight in sights(task.visibility):
        found |= score_baselines(task, [task.baselines_for(splits, sight)], [splits.test])
    scores = {key: scores.compute()[task.primary.name] for key, scores in found.items()}
    assert task.baseline_scores == pytest.approx(scores, abs=6e-4)
    counts = [len(part) for part in vars(splits).values()]
    if name != "anomaly":
        assert [f"{count}" for count in counts] == [
            size.partition(" ")[0] for size in task.sizes.values()
        ]
