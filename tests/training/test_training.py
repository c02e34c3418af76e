"""Training: seeds, batches, visibility, reproducibility, failures."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from seqbench.api import (
    Example,
    InputSpec,
    MeanLoss,
    Metric,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.config.settings import Recipe, TrainerSettings
from seqbench.errors import Refused, TrialFailed
from seqbench.plugins.gru import GRU
from seqbench.plugins.lstm import LSTM
from seqbench.plugins.peephole import Peephole
from seqbench.training.backend import observe_backend
from seqbench.training.callbacks import Checkpoints, EpochListener
from seqbench.training.data import BucketSampler, TrialData
from seqbench.training.fit import Fitted, Training, build_predictor, fit
from seqbench.training.predictor import Predictor
from seqbench.training.scoring import FoldScores, model_rows
from seqbench.training.seeds import derive


class Echo(Task):
    """Predict each step from the one before: x_t is x_{t-1}, noise added, so it can be learned."""

    version = "1"
    visibility = Visibility.NEXT
    monitor = primary = Metric("error", "min")

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.augmented: list[str] = []

    def prepare(self) -> None:
        pass

    def splits(self, fold: int = 0) -> Splits:
        generator = torch.Generator().manual_seed(0)
        parts = []
        for name in ("train", "valid", "test"):
            examples = []
            for index in range(20):
                noise = torch.randn(4 + index, 2, generator=generator)
                values = self.scale * noise.cumsum(0)
                examples.append(Example(values, values, group=f"{name}{index}"))
            parts.append(examples)
        return Splits(*parts)

    def fingerprint(self) -> str:
        return "echo"

    def input_spec(self, train: list[Example]) -> InputSpec:
        values = torch.cat([example.values for example in train])
        return InputSpec(2, mean=values.mean(0), std=values.std(0))

    def output_spec(self, train: list[Example]) -> OutputSpec:
        return OutputSpec(2, bias=torch.tensor([0.5, -0.5]))

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets).square().sum(-1)

    def metrics(self) -> MeanLoss:
        return MeanLoss(self, "error")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {}

    def augment(self, example: Example, generator: torch.Generator) -> Example:
        self.augmented.append(example.group)
        return example


def train_echo(
    folder: Path,
    task: Task | None = None,
    model: Any = LSTM,
    seed: int = 0,
    listener: EpochListener = lambda epoch, metrics: None,
    **recipe: Any,
) -> tuple[Fitted, Predictor, TrialData]:
    task = task or Echo()
    settings = Recipe(**{"max_epochs": 3, "batch_size": 4, **recipe})
    data = TrialData(task, settings.batch_size, seed, settings.max_examples)
    predictor = build_predictor(task, model, {"hidden_size": 8, "dropout": 0.2}, data, seed)
    trainer, checkpoint = TrainerSettings(progress=False), folder / "best.ckpt"
    training = Training(
        task, predictor, data, settings, trainer, seed, checkpoint, listener=listener
    )
    fitted = fit(training)
    return fitted, predictor, data


def without_time(fitted: Fitted) -> list[dict[str, float]]:
    return [
        {name: value for name, value in epoch.items() if name != "seconds"}
        for epoch in fitted.history
    ]


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    """The same trial twice is bit-identical, whatever random numbers were drawn in between."""
    first, one, _ = train_echo(tmp_path / "a")
    torch.rand(17)
    second, two, _ = train_echo(tmp_path / "b")
    assert without_time(first) == without_time(second)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name])


class Killed(BaseException):
    """What ends a process, for a test that goes on living."""


class Mortal(Echo):
    """Dies when the given number of sequences was augmented, 20 in an epoch."""

    def __init__(self, sequences: int) -> None:
        super().__init__()
        self.left = sequences

    def augment(self, example: Example, generator: torch.Generator) -> Example:
        self.left -= 1
        if self.left == 0:
            raise Killed
        return super().augment(example, generator)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_goes_on_where_it_was_killed(
    schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again, in mid-epoch and between, it ends with the bits of one go."""
    recipe = {"max_epochs": 12, "schedule": schedule, "patience": 3, "lr": 0.3}
    whole, one, _ = train_echo(tmp_path / "whole", **recipe)
    monkeypatch.setattr(Checkpoints, "SECONDS_BETWEEN_STATES", 0)
    epochs = []
    for sequences in (7, 20, 21, 45, 39, 1, 61):
        with contextlib.suppress(Killed):
            train_echo(tmp_path / "cut", Mortal(sequences), **recipe)
        state = tmp_path / "cut" / "best.state"
        epochs.append(torch.load(state, weights_only=True)["epoch"] if state.exists() else None)
    assert [None, None, 0, 2, 3, 3, 6] == epochs
    rest = Echo()
    cut, two, _ = train_echo(tmp_path / "cut", rest, **recipe)
    assert 20 * (len(whole.history) - 7) == len(rest.augmented)
    assert without_time(whole) == without_time(cut)
    assert (whole.best_epoch, whole.steps) == (cut.best_epoch, cut.steps)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name])


