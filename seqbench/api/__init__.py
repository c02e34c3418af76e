"""The contracts that tasks and models are written against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqbench.api.batch import Batch, Example, SequenceInput, collate
from seqbench.api.generative import GenerativeTask
from seqbench.api.model import Context, Encoding, Model
from seqbench.api.output import FinishedTrial, FoldData, TrainedPredictor
from seqbench.api.resampling import GroupCounts
from seqbench.api.task import (
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Sight,
    Splits,
    Task,
    TaskMetrics,
    Visibility,
)
from seqbench.errors import Refused
from seqbench.records import DataNames, Deal, LeftOut

if TYPE_CHECKING:
    from seqbench.nn import RecurrentModel

__all__ = [
    "Batch",
    "Context",
    "DataNames",
    "Deal",
    "Encoding",
    "Example",
    "FinishedTrial",
    "FoldData",
    "GenerativeTask",
    "GroupCounts",
    "InputSpec",
    "LeftOut",
    "MeanLoss",
    "Metric",
    "MetricSet",
    "Model",
    "OutputSpec",
    "Predictions",
    "RecurrentModel",
    "Refused",
    "SequenceInput",
    "Sight",
    "Splits",
    "Task",
    "TaskMetrics",
    "TrainedPredictor",
    "Visibility",
    "collate",
]


def __getattr__(name: str) -> Any:
    """Hand on names under which things were here before, for one release."""
    if name == "Alignment":
        return Visibility
    if name == "RecurrentModel":
        from seqbench.nn import RecurrentModel

        return RecurrentModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
