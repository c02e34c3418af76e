"""Ragged batches as padded tensors: sequences start at step 0 and padding follows their end."""

from __future__ import annotations

import torch
from torch import Tensor


def reverse_sequences(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence ``[B, T, F]`` within its own length; padding stays where it is."""
    steps = torch.arange(values.shape[1], device=values.device)
    mirrored = lengths[:, None] - 1 - steps
    index = torch.where(mirrored >= 0, mirrored, steps)
    return values[torch.arange(len(values), device=values.device)[:, None], index]


def last_step(values: Tensor, lengths: Tensor) -> Tensor:
    """Return each sequence's value at its last real step: ``[B, T, F]`` to ``[B, F]``."""
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def zero_padding(values: Tensor, mask: Tensor) -> Tensor:
    """Set ``[B, T, F]`` to zero where the mask ``[B, T]`` is False."""
    return values.masked_fill(~mask[..., None], 0.0)
