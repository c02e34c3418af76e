"""The contract of a task: its data, its split, its loss, its metrics and its trivial baselines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from seqbench.api.batch import Example
from seqbench.api.resampling import weighted_means

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Predictions = Sequence[Tensor]
"""For each example of a split, in order, what a model's head would give: ``[K]`` where the task
labels sequences, ``[T, K]`` where it labels steps."""

Pooling = Literal["predictions", "folds"]


class Visibility(StrEnum):
    """What the prediction at step t may see.

    * ``sequence``: one label for each sequence, from all its steps.
    * ``step``: a label for each step, from all steps of the inputs.
    * ``online``: a label for each step, from steps <= t alone, and not from the sequence's length.
    * ``next``: step t is predicted from steps < t; targets stand at the step they describe. A model
      that also reads backwards sees steps > t as well, never t, and its rows are labelled
      ``past+future``.
    """

    SEQUENCE = "sequence"
    STEP = "step"
    ONLINE = "online"
    NEXT = "next"


@dataclass(frozen=True)
class Metric:
    """A score and which way is better.

    Args:
        name: key in what :meth:`MetricSet.compute` returns.
        direction: ``"min"`` if smaller is better, ``"max"`` if larger is.
        unit: how a table says it, for example ``"nats per frame"``.
    """

    name: str
    direction: Literal["min", "max"]
    unit: str = ""


@dataclass(frozen=True)
class InputSpec:
    """What the inputs of a task look like.

    Args:
        size: F, features per step.
        static_size: S, features per sequence; 0 if there are none.
        missing: whether ``observed`` and ``delta`` are given.
        mean: ``[F]``, means over the training split, or None to leave the values as they are.
        std: ``[F]``, standard deviations over the training split, or None.
        observed_rate: ``[F]``, the share of the training split's steps at which a feature was
            observed; with it the flags ``observed`` are standardised as values are. None to leave
            them 0 and 1.
    """

    size: int
    static_size: int = 0
    missing: bool = False
    mean: Tensor | None = None
    std: Tensor | None = None
    observed_rate: Tensor | None = None


@dataclass(frozen=True)
class OutputSpec:
    """What is predicted.

    Args:
        size: K, numbers per prediction (logits, means, ...): the width of the harness's head.
        bias: ``[K]``, where the head's bias starts (for example the training split's log odds), or
            None for zeros.
    """

    size: int
    bias: Tensor | None = None


@dataclass(frozen=True)
class Splits:
    """The three parts of a task's data; a group is in one of them only."""

    train: Sequence[Example]
    valid: Sequence[Example]
    test: Sequence[Example]


class MetricSet(ABC):
    """Metrics of a whole set: fed batch by batch, computed once, independent of the batch size."""

    @abstractmethod
    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take a batch's rows that count, no padding.

        Args:
            predictions: ``[N, K]``.
            targets: ``[N, ...]``.
            sequences: ``[N]`` int64, the number of the sequence that each row is of: ascending from
                batch to batch, the rows of a sequence in the order of time.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return every metric by name."""

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return metrics over other draws of the test data, ``[R]`` each.

        The draws are the same for every predictor of the same rows, see
        :func:`seqbench.api.resampling.resamples`; NaN where a draw gives a metric no meaning.

        Returns:
            By metric; empty where a task offers none.
        """
        return {}


class TaskMetrics(MetricSet):
    """Metrics of a plugin, beside the task's own; see the hook ``seqbench_metrics``.

    Args:
        task: whose predictions they score.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Return whether they have a meaning for a task; by default for every one.

        Args:
            task: constructed; its data may not be there yet.
        """
        return True


