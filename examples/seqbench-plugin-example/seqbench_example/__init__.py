"""The hooks of the example plugin: light, for seqbench asks every plugin what it offers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seqbench import Entry, hookimpl

if TYPE_CHECKING:
    from seqbench.api import FinishedTrial, FoldData, TrainedPredictor


@hookimpl
def seqbench_models() -> list[Entry]:
    """Return the models of this plugin."""
    return [Entry("mgu", "seqbench_example.mgu:MGU")]


@hookimpl
def seqbench_tasks() -> list[Entry]:
    """Return the tasks of this plugin."""
    return [Entry("latch", "seqbench_example.latch:Latch")]


@hookimpl
def seqbench_metrics() -> list[Entry]:
    """Return the metrics of this plugin, beside the tasks' own."""
    return [Entry("calibration", "seqbench_example.calibration:Calibration")]


@hookimpl
def seqbench_callbacks() -> list[Entry]:
    """Return the callbacks of this plugin, which take part in every training."""
    return [Entry("gradients", "seqbench_example.gradients:Gradients")]


@hookimpl
def seqbench_outputs(
    trial: FinishedTrial, predictor: TrainedPredictor, data: FoldData, folder: Path
) -> None:
    """Write down the test sequence that the model predicts worst."""
    from seqbench_example.worst import write_worst

    write_worst(trial.task, predictor, data.test(), folder / "worst.csv")
