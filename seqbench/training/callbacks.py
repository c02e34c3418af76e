"""What watches the training loop: seeds, the clock, the record of epochs, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from seqbench.training.module import TrialModule
from seqbench.training.seeds import derive

EpochListener = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number, from 0, and its metrics."""


class DropoutSeed(Callback):
    """Seeds dropout at the start of each epoch, whatever ran before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reseed torch's generators."""
        torch.manual_seed(derive(self._seed, "dropout", trainer.current_epoch))


class History(Callback):
    """Keeps each epoch's metrics, and the seconds and steps of training without validation."""

    def __init__(self, listener: EpochListener) -> None:
        self.epochs: list[dict[str, float]] = []
        self.steps = 0
        self.train_seconds = 0.0
        self._listener = listener
        self._began = time.perf_counter()
        self._epoch_began = self._began

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
        metrics["seconds"] = time.perf_counter() - self._began
        self.epochs.append(metrics)
        self._listener(trainer.current_epoch, metrics)


class EpochProgress(Callback):
    """One bar over the epochs on a terminal; elsewhere a line every few seconds.

    Args:
        title: what is being trained.
        monitor: name of the validation metric to show, and which way is better.
    """

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, title: str, monitor: str, direction: str) -> None:
        self._title = title
        self._monitor = monitor
        self._better = min if direction == "min" else max
        self._best: float | None = None
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
        """Show the bar."""
        self._progress.update(self._bar, total=trainer.max_epochs)
        self._progress.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's scores."""
        value = float(trainer.callback_metrics[f"valid/{self._monitor}"])
        self._best = value if self._best is None else self._better(self._best, value)
        train = cast(TrialModule, pl_module).train_loss()
        scores = f"valid {value:.4g} best {self._best:.4g}"
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
