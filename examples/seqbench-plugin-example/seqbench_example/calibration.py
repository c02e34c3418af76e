"""A metric beside the tasks' own: does a probability mean what it says?"""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.api import Task, TaskMetrics, Visibility

BINS = 10


class Calibration(TaskMetrics):
    """The expected calibration error of binary labels: ``error``, from 0 (best) to 1.

    Predictions are put into ten bins by the probability of the likelier label; in each the mean
    probability is compared with the share that was right, and the differences are averaged over all
    predictions (Guo et al. 2017, On calibration of modern neural networks, equation 3).
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._sums = torch.zeros(3, BINS, dtype=torch.float64)  # confidence, right, count

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Return whether a task labels sequences and ranks by accuracy, as this plugin's does."""
        return task.visibility is Visibility.SEQUENCE and task.primary.name == "accuracy"

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits ``[N, 1]`` of the label 1, or ``[N, K]`` of K classes."""
        if predictions.shape[1] == 1:
            predictions = torch.cat([torch.zeros_like(predictions), predictions], dim=1)
        confidence, label = predictions.double().softmax(1).max(1)
        bins = (confidence * BINS).long().clamp(max=BINS - 1)
        right = (label == targets.long()).double()
        for row, values in enumerate((confidence, right, torch.ones_like(right))):
            self._sums[row].index_add_(0, bins.cpu(), values.cpu())

    def compute(self) -> dict[str, float]:
        """Return ``error``; NaN without any prediction."""
        confidence, right, count = self._sums
        return {"error": float((confidence - right).abs().sum() / count.sum())}
