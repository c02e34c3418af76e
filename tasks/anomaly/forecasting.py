"""What the anomaly tasks share: forecasts of features, whose residuals become scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

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
from seqbench.tasks.anomaly.detection import DetectionMetrics
from seqbench.tasks.anomaly.detectors import (
    DETECTORS_VERSION,
    Scores,
    detector_rows,
    score_samples,
    static_rows,
)
from seqbench.tasks.anomaly.series import Parts, Steps, make_splits, unpack
from seqbench.tasks.anomaly.student import residual_nll

MAX_SERIES = 10_000
"""Series of a fold; numbers of series are exact in float32 for the first 1,600 folds."""


class ForecastTask(Task):
    """Forecast a step's features from the steps before it; what was not foreseen is anomalous.

    A subclass says what the series are, how they become steps, and may add detectors.
    """

    visibility = Visibility.NEXT
    monitor = Metric("nll", "min", "nats per feature")
    primary = Metric("vus_pr", "max")
    pooling = "folds"
    group = "series"
    metric_help: ClassVar[Mapping[str, str]] = {
        "vus_pr": (
            "volume under precision and recall over thresholds and buffer widths (Paparrizos et"
            " al., PVLDB 2022; the authors' version 'opt')"
        ),
        "auprc": "average precision of the samples' scores",
        "auroc": "area under the ROC curve of the samples' scores",
        "nll": (
            "negative log-likelihood of a step's residual under the forecast (multivariate"
            " Student-t, 5 degrees of freedom), divided by its features, mean over steps without"
            " an anomaly; detectors that forecast nothing have none"
        ),
    }

    baseline_help: ClassVar[Mapping[str, str]] = {
        "constant": "the same score for every sample",
        "random": "scores drawn evenly from 0 to 1, always the same ones",
        "z_score": "root mean square of a sample's channels, in standard deviations of training",
        "mahalanobis": "squared Mahalanobis distance of a sample from training's mean",
        "window_mahalanobis": (
            "that of the channels' means and standard deviations over the samples around a sample:"
            " 100, of holidays 7"
        ),
        "statistics_mahalanobis": (
            "that of the features which a model forecasts, over a step's length around each sample;"
            " where a step is longer than a sample"
        ),
        "last_week": "mean distance from the entries seven days before",
        "same_weekday": "mean distance from the median of the same weekday in eight weeks before",
        "static": "NLL under the best forecast of the models' form that ignores the past",
    }

    def __init__(self, steps: Steps, full: bool, buffer: int, span: int) -> None:
        """Set what scores are made of.

        Args:
            steps: see :class:`~seqbench.tasks.anomaly.series.Steps`.
            full: whether forecasts know how features vary together, or each alone.
            buffer: of VUS-PR, in samples.
            span: of the detector ``window_mahalanobis``, in samples.
        """
        self._steps = steps
        self._full = full
        self._buffer = buffer
        self._span = span
        self._parts: dict[int, Parts] = {}
        self._splits: dict[int, Splits] = {}

    @abstractmethod
    def load_parts(self, fold: int) -> Parts:
        """Return a fold's series; called once for each fold."""

    def parts(self, fold: int) -> Parts:
        """Return a fold's series, as samples."""
        if fold not in self._parts:
            self._parts[fold] = self.load_parts(fold)
        return self._parts[fold]

    def splits(self, fold: int = 0) -> Splits:
        """Return a fold's sequences; see :func:`~seqbench.tasks.anomaly.series.make_splits`."""
        if fold not in self._splits:
            self._splits[fold] = make_splits(self.parts(fold), self._steps, fold * MAX_SERIES)
        return self._splits[fold]

    def fingerprint(self) -> str:
        """Return the hash of the sequences of all folds, 16 hexadecimal digits."""
        return digest(*(self.splits(fold) for fold in self.folds()))

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return F features, scaled already."""
        return InputSpec(size=train[0].values.shape[1])

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return the parameters of the forecast, biased to the best one that ignores the past."""
        static = static_rows(train, train[:1], self._steps.window, self._full)[0][0]
        return OutputSpec(len(static), static)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each step's residual NLL ``[N]``, nats per feature; labels are not looked at."""
        return residual_nll(predictions, unpack(targets, self._steps.window).features)

    def metrics(self) -> MetricSet:
        """Return VUS-PR, AUPRC, AUROC and the NLL of normal steps."""
        return DetectionMetrics(self._steps.window, self._buffer)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the detectors of :func:`~.detectors.score_samples`, and ``static``.

        ``static`` is the best forecast of the models' form that ignores the past: what a model
        gains over it, it has from the order of time.
        """
        name = f"{type(self).__name__.lower()}-{DETECTORS_VERSION}"
        return cached_predictions(name, splits, lambda: self._detect(splits))

    def more_detectors(self, parts: Parts) -> dict[str, list[Scores]]:
        """Return scores ``[T]`` of each test series by detectors that this task alone has."""
        return {}

    def _detect(self, splits: Splits) -> dict[str, list[Tensor]]:
        window = self._steps.window
        fold = int(unpack(splits.train[0].targets, window).series[0]) // MAX_SERIES
        parts = self.parts(fold)
        number = fold * MAX_SERIES + len(parts.train) + len(parts.valid)
        scores = score_samples(parts.train, parts.test, self._span, window)
        scores |= self.more_detectors(parts)
        found = {
            name: detector_rows(of_series, number, splits.test, window)
            for name, of_series in scores.items()
        }
        return {**found, "static": static_rows(splits.train, splits.test, window, self._full)}
