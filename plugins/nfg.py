"""Peephole LSTM without forget gate."""

from __future__ import annotations

from torch import Tensor

from seqbench.nn import Named, PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NFGCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with f = 1."""

    gates = ("i", "g", "o")
    vectors = {"peephole_i": 0.0, "peephole_o": 0.0}
    bias_init = {}

    def forget_gate(self, a: Named, s: Named, p: Named, i: Tensor | float) -> float:
        """Return 1."""
        return 1.0


class NFG(RecurrentModel):
    """No forget gate: the vanilla LSTM of Greff et al., which never lets go of its cell state.

    It is ``model=peephole`` with the forget gate's line replaced by::

        f_t = 1

    so that c_t = c_{t-1} + i_t * c~_t, as in Hochreiter and Schmidhuber (1997). There are no W_f,
    U_f, b_f and p_f.
    """

    citation = CITATION
    cell = NFGCell
