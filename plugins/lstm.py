"""Long short-term memory with forget gate."""

from __future__ import annotations

from seqbench.nn import LSTMCell, RecurrentModel


class LSTM(RecurrentModel):
    """Long short-term memory with forget gate: a cell state that gates write, keep and read.

    At each step t, for inputs x_t ``[F]``, hidden state h_t and cell state c_t ``[H]`` (both 0 at
    first)::

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)      input gate
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)      forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)        candidate
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + i_t * c~_t
        h_t = o_t * tanh(c_t)

    Each W is ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is elementwise. The forget gate's
    bias starts at 1.
    """

    citation = (
        "S. Hochreiter, J. Schmidhuber: Long short-term memory. Neural Computation 9(8), 1997; "
        "F. A. Gers, J. Schmidhuber, F. Cummins: Learning to forget: continual prediction "
        "with LSTM. Neural Computation 12(10), 2000."
    )
    cell = LSTMCell