def test_is_not_trained_again(tmp_path: Path) -> None:
    """What has ended is read; the listener hears of every epoch all the same."""
    first, one, _ = train_echo(tmp_path)
    heard: list[int] = []
    second, two, _ = train_echo(tmp_path, Mortal(1), listener=lambda epoch, _: heard.append(epoch))
    assert [0, 1, 2] == heard
    assert first == second
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name])


def test_another_seed_other_numbers(tmp_path: Path) -> None:
    first, _, _ = train_echo(tmp_path / "a")
    second, _, _ = train_echo(tmp_path / "b", seed=1)
    assert without_time(first) != without_time(second)


def test_learns_and_selects_the_best_epoch(tmp_path: Path) -> None:
    """The predictor is left with the weights of the epoch whose validation monitor was best."""
    fitted, predictor, data = train_echo(tmp_path, max_epochs=12, lr=0.02)
    errors = [epoch["valid/error"] for epoch in fitted.history]
    assert errors[fitted.best_epoch] == min(errors) < 0.5 * errors[0]
    again = FoldScores(Echo(), "folds")
    again.add(model_rows(predictor, data.valid()), len(data.splits.valid))
    assert errors[fitted.best_epoch] == pytest.approx(again.compute()["error"], rel=1e-6)


def test_stops_early(tmp_path: Path) -> None:
    """With a step too small to change anything, patience ends training."""
    fitted, _, _ = train_echo(tmp_path, max_epochs=50, patience=2, lr=1e-12)
    assert len(fitted.history) < 10
    assert fitted.steps == 5 * len(fitted.history)


def test_patience_counts_the_epochs_without_a_better_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as patience allows; an equal value is no better; a state keeps the count."""
    written: list[bool] = []
    monkeypatch.setattr(
        Checkpoints, "_write", lambda *_, weights_only: written.append(weights_only)
    )
    trainer: Any = SimpleNamespace(
        should_stop=False,
        current_epoch=0,
        max_epochs=100,
        strategy=SimpleNamespace(broadcast=lambda due: due),
    )

    def new() -> Checkpoints:
        return Checkpoints(tmp_path, tmp_path, Metric("error", "min"), patience=3)

    keeper, module = new(), cast(Any, None)
    stopped = []
    for value in (3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.5, 1.0):
        trainer.callback_metrics = {"valid/error": value}
        resumed = new()
        resumed.load_state_dict(keeper.state_dict())
        keeper = resumed
        keeper.on_train_epoch_end(trainer, module)
        stopped.append(trainer.should_stop)
    assert [False] * 7 + [True] == stopped
    assert [True] * 3 == written


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "lr": 0.01},
        {"schedule": "cosine"},
        {"schedule": "plateau"},
        {"clip": 0.0},
    ],
)
def test_recipes_train(tmp_path: Path, recipe: dict[str, Any]) -> None:
    fitted, _, _ = train_echo(tmp_path, max_epochs=4, **recipe)
    errors = [epoch["valid/error"] for epoch in fitted.history]
    assert errors[-1] < errors[0]


def test_a_loss_that_is_not_finite_fails_the_trial(tmp_path: Path) -> None:
    """The reason names the epoch and the learning rate."""
    with pytest.raises(TrialFailed, match=r"became (nan|inf) in epoch 0.*recipe\.lr"):
        train_echo(tmp_path, task=Echo(scale=1e38))


def test_the_test_split_is_sealed() -> None:
    data = TrialData(Echo(), 4, 0, None)
    with pytest.raises(RuntimeError, match="sealed"):
        data.test()
    data.unseal()
    assert len(list(data.test())) == 5


def test_a_unit_in_two_splits_is_refused() -> None:
    class Leaky(Echo):
        def splits(self, fold: int = 0) -> Splits:
            splits = super().splits(fold)
            return Splits(splits.train, splits.valid, splits.train)

    with pytest.raises(Refused, match="test split is in train too"):
        TrialData(Leaky(), 4, 0, None)


def test_empty_split_is_refused() -> None:
    class Empty(Echo):
        def splits(self, fold: int = 0) -> Splits:
            return Splits([], super().splits(fold).valid, super().splits(fold).test)

    with pytest.raises(Refused, match="train split is empty"):
        TrialData(Empty(), 4, 0, None)


def test_max_examples_cuts_every_split() -> None:
    splits = TrialData(Echo(), 4, 0, 3).splits
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [3, 3, 3]


def test_bucket_sampler_draws_each_sequence_once() -> None:
    """An epoch is a permutation in batches; the next epoch is another, the same seed the same."""
    lengths = [(7 * index) % 50 + 1 for index in range(103)]
    sampler = BucketSampler(lengths, 8, seed=3)
    first = list(sampler)
    assert list(range(103)) == sorted(index for batch in first for index in batch)
    assert Counter({8: 12, 7: 1}) == Counter(map(len, first))
    assert len(first) == len(sampler)
    assert first == list(BucketSampler(lengths, 8, seed=3))
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_each_epoch_has_an_order_of_its_own(tmp_path: Path) -> None:
    """Lightning tells the sampler which epoch it is; augmentation follows."""
    task = Echo()
    train_echo(tmp_path, task)
    epochs = [tuple(task.augmented[start : start + 20]) for start in (0, 20, 40)]
    assert 60 == len(task.augmented)
    assert 3 == len(set(epochs))
    assert 1 == len({tuple(sorted(epoch)) for epoch in epochs})


def test_bucket_sampler_saves_padding() -> None:
    """Sorting pools by length pads far less than drawing batches at random does."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 200, (400,), generator=generator).tolist()

    def padded(batches: list[list[int]]) -> int:
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)

    shuffled = torch.randperm(400, generator=generator).tolist()
    at_random = padded([shuffled[start : start + 8] for start in range(0, 400, 8)])
    in_buckets = padded(list(BucketSampler(lengths, 8, seed=0)))
    assert in_buckets < 0.75 * at_random


