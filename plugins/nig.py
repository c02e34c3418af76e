"""Peephole LSTM without input gate."""

from __future__ import annotations

from seqbench.nn import Named, PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NIGCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with i = 1."""

    gates = ("f", "g", "o")
    vectors = {"peephole_f": 0.0, "peephole_o": 0.0}

    def input_gate(self, a: Named, s: Named, p: Named) -> float:
        """Return 1."""
        return 1.0


class NIG(RecurrentModel):
    """No input gate: the vanilla LSTM of Greff et al., always open to its candidate.

    It is ``model=peephole`` with the input gate's line replaced by::

        i_t = 1

    so that c_t = f_t * c_{t-1} + c~_t. There are no W_i, U_i, b_i and p_i.
    """

    citation = CITATION
    cell = NIGCell
