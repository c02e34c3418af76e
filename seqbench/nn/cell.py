"""Recurrent cells: one time step each, apart from the loop over time.

Legend of shapes: B sequences, F input features, H hidden units, G gates (blocks of weights).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.nn.init import init_gates

State = tuple[Tensor, ...]
"""What a cell carries from step to step, each ``[B, H]``; the hidden state comes first."""


class HiddenState(NamedTuple):
    """The state of a cell without a memory of its own."""

    h: Tensor
    """Hidden state ``[B, H]``."""


class LSTMState(NamedTuple):
    """The state of an LSTM."""

    h: Tensor
    """Hidden state ``[B, H]``."""
    c: Tensor
    """Cell state ``[B, H]``."""


class Cell(nn.Module, ABC):
    """One time step of a recurrent network.

    The input's contribution ``W x + b`` is computed for all steps at once by :meth:`project`; a
    step adds the recurrent one. There is one bias for each gate.

    Args:
        input_size: F.
        hidden_size: H.
    """

    gates: ClassVar[int]
    """G."""
    keep_gate: ClassVar[int | None] = None
    """Which gate keeps the state, see :mod:`seqbench.nn.init`."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.gates * hidden_size))
        init_gates(self.weight_ih, self.weight_hh, self.bias, self.gates, self.keep_gate)

    def project(self, values: Tensor) -> Tensor:
        """Return ``W x + b`` for ``[..., F]`` inputs: ``[..., G * H]``."""
        return F.linear(values, self.weight_ih, self.bias)

    def recur(self, h: Tensor) -> Tensor:
        """Return ``U h`` for a hidden state ``[B, H]``: ``[B, G * H]``."""
        return F.linear(h, self.weight_hh)

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first step: zeros, on the weights' device."""

    @abstractmethod
    def step(self, projected: Tensor, state: State) -> State:
        """Advance by one step.

        Args:
            projected: ``[B, G * H]``, this step's part of :meth:`project`.
            state: what the step before returned.
        """

    def zeros(self, batch_size: int) -> Tensor:
        """Return zeros ``[B, H]``."""
        return self.bias.new_zeros(batch_size, self.hidden_size)


class RNNCell(Cell):
    r"""The simple recurrent network (Elman 1990): ``h = tanh(W x + U h + b)``."""

    gates = 1

    def initial_state(self, batch_size: int) -> HiddenState:
        """Return a zero hidden state."""
        return HiddenState(self.zeros(batch_size))

    def step(self, projected: Tensor, state: State) -> HiddenState:
        """Advance by one step."""
        return HiddenState(torch.tanh(projected + self.recur(state[0])))


class LSTMCell(Cell):
    """Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    Gates are stacked in the order i, f, c~, o::

        i = sigmoid(W_i x + U_i h + b_i)
        f = sigmoid(W_f x + U_f h + b_f)
        c~ = tanh(W_c x + U_c h + b_c)
        o = sigmoid(W_o x + U_o h + b_o)
        c = f * c + i * c~
        h = o * tanh(c)
    """

    gates = 4
    keep_gate = 1

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zero hidden and cell states."""
        return LSTMState(self.zeros(batch_size), self.zeros(batch_size))

    def step(self, projected: Tensor, state: State) -> LSTMState:
        """Advance by one step."""
        h, c = state
        i, f, candidate, o = (projected + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
        return LSTMState(torch.sigmoid(o) * torch.tanh(c), c)


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product.

    Gates are stacked in the order r, z, n::

        r = sigmoid(W_r x + U_r h + b_r)
        z = sigmoid(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r * (U_n h + b_hn))
        h = (1 - z) * n + z * h

    This is the form of cuDNN and of ``torch.nn.GRU``; Cho et al. apply r to h before U_n, which
    costs a second product in each step. The candidate needs its second bias ``b_hn`` ``[H]``, for r
    scales it.
    """

    gates = 3
    keep_gate = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias_hn = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> HiddenState:
        """Return a zero hidden state."""
        return HiddenState(self.zeros(batch_size))

    def step(self, projected: Tensor, state: State) -> HiddenState:
        """Advance by one step."""
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        h_r, h_z, h_n = self.recur(h).chunk(3, dim=-1)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * (h_n + self.bias_hn))
        return HiddenState((1 - z) * n + z * h)


class PeepholeLSTMCell(Cell):
    """LSTM whose gates also see the cell state (Gers, Schraudolph & Schmidhuber 2002).

    Gates are stacked in the order i, f, c~, o; ``p_i``, ``p_f``, ``p_o`` ``[H]`` are the peephole
    weights. Input and forget gates see the old cell state, the output gate sees the new one::

        i = sigmoid(W_i x + U_i h + p_i * c + b_i)
        f = sigmoid(W_f x + U_f h + p_f * c + b_f)
        c~ = tanh(W_c x + U_c h + b_c)
        c' = f * c + i * c~
        o = sigmoid(W_o x + U_o h + p_o * c' + b_o)
        h' = o * tanh(c')
    """

    gates = 4
    keep_gate = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.peephole_i = nn.Parameter(torch.zeros(hidden_size))
        self.peephole_f = nn.Parameter(torch.zeros(hidden_size))
        self.peephole_o = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zero hidden and cell states."""
        return LSTMState(self.zeros(batch_size), self.zeros(batch_size))

    def step(self, projected: Tensor, state: State) -> LSTMState:
        """Advance by one step."""
        h, c = state
        i, f, candidate, o = (projected + self.recur(h)).chunk(4, dim=-1)
        i = torch.sigmoid(i + self.peephole_i * c)
        f = torch.sigmoid(f + self.peephole_f * c)
        c = f * c + i * torch.tanh(candidate)
        o = torch.sigmoid(o + self.peephole_o * c)
        return LSTMState(o * torch.tanh(c), c)
