"""Torch's own kernels (oneDNN on CPU, cuDNN on GPU), given a cell's weights: the calibrator."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn.cell import Cell, State
from seqbench.nn.cells import GRUCell, LSTMCell, RNNCell
from seqbench.nn.masking import last_step, zero_padding


def has_kernel(cell: Cell) -> bool:
    """Whether torch computes exactly this cell; a subclass is another cell."""
    return type(cell) in (LSTMCell, GRUCell, RNNCell)


def run(
    cell: Cell, values: Tensor, lengths: Tensor | None, state: State
) -> tuple[Tensor, State | None]:
    """Return the hidden states ``[B, T, H]`` and the final states, None if the kernel hides them.

    Padding follows the end of a sequence and so cannot reach its real steps.
    """
    mask = None
    if lengths is not None:
        mask = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        values = zero_padding(values, mask)
    bias = cell.input_weight()[1]
    assert bias is not None  # each of the three cells has one
    weights = [cell.weight_ih, cell.recurrent_weight("h"), bias, torch.zeros_like(bias)]
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    options = (True, 1, 0.0, cell.training, False, True)
    start = [part[None] for part in state]
    if isinstance(cell, LSTMCell):
        hidden, *final = torch.lstm(values, start, weights, *options)
    elif isinstance(cell, GRUCell):
        weights[3] = torch.cat([bias.new_zeros(2 * cell.hidden_size), *cell.vector_values()])
        hidden, *final = torch.gru(values, start[0], weights, *options)
    else:
        hidden, *final = torch.rnn_tanh(values, start[0], weights, *options)
    if mask is None or lengths is None:
        return hidden, tuple(part[0] for part in final)
    ends = last_step(hidden, lengths)
    return zero_padding(hidden, mask), None if len(state) > 1 else (ends,)
