"""Metrics of predicted risks, with intervals by resampling patients.

Legend of shapes: N predictions, P patients (sequences), U distinct scores, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import GroupCounts, MetricSet
from seqbench.api.resampling import resamples

Floats = NDArray[np.float64]

BINS = 10
"""Groups of like risk of the calibration error."""
_RANKING = ("auroc", "auprc")
HELP: Mapping[str, str] = {
    "auroc": "area under the ROC curve: how often a positive has a higher risk than a negative",
    "auprc": (
        "average precision, the area under the precision-recall curve as a step function; the share"
        " of positives is what chance would give"
    ),
    "brier": "mean squared difference between the risk and the label",
    "ece": (
        f"expected calibration error: |mean risk - share of positives| in {BINS} groups of like"
        " risk and equal size, mean weighted by size"
    ),
    "nll": "negative log-likelihood of a label, mean (nats)",
}


class RiskMetrics(MetricSet):
    """AUROC, AUPRC, Brier score, calibration error and NLL of binary labels.

    A patient's visits are alike, so the bootstrap draws patients with all their rows, not rows
    (Field & Welsh 2007, the cluster bootstrap). The draws are the same for every predictor of the
    same rows, which makes differences paired.
    """

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._patients: list[Tensor] = []

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits ``[N, 1]``, labels ``[N]`` and whose they are ``[N]``."""
        self._logits.append(predictions.detach().double().cpu()[:, 0])
        self._labels.append(targets.detach().double().cpu())
        self._patients.append(sequences.detach().cpu())

    def compute(self) -> dict[str, float]:
        """Return every metric; NaN where it has no meaning, as AUROC with one class only."""
        rows = self._rows()
        if not len(rows.labels):
            return dict.fromkeys(HELP, float("nan"))
        scores = _Scorer(rows)(np.ones((1, len(rows.labels))))
        return {name: float(values[0]) for name, values in scores.items()}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the metrics over other draws of the patients.

        The calibration error's groups stay those of the data.
        """
        rows = self._rows()
        if not len(rows.labels):
            return {}
        scorer = _Scorer(rows)
        found: dict[str, list[float]] = {name: [] for name in HELP}
        numbers, of_row = np.unique(rows.patients, return_inverse=True)
        for counts in resamples(len(numbers)):
            for name, values in scorer(counts[:, of_row.ravel()]).items():
                found[name] += values.tolist()
        return found

    def group_counts(self, metric: str) -> GroupCounts:
        """Return how many labels each patient has.

        Of a metric that ranks positives above negatives also how many patients are positive and
        how many negative, if none is both.
        """
        rows = self._rows()
        of_row = np.unique(rows.patients, return_inverse=True)[1].ravel()
        labels = np.bincount(of_row)
        positives = np.bincount(of_row, rows.labels)
        classes: tuple[int, ...] = ()
        if metric in _RANKING and ((positives == 0) | (positives == labels)).all():
            classes = int((positives > 0).sum()), int((positives == 0).sum())
        return GroupCounts.of(labels.tolist(), classes)

    def _rows(self) -> _Rows:
        if not self._logits:
            return _Rows(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
        return _Rows(
            torch.cat(self._logits).numpy(),
            torch.cat(self._labels).numpy(),
            torch.cat(self._patients).numpy(),
        )


class _Rows(NamedTuple):
    logits: Floats
    labels: Floats
    patients: NDArray[np.int64]


class _Scorer:
    """Scores one predictor's rows under any weights; what does not depend on them is done once."""

    def __init__(self, rows: _Rows) -> None:
        self._order = np.argsort(rows.logits, kind="stable")
        logits, self._labels = rows.logits[self._order], rows.labels[self._order]
        self._risks = np.exp(-np.logaddexp(0, -logits))
        self._losses = np.logaddexp(0, logits) - self._labels * logits
        # Equal scores count together, in whatever order they come.
        first_of_equals = np.searchsorted(logits, logits)
        self._distinct = np.unique(first_of_equals)
        self._bins = np.unique(first_of_equals * BINS // len(logits), return_index=True)[1]

    def __call__(self, counts: Floats) -> dict[str, Floats]:
        """Return every metric ``[R]`` of rows that count ``[R, N]`` times."""
        counts = counts[:, self._order]
        positive = counts * self._labels
        total = counts.sum(axis=1)
        by_score = np.add.reduceat(counts, self._distinct, axis=1)  # [R, U], ascending
        positives = np.add.reduceat(positive, self._distinct, axis=1)
        error = np.add.reduceat(counts * self._risks - positive, self._bins, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "auroc": _auroc(positives, by_score - positives),
                "auprc": _average_precision(positives, by_score),
                "brier": counts @ (self._risks - self._labels) ** 2 / total,
                "ece": abs(error).sum(axis=1) / total,
                "nll": counts @ self._losses / total,
            }


def _auroc(positives: Floats, negatives: Floats) -> Floats:
    """Return the share of pairs in the right order, ties half; ``[R, U]`` by ascending score."""
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: Floats = (positives * below).sum(axis=1) / pairs
    return area


def _average_precision(positives: Floats, rows: Floats) -> Floats:
    """Return the precision at each score, mean weighted by the positives that have it."""
    true = np.cumsum(positives[:, ::-1], axis=1)
    called = np.cumsum(rows[:, ::-1], axis=1)
    precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
    mean: Floats = (positives[:, ::-1] * precision).sum(axis=1) / positives.sum(axis=1)
    return mean
