"""The contract of a task: its data, splits, loss, metrics and baselines."""

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
from seqbench.api.resampling import GroupCounts, weighted_means
from seqbench.records import DataNames, LeftOut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Predictions = Sequence[Tensor]
"""One tensor per example of a split, in order, in the form of a model's head: ``[K]`` if the task
labels sequences, ``[T, K]`` if it labels steps."""

Pooling = Literal["predictions", "folds"]

Sight = Literal["past", "past+future", "all"]
"""What a trained predictor sees of the steps, its record's context. On ``next`` tasks ``past`` are
the steps before the predicted one, on ``online`` tasks that one too; ``past+future`` are all steps
but the predicted one, ``all`` are all."""


class Visibility(StrEnum):
    """Which steps the prediction at step t may see.

    * ``sequence``: one label per sequence, predicted from all its steps.
    * ``step``: one label per step, predicted from all steps of the inputs.
    * ``online``: one label per step, predicted from steps <= t, without the sequence's length.
    * ``next``: step t is predicted from steps < t; targets are stored at the step they describe. A
      model that also reads backwards sees steps > t as well, but never t, and its rows are labelled
      ``past+future``.
    """

    SEQUENCE = "sequence"
    STEP = "step"
    ONLINE = "online"
    NEXT = "next"


@dataclass(frozen=True)
class Metric:
    """A score and its direction.

    Args:
        name: key in what :meth:`MetricSet.compute` returns.
        direction: ``"min"`` if smaller is better, ``"max"`` if larger is.
        unit: as tables show it, for example ``"nats per frame"``.
    """

    name: str
    direction: Literal["min", "max"]
    unit: str = ""


@dataclass(frozen=True)
class InputSpec:
    """The shape and statistics of a task's inputs.

    Args:
        size: F, features per step.
        static_size: S, features per sequence; 0 if there are none.
        missing: whether ``observed`` and ``delta`` are given.
        mean: ``[F]``, means over the training split, or None for no standardisation.
        std: ``[F]``, standard deviations over the training split, or None.
        observed_rate: ``[F]``, the share of the training split's steps at which a feature was
            observed. If given, the harness standardises the flags ``observed`` like values. None
            leaves them 0 and 1.
    """

    size: int
    static_size: int = 0
    missing: bool = False
    mean: Tensor | None = None
    std: Tensor | None = None
    observed_rate: Tensor | None = None


@dataclass(frozen=True)
class OutputSpec:
    """The shape of a task's predictions.

    Args:
        size: K, numbers per prediction (logits, means, ...): the width of the harness's head.
        bias: ``[K]``, initial bias of the head (for example the training split's log odds), or
            None for zeros.
        scale: ``[K]``, positive factors of the head's outputs (for example the training targets'
            standard deviations), kept with the weights; None for ones. So a model learns numbers
            near 1, whatever unit its predictions have.
    """

    size: int
    bias: Tensor | None = None
    scale: Tensor | None = None


@dataclass(frozen=True)
class Splits:
    """The splits of one fold; each group is in exactly one of them."""

    train: Sequence[Example]
    valid: Sequence[Example]
    test: Sequence[Example]


class MetricSet(ABC):
    """Metrics of a whole split: updated by batch, computed once, independent of the batch size."""

    @abstractmethod
    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Add the predictions of a batch that count; padding is left out.

        Args:
            predictions: ``[N, K]``, on the CPU, as are the others.
            targets: ``[N, ...]``.
            sequences: ``[N]`` int64, the number of each row's sequence. Numbers ascend from batch
                to batch, and the rows of a sequence are in the order of time.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return every metric by name."""

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return metrics over resamples of the test data, ``[R]`` each.

        The resamples are the same for every predictor of the same rows, see
        :func:`seqbench.api.resampling.resamples`. A score is NaN if the metric is undefined on a
        resample.

        Returns:
            Scores by metric; empty if the task offers none.
        """
        return {}

    def group_counts(self, metric: str) -> GroupCounts | None:
        """Return how much each of the groups counts that :meth:`bootstrap_scores` draws.

        Args:
            metric: one of those that :meth:`bootstrap_scores` returns.

        Returns:
            None where the metric set does not say: the harness then takes all groups to be equal,
            and says so.
        """
        return None


class TaskMetrics(MetricSet):
    """Metrics of a plugin, in addition to the task's own; see the hook ``seqbench_metrics``.

    Args:
        task: the task whose predictions they score.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Return whether the metrics apply to a task; by default they apply to all.

        Args:
            task: a constructed task; its data may not have been prepared.
        """
        return True


