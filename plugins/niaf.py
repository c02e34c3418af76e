"""Peephole LSTM without input activation."""

from __future__ import annotations

from torch import Tensor

from seqbench.nn import Named, PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NIAFCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with a linear candidate."""

    def candidate(self, a: Named) -> Tensor:
        """Return g."""
        return a.g


class NIAF(RecurrentModel):
    """No input activation function: the vanilla LSTM of Greff et al. with a linear candidate.

    It is ``model=peephole`` with the candidate's line replaced by::

        c~_t = W_c x_t + U_c h_{t-1} + b_c
    """

    citation = CITATION
    cell = NIAFCell
