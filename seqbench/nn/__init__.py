"""Recurrent cells, the unroll and what they share: masking, initialisation, attention."""

from seqbench.nn.attention import AdditiveAttention
from seqbench.nn.backends import BACKENDS, BackendName
from seqbench.nn.backends.base import Backend, Step
from seqbench.nn.cell import Cell, Named, State
from seqbench.nn.cells import GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from seqbench.nn.counts import StepCost, step_cost
from seqbench.nn.masking import last_step, reverse_sequences, zero_padding
from seqbench.nn.observation import observe
from seqbench.nn.recurrent import RecurrentModel
from seqbench.nn.unroll import (
    Unrolled,
    backends_for,
    check_backend,
    fallback,
    inspect,
    release_memory,
    stepper,
    unroll,
)

__all__ = [
    "BACKENDS",
    "AdditiveAttention",
    "Backend",
    "BackendName",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "Named",
    "PeepholeLSTMCell",
    "RNNCell",
    "RecurrentModel",
    "State",
    "Step",
    "StepCost",
    "Unrolled",
    "backends_for",
    "check_backend",
    "fallback",
    "inspect",
    "last_step",
    "observe",
    "release_memory",
    "reverse_sequences",
    "step_cost",
    "stepper",
    "unroll",
    "zero_padding",
]
