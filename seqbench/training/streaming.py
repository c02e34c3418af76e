"""A predictor one time step at a time, where its model's states are all that it remembers."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.api import SequenceInput
from seqbench.nn import Cell, RecurrentModel, State
from seqbench.training.predictor import Predictor

States = tuple[State, ...]
"""What a model carries from step to step: of each layer the states of its cell, ``[B, H]`` each."""

_OWN = ("forward", "encode", "hidden_states", "encoding", "_run")
"""What a recurrent model makes of its cells; a model that overrides one may look elsewhere too."""


def streams(predictor: Predictor) -> bool:
    """Return whether a model reads forwards only, and remembers nothing but its cells' states.

    A model that attends to earlier states does not, nor does one whose loop is its own.
    """
    model = predictor.model
    return (
        isinstance(model, RecurrentModel)
        and model.backward_size == 0
        and all(getattr(type(model), name) is getattr(RecurrentModel, name) for name in _OWN)
    )


def initial_states(predictor: Predictor, batch_size: int) -> States:
    """Return the states before the first step."""
    return tuple(cell.initial_state(batch_size) for cell in _cells(predictor))


@torch.inference_mode()
def step(predictor: Predictor, inputs: SequenceInput, states: States) -> tuple[Tensor, States]:
    """Read one more step of each sequence.

    Args:
        predictor: of which :func:`streams` holds, in evaluation mode.
        inputs: one step of each sequence, values ``[B, 1, F]``.
        states: after the step before.

    Returns:
        The head's prediction ``[B, K]`` from the new states, and these.
    """
    hidden = predictor.scaled(inputs).values[:, 0]
    after = []
    for cell, state in zip(_cells(predictor), states, strict=True):
        after.append(cell.step(hidden, state))
        hidden = after[-1][0]
    return predictor.outputs(hidden), tuple(after)


def _cells(predictor: Predictor) -> list[Cell]:
    model = predictor.model
    assert isinstance(model, RecurrentModel)
    return [cell for cell in model.forward_cells if isinstance(cell, Cell)]
