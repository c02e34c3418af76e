"""The loop over time, and what runs it.

``reference`` runs any cell from its equations, one step after the other. ``native`` hands exactly
the cells that torch has kernels for (oneDNN on CPU, cuDNN on GPU) to those kernels, with the cell's
own weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqbench.nn.cell import Cell, GRUCell, LSTMCell, RNNCell

Backend = Literal["auto", "reference", "native"]


def unroll(cell: Cell, values: Tensor, backend: Backend = "auto") -> Tensor:
    """Run a cell over padded sequences from a zero state.

    Padding follows the end of a sequence and so cannot reach its real steps; what stands at padded
    steps has no meaning.

    Args:
        cell: the recurrent cell.
        values: ``[B, T, F]``.
        backend: ``native``, ``reference``, or ``auto``: native where there is a kernel.

    Returns:
        Hidden states ``[B, T, H]``.

    Raises:
        ValueError: ``native`` was asked for and torch has no kernel for the cell.
    """
    if resolve_backend(cell, backend) == "native":
        return _native(cell, values)
    return _reference(cell, values)


def resolve_backend(cell: Cell, backend: Backend) -> Literal["reference", "native"]:
    """Return what runs the cell; raises ``ValueError`` if that is impossible."""
    has_kernel = type(cell) in (LSTMCell, GRUCell, RNNCell)
    if backend == "native" and not has_kernel:
        raise ValueError(f"backend=native: torch has no kernel for {type(cell).__name__}")
    return "native" if has_kernel and backend != "reference" else "reference"


def _reference(cell: Cell, values: Tensor) -> Tensor:
    # Step-first and unbound once: selecting [:, t] writes a gradient of [B, T, G * H] at each step.
    projected = cell.project(values).transpose(0, 1).unbind(0)
    state = cell.initial_state(len(values))
    hidden = []
    for step_input in projected:
        state = cell.step(step_input, state)
        hidden.append(state[0])
    return torch.stack(hidden, dim=1)


def _native(cell: Cell, values: Tensor) -> Tensor:
    zeros = cell.zeros(len(values))[None]
    weights = [cell.weight_ih, cell.weight_hh, cell.bias, torch.zeros_like(cell.bias)]
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    options = (True, 1, 0.0, cell.training, False, True)
    if isinstance(cell, LSTMCell):
        return torch.lstm(values, (zeros, zeros), weights, *options)[0]
    if isinstance(cell, GRUCell):
        weights[3] = torch.cat([cell.bias.new_zeros(2 * cell.hidden_size), cell.bias_hn])
        return torch.gru(values, zeros, weights, *options)[0]
    return torch.rnn_tanh(values, zeros, weights, *options)[0]
