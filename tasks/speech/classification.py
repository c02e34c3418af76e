"""What tasks with a label for each sequence share: specifications, loss and metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import (
    Example,
    InputSpec,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.tasks._predictions import cached_predictions, digest
from seqbench.tasks.speech.baselines import BASELINES_VERSION, fit_baselines

BINS = 15
"""Of the calibration error, as in Guo et al. 2017."""


class ClassificationTask(Task):
    """A task that says which of K labels a sequence has; targets are their numbers, 0..K-1."""

    visibility = Visibility.SEQUENCE
    monitor = Metric("nll", "min", "nats")
    primary = Metric("accuracy", "max")
    metric_help: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of sequences whose likeliest label is the right one",
        "macro_f1": "F1 of each label, 2 TP / (2 TP + FP + FN), averaged over labels",
        "nll": "negative log-likelihood of the right label, mean over sequences",
        "ece": (
            "expected calibration error: |accuracy - confidence| averaged over 15 bins of equal"
            " width (Guo et al. 2017, eq. 5)"
        ),
    }

    @property
    @abstractmethod
    def classes(self) -> int:
        """K; known once the data are prepared."""

    def fingerprint(self) -> str:
        """Return the hash of the chosen folds' splits, 16 hexadecimal digits."""
        return digest(*(self.splits(fold) for fold in self.folds()))

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the features, with their means and deviations over all training steps."""
        steps = torch.cat([example.values for example in train]).double()
        return InputSpec(
            size=steps.shape[1],
            mean=steps.mean(dim=0).float(),
            std=steps.std(dim=0, correction=0).float(),
        )

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return a logit for each label."""
        return OutputSpec(size=self.classes)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each sequence's cross entropy, ``[N]`` nats."""
        return F.cross_entropy(predictions, targets, reduction="none")

    def metrics(self) -> MetricSet:
        """Return ``accuracy``, ``macro_f1``, ``nll`` and ``ece``."""
        return ClassificationMetrics(self.classes)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return ``majority``, ``logistic_regression`` and ``gradient_boosting``.

        They see training sequences as they are, never augmented.
        """
        return cached_predictions(
            f"speech-{BASELINES_VERSION}", splits, lambda: fit_baselines(splits, self.classes)
        )


class ClassificationMetrics(MetricSet):
    """Accuracy, macro-F1, NLL and expected calibration error over a whole split, in float64.

    With TP, FP and FN of class k, ``F1_k = 2 TP / (2 TP + FP + FN)``; the macro average leaves out
    a class that is neither there nor predicted. The expected calibration error (Guo et al. 2017,
    arXiv:1706.04599, eq. 5) puts each prediction's largest probability into M = 15 bins
    ``((m - 1) / M, m / M]`` of equal width::

        ECE = sum_m |B_m| / n |acc(B_m) - conf(B_m)|

    Args:
        classes: K.
    """

    def __init__(self, classes: int) -> None:
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)  # [true, predicted]
        self._nll = 0.0
        self._bin_count = torch.zeros(BINS, dtype=torch.float64)
        self._bin_hits = torch.zeros(BINS, dtype=torch.float64)
        self._bin_confidence = torch.zeros(BINS, dtype=torch.float64)

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits ``[N, K]`` and class numbers ``[N]``."""
        logits, targets = predictions.detach().double().cpu(), targets.cpu()
        self._nll += float(F.cross_entropy(logits, targets, reduction="sum"))
        confidence, predicted = logits.softmax(dim=1).max(dim=1)
        classes = len(self._confusion)
        pairs = torch.bincount(targets * classes + predicted, minlength=classes**2)
        self._confusion += pairs.reshape(classes, classes)
        bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        self._bin_count += torch.bincount(bins, minlength=BINS)
        hits = (predicted == targets).double()
        self._bin_hits += torch.bincount(bins, weights=hits, minlength=BINS)
        self._bin_confidence += torch.bincount(bins, weights=confidence, minlength=BINS)

    def compute(self) -> dict[str, float]:
        """Return ``accuracy``, ``macro_f1``, ``nll`` and ``ece``; NaN where nothing counted."""
        count = int(self._confusion.sum())
        if not count:
            return dict.fromkeys(("accuracy", "macro_f1", "nll", "ece"), float("nan"))
        hits = self._confusion.diagonal().double()
        touched = (self._confusion.sum(dim=0) + self._confusion.sum(dim=1)).double()
        gaps = (self._bin_hits - self._bin_confidence).abs()
        return {
            "accuracy": float(hits.sum() / count),
            "macro_f1": float((2 * hits / touched)[touched > 0].mean()),
            "nll": self._nll / count,
            "ece": float(gaps.sum() / count),
        }
