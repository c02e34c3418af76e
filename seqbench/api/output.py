"""What an output of a trial is given: see ``seqbench_outputs`` in the hooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from seqbench.api.batch import Batch, SequenceInput
from seqbench.api.model import Model
from seqbench.api.task import Splits, Task
from seqbench.records import TrialRecord


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has been trained and scored.

    Args:
        record: its identity, scores, history and costs; a copy, which may be changed at will.
        config: its configuration as JSON types, as the run's ``config.json`` has it: ``task``,
            ``model``, ``recipe``, ``trainer``, ``tracking``, ``limits``, ``seed``.
        task: prepared.
    """

    record: TrialRecord
    config: Mapping[str, Any]
    task: Task


class TrainedPredictor(Protocol):
    """A model with the weights of its selected epoch, with the input scaling and the head."""

    @property
    def model(self) -> Model:
        """The model itself."""

    @property
    def device(self) -> torch.device:
        """Where it computes; batches come on the CPU."""

    def __call__(self, inputs: SequenceInput) -> Tensor:
        """Return predictions ``[B, T, K]``, or ``[B, K]`` where the task labels sequences."""


class FoldData(Protocol):
    """The data of a fold, as a trial used them."""

    fold: int
    splits: Splits
    """The examples of each split, in the task's order."""

    def valid(self) -> Iterable[Batch]:
        """Return the validation split in batches, in the task's order."""

    def test(self) -> Iterable[Batch]:
        """Return the test split in batches, in the task's order."""
