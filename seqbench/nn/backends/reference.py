"""The equations, step by step, under autograd: any dtype, any operation, any device.

The truth that the other back ends are tested against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn.backends.base import Backend
from seqbench.nn.cell import Cell, State
from seqbench.nn.masking import zero_padding


class Reference(Backend):
    """The equations, step by step."""

    name = "reference"
    does = "the equations, step by step, under autograd; the truth for the tests"
    runs = "any operation, any dtype"

    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Find nothing that it cannot run."""
        return None

    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the hidden states ``[B, T, H]`` and the states after the last real step."""
        kept, final = _loop(cell, values, lengths, state, cell.states[:1])
        hidden = kept[cell.states[0]]
        return (hidden if lengths is None else _masked(hidden, lengths)), final

    def version(self) -> str:
        """Return torch's version."""
        return f"torch {torch.__version__}"


BACKEND = Reference()


def trace(cell: Cell, values: Tensor, lengths: Tensor | None, state: State) -> dict[str, Tensor]:
    """Return everything that the equations return, over time ``[B, T, H]``, zero at padding."""
    steps, _ = _loop(cell, values, lengths, state, None)
    if lengths is None:
        return steps
    return {name: _masked(values, lengths) for name, values in steps.items()}


def _loop(
    cell: Cell,
    values: Tensor,
    lengths: Tensor | None,
    state: State,
    keep: tuple[str, ...] | None,
) -> tuple[dict[str, Tensor], State]:
    if lengths is not None:  # equations go on after the end; what they see there must be real
        steps = torch.arange(values.shape[1], device=values.device)
        last = torch.minimum(steps, lengths[:, None] - 1)
        values = values[torch.arange(len(values), device=values.device)[:, None], last]
    # Step-first and unbound once: selecting [:, t] writes a gradient of [B, T, G * H] at each step.
    projected = cell.project(values).transpose(0, 1).unbind(0)
    recurrent = {source: cell.recurrent_weight(source) for source in cell.sources()}
    kept: dict[str, list[Tensor]] = {}
    for step, step_input in enumerate(projected):
        outputs = cell.outputs(step_input, state, recurrent)
        new = cell.pick_states(outputs)
        if lengths is not None:  # a sequence that has ended keeps its states
            running = (step < lengths)[:, None]
            new = tuple(torch.where(running, n, old) for n, old in zip(new, state, strict=True))
        state = new
        for name in outputs if keep is None else keep:
            kept.setdefault(name, []).append(outputs[name])
    return {name: torch.stack(steps, dim=1) for name, steps in kept.items()}, state


def _masked(steps: Tensor, lengths: Tensor) -> Tensor:
    mask = torch.arange(steps.shape[1], device=steps.device) < lengths[:, None]
    return zero_padding(steps, mask)
