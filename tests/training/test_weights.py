"""Each target weighs alike in training, whatever the lengths of the sequences in its batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
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
from seqbench.plugins.gru import GRU
from seqbench.training import data as data_module
from seqbench.training.data import TrialData
from seqbench.training.fit import Training, build_predictor, fit
from seqbench.training.module import DropoutSeed, TrialModule
from seqbench.training.predictor import batch_loss


class Uneven(Task):
    """Sequences of 2 to 40 steps, whose errors grow with their length; some steps do not count."""

    version = "1"
    monitor = primary = Metric("error", "min")
    citation = licence = ""
    sizes: dict[str, str] = {}
    metric_help: dict[str, str] = {}

    def __init__(
        self,
        visibility: Visibility,
        masked: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.visibility = visibility  # type: ignore[misc]
        self.masked = masked
        self.dtype = dtype

    def prepare(self) -> None:
        pass

    def splits(self, fold: int = 0) -> Splits:
        generator = torch.Generator().manual_seed(0)
        found = []
        for index in range(23):
            steps = 2 + index * index % 39
            values = torch.randn(steps, 2, generator=generator).to(self.dtype) * steps
            if self.visibility is Visibility.SEQUENCE:
                found.append(Example(values, values.sum(0)))
            else:
                mask = torch.arange(steps) % 3 > 0 if self.masked else None
                found.append(Example(values, values, mask))
        return Splits(found, found[:3], found[:3])

    def fingerprint(self) -> str:
        return "uneven"

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        return InputSpec(2)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        return OutputSpec(2)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets).square().sum(-1)

    def metrics(self) -> MeanLoss:
        return MeanLoss(self, "error")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {}


def epoch_gradient(task: Task, batch_size: int, pool: int, ranks: int = 1) -> Tensor:
    """Return the gradient summed over the steps of an epoch, at the initial weights."""
    data = TrialData(task, batch_size, 0, None)
    predictor = build_predictor(task, GRU, {"hidden_size": 5}, data, 0).double()
    module = TrialModule(predictor, task, {}, DropoutSeed(0), lambda: None, data.targets_per_batch)
    before, data_module.POOL_BATCHES = data_module.POOL_BATCHES, pool
    try:
        for rank in range(ranks):
            for number, batch in enumerate(data.train(rank, ranks)):
                module.training_step(batch, number).backward()
    finally:
        data_module.POOL_BATCHES = before
    return torch.cat([item.grad.flatten() for item in predictor.parameters()])


TASKS = [
    Uneven(Visibility.NEXT),
    Uneven(Visibility.NEXT, masked=True),
    Uneven(Visibility.ONLINE, masked=True),
    Uneven(Visibility.SEQUENCE),
]


@pytest.mark.parametrize("task", TASKS, ids=["next", "masked", "online", "sequence"])
@pytest.mark.parametrize("batch_size", [4, 7, 100])
def test_bucketing_does_not_change_an_epochs_gradient(task: Task, batch_size: int) -> None:
    """Bucketed by length or not, and shared by ranks or not: 23 sequences, a last batch of fewer.

    It is that of the mean over all targets, as often as there are steps.
    """
    bucketed = epoch_gradient(task, batch_size, pool=4)
    others = [
        epoch_gradient(task, batch_size, pool=1),
        epoch_gradient(task, batch_size, pool=4, ranks=3),
    ]
    data = TrialData(task, 23, 0, None)
    predictor = build_predictor(task, GRU, {"hidden_size": 5}, data, 0).double()
    (batch,) = data.train()
    total, count = batch_loss(task, predictor, batch)
    (total / count * -(-23 // batch_size)).backward()
    others.append(torch.cat([item.grad.flatten() for item in predictor.parameters()]))
    for other in others:
        assert float((bucketed - other).norm() / bucketed.norm()) < 1e-6


def test_targets_are_counted_as_they_are_masked() -> None:
    """All of 23 sequences in three batches; of labelled sequences, one target each."""
    found = [TrialData(task, 10, 0, None).targets_per_batch * 3 for task in TASKS]
    lengths = [len(example.values) for example in TASKS[0].splits().train]
    counting = sum(sum(step % 3 > 0 for step in range(length)) for length in lengths)
    assert [sum(lengths), counting, counting, 23] == pytest.approx(found)


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_clipping_leaves_a_batch_its_weight(clip: float, tmp_path: Path) -> None:
    """A clipped gradient is as long as the batch's share of targets; a short one is left alone."""
    task = Uneven(Visibility.NEXT, dtype=torch.float32)
    data = TrialData(task, 4, 0, None)
    predictor = build_predictor(task, GRU, {"hidden_size": 5}, data, 0)
    lengths: list[float] = []

    class Measure(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            gradients = [item.grad.flatten() for item in predictor.parameters()]
            lengths.append(float(torch.cat(gradients).norm()))

    recipe, quiet = Recipe(max_epochs=1, batch_size=4, clip=clip), TrainerSettings(progress=False)
    fit(
        Training(
            task, predictor, data, recipe, quiet, 0, tmp_path / "best.ckpt",
            callbacks=lambda: [Measure()],
        )
    )  # fmt: skip
    counts = [int(batch.target_mask.sum()) for batch in data.train()]
    found = [
        length * data.targets_per_batch / count
        for length, count in zip(lengths, counts, strict=True)
    ]
    assert max(counts) > 1.5 * min(counts)
    if clip < 1:
        assert found == pytest.approx([clip] * len(found), rel=1e-2)
    else:
        assert 1 < min(found) < max(found) < clip
