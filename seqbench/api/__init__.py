"""The contracts that tasks and models are written against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqbench.api.batch import Batch, Example, SequenceInput, collate
from seqbench.api.generative import GenerativeTask
from seqbench.api.model import Context, Encoding, Model
from seqbench.api.task import (
    Alignment,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    TaskMetrics,
)
from seqbench.errors import Refused

if TYPE_CHECKING:
    from seqbench.nn import RecurrentModel

__all__ = [
    "Alignment",
    "Batch",
    "Context",
    "Encoding",
    "Example",
    "GenerativeTask",
    "InputSpec",
    "MeanLoss",
    "Metric",
    "MetricSet",
    "Model",
    "OutputSpec",
    "Predictions",
    "RecurrentModel",
    "Refused",
    "SequenceInput",
    "Splits",
    "Task",
    "TaskMetrics",
    "collate",
]


def __getattr__(name: str) -> Any:
    """Hand on ``RecurrentModel``, which stands in :mod:`seqbench.nn`: its former place."""
    if name == "RecurrentModel":
        from seqbench.nn import RecurrentModel

        return RecurrentModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