def test_models_are_paired() -> None:
    """Two models of one seed see the same order; the order does not depend on what ran before."""
    orders = []
    for _ in range(2):
        torch.rand(5)
        loader = TrialData(Echo(), 4, 11, None).train()
        orders.append([batch.inputs.lengths.tolist() for batch in loader])
    assert orders[0] == orders[1]


def test_only_training_examples_are_augmented() -> None:
    task = Echo()
    data = TrialData(task, 4, 0, None)
    data.unseal()
    for loader in (data.train(), data.valid(), data.test()):
        list(loader)
    assert Counter(f"train{index}" for index in range(20)) == Counter(task.augmented)


def test_seeds_differ_by_axis_epoch_and_trial() -> None:
    seeds = {
        derive(0, "order"),
        derive(1, "order"),
        derive(0, "dropout"),
        derive(0, "order", 1),
        derive(0, "order", 2),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_inputs_are_standardised_and_the_head_starts_at_its_bias() -> None:
    task = Echo()
    data = TrialData(task, 4, 0, None)
    predictor = build_predictor(task, LSTM, {"hidden_size": 8}, data, 0)
    spec = task.input_spec(data.splits.train)
    torch.testing.assert_close(spec.mean, predictor.input_mean)
    assert predictor.head.bias.tolist() == [0.5, -0.5]
    batch = next(iter(data.valid()))
    first = predictor(batch.inputs)[:, 0]
    assert torch.equal(predictor.head.bias.expand_as(first), first), "nothing precedes step 0"


@pytest.mark.parametrize(
    ("model", "backend", "expected"),
    [
        (LSTM, "auto", "cpu"),
        (Peephole, "auto", "cpu"),
        (LSTM, "reference", "reference"),
        (LSTM, "native", "native (oneDNN)"),
        (GRU, "native", "native (ATen)"),
        (Peephole, "cuda", "reference (cuda: the data is on cpu)"),
    ],
)
def test_backend_is_what_ran(model: Any, backend: str, expected: str) -> None:
    """Looked up among the operations that ran, in float32 on a CPU."""
    data = TrialData(Echo(), 4, 0, None)
    predictor = build_predictor(Echo(), model, {"hidden_size": 8, "backend": backend}, data, 0)
    if expected == "native (oneDNN)" and not torch.backends.mkldnn.is_available():
        expected = "native (ATen)"
    assert expected == observe_backend(predictor, next(iter(data.valid())))
