"""From forecasts to a score for each sample, and how well that finds the anomalies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from seqbench.api import MetricSet
from seqbench.tasks.anomaly.series import unpack
from seqbench.tasks.anomaly.student import residual_nll
from seqbench.tasks.anomaly.vus import vus_pr


def detector_predictions(scores: Tensor) -> Tensor:
    """Return a detector's scores as predictions that hold no forecast.

    Args:
        scores: ``[N, window]``, of each sample of each step.

    Returns:
        ``[N, 1 + window]``: the first column, not a number, tells them from forecasts.
    """
    return torch.cat([scores.new_full((len(scores), 1), torch.nan), scores], dim=1)


class DetectionMetrics(MetricSet):
    """VUS-PR, AUPRC and AUROC of the samples' scores, and the NLL of normal steps.

    A sample's score is the mean residual NLL of the steps that hold it, one of each reading of its
    series. Samples of all series are ranked together. Predictions of width ``1 + window`` that
    begin with NaN hold scores of samples instead of a forecast, and have no NLL.

    Args:
        window: samples of a step.
        buffer: of VUS-PR, in samples.
    """

    def __init__(self, window: int, buffer: int) -> None:
        self._window = window
        self._buffer = buffer
        self._scores: list[NDArray[np.float64]] = []  # [N, window]
        self._labels: list[NDArray[np.bool_]] = []  # [N, window]
        self._where: list[NDArray[np.int64]] = []  # [N, 2]: the series, the step's first sample
        self._total = 0.0
        self._count = 0

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take forecasts ``[N, K]`` or a detector's scores; targets say of which series they are.

        Args:
            predictions: see :mod:`seqbench.tasks.anomaly.student`, :func:`detector_predictions`.
            targets: ``[N, F + window + 2]``, see :class:`seqbench.tasks.anomaly.series.Row`.
            sequences: of no use here: several sequences are readings of one series.
        """
        row = unpack(targets.cpu(), self._window)
        predictions = predictions.cpu().double()
        if predictions.shape[1] == 1 + self._window and bool(predictions[:, 0].isnan().all()):
            scores = predictions[:, 1:]
        else:
            nll = residual_nll(predictions, row.features)
            normal = ~row.labels.any(dim=1)
            self._total += float(nll[normal].sum())
            self._count += int(normal.sum())
            scores = nll[:, None].expand(-1, self._window)
        self._scores.append(scores.numpy())
        self._labels.append(row.labels.numpy())
        self._where.append(torch.stack([row.series, row.first], dim=1).numpy())

    def compute(self) -> dict[str, float]:
        """Return every metric; NaN where there is nothing that it could be computed of."""
        nan = float("nan")
        nll = self._total / self._count if self._count else nan
        scores, labels = self.samples()
        together = np.concatenate(scores) if scores else np.empty(0)
        anomalous = np.concatenate(labels) if labels else np.empty(0, dtype=bool)
        if anomalous.all() or not anomalous.any() or not np.isfinite(together).all():
            return {"vus_pr": nan, "auprc": nan, "auroc": nan, "nll": nll}
        return {
            "vus_pr": vus_pr(scores, labels, self._buffer),
            "auprc": float(average_precision_score(anomalous, together)),
            "auroc": float(roc_auc_score(anomalous, together)),
            "nll": nll,
        }

    def samples(self) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
        """Return the scores and the labels ``[T]`` of each series' samples that were scored."""
        if not self._where:
            return [], []
        where = np.concatenate(self._where)
        scores = np.concatenate(self._scores)
        labels = np.concatenate(self._labels)
        found: list[NDArray[np.float64]] = []
        anomalous: list[NDArray[np.bool_]] = []
        for number in np.unique(where[:, 0]):
            rows = where[:, 0] == number
            samples = (where[rows, 1, None] + np.arange(self._window)).ravel()
            length = samples.max() + 1
            count = np.bincount(samples, minlength=length)
            held = count > 0
            total = np.bincount(samples, weights=scores[rows].ravel(), minlength=length)
            marked = np.bincount(samples, weights=labels[rows].ravel(), minlength=length)
            found.append(total[held] / count[held])
            anomalous.append(marked[held] > 0)
        return found, anomalous
