"""Peephole LSTM without output activation."""

from __future__ import annotations

from torch import Tensor

from seqbench.nn import PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NOAFCell(PeepholeLSTMCell):
    """The peephole LSTM's cell with ``h' = o * c'``."""

    def squash(self, c: Tensor) -> Tensor:
        """Return the cell state itself."""
        return c


class NOAF(RecurrentModel):
    """No output activation function: the vanilla LSTM of Greff et al., its cell state read as is.

    It is ``model=peephole`` with the hidden state's line replaced by::

        h_t = o_t * c_t

    Nothing bounds h_t, which feeds back: values can grow without limit.
    """

    citation = CITATION
    cell = NOAFCell
