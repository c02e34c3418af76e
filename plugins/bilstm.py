"""Bidirectional LSTM."""

from __future__ import annotations

from typing import Any

from seqbench.api import Context
from seqbench.nn import LSTMCell, RecurrentModel


class BiLSTM(RecurrentModel):
    """Bidirectional LSTM: one LSTM reads forwards, another backwards.

    With LSTM the recurrence of ``model=lstm`` and L a sequence's length::

        hf_t = LSTM_forward(x_t, hf_{t-1})      t = 1..L
        hb_t = LSTM_backward(x_t, hb_{t+1})     t = L..1

    Each of hf_t and hb_t is ``[H]``. If a task predicts step t itself, the prediction uses hf_{t-1}
    and hb_{t+1}, never x_t, and the row is labelled ``context=past+future``.

    Args:
        bidirectional: False uses the forward LSTM only.
    """

    citation = (
        "M. Schuster, K. K. Paliwal: Bidirectional recurrent neural networks. IEEE Transactions on "
        "Signal Processing 45(11), 1997; A. Graves, J. Schmidhuber: Framewise phoneme "
        "classification with bidirectional LSTM. Neural Networks 18(5-6), 2005."
    )
    cell = LSTMCell

    def __init__(
        self, input_size: int, context: Context, *, bidirectional: bool = True, **options: Any
    ) -> None:
        super().__init__(input_size, context, bidirectional=bidirectional, **options)
