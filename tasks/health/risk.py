"""Metrics of predicted risks, with intervals by resampling patients.

Legend of shapes: N predictions, P patients (sequences), U distinct scores, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import MetricSet

Floats = NDArray[np.float64]

BINS = 10
"""Groups of like risk of the calibration error."""
RESAMPLES = 1000
CHUNK = 100
"""Resamples that are scored together; bounds the memory."""
SEED = 0
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

    def intervals(self, other: MetricSet | None = None) -> dict[str, tuple[float, float]]:
        """Return percentile intervals over :data:`RESAMPLES` resamples of the patients.

        A resample in which a metric has no meaning is left out of that metric's interval. The
        calibration error's groups stay those of the data.

        Args:
            other: metrics on the same rows, for the intervals of the difference from them.

        Raises:
            ValueError: the other set is of other rows.
        """
        rows = self._rows()
        if not len(rows.labels):
            return {}
        scorers = [_Scorer(rows)]
        if other is not None:
            scorers.append(_Scorer(_same_rows(rows, other)))
        found: dict[str, list[Floats]] = {name: [] for name in HELP}
        for counts in _resamples(rows.patients):
            scores = [scorer(counts) for scorer in scorers]
            for name, values in found.items():
                mine = scores[0][name]
                values.append(mine if other is None else mine - scores[1][name])
        return {name: _interval(np.concatenate(values)) for name, values in found.items()}

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


def _same_rows(rows: _Rows, other: MetricSet) -> _Rows:
    if isinstance(other, RiskMetrics):
        theirs = other._rows()
        same_patients = np.array_equal(rows.patients, theirs.patients)
        if same_patients and np.array_equal(rows.labels, theirs.labels):
            return theirs
    raise ValueError("intervals of a difference need two metric sets of the same rows")


def _resamples(patients: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield how often each row is drawn, ``[R, N]`` in chunks, patients being drawn."""
    numbers, of_row = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(SEED)
    count = len(numbers)
    for start in range(0, RESAMPLES, CHUNK):
        size = min(CHUNK, RESAMPLES - start)
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=size)
        yield drawn.astype(np.float64)[:, of_row.ravel()]


def _interval(values: Floats) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


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
