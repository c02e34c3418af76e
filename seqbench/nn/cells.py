"""The cells that more than one model is built from."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from seqbench.nn.cell import Cell, Named


class RNNCell(Cell):
    """The simple recurrent network (Elman 1990): ``h' = tanh(W x + U h + b)``."""

    gates = ("h",)

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        return {"h": torch.tanh(a.h)}


class LSTMCell(Cell):
    """Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    ::

        i = sigmoid(W_i x + U_i h + b_i)        input gate
        f = sigmoid(W_f x + U_f h + b_f)        forget gate
        g = tanh(W_g x + U_g h + b_g)           candidate
        o = sigmoid(W_o x + U_o h + b_o)        output gate
        c' = f * c + i * g
        h' = o * tanh(c')
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    bias_init = {"f": 1.0}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        i, f, o = torch.sigmoid(a.i), torch.sigmoid(a.f), torch.sigmoid(a.o)
        g = torch.tanh(a.g)
        c = f * s.c + i * g
        return {"h": o * torch.tanh(c), "c": c, "i": i, "f": f, "g": g, "o": o}


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied after the recurrent product.

    ::

        r = sigmoid(W_r x + U_r h + b_r)                reset gate
        z = sigmoid(W_z x + U_z h + b_z)                update gate
        n = tanh(W_n x + b_n + r * (U_n h + b_hn))      candidate
        h' = (1 - z) * n + z * h

    This is the form of cuDNN and of ``torch.nn.GRU``. The candidate needs its second bias ``b_hn``
    ``[H]``, for r scales it.
    """

    gates = ("r", "z", "n")
    vectors = {"bias_hn": 0.0}
    bias_init = {"z": 1.0}
    separate = ("n",)

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        r, z = torch.sigmoid(a.r), torch.sigmoid(a.z)
        n = torch.tanh(a.n_x + r * (a.n_h + p.bias_hn))
        return {"h": (1 - z) * n + z * s.h, "r": r, "z": z, "n": n}


class PeepholeLSTMCell(Cell):
    """LSTM whose gates also see the cell state (Gers, Schraudolph & Schmidhuber 2002).

    ``p_i``, ``p_f``, ``p_o`` ``[H]`` are the peephole weights. Input and forget gates see the old
    cell state, the output gate sees the new one::

        i = sigmoid(W_i x + U_i h + p_i * c + b_i)      input gate
        f = sigmoid(W_f x + U_f h + p_f * c + b_f)      forget gate
        g = tanh(W_g x + U_g h + b_g)                   candidate
        c' = f * c + i * g
        o = sigmoid(W_o x + U_o h + p_o * c' + b_o)     output gate
        h' = o * tanh(c')

    This is the vanilla LSTM of Greff et al. (2017). A variant that differs in one of these lines
    overrides the method of that line; a gate that is gone is the number 1.0.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    vectors = {"peephole_i": 0.0, "peephole_f": 0.0, "peephole_o": 0.0}
    bias_init = {"f": 1.0}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        i, g = self.input_gate(a, s, p), self.candidate(a)
        f = self.forget_gate(a, s, p, i)
        c = f * s.c + i * g
        o = self.output_gate(a, c, p)
        gates = {"i": i, "f": f, "g": g, "o": o}
        learned = {name: gate for name, gate in gates.items() if isinstance(gate, Tensor)}
        return {"h": o * self.squash(c), "c": c, **learned}

    def input_gate(self, a: Named, s: Named, p: Named) -> Tensor | float:
        """Return i."""
        return torch.sigmoid(a.i + p.peephole_i * s.c)

    def forget_gate(self, a: Named, s: Named, p: Named, i: Tensor | float) -> Tensor | float:
        """Return f, given the input gate."""
        return torch.sigmoid(a.f + p.peephole_f * s.c)

    def candidate(self, a: Named) -> Tensor:
        """Return g."""
        return torch.tanh(a.g)

    def output_gate(self, a: Named, c: Tensor, p: Named) -> Tensor | float:
        """Return o, given the new cell state."""
        return torch.sigmoid(a.o + p.peephole_o * c)

    def squash(self, c: Tensor) -> Tensor:
        """Return what the output gate scales, given the new cell state."""
        return torch.tanh(c)
