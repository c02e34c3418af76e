"""Additive attention of a sequence of states over itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 1 << 23
"""Numbers of one chunk's ``[B, Q, T, A]`` tensor at most (32 MiB in float32)."""


class AdditiveAttention(nn.Module):
    """Additive attention (Bahdanau et al. 2015, section 3.1), queries and keys from one sequence.

    For states s_t::

        e_tj = v . tanh(W_q s_t + W_k s_j)
        a_t = softmax_j(e_tj)
        context_t = sum_j a_tj s_j

    Queries are taken in chunks, and where there is more than one, scores are computed again in the
    backward
    pass: memory grows with T, not with T squared times A.

    Args:
        size: D, width of a state.
        attention_size: A, width of the score's hidden layer.
        causal: whether step t attends to steps <= t only.
        window: how far back (and, if not causal, ahead) a step attends, itself included; None: no
            limit.
    """

    def __init__(
        self, size: int, attention_size: int, *, causal: bool, window: int | None = None
    ) -> None:
        super().__init__()
        self.query = nn.Linear(size, attention_size)
        self.key = nn.Linear(size, attention_size, bias=False)
        self.score = nn.Linear(attention_size, 1, bias=False)
        for layer in (self.query, self.key, self.score):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.query.bias)
        self.causal = causal
        self.window = window

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return a context vector for each step.

        Args:
            states: ``[B, T, D]``.
            mask: ``[B, T]``, True at real steps; the first step of each sequence is real.

        Returns:
            ``[B, T, D]``; what stands at padded steps has no meaning.
        """
        batch, length, _ = states.shape
        queries, keys = self.query(states), self.key(states)
        size = max(1, CHUNK_ELEMENTS // (batch * length * keys.shape[-1]))
        if size >= length:
            return self._attend(queries, keys, states, mask, 0)
        chunks = [
            checkpoint(self._attend, chunk, keys, states, mask, start, use_reentrant=False)
            for start, chunk in zip(range(0, length, size), queries.split(size, dim=1), strict=True)
        ]
        return torch.cat(chunks, dim=1)

    def _attend(
        self, queries: Tensor, keys: Tensor, states: Tensor, mask: Tensor, start: int
    ) -> Tensor:
        hidden = torch.tanh(queries[:, :, None] + keys[:, None])  # [B, Q, T, A]
        scores = self.score(hidden).squeeze(-1)  # [B, Q, T]
        query_steps = torch.arange(start, start + queries.shape[1], device=states.device)[:, None]
        key_steps = torch.arange(states.shape[1], device=states.device)
        allowed = mask[:, None].expand(-1, queries.shape[1], -1)
        if self.causal:
            allowed = allowed & (key_steps <= query_steps)
        if self.window is not None:
            allowed = allowed & ((key_steps - query_steps).abs() < self.window)
        # A padded query may have no step it is allowed to see; -inf everywhere would be NaN.
        scores = scores.masked_fill(~allowed, -math.inf)
        scores = scores.masked_fill(~allowed.any(-1, keepdim=True), 0.0)
        return torch.softmax(scores, dim=-1) @ states
