"""Minimal gated unit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.api import RecurrentModel
from seqbench.nn import Cell, HiddenState, State


class MGUCell(Cell):
    """One step of the minimal gated unit; gates are stacked in the order f, candidate.

    The state is kept where f is near 0, so the bias of f starts at -1, as that of a forget gate,
    which keeps the state near 1, starts at 1.
    """

    gates = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.bias.chunk(2)[0].fill_(-1.0)

    def initial_state(self, batch_size: int) -> HiddenState:
        """Return a zero hidden state."""
        return HiddenState(self.zeros(batch_size))

    def step(self, projected: Tensor, state: State) -> HiddenState:
        """Advance by one step."""
        h = state[0]
        x_f, x_candidate = projected.chunk(2, dim=-1)
        u_f, u_candidate = self.weight_hh.chunk(2)
        f = torch.sigmoid(x_f + F.linear(h, u_f))
        candidate = torch.tanh(x_candidate + F.linear(f * h, u_candidate))
        return HiddenState((1 - f) * h + f * candidate)


class MGU(RecurrentModel):
    """Minimal gated unit: a recurrent network with one gate.

    At each step t, for inputs x_t ``[F]`` and hidden state h_t ``[H]`` (h_0 = 0)::

        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)              gate
        h~_t = tanh(W_h x_t + U_h (f_t * h_{t-1}) + b_h)        candidate
        h_t = (1 - f_t) * h_{t-1} + f_t * h~_t

    Each W is ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is elementwise.
    """

    citation = (
        "G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou: Minimal gated unit for recurrent neural "
        "networks. International Journal of Automation and Computing 13(3), 2016."
    )

    def make_cell(self, input_size: int, hidden_size: int) -> MGUCell:
        """Return an :class:`MGUCell`."""
        return MGUCell(input_size, hidden_size)
