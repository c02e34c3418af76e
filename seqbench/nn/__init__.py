"""Recurrent cells, the unroll and what they share: masking, initialisation, attention."""

from seqbench.nn.attention import AdditiveAttention
from seqbench.nn.cell import Cell, Named, State
from seqbench.nn.cells import GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from seqbench.nn.counts import StepCost, step_cost
from seqbench.nn.masking import last_step, reverse_sequences, zero_padding
from seqbench.nn.recurrent import RecurrentModel
from seqbench.nn.unroll import Backend, Unrolled, check_backend, fallback, inspect, unroll

__all__ = [
    "AdditiveAttention",
    "Backend",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "Named",
    "PeepholeLSTMCell",
    "RNNCell",
    "RecurrentModel",
    "State",
    "StepCost",
    "Unrolled",
    "check_backend",
    "fallback",
    "inspect",
    "last_step",
    "reverse_sequences",
    "step_cost",
    "unroll",
    "zero_padding",
]
