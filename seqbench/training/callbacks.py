"""What watches the training loop: the clock, the record of epochs, selection, progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from seqbench.api import Metric
from seqbench.training.module import TrialModule

EpochListener = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number, from 0, and its metrics."""


def no_listener(epoch: int, metrics: dict[str, float]) -> None:
    """Hear nothing."""


class History(Callback):
    """Keeps each epoch's metrics, and the seconds and steps of training without validation."""

    def __init__(self, listener: EpochListener) -> None:
        self.epochs: list[dict[str, float]] = []
        self.steps = 0
        self.train_seconds = 0.0
        self._listener = listener
        self._began = time.perf_counter()
        self._epoch_began = self._began

    @property
    def seconds(self) -> float:
        """Wall time since training began, without what passed between being killed and going on."""
        return time.perf_counter() - self._began

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._epoch_began = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the epoch's clock: its last training step is done."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self.train_seconds += time.perf_counter() - self._epoch_began
        self.steps = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the epoch's metrics and hand them on."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics["seconds"] = self.seconds
        self.epochs.append(metrics)
        self._listener(trainer.current_epoch, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the epochs, the steps, and the time they took."""
        return {
            "epochs": self.epochs,
            "steps": self.steps,
            "train_seconds": self.train_seconds,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; its epochs are replayed to the listener."""
        self.epochs = state_dict["epochs"]
        self.steps = state_dict["steps"]
        self.train_seconds = state_dict["train_seconds"]
        self._began = time.perf_counter() - state_dict["seconds"]
        for epoch, metrics in enumerate(self.epochs):
            self._listener(epoch, dict(metrics))


class Checkpoints(Checkpoint):
    """Keeps the selected epoch's weights and the state to go on from, and stops in good time.

    Both are written between epochs, each in one move, so that a process that dies leaves what
    was there before. Every epoch sets its seeds anew: training that goes on from a state gives the
    bits of one that was never stopped, and an epoch that was cut short is done again. Of several
    ranks the first one writes, and decides when.

    Args:
        best: file for the selected epoch's weights.
        state: file for the state.
        monitor: the validation metric that selects the epoch.
        patience: epochs without a better one until training stops.
    """

    SECONDS_BETWEEN_STATES = 1.0

    def __init__(self, best: Path, state: Path, monitor: Metric, patience: int) -> None:
        self._best = best
        self._state = state
        self._monitor = monitor
        self._patience = patience
        self._sign = 1 if monitor.direction == "min" else -1
        self._least = math.inf
        self._waited = 0
        self._value = math.nan
        self._resumed = False
        self._written = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the plateau schedule see the state's epoch: Lightning does so once it is written."""
        if self._resumed:
            for config in trainer.lr_scheduler_configs:
                if isinstance(config.scheduler, ReduceLROnPlateau):
                    config.scheduler.step(self._value)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is due. After the last epoch, whose results follow, no state is."""
        self._value = float(trainer.callback_metrics[f"valid/{self._monitor.name}"])
        self._waited += 1
        if self._sign * self._value < self._least:
            self._least, self._waited = self._sign * self._value, 0
            self._write(trainer, self._best, weights_only=True)
        # All ranks have the same value, so that they stop together.
        trainer.should_stop = trainer.should_stop or self._waited >= self._patience
        ended = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        now = time.monotonic()
        due = not ended and now - self._written > self.SECONDS_BETWEEN_STATES
        if trainer.strategy.broadcast(due):
            self._write(trainer, self._state, weights_only=False)
            self._written = now

    def state_dict(self) -> dict[str, Any]:
        """Return what a state keeps: the best value so far, the latest, and epochs since."""
        return {"least": self._least, "value": self._value, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        self._least, self._value = state_dict["least"], state_dict["value"]
        self._waited = state_dict["waited"]
        self._resumed = True

    @staticmethod
    def _write(trainer: Trainer, path: Path, weights_only: bool) -> None:
        draft = path.with_suffix(".draft")
        trainer.save_checkpoint(draft, weights_only)
        if trainer.is_global_zero:
            draft.replace(path)


class EpochProgress(Callback):
    """One bar over the epochs on a terminal; elsewhere a line every few seconds.

    Args:
        title: what is being trained.
        monitor: the validation metric to show.
        history: the epochs so far, those before training went on included.
    """

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, title: str, monitor: Metric, history: History) -> None:
        self._title = title
        self._monitor = f"valid/{monitor.name}"
        self._better = min if monitor.direction == "min" else max
        self._history = history
        self._last_line = time.monotonic()
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[scores]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task(title, scores="")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, from where training goes on."""
        self._progress.update(self._bar, total=trainer.max_epochs, completed=trainer.current_epoch)
        self._progress.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's scores."""
        values = [epoch[self._monitor] for epoch in self._history.epochs]
        train = cast(TrialModule, pl_module).train_loss()
        scores = f"valid {values[-1]:.4g} best {self._better(values):.4g}"
        self._progress.update(self._bar, completed=trainer.current_epoch + 1, scores=scores)
        now = time.monotonic()
        if self._progress.disable and now - self._last_line > self.SECONDS_BETWEEN_LINES:
            self._last_line = now
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            sys.stderr.write(f"{self._title} {epoch} train {train:.4g} {scores}\n")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._progress.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away before anything is said of the exception."""
        self._progress.stop()
