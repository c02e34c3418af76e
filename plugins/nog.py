"""Peephole LSTM without output gate."""

from __future__ import annotations

from torch import Tensor

from seqbench.nn import Named, PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NOGCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with o = 1."""

    gates = ("i", "f", "g")
    vectors = {"peephole_i": 0.0, "peephole_f": 0.0}

    def output_gate(self, a: Named, c: Tensor, p: Named) -> float:
        """Return 1."""
        return 1.0


class NOG(RecurrentModel):
    """No output gate: the vanilla LSTM of Greff et al., whose cell state is always read.

    It is ``model=peephole`` with the output gate's line replaced by::

        o_t = 1

    so that h_t = tanh(c_t). There are no W_o, U_o, b_o and p_o.
    """

    citation = CITATION
    cell = NOGCell
