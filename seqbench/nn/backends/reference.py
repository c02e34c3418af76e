"""The equations, step by step, under autograd: any dtype, any operation, any device.

The truth that the other back ends are tested against.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn.backends import RAN
from seqbench.nn.cell import Cell, State
from seqbench.nn.masking import zero_padding


def run(
    cell: Cell, values: Tensor, lengths: Tensor | None, state: State, instead_of: str | None = None
) -> tuple[Tensor, State]:
    """Return the hidden states ``[B, T, H]`` and the states after the last real step.

    ``instead_of`` says what could not run the cell, and why, for the record.
    """
    RAN["reference" if instead_of is None else f"reference ({instead_of})"] += 1
    trace, final = _loop(cell, values, lengths, state, cell.states[:1])
    hidden = trace[cell.states[0]]
    return (hidden if lengths is None else _masked(hidden, lengths)), final


def inspect(
    cell: Cell, values: Tensor, lengths: Tensor | None = None, state: State | None = None
) -> dict[str, Tensor]:
    """Return everything that the equations return, over time: states and gates by name.

    Args:
        cell: the recurrent cell.
        values: ``[B, T, F]``.
        lengths: ``[B]``, or None.
        state: the states before the first step; None: :meth:`Cell.initial_state`.

    Returns:
        ``[B, T, H]`` for each name, zero at padding.
    """
    start = cell.initial_state(len(values)) if state is None else state
    trace, _ = _loop(cell, values, lengths, start, None)
    if lengths is None:
        return trace
    return {name: _masked(steps, lengths) for name, steps in trace.items()}


def _loop(
    cell: Cell,
    values: Tensor,
    lengths: Tensor | None,
    state: State,
    keep: tuple[str, ...] | None,
) -> tuple[dict[str, Tensor], State]:
    if lengths is not None:
        values = _masked(values, lengths)
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
