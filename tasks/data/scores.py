"""Metrics over whole splits, with bootstrap scores over groups of the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import GroupCounts, MetricSet
from seqbench.api.resampling import weighted_means
from seqbench.tasks.speech.classification import ClassificationMetrics

FEWEST_GROUPS = 5
"""Resamples of fewer say nothing about other data."""

Groups = Callable[[], Sequence[str]]
"""Returns the group of each test sequence, in their order."""


class GroupedMeans:
    """Sums of numbers by sequence, in float64; their means over all, and over resampled groups.

    Args:
        groups: of the test split.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._sums: dict[str, dict[int, float]] = {}
        self._counts: dict[int, int] = {}

    def update(self, sequences: Tensor, found: Mapping[str, Tensor]) -> None:
        """Add numbers ``[N]`` of rows, by name.

        Args:
            sequences: ``[N]``, the number of each row's sequence.
            found: the numbers.
        """
        numbers, of_row = np.unique(sequences.cpu().numpy(), return_inverse=True)
        for number, count in zip(numbers.tolist(), np.bincount(of_row).tolist(), strict=True):
            self._counts[number] = self._counts.get(number, 0) + count
        for name, values in found.items():
            sums = np.bincount(of_row, values.detach().double().cpu().numpy(), len(numbers))
            kept = self._sums.setdefault(name, {})
            for number, total in zip(numbers.tolist(), sums.tolist(), strict=True):
                kept[number] = kept.get(number, 0.0) + total

    def compute(self) -> dict[str, float]:
        """Return the mean of each number over all rows, NaN without any."""
        count = sum(self._counts.values())
        return {
            name: sum(sums.values()) / count if count else float("nan")
            for name, sums in self._sums.items()
        }

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the means over resamples of the groups; none of fewer than ``FEWEST_GROUPS``."""
        places, weights = self._weights()
        if len(weights) < FEWEST_GROUPS:
            return {}
        found = {}
        for name, sums in self._sums.items():
            totals = np.bincount(places, [sums[number] for number in self._counts])
            found[name] = weighted_means(totals / weights, weights)
        return found

    def group_counts(self) -> GroupCounts:
        """Return how many rows each group has."""
        return GroupCounts.of(self._weights()[1].tolist())

    def _weights(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the place of each sequence's group, and each group's rows."""
        groups = self._groups()
        names = [groups[n] if n < len(groups) else str(n) for n in self._counts]
        places = np.unique(np.array(names), return_inverse=True)[1].ravel()
        rows = np.bincount(places, list(self._counts.values())) if names else np.empty(0)
        return places, rows.astype(np.float64)


class ClassMetrics(ClassificationMetrics):
    """Accuracy, macro-F1, NLL and calibration error, of sequences or of steps.

    Args:
        classes: K.
        groups: of the test split.
    """

    def __init__(self, classes: int, groups: Groups) -> None:
        super().__init__(classes)
        self._means = GroupedMeans(groups)

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits ``[N, K]`` and class numbers ``[N]``."""
        super().update(predictions, targets, sequences)
        logits, targets = predictions.detach().double().cpu(), targets.cpu()
        hits = (logits.argmax(dim=1) == targets).double()
        nll = F.cross_entropy(logits, targets, reduction="none")
        self._means.update(sequences, {"accuracy": hits, "nll": nll})

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return accuracy and NLL over resamples of the groups."""
        return self._means.bootstrap_scores()

    def group_counts(self, metric: str) -> GroupCounts:
        """Return how many predictions each group has."""
        return self._means.group_counts()


class ErrorMetrics(MetricSet):
    """MSE, RMSE, MAE and R2 of one number, in its own unit.

    ``R2 = 1 - MSE / variance of the targets``, NaN where they do not differ.

    Args:
        groups: of the test split.
    """

    def __init__(self, groups: Groups) -> None:
        self._means = GroupedMeans(groups)
        self._targets: list[NDArray[np.float64]] = []

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take predictions ``[N, 1]`` and targets ``[N]``."""
        targets = targets.detach().double().cpu()
        errors = predictions.detach().double().cpu()[:, 0] - targets
        self._targets.append(targets.numpy())
        self._means.update(sequences, {"mse": errors.square(), "mae": errors.abs()})

    def compute(self) -> dict[str, float]:
        """Return ``mse``, ``rmse``, ``mae`` and ``r2``."""
        found = self._means.compute()
        if not found:
            return dict.fromkeys(("mse", "rmse", "mae", "r2"), float("nan"))
        targets = np.concatenate(self._targets)
        differ = targets.max() > targets.min()
        return {
            "mse": found["mse"],
            "rmse": float(np.sqrt(found["mse"])),
            "mae": found["mae"],
            "r2": float(1 - found["mse"] / targets.var()) if differ else float("nan"),
        }

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return MSE, RMSE and MAE over resamples of the groups."""
        found = self._means.bootstrap_scores()
        return found | {"rmse": np.sqrt(found["mse"]).tolist()} if found else {}

    def group_counts(self, metric: str) -> GroupCounts:
        """Return how many predictions each group has."""
        return self._means.group_counts()


class ForecastMetrics(MetricSet):
    """MAE and MSE of forecasts, in training's standard deviations of each column.

    Args:
        scale: ``[K]``, the deviation of each number that is forecast.
        groups: of the test split.
    """

    def __init__(self, scale: Tensor, groups: Groups) -> None:
        self._scale = scale.double()
        self._means = GroupedMeans(groups)

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take forecasts ``[N, K]`` and what came, ``[N, K]``."""
        errors = predictions.detach().double().cpu() - targets.double().cpu()
        errors = errors / self._scale
        self._means.update(
            sequences, {"mae": errors.abs().mean(dim=1), "mse": errors.square().mean(dim=1)}
        )

    def compute(self) -> dict[str, float]:
        """Return ``mae`` and ``mse``."""
        return self._means.compute() or dict.fromkeys(("mae", "mse"), float("nan"))

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return both over resamples of the groups."""
        return self._means.bootstrap_scores()

    def group_counts(self, metric: str) -> GroupCounts:
        """Return how many predictions each group has."""
        return self._means.group_counts()
