"""LSTM with additive attention over its own states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqbench.api import Context, Encoding, SequenceInput
from seqbench.nn import AdditiveAttention, LSTMCell, RecurrentModel, reverse_sequences, zero_padding


class AttentionLSTM(RecurrentModel):
    """LSTM with additive attention: each step also reads a weighted mean of other steps' states.

    With h_t ``[H]`` the last layer's hidden state of ``model=lstm``::

        e_tj = v . tanh(W_q h_t + W_k h_j + b)      j in J(t)
        a_t = softmax_j(e_tj)
        context_t = sum_j a_tj h_j
        output_t = [h_t; context_t]                 [2H]

    W_q and W_k are ``[A, H]``, v and b are ``[A]``. J(t) contains all steps if the
    task lets a prediction see all steps; otherwise it contains steps <= t (>= t for the backward
    direction).

    Args:
        attention_size: A, width of the score's hidden layer.
        window: number of steps of J(t) on each visible side of t, t included; None for no limit.
    """

    citation = (
        "D. Bahdanau, K. Cho, Y. Bengio: Neural machine translation by jointly learning to align "
        "and translate. ICLR 2015."
    )
    cell = LSTMCell

    def __init__(
        self,
        input_size: int,
        context: Context,
        *,
        attention_size: int = 64,
        window: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, context, **options)
        if attention_size < 1:
            raise ValueError(f"attention_size must be at least 1, not {attention_size}")
        if window is not None and window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self.forward_attention = self._attention(attention_size, window)
        self.backward_attention = (
            self._attention(attention_size, window) if self.backward_size else None
        )
        self.forward_size *= 2
        self.backward_size *= 2
        self.final_size *= 2

    def state_numbers(self, steps: int) -> int | None:
        """Return the size of the LSTM's state and of the attended states, which grow with steps."""
        own = super().state_numbers(steps)
        assert own is not None
        window = self.forward_attention.window
        seen = steps if window is None else min(steps, window)
        return own + seen * self.hidden_size * (2 if self.backward_size else 1)

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Encode a batch: each state, concatenated with its context vector."""
        forward, backward = self.hidden_states(inputs)
        mask, lengths = inputs.mask, inputs.lengths
        forward = self._attend(self.forward_attention, forward, mask)
        if backward is not None and self.backward_attention is not None:
            backward = reverse_sequences(backward, lengths)
            backward = self._attend(self.backward_attention, backward, mask)
            backward = reverse_sequences(backward, lengths)
        return self.encoding(forward, backward, lengths)

    def _attention(self, attention_size: int, window: int | None) -> AdditiveAttention:
        causal = self.context == "past"
        return AdditiveAttention(self.hidden_size, attention_size, causal=causal, window=window)

    @staticmethod
    def _attend(attention: AdditiveAttention, states: Tensor, mask: Tensor) -> Tensor:
        contexts: Tensor = attention(states, mask)
        return zero_padding(torch.cat([states, contexts], dim=-1), mask)
