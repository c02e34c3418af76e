"""Which back end really ran a trained model."""

from __future__ import annotations

from seqbench.api import Batch
from seqbench.nn import observe
from seqbench.training.predictor import Predictor


def observe_backend(predictor: Predictor, batch: Batch) -> str:
    """Run one batch as in training, and return what ran the recurrence.

    Returns:
        What :func:`seqbench.nn.observe` finds, such as ``cpu`` or ``native (oneDNN)``;
        ``the model's own`` where that is nothing.
    """
    inputs = batch.inputs.to(predictor.device)
    predictor.train()
    return observe(lambda: predictor(inputs)) or "the model's own"