class Task(ABC):
    """A task knows its data, loss and metrics, and never sees a model.

    A subclass's constructor takes the task's parameters (the keys of ``conf/task/<name>.yaml``),
    each keyword-only, typed and with a default, and raises ``ValueError`` for an impossible value.
    It must not read data, because the harness constructs a task just to check a configuration.
    """

    version: ClassVar[str]
    """Change it whenever the same configuration gives other data, targets or metrics."""
    visibility: ClassVar[Visibility]
    monitor: ClassVar[Metric]
    """Selects the epoch, and candidates of a tuning, on the validation split."""
    primary: ClassVar[Metric]
    """Ranks models on the test split."""
    citation: ClassVar[str]
    licence: ClassVar[str]
    sizes: ClassVar[Mapping[str, str]]
    """Sizes of the default data for the data card, for example ``{"train": "220 pieces"}``."""
    metric_help: ClassVar[Mapping[str, str]]
    """The meaning of each metric of :meth:`metrics`, by name."""
    baseline_scores: ClassVar[Mapping[str, float]] = {}
    """Primary metric of each baseline, measured at the default parameters, for the data card."""
    baseline_help: ClassVar[Mapping[str, str]] = {}
    """What each baseline computes, by name, for the data card."""
    group: ClassVar[str] = ""
    """What :meth:`MetricSet.bootstrap_scores` resamples, or what a fold leaves out if scores of
    folds are averaged: ``piece``, ``patient``, ``speaker``. Empty if nothing is resampled."""
    smallest_difference: ClassVar[tuple[float, str] | None] = None
    """The smallest difference of the primary metric that is worth having, in its unit, and why, in
    one line; None if nobody can say. Reports call what is surely smaller equivalent. Literal."""
    pooling: ClassVar[Pooling] = "predictions"
    """How the test scores of folds are combined: ``predictions`` scores all out-of-fold predictions
    together, ``folds`` averages the scores of folds."""

    beside_source: ClassVar[Sequence[str]] = ()
    """Files outside the user's own data, the parameter ``source``, that are read where they exist:
    relative to the folder that the source lies in, for example ``"../labels.json"``. Literal."""
    source_name_counts: ClassVar[bool] = False
    """Whether the name of a ``source`` that is a single file decides anything. Literal."""
    title_parameters: ClassVar[Sequence[str]] = ()
    """Parameters that name a part of a ``source``, such as one of several problems. Where they are
    given, tables call the data by their values too: ``data: uea BasicMotions``. Literal."""

    def __init_subclass__(cls, **options: object) -> None:
        """Accept ``alignment`` and ``unit``, the former names of ``visibility`` and ``group``."""
        super().__init_subclass__(**options)
        for old, new in (("alignment", "visibility"), ("unit", "group")):
            if old in vars(cls) and new not in vars(cls):
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def prepare(self) -> None:
        """Fetch or parse the data, check and cache them; return at once if this was done before.

        Raises:
            Refused: the data are missing or damaged; one line says what to do.
        """

    def folds(self) -> tuple[int, ...]:
        """Return the folds of a trial, which trains one model for each; by default only fold 0."""
        return (0,)

    def names(self, fold: int = 0) -> DataNames:
        """Return what a fold's data are called; called after :meth:`prepare`.

        They are kept with a trained model, and compared before it is given other data.

        Args:
            fold: one of :meth:`folds`.
        """
        return DataNames()

    def expect(self, kept: Mapping[int, DataNames]) -> None:  # noqa: B027 - may be left as it is
        """Read data in the order of columns and classes that a trained model knows.

        Called before :meth:`prepare`, where a model is to be given other data. The harness refuses
        what differs afterwards.

        Args:
            kept: the model's names, by the number that its fold had.
        """

    def left_out(self) -> Sequence[LeftOut]:
        """Return what of a user's own data is not used, and why; called after :meth:`prepare`."""
        return ()

    @abstractmethod
    def splits(self, fold: int = 0) -> Splits:
        """Return a fold's data; called after :meth:`prepare`.

        The same parameters of the task always give the same splits.

        Args:
            fold: one of :meth:`folds`.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of the processed data of all folds; called after :meth:`prepare`."""

    @abstractmethod
    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the shape of the inputs, with statistics of the training split only."""

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
        """Return the predictions of each baseline for the test split; none is fitted on that split.

        They are scored by :meth:`metrics` on the same folds, like a model's. Their width may differ
        from K if the metric set understands it, for example the score of a detector.
        """

    def baselines_for(self, splits: Splits, sight: Sight) -> dict[str, Predictions]:
        """Return the baselines that stand beside a model with some sight; the harness calls this.

        They should see as much as the model, no more and no less. By default they are
        :meth:`baselines`, whatever the sight. On a ``next`` task a model may also read the steps
        after the predicted one; baselines that do so too have names of their own.

        Args:
            splits: see :meth:`baselines`.
            sight: of the model.
        """
        return self.baselines(splits)

    def picture(self, figure: Figure) -> str:
        """Draw an example of the data; called after :meth:`prepare`.

        For data about people, draw aggregates only.

        Args:
            figure: an empty figure.

        Returns:
            A sentence that describes the picture; empty if the task draws nothing.
        """
        return ""

    def augment(self, example: Example, generator: torch.Generator) -> Example:
        """Return a training example as augmented for this epoch; by default it is unchanged.

        Args:
            example: must not be modified.
            generator: the only source of randomness.
        """
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
        """Return the mean, or NaN without any prediction."""
        return {self._name: self._total / self._count if self._count else float("nan")}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the mean loss over resamples of the sequences."""
        if not self._by_sequence:
            return {}
        totals, counts = np.array(list(self._by_sequence.values())).T
        return {self._name: weighted_means(totals / counts, counts)}

    def group_counts(self, metric: str) -> GroupCounts | None:
        """Return how many predictions each sequence has."""
        if metric != self._name:
            return None
        return GroupCounts.of(count for _, count in self._by_sequence.values())
