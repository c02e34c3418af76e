"""The contracts that tasks and models are written against."""

from seqbench.api.batch import Batch, Example, SequenceInput, collate
from seqbench.api.generative import GenerativeTask
from seqbench.api.model import Context, Encoding, Model
from seqbench.api.recurrent import RecurrentModel
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
