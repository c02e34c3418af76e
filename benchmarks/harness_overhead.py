"""What the harness costs over a bare PyTorch loop doing the same optimisation on the same batches.

    python benchmarks/harness_overhead.py [rounds]

Harness and loop take turns in one process; every figure is the median over rounds. LSTM, hidden
size 64, sequences of 45 to 55 steps, batch 32, 100 training steps an epoch, one thread. The loop is
what one would write by
hand: the same predictor, loss, AdamW, clipping and data loader, and nothing that is kept.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

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
from seqbench.plugins.lstm import LSTM
from seqbench.training.data import TrialData
from seqbench.training.fit import Fitted, Training, build_predictor, fit
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.scoring import FoldScores, model_rows

STEPS = 100
BATCH = 32
KEYS = 88
RECIPE = Recipe(batch_size=BATCH, lr=1e-3)


class RandomRolls(Task):
    """Random piano rolls: the cost of a step does not depend on what it learns."""

    version = "1"
    visibility = Visibility.NEXT
    monitor = primary = Metric("nll", "min")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def pieces(count: int) -> list[Example]:
            lengths = torch.randint(45, 56, (count,), generator=generator).tolist()
            rolls = [(torch.rand(n, KEYS, generator=generator) < 0.05).float() for n in lengths]
            return [Example(roll, roll) for roll in rolls]

        self._splits = Splits(pieces(STEPS * BATCH), pieces(4 * BATCH), pieces(BATCH))

    def prepare(self) -> None:
        """Nothing to fetch."""

    def splits(self, fold: int = 0) -> Splits:
        """Return the rolls."""
        return self._splits

    def fingerprint(self) -> str:
        """Return a constant: nothing is kept."""
        return "random"

    def input_spec(self, train: object) -> InputSpec:
        """Return 88 keys."""
        return InputSpec(KEYS)

    def output_spec(self, train: object) -> OutputSpec:
        """Return 88 logits."""
        return OutputSpec(KEYS)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the NLL of each frame."""
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            predictions, targets.to(predictions.dtype), reduction="none"
        )
        return losses.sum(-1)

    def metrics(self) -> MeanLoss:
        """Return the mean NLL."""
        return MeanLoss(self, "nll")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return none."""
        return {}


def new_trial(task: Task) -> tuple[TrialData, Predictor]:
    """Return the same data order and initial weights every time."""
    data = TrialData(task, BATCH, 0, None)
    return data, build_predictor(task, LSTM, {"hidden_size": 64}, data, 0)


def by_harness(task: Task, epochs: int) -> tuple[Fitted, float]:
    """Train with the harness; return what it found, and the wall time of all of it in seconds."""
    data, predictor = new_trial(task)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        recipe = Recipe(batch_size=BATCH, lr=RECIPE.lr, max_epochs=epochs)
        trainer = TrainerSettings(threads=1, progress=False)
        checkpoint = Path(folder, "best.ckpt")
        fitted = fit(Training(task, predictor, data, recipe, trainer, 0, checkpoint))
        return fitted, time.perf_counter() - began


def by_hand(task: Task) -> tuple[float, float]:
    """Train an epoch with a bare loop; return seconds per step, and seconds of its validation."""
    data, predictor = new_trial(task)
    optimizer = torch.optim.AdamW(
        predictor.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay
    )
    loader = data.train()
    began = time.perf_counter()
    for batch in loader:
        optimizer.zero_grad()
        total, count = batch_loss(task, predictor, batch)
        (total / count).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(predictor.parameters(), RECIPE.clip)
        optimizer.step()
    trained = time.perf_counter()
    FoldScores(task, "folds").add(model_rows(predictor, data.valid()), len(data.splits.valid))
    return (trained - began) / STEPS, time.perf_counter() - trained


def main(rounds: int) -> None:
    """Take turns, and print medians."""
    torch.set_num_threads(1)
    task = RandomRolls()
    by_hand(task)
    by_harness(task, 1)
    ratios, per_epoch, per_run, steps = [], [], [], []
    for index in range(rounds):
        step, validation = by_hand(task)
        one, wall_of_one = by_harness(task, 1)
        three, wall_of_three = by_harness(task, 3)
        again, _ = by_hand(task)
        step = (step + again) / 2
        ratios.append(1 / one.steps_per_second / step)
        epoch = (wall_of_three - wall_of_one) / 2
        per_epoch.append(epoch - STEPS / three.steps_per_second - validation)
        per_run.append(wall_of_one - epoch)
        steps.append(step)
        if sys.stderr.isatty():
            sys.stderr.write(f"\rround {index + 1} of {rounds}")
    print(f"LSTM, hidden 64, T 45-55, batch {BATCH}, {STEPS} steps an epoch; medians of {rounds}")
    print(
        f"training step, harness / bare loop  {statistics.median(ratios):.3f}"
        f"  (from {min(ratios):.3f} to {max(ratios):.3f})"
    )
    step = statistics.median(steps)
    print(f"per epoch beside steps and scoring  {statistics.median(per_epoch) / step:.1f} steps")
    print(f"per run (set-up, first and last)    {statistics.median(per_run) / step:.1f} steps")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
