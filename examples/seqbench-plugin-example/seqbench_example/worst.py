"""An output of every trial: the test sequence that the model predicts worst, as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from seqbench.api import Batch, Task, TrainedPredictor


@torch.inference_mode()
def write_worst(
    task: Task, predictor: TrainedPredictor, batches: Iterable[Batch], path: Path
) -> None:
    """Write the sequence with the largest mean loss: a row for each prediction that counts.

    Columns: ``sequence``, its number in the split, from 0; ``step``, from 0, and 0 where the task
    labels sequences; ``loss``, the task's; ``target`` and ``prediction``, numbered where there are
    several.

    Args:
        task: whose loss it is.
        predictor: trained.
        batches: of a split, in its order.
        path: the file to write.
    """
    worst, first = -float("inf"), 0
    rows: list[dict[str, float]] = []
    for batch in batches:
        predictions = predictor(batch.inputs.to(predictor.device)).float().cpu()
        for number, counts in enumerate(batch.target_mask):
            if not counts.any():
                continue
            # A label of the whole sequence counts by a single value, which adds a dimension.
            found, targets = predictions[number][counts], batch.targets[number][counts]
            losses = task.loss(found, targets)
            if losses.mean() > worst:
                worst = float(losses.mean())
                steps = counts.reshape(-1).nonzero()[:, 0]
                rows = _rows(first + number, steps, losses, targets, found)
        first += len(batch.target_mask)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows(
    sequence: int, steps: Tensor, losses: Tensor, targets: Tensor, predictions: Tensor
) -> list[dict[str, float]]:
    columns = {"step": steps, "loss": losses}
    for name, values in (("target", targets), ("prediction", predictions)):
        wide = values.reshape(len(values), -1)
        numbers = [""] if wide.shape[1] == 1 else [f"_{index}" for index in range(wide.shape[1])]
        columns |= {f"{name}{number}": wide[:, k] for k, number in enumerate(numbers)}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [{"sequence": sequence, **dict(zip(columns, row, strict=True))} for row in rows]
