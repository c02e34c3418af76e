"""Torch's own kernels (oneDNN on CPU, cuDNN on GPU), given a cell's weights: the calibrator."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import torch
from torch import Tensor

from seqbench.nn.backends.base import Backend
from seqbench.nn.cell import Cell, State
from seqbench.nn.cells import GRUCell, LSTMCell, RNNCell
from seqbench.nn.masking import last_step, zero_padding

_KERNELS = {
    "aten._cudnn_rnn": "cuDNN",
    "aten.mkldnn_rnn_layer": "oneDNN",
}
"""Operations that are a vendor's recurrent kernel."""

_ATEN_LOOPS = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
"""Functions of torch that loop over time themselves where no vendor's kernel takes over."""


class Native(Backend):
    """Torch's own kernels."""

    name = "native"
    does = "torch's oneDNN and cuDNN kernels with the cell's weights: a calibrator"
    runs = "exactly lstm, gru (reset after), rnn"
    only = (LSTMCell, GRUCell, RNNCell)

    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Find nothing: each of its cells has a kernel on each device and for each dtype."""
        return None

    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State | None]:
        """Return the hidden states ``[B, T, H]``, and the final states if they are known.

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

    def version(self) -> str:
        """Return torch's version, and the kernels that it was built with."""
        backends: Any = torch.backends  # not typed throughout
        kernels = [
            *(["oneDNN"] if backends.mkldnn.is_available() else []),
            *([f"cuDNN {backends.cudnn.version()}"] if backends.cudnn.is_available() else []),
        ]
        return f"torch {torch.__version__} with {' and '.join(kernels) or 'loops of its own'}"

    def seen_in(self, operations: Set[str], functions: Set[str]) -> set[str]:
        """Return the vendors, or ``ATen`` for torch's own loop."""
        vendors = {
            vendor
            for kernel, vendor in _KERNELS.items()
            if any(operation.startswith(kernel) for operation in operations)
        }
        return vendors or ({"ATen"} if functions & _ATEN_LOOPS else set())


BACKEND = Native()
