"""A predictor one time step at a time, where its model's states are all that it remembers."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.api import SequenceInput
from seqbench.nn import Cell, RecurrentModel, State, stepper
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


class Stream:
    """A predictor that reads one step after the other, its cells compiled for that.

    Args:
        predictor: of which :func:`streams` holds, in evaluation mode. Its weights are taken as they
            are now, see :func:`seqbench.nn.stepper`.
    """

    def __init__(self, predictor: Predictor) -> None:
        model = predictor.model
        assert isinstance(model, RecurrentModel)
        self._predictor = predictor
        self._cells = [cell for cell in model.forward_cells if isinstance(cell, Cell)]
        self._steps = [stepper(cell, model.backend) for cell in self._cells]

    def initial_states(self, batch_size: int) -> States:
        """Return the states before the first step."""
        return tuple(cell.initial_state(batch_size) for cell in self._cells)

    def advance(self, values: Tensor, states: States) -> States:
        """Read one more step of each sequence: all layers of the model, without the head.

        Args:
            values: ``[B, F]``, what the model reads, see :meth:`Predictor.scaled`.
            states: after the step before.
        """
        after = []
        for step, state in zip(self._steps, states, strict=True):
            after.append(step(values, state))
            values = after[-1][0]
        return tuple(after)

    @torch.inference_mode()
    def step(self, inputs: SequenceInput, states: States) -> tuple[Tensor, States]:
        """Read one more step of each sequence, and predict.

        Args:
            inputs: one step of each sequence, values ``[B, 1, F]``.
            states: after the step before.

        Returns:
            The head's prediction ``[B, K]`` from the new states, and these.
        """
        states = self.advance(self._predictor.scaled(inputs).values[:, 0], states)
        return self._predictor.outputs(states[-1][0]), states
