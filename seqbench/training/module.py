"""The Lightning module of a trial: its loss, its seeds of dropout, and whole-set metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from seqbench.api import Batch, Task
from seqbench.errors import TrialFailed
from seqbench.training.distributed import sum_gradients, whole_batch
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.scoring import batch_rows, update
from seqbench.training.seeds import derive


class DropoutSeed:
    """Seeds dropout at the start of each epoch, whatever ran before.

    Args:
        seed: of the trial.
        rank: of this process; each draws masks of its own.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        self._seed = seed
        self._rank = [rank] if rank else []
        self.goes_on = False
        """Whether training goes on from a state, and has not begun an epoch."""

    def set(self, epoch: int) -> None:
        """Reseed torch's generators."""
        torch.manual_seed(derive(self._seed, "dropout", epoch, *self._rank))
        if self.goes_on:
            # Lightning makes the loader's iterator, which draws a number, after this, but before
            # it where training goes on from a checkpoint.
            torch.empty((), dtype=torch.int64).random_()
            self.goes_on = False


@dataclass
class _Losses:
    """The losses of an epoch so far: their sum, float32 where it is a tensor, and their number."""

    total: Tensor
    count: int = 0


class TrialModule(LightningModule):
    """Trains a predictor on a task.

    Losses are summed over the predictions that count and logged once in an epoch; validation
    metrics are computed over the whole split, so that the batch size cannot change them.

    Args:
        predictor: with its initial weights.
        task: prepared.
        optimisation: optimiser and schedule, see
            :func:`~seqbench.training.optimisation.optimisation`.
        dropout: its seeds.
        check_limits: raises once the trial has used more than it may; called after each batch.
        targets_per_batch: see :attr:`~seqbench.training.data.TrialData.targets_per_batch`.
        clip: largest norm of the gradient of a batch's mean loss; 0 leaves it alone.
        ranks: that share each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        task: Task,
        optimisation: dict[str, Any],
        dropout: DropoutSeed,
        check_limits: Callable[[], None],
        targets_per_batch: float,
        clip: float = 0.0,
        ranks: int = 1,
    ) -> None:
        super().__init__()
        self.predictor = predictor
        self._task = task
        self._optimisation = optimisation
        self._dropout = dropout
        self._check_limits = check_limits
        self._targets_per_batch = targets_per_batch
        self._clip = clip
        self._share = 1.0  # of the batch's targets in those of an average one
        self._ranks = ranks
        self._losses = _Losses(torch.zeros(()))
        self._metrics = task.metrics()
        self._validated = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Lightning notes the name of each hook here, some fifty times a step: torch need not look
        each time whether it is a parameter.
        """
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Return the batch on a device; without a copy where it is on the CPU already."""
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the batch's summed losses, divided by the targets that a batch has on average.

        Divided by its own number of targets, a target would weigh more in a batch of short
        sequences than in one of long ones. On one of several ranks it is this rank's share.
        """
        total, count = batch_loss(self._task, self.predictor, batch)
        whole: Tensor | float = total.detach()
        if self._ranks > 1:
            whole, count = whole_batch(total, count)
        losses = self._losses
        losses.total = losses.total + whole
        losses.count += count
        self._share = count / self._targets_per_batch
        return total / self._targets_per_batch

    def on_after_backward(self) -> None:
        """Make the gradients those of the whole batch."""
        if self._ranks > 1:
            sum_gradients([item for item in self.predictor.parameters() if item.requires_grad])

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Clip the gradient of the batch's mean loss, whatever the batch weighs.

        The gradient here is that one times the batch's share. One limit for all batches would cut
        off what those of long sequences weigh more.
        """
        if self._clip:
            self.clip_gradients(optimizer, self._clip * self._share, "norm")

    def on_train_batch_end(self, *_: Any) -> None:
        """Look at the clock and at the memory."""
        self._check_limits()

    def on_train_epoch_start(self) -> None:
        """Seed dropout, and start the epoch's sums."""
        self._dropout.set(self.current_epoch)
        self._losses = _Losses(torch.zeros((), device=self.device))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a state."""
        self._dropout.goes_on = True

    def train_loss(self) -> float:
        """Return this epoch's mean loss so far; raises TrialFailed if it is not finite."""
        loss = float(self._losses.total) / max(self._losses.count, 1)
        if not math.isfinite(loss):
            rate = self._optimisation["optimizer"].defaults["lr"]
            raise TrialFailed(
                f"the training loss became {loss} in epoch {self.current_epoch}; "
                f"try a smaller recipe.lr (it is {rate:g}) or recipe.clip"
            )
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start the split's metrics."""
        self._metrics = self._task.metrics()
        self._validated = 0

    def validation_step(self, batch: Batch, index: int) -> None:
        """Take a batch into the split's metrics."""
        rows = batch_rows(self.predictor(batch.inputs), batch, self._validated)
        update(self._metrics, rows._replace(predictions=rows.predictions.float()))
        self._validated += len(batch.target_mask)

    def on_validation_epoch_end(self) -> None:
        """Log the split's metrics, and check that training is still sane."""
        self.log("train/loss", self.train_loss())
        # Rank 0 speaks for all: what they decide by a metric has to be decided alike.
        metrics = self.trainer.strategy.broadcast(self._metrics.compute())
        monitor = metrics[self._task.monitor.name]
        if not math.isfinite(monitor):
            raise TrialFailed(
                f"the validation {self._task.monitor.name} became {monitor} "
                f"in epoch {self.current_epoch}"
            )
        for name, value in metrics.items():
            self.log(f"valid/{name}", value)

    def on_validation_batch_end(self, *_: Any) -> None:
        """Look at the clock and at the memory."""
        self._check_limits()

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser and schedule."""
        return self._optimisation
