"""Scores over whole splits and over folds, alike for models and for a task's baselines."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqbench.api import (
    Batch,
    Example,
    GroupCounts,
    MetricSet,
    Predictions,
    SequenceInput,
    Task,
)
from seqbench.api.resampling import percentile_interval, weighted_means
from seqbench.api.task import Pooling
from seqbench.training.predictor import Predictor, counted


class Rows(NamedTuple):
    """Predictions that count, on the CPU: ``[N, K]``, their targets, and each one's sequence."""

    predictions: Tensor
    targets: Tensor
    sequences: Tensor


class FoldScores:
    """One predictor's scores on a split, over the folds of a trial.

    Args:
        task: whose metrics they are.
        pooling: whether to score the predictions of all folds together, or to average the folds'.
        metrics: makes a fresh metric set; None takes the task's own.
    """

    def __init__(
        self, task: Task, pooling: Pooling, metrics: Callable[[], MetricSet] | None = None
    ) -> None:
        self._task = task
        self._pooling = pooling
        self._new_metrics = metrics or task.metrics
        self._together = self._new_metrics()
        self._alone = self._together
        self._sequences = 0
        self.by_fold: list[dict[str, float]] = []
        """Scores of each fold, in the order of :meth:`add`."""

    @property
    def group(self) -> str:
        """What is drawn for :attr:`bootstrap_scores`."""
        return self._task.group

    def add(self, rows: Iterable[Rows], sequences: int) -> None:
        """Take a fold's rows.

        Args:
            rows: from :func:`model_rows` or :func:`baseline_rows`.
            sequences: how many sequences the fold's split has.
        """
        alone = self._new_metrics()
        for predictions, targets, numbers in rows:
            alone.update(predictions, targets, numbers)
            if self._pooling == "predictions":
                self._together.update(predictions, targets, numbers + self._sequences)
        self._sequences += sequences
        self._alone = alone
        self.by_fold.append(alone.compute())

    def compute(self) -> dict[str, float]:
        """Return every metric by name."""
        if self._pooling == "predictions":
            return self._together.compute() if len(self.by_fold) > 1 else dict(self.by_fold[0])
        return {
            name: math.fsum(scores.get(name, math.nan) for scores in self.by_fold)
            / len(self.by_fold)
            for name in self.by_fold[0]
        }

    @cached_property
    def bootstrap_scores(self) -> dict[str, NDArray[np.float64]]:
        """The metrics over other draws of the test data ``[R]``, once all folds are there.

        See :meth:`MetricSet.bootstrap_scores`; where scores of folds are averaged, folds are drawn.
        """
        if len(self.by_fold) == 1:
            found = self._alone.bootstrap_scores()
        elif self._pooling == "predictions":
            found = self._together.bootstrap_scores()
        else:
            ones = np.ones(len(self.by_fold))
            found = {
                name: weighted_means(np.array([scores[name] for scores in self.by_fold]), ones)
                for name in self.by_fold[0]
                if all(name in scores for scores in self.by_fold)
            }
        return {name: np.array(values) for name, values in found.items()}

    def group_counts(self, metric: str) -> GroupCounts | None:
        """Return how much each of the groups counts that :attr:`bootstrap_scores` draw.

        Args:
            metric: one of :attr:`bootstrap_scores`.

        Returns:
            None where the metric set does not say.
        """
        if len(self.by_fold) == 1:
            return self._alone.group_counts(metric)
        if self._pooling == "predictions":
            return self._together.group_counts(metric)
        return GroupCounts.of([1.0] * len(self.by_fold))

    def intervals(self, other: FoldScores | None = None) -> dict[str, tuple[float, float]]:
        """Return the metrics' 95% intervals over other draws of the test data.

        Args:
            other: a predictor's scores of the same rows; the intervals are then of the
                differences, this one's minus the other's.
        """
        mine = self.bootstrap_scores
        theirs = {} if other is None else other.bootstrap_scores
        return {
            name: percentile_interval(values if other is None else values - theirs[name])
            for name, values in mine.items()
            if other is None or name in theirs
        }


@contextmanager
def as_scored(predictor: Predictor) -> Iterator[None]:
    """Have a predictor in evaluation mode, and put back that and the random states."""
    states = np.random.get_state(), random.getstate()
    was_training = predictor.training
    with torch.random.fork_rng():
        try:
            predictor.eval()
            yield
        finally:
            predictor.train(was_training)
            np.random.set_state(states[0])
            random.setstate(states[1])


@torch.inference_mode()
def predict(predictor: Predictor, inputs: SequenceInput) -> Tensor:
    """Return predictions as they are scored: of inputs alone, in evaluation mode and float32.

    Args:
        predictor: on any device.
        inputs: a batch, without its targets.

    Returns:
        See :meth:`seqbench.training.predictor.Predictor.forward`; on the predictor's device.
    """
    was_training = predictor.training
    predictor.eval()
    predictions: Tensor = predictor(inputs.to(predictor.device))
    predictor.train(was_training)
    return predictions


def model_rows(predictor: Predictor, batches: Iterable[Any]) -> Iterator[Rows]:
    """Yield a split's predictions that count; the predictor gets inputs and never a target.

    Args:
        predictor: on any device.
        batches: of the split, in order.
    """
    first = 0
    for batch in batches:
        held = cast(Batch, batch).to(predictor.device)
        yield batch_rows(predict(predictor, held.inputs), held, first)
        first += len(held.target_mask)


def batch_rows(predictions: Tensor, batch: Batch, first: int) -> Rows:
    """Return a batch's predictions that count; ``first`` numbers its first sequence."""
    kept, targets = counted(predictions, batch)
    return Rows(kept.cpu(), targets.cpu(), batch.target_mask.nonzero()[:, 0].cpu() + first)


def baseline_rows(predictions: Predictions, examples: Sequence[Example]) -> Iterator[Rows]:
    """Yield a baseline's predictions that count, a sequence at a time.

    Raises:
        ValueError: there are more or fewer predictions than examples or steps.
    """
    for number, (prediction, example) in enumerate(zip(predictions, examples, strict=True)):
        if prediction.dim() == 1:
            prediction, targets = prediction[None], example.targets[None]
        else:
            targets = example.targets
            if len(prediction) != len(example.values):
                raise ValueError(
                    f"{len(prediction)} predictions for a sequence of {len(example.values)} steps"
                )
            if example.target_mask is not None:
                prediction = prediction[example.target_mask]
                targets = targets[example.target_mask]
        yield Rows(prediction, targets, torch.full((len(prediction),), number))


def score_baselines(
    task: Task,
    predictions: Sequence[dict[str, Predictions]],
    tests: Sequence[Sequence[Example]],
    metrics: Callable[[], MetricSet] | None = None,
) -> dict[str, FoldScores]:
    """Return the scores of a task's baselines.

    Args:
        task: whose baselines they are.
        predictions: of each fold's test split, by baseline.
        tests: each fold's test split.
        metrics: see :class:`FoldScores`.
    """
    scores = {name: FoldScores(task, task.pooling, metrics) for name in predictions[0]}
    for of_fold, examples in zip(predictions, tests, strict=True):
        for name, found in scores.items():
            found.add(baseline_rows(of_fold[name], examples), len(examples))
    return scores


def update(metrics: MetricSet, rows: Rows) -> None:
    """Give rows to a metric set."""
    metrics.update(rows.predictions, rows.targets, rows.sequences)
