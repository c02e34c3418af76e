"""A task of three folds, each with two groups to test: a plugin file for tests of tunings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, overload

import torch
from torch import Tensor

from seqbench.api import (
    Example,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)

FOLDS, OF_FOLD = 3, 2


class Guarded(Sequence[Example]):
    """Examples that nobody may touch, or even count."""

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        raise PermissionError("the test split was touched")

    def __len__(self) -> int:
        raise PermissionError("the test split was counted")


class Folded(Task):
    """Predict the sum of a sequence.

    Args:
        fold: one fold, or ``all``.
        is_guarded: whether the test split raises when it is touched.
        changed: the fold whose test groups have other values, wherever they are used.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    monitor = Metric("error", "min")
    primary = Metric("error", "min")
    group = "group"
    citation = licence = "none"
    sizes: ClassVar[Mapping[str, str]] = {"all": "6 groups"}
    metric_help: ClassVar[Mapping[str, str]] = {"error": "squared error"}

    def __init__(
        self,
        *,
        fold: int | Literal["all"] = "all",
        is_guarded: bool = False,
        changed: int | None = None,
    ) -> None:
        self._fold = fold
        self._is_guarded = is_guarded
        self._examples: dict[int, list[Example]] = {}
        for group in range(FOLDS * OF_FOLD):
            drawn = torch.Generator().manual_seed(group)
            sign = -1.0 if group // OF_FOLD == changed else 1.0
            self._examples[group] = [
                Example(values, sign * values.sum(), group=str(group))
                for values in torch.randn(4, 5, 1, generator=drawn)
            ]

    def prepare(self) -> None:
        """There is nothing to fetch."""

    def folds(self) -> tuple[int, ...]:
        """Return all folds, or the one that was chosen."""
        return tuple(range(FOLDS)) if self._fold == "all" else (self._fold,)

    def splits(self, fold: int = 0) -> Splits:
        """Test two groups, validate on the two after them, and train on the others."""

        def of(number: int) -> list[Example]:
            first = OF_FOLD * (number % FOLDS)
            return [*self._examples[first], *self._examples[first + 1]]

        return Splits(of(fold + 2), of(fold + 1), Guarded() if self._is_guarded else of(fold))

    def fingerprint(self) -> str:
        """Return a hash of all values."""
        values = [item.targets for items in self._examples.values() for item in items]
        return hashlib.sha256(torch.stack(values).numpy().tobytes()).hexdigest()[:16]

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return one feature."""
        return InputSpec(1)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return one number."""
        return OutputSpec(1)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return squared errors."""
        return (predictions[:, 0] - targets).square()

    def metrics(self) -> MetricSet:
        """Return the mean squared error."""
        return MeanLoss(self, "error")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return zero."""
        return {"zero": [torch.zeros(1) for _ in splits.test]}
