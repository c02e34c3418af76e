"""Recurrent cells, the unroll and what they share: masking, initialisation, attention."""

from seqbench.nn.attention import AdditiveAttention
from seqbench.nn.cell import (
    Cell,
    GRUCell,
    HiddenState,
    LSTMCell,
    LSTMState,
    PeepholeLSTMCell,
    RNNCell,
    State,
)
from seqbench.nn.masking import last_step, reverse_sequences, zero_padding
from seqbench.nn.unroll import Backend, resolve_backend, unroll

__all__ = [
    "AdditiveAttention",
    "Backend",
    "Cell",
    "GRUCell",
    "HiddenState",
    "LSTMCell",
    "LSTMState",
    "PeepholeLSTMCell",
    "RNNCell",
    "State",
    "last_step",
    "resolve_backend",
    "reverse_sequences",
    "unroll",
    "zero_padding",
]
