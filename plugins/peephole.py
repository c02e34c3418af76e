"""LSTM with peephole connections."""

from __future__ import annotations

from seqbench.nn import PeepholeLSTMCell, RecurrentModel


class Peephole(RecurrentModel):
    """LSTM with peepholes: gates that look at the cell state, for precise timing.

    At each step t, for inputs x_t ``[F]``, hidden state h_t and cell state c_t ``[H]`` (both 0 at
    first)::

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)      input gate
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)      forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                        candidate
        c_t = f_t * c_{t-1} + i_t * c~_t
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)          output gate
        h_t = o_t * tanh(c_t)

    Each W is ``[H, F]``, each U ``[H, H]``, each b and each peephole p ``[H]``; ``*`` is
    elementwise. Peepholes start at zero, so that the model starts as the LSTM without them; the
    forget gate's bias starts at 1.

    This is the vanilla LSTM of Greff et al. (2017); their eight variants, each with one
    change, are ``nig``, ``nfg``, ``nog``, ``niaf``, ``noaf``, ``cifg``, ``np`` and ``fgr``.
    """

    citation = (
        "F. A. Gers, N. N. Schraudolph, J. Schmidhuber: Learning precise timing with LSTM "
        "recurrent networks. Journal of Machine Learning Research 3, 2002."
    )
    cell = PeepholeLSTMCell
