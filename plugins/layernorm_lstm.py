"""LSTM with layer normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.nn import Cell, Named, RecurrentModel

EPSILON = 1e-5
"""Added to the variance, so that a row of equal numbers becomes zeros."""

GATES = ("i", "f", "g", "o")


class LayerNormLSTMCell(Cell):
    """LSTM that normalises its pre-activations and its cell state (Ba et al. 2016, eqs. 20-22).

    Gains ``gain_x_*``, ``gain_h_*`` and biases ``bias_*`` are vectors ``[H]`` of each gate. The
    paper adds three biases in one sum; here there is one.
    """

    gates = GATES
    states = ("h", "c")
    separate = GATES
    has_bias = False
    vectors = {
        **{f"gain_x_{gate}": 1.0 for gate in GATES},
        **{f"gain_h_{gate}": 1.0 for gate in GATES},
        **{f"bias_{gate}": float(gate == "f") for gate in GATES},
        "gain_c": 1.0,
        "bias_c": 0.0,
    }

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        x, h = _scaled(a, p, "x"), _scaled(a, p, "h")
        sums = {gate: x[gate] + h[gate] + getattr(p, f"bias_{gate}") for gate in GATES}
        i, f, o = (torch.sigmoid(sums[gate]) for gate in ("i", "f", "o"))
        g = torch.tanh(sums["g"])
        c = f * s.c + i * g
        hidden = o * torch.tanh(p.gain_c * _normalised(c) + p.bias_c)
        return {"h": hidden, "c": c, "i": i, "f": f, "g": g, "o": o}


def _scaled(a: Named, p: Named, term: str) -> dict[str, Tensor]:
    """Return the terms ``[B, H]`` by gate, normalised over all 4H, times the gains."""
    stacked = torch.cat([getattr(a, f"{gate}_{term}") for gate in GATES], dim=-1)
    blocks = _normalised(stacked).chunk(len(GATES), dim=-1)
    return {
        gate: getattr(p, f"gain_{term}_{gate}") * block
        for gate, block in zip(GATES, blocks, strict=True)
    }


def _normalised(rows: Tensor) -> Tensor:
    return F.layer_norm(rows, rows.shape[-1:], eps=EPSILON)


class LayerNormLSTM(RecurrentModel):
    """LSTM with layer normalisation: sums and cell state are normalised over the units.

    With LN(v) = (v - mean(v)) / sqrt(variance(v) + 1e-5), taken over all 4H numbers of the four
    gates at once, or over the H of the cell state::

        [i; f; c~; o]_t = a_x * LN([W_i; W_f; W_c; W_o] x_t)
                          + a_h * LN([U_i; U_f; U_c; U_o] h_{t-1}) + b
        c_t = sigmoid(f_t) * c_{t-1} + sigmoid(i_t) * tanh(c~_t)
        h_t = sigmoid(o_t) * tanh(a_c * LN(c_t) + b_c)

    The first line's gates are sums, before their sigmoid or tanh; x_t is ``[F]``, h_t and c_t are
    ``[H]``, both 0 at first. Each W is ``[H, F]``, each U ``[H, H]``; the gains a_x, a_h and the
    bias b are ``[4H]``, a_c and b_c ``[H]``; ``*`` is elementwise. Gains start at 1, and biases
    at 0, except the forget gate's, which starts at 1.

    Normalising a row needs all of its units at once, which the compiled back ends do not support.
    ``backend=auto`` runs this model step by step (``reference``), so compare its scores, not its
    speed.
    """

    citation = "J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization. arXiv:1607.06450, 2016."
    cell = LayerNormLSTMCell
