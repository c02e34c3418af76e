"""Gated recurrent unit with trainable decays, for irregular sampling and missing values."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.api import Context, Encoding, Model, SequenceInput
from seqbench.nn import last_step, zero_padding
from seqbench.nn.init import init_gates

DECAY_START = 0.1
"""Exponent of every decay at the start where ``elapsed`` is 1: about a tenth is forgotten."""


class GRUD(Model):
    """GRU-D: what was not measured decays, and so does the hidden state.

    At each step t, for the last known values x_t, the mask m_t (1 where measured) and the time
    d_t since the measurement before, ``[F]`` each, and the hidden state h_t ``[H]`` (h_0 = 0)::

        g_t = exp(-max(0, w * d_t + c))                             input decay
        v_t = m_t * x_t + (1 - m_t) * g_t * x_t                     input
        k_t = exp(-max(0, W_k d_t + b_k))                           hidden decay
        s_t = k_t * h_{t-1}
        r_t = sigmoid(W_r v_t + U_r s_t + V_r m_t + b_r)            reset gate
        z_t = sigmoid(W_z v_t + U_z s_t + V_z m_t + b_z)            update gate
        n_t = tanh(W_n v_t + U_n (r_t * s_t) + V_n m_t + b_n)       candidate
        h_t = (1 - z_t) * s_t + z_t * n_t

    w and c are ``[F]``, each W and V ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is
    elementwise. These are Che et al.'s equations of GRU-D. A missing value decays from the last
    known value to the training mean, which is 0 because the harness standardises values. Here the
    update gate weights the candidate, so its bias starts at -1, which keeps the state; in
    ``model=gru`` a bias of +1 does the same.

    Without ``observed`` and ``delta`` every value counts as measured, one unit of time after the
    previous step.

    Args:
        hidden_size: H.
        dropout: probability of zeroing each output in training. The command line takes
            ``recipe.dropout`` unless this is given.
        elapsed: how d_t is computed from the task's time. ``linear``, as in the paper, is for tasks
            whose typical time between steps is about 1. ``log``, log(1 + time), makes decays powers
            of the time, which suits any unit.
    """

    citation = (
        "Z. Che et al.: Recurrent neural networks for multivariate time series with missing values."
        " Scientific Reports 8, 6085, 2018."
    )
    consumes_missingness = True

    def __init__(
        self,
        input_size: int,
        context: Context,
        *,
        hidden_size: int = 128,
        dropout: float = 0.0,
        elapsed: Literal["linear", "log"] = "log",
    ) -> None:
        super().__init__(input_size, context)
        if hidden_size < 1:
            raise ValueError(f"hidden_size must be at least 1, not {hidden_size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {dropout}")
        if elapsed not in ("linear", "log"):
            raise ValueError(f"elapsed must be linear or log, not '{elapsed}'")
        self.elapsed = elapsed
        self.forward_size = self.final_size = hidden_size
        self.backward_size = 0
        # a decay whose exponent starts below 0 for every input would never learn
        self.input_decay = nn.Parameter(torch.full((input_size,), DECAY_START))
        self.input_decay_bias = nn.Parameter(torch.zeros(input_size))
        decays = torch.rand(hidden_size, input_size) * 2 * DECAY_START / input_size
        self.hidden_decay = nn.Parameter(decays)
        self.hidden_decay_bias = nn.Parameter(torch.zeros(hidden_size))
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_mh = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        init_gates(self.weight_ih, 3, nn.init.xavier_uniform_)
        init_gates(self.weight_mh, 3, nn.init.xavier_uniform_)
        init_gates(self.weight_hh, 3, nn.init.orthogonal_)
        starts = torch.tensor([0.0, -1.0, 0.0])  # of r, z and n
        self.bias = nn.Parameter(starts.repeat_interleave(hidden_size))
        self.dropout = nn.Dropout(dropout)

    def state_numbers(self, steps: int) -> int | None:
        """Return H; the last known values belong to the task, not to the state."""
        return self.forward_size

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Encode a batch as the hidden states."""
        hidden = self.dropout(zero_padding(self.hidden_states(inputs), inputs.mask))
        return Encoding(hidden, None, last_step(hidden, inputs.lengths))

    def hidden_states(self, inputs: SequenceInput) -> Tensor:
        """Return h_1 to h_T, ``[B, T, H]``; values at padded steps have no meaning."""
        values = inputs.values
        ones = torch.ones_like(values)
        measured = ones if inputs.observed is None else inputs.observed.to(values.dtype)
        elapsed = ones if inputs.delta is None else inputs.delta
        if self.elapsed == "log":
            elapsed = torch.log1p(elapsed)
        decay = torch.exp(-F.relu(self.input_decay * elapsed + self.input_decay_bias))
        values = measured * values + (1 - measured) * decay * values
        kept = torch.exp(-F.relu(F.linear(elapsed, self.hidden_decay, self.hidden_decay_bias)))
        projected = F.linear(values, self.weight_ih, self.bias) + F.linear(measured, self.weight_mh)
        size = self.forward_size
        gates_weight, candidate_weight = torch.split(self.weight_hh, [2 * size, size])
        hidden = values.new_zeros(len(values), size)
        states = []
        for step, keep in zip(projected.unbind(1), kept.unbind(1), strict=True):
            gates, candidate = torch.split(step, [2 * size, size], dim=-1)
            hidden = keep * hidden
            r, z = torch.sigmoid(gates + F.linear(hidden, gates_weight)).chunk(2, dim=-1)
            n = torch.tanh(candidate + F.linear(r * hidden, candidate_weight))
            hidden = (1 - z) * hidden + z * n
            states.append(hidden)
        return torch.stack(states, dim=1)
