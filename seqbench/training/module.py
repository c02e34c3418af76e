"""The Lightning module of a trial: its loss, its optimiser, and whole-set metrics."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from seqbench.api import Batch, Task
from seqbench.config.settings import Recipe
from seqbench.errors import TrialFailed
from seqbench.training.distributed import sum_gradients, whole_batch
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.scoring import batch_rows, update


class TrialModule(LightningModule):
    """Trains a predictor on a task.

    Losses are summed over the predictions that count and logged once in an epoch; validation
    metrics are computed over the whole split, so that the batch size cannot change them.

    Args:
        predictor: with its initial weights.
        task: prepared.
        recipe: how to optimise.
        steps: in an epoch.
        ranks: that share each batch.
    """

    def __init__(
        self, predictor: Predictor, task: Task, recipe: Recipe, steps: int, ranks: int = 1
    ) -> None:
        super().__init__()
        self.predictor = predictor
        self._task = task
        self._recipe = recipe
        self._steps = steps
        self._ranks = ranks
        self._loss_sum = torch.zeros(())
        self._loss_count = 0
        self._metrics = task.metrics()
        self._validated = 0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the mean loss of the predictions that count.

        On one of several ranks it is this rank's share of that mean over the whole batch.
        """
        total, count = batch_loss(self._task, self.predictor, batch)
        whole: Tensor | float = total.detach()
        if self._ranks > 1:
            whole, count = whole_batch(total, count)
        self._loss_sum = self._loss_sum.to(total.device) + whole
        self._loss_count += count
        return total / max(count, 1)

    def on_after_backward(self) -> None:
        """Make the gradients those of the whole batch."""
        if self._ranks > 1:
            sum_gradients([item for item in self.predictor.parameters() if item.requires_grad])

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._loss_sum = torch.zeros((), device=self.device)
        self._loss_count = 0

    def train_loss(self) -> float:
        """Return this epoch's mean loss so far; raises TrialFailed if it is not finite."""
        loss = float(self._loss_sum) / max(self._loss_count, 1)
        if not math.isfinite(loss):
            raise TrialFailed(
                f"the training loss became {loss} in epoch {self.current_epoch}; "
                f"try a smaller recipe.lr (it is {self._recipe.lr:g}) or recipe.clip"
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

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser and schedule."""
        recipe = self._recipe
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                self.predictor.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
            )
        else:
            optimizer = torch.optim.SGD(
                self.predictor.parameters(),
                lr=recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
                weight_decay=recipe.weight_decay,
            )
        if recipe.schedule == "constant":
            return optimizer
        if recipe.schedule == "cosine":
            total = self._steps * recipe.max_epochs
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": cosine, "interval": "step"},
            }
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode=self._task.monitor.direction,
            factor=0.5,
            patience=recipe.patience // 3,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": plateau,
                "monitor": f"valid/{self._task.monitor.name}",
            },
        }