class Task(ABC):
    """A task knows its data, loss and metrics, and never sees a model.

    A subclass's constructor takes the task's parameters (the keys of ``conf/task/<name>.yaml``),
    each keyword-only, typed and with a default, and raises ``ValueError`` for an impossible value.
    It must not touch
    data: the harness constructs a task to check a configuration.
    """

    version: ClassVar[str]
    """Changes whenever the same configuration would give other data, targets or metrics."""
    visibility: ClassVar[Visibility]
    monitor: ClassVar[Metric]
    """Selects the epoch (and later the hyperparameters), on the validation split."""
    primary: ClassVar[Metric]
    """Ranks models, on the test split."""
    citation: ClassVar[str]
    licence: ClassVar[str]
    sizes: ClassVar[Mapping[str, str]]
    """Sizes of the default data for the data card, for example ``{"train": "220 pieces"}``."""
    metric_help: ClassVar[Mapping[str, str]]
    """Each metric of :meth:`metrics`, and what it means."""
    baseline_scores: ClassVar[Mapping[str, float]] = {}
    """The primary metric of each baseline, as measured at the default parameters, for the card."""
    group: ClassVar[str] = ""
    """What :meth:`MetricSet.bootstrap_scores` draws, or what a fold leaves out where scores of
    folds are averaged: ``piece``, ``patient``, ``speaker``; empty if nothing is drawn."""
    pooling: ClassVar[Pooling] = "predictions"
    """How a test score comes of several folds: from their predictions together, as out-of-fold
    predictions of the whole data set, or as the mean of the folds' scores."""

    def __init_subclass__(cls, **options: object) -> None:
        """Take ``alignment`` and ``unit`` for ``visibility`` and ``group``: their former names."""
        super().__init_subclass__(**options)
        for old, new in (("alignment", "visibility"), ("unit", "group")):
            if old in vars(cls) and new not in vars(cls):
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def prepare(self) -> None:
        """Fetch or parse the data once, check it, cache it; return at once if that is done.

        Raises:
            Refused: the data are missing or damaged; one line that says what to do.
        """

    def folds(self) -> tuple[int, ...]:
        """Return the folds of a trial; a model is trained for each. By default there is one, 0."""
        return (0,)

    @abstractmethod
    def splits(self, fold: int = 0) -> Splits:
        """Return a fold's data; called after :meth:`prepare`. The same parameters, the same splits.

        Args:
            fold: one of :meth:`folds`.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the data of all folds as they are used; called after :meth:`prepare`."""

    @abstractmethod
    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the shape of the inputs, with statistics taken from the training split alone."""

    @abstractmethod
    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return the shape of the predictions."""

    @abstractmethod
    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the training loss ``[N]`` of each prediction ``[N, K]`` against ``[N, ...]``.

        The harness masks, sums and averages over the predictions that count.
        """

    @abstractmethod
    def metrics(self) -> MetricSet:
        """Return a fresh metric set; its names include ``monitor`` and ``primary``."""

    @abstractmethod
    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return simple predictors' predictions of the test split, fitted without it.

        They are scored by :meth:`metrics` as a model's are, on identical folds. A width other than
        K is for the metric set to understand: a detector's score, for example.
        """

    def picture(self, figure: Figure) -> str:
        """Draw an example of the data; called after :meth:`prepare`.

        Where the data are about people it shows aggregates alone.

        Args:
            figure: empty.

        Returns:
            A sentence that says what is to be seen; empty if the task draws nothing.
        """
        return ""

    def augment(self, example: Example, generator: torch.Generator) -> Example:
        """Return a training example as this epoch sees it; the default leaves it alone."""
        return example


class MeanLoss(MetricSet):
    """The mean of a task's loss over all predictions that count, summed in float64."""

    def __init__(self, task: Task, name: str) -> None:
        self._task = task
        self._name = name
        self._total = 0.0
        self._count = 0
        self._by_sequence: dict[int, tuple[float, int]] = {}

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Add the losses of ``[N, K]`` predictions."""
        losses = self._task.loss(predictions.double(), targets)
        self._total += float(losses.sum(dtype=torch.float64))
        self._count += len(losses)
        numbers, of_row = np.unique(sequences.cpu().numpy(), return_inverse=True)
        sums = np.bincount(of_row, losses.detach().double().cpu().numpy(), len(numbers))
        for number, total, count in zip(numbers, sums, np.bincount(of_row), strict=True):
            before, known = self._by_sequence.get(number, (0.0, 0))
            self._by_sequence[number] = (before + total, known + count)

    def compute(self) -> dict[str, float]:
        """Return the mean, NaN if there was no prediction."""
        return {self._name: self._total / self._count if self._count else float("nan")}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the mean over other draws of the sequences."""
        if not self._by_sequence:
            return {}
        totals, counts = np.array(list(self._by_sequence.values())).T
        return {self._name: weighted_means(totals / counts, counts)}
