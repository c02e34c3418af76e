"""Gated recurrent unit."""

from __future__ import annotations

from seqbench.api import RecurrentModel
from seqbench.nn import GRUCell


class GRU(RecurrentModel):
    """Gated recurrent unit: one state, a reset and an update gate.

    At each step t, for inputs x_t ``[F]`` and hidden state h_t ``[H]`` (h_0 = 0)::

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)                  reset gate
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)                  update gate
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_hn))      candidate
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Each W is ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is elementwise. This is the form
    that GPU libraries
    compute: r_t scales the recurrent product; in Cho et al. it scales h_{t-1} before U_n. The
        update gate keeps the
    state, so its bias starts at 1, as a forget gate's does.
    """

    citation = (
        "K. Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical "
        "machine translation. EMNLP 2014."
    )

    def make_cell(self, input_size: int, hidden_size: int) -> GRUCell:
        """Return a :class:`~seqbench.nn.GRUCell`."""
        return GRUCell(input_size, hidden_size)
