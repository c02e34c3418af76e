"""Peephole LSTM with coupled input and forget gate."""

from __future__ import annotations

from torch import Tensor

from seqbench.nn import Named, PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class CIFGCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with f = 1 - i."""

    gates = ("i", "g", "o")
    vectors = {"peephole_i": 0.0, "peephole_o": 0.0}
    bias_init = {"i": -1.0}

    def forget_gate(self, a: Named, s: Named, p: Named, i: Tensor | float) -> Tensor | float:
        """Return f = 1 - i."""
        return 1.0 - i


class CIFG(RecurrentModel):
    """Coupled input and forget gate: the vanilla LSTM of Greff et al. that forgets what it writes.

    It is ``model=peephole`` with the forget gate's line replaced by::

        f_t = 1 - i_t

    as in a GRU. W_f, U_f, b_f and p_f do not exist. The input gate's bias starts at -1, so
    that f_t starts as in ``model=peephole``.
    """

    citation = CITATION
    cell = CIFGCell
