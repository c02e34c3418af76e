"""Peephole LSTM without peepholes."""

from __future__ import annotations

from seqbench.nn import LSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class NP(RecurrentModel):
    """No peepholes: the vanilla LSTM of Greff et al. without them, which is ``model=lstm``.

    It is ``model=peephole`` with the gates' lines replaced by::

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)

    The cell is that of ``model=lstm``, so both give the same numbers. This name completes the
    paper's list.
    """

    citation = CITATION
    cell = LSTMCell
