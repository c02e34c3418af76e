"""Peephole LSTM with full gate recurrence."""

from __future__ import annotations

from seqbench.nn import PeepholeLSTMCell, RecurrentModel
from seqbench.plugins._greff import CITATION


class FGRCell(PeepholeLSTMCell):
    """The peephole LSTM's cell whose gates i, f, o also see the last step's i, f, o.

    ``recurrent_i``, ``recurrent_f`` and ``recurrent_o``, ``[3H, H]`` each, are stacked in the order
    i, f, o of the gates that see.
    """

    gates = ("i", "f", "o", "g")  # those that see the gates side by side: one product for each
    states = ("h", "c", "i", "f", "o")
    feedback = {
        "h": ("i", "f", "o", "g"),
        "i": ("i", "f", "o"),
        "f": ("i", "f", "o"),
        "o": ("i", "f", "o"),
    }


class FGR(RecurrentModel):
    """Full gate recurrence: the vanilla LSTM of Greff et al. whose gates also see the last gates.

    It is ``model=peephole`` with the gates' lines replaced by::

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i
                      + R_ii i_{t-1} + R_if f_{t-1} + R_io o_{t-1})
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f
                      + R_fi i_{t-1} + R_ff f_{t-1} + R_fo o_{t-1})
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o
                      + R_oi i_{t-1} + R_of f_{t-1} + R_oo o_{t-1})

    The nine R are ``[H, H]``; i_0, f_0 and o_0 are 0. The candidate does not see the gates. The
    original LSTM had these connections (Hochreiter & Schmidhuber 1997).
    """

    citation = CITATION
    cell = FGRCell
