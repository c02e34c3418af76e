"""A back end that nobody needs: it runs each sequence of a batch alone. To be added by a test."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn.backends.base import Backend
from seqbench.nn.cell import Cell, State


class Toy(Backend):
    """Sequence after sequence, step by step."""

    name = "toy"
    does = "one sequence after the other"
    runs = "any operation, single and double precision"
    devices = ("cpu",)

    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Refuse half precision."""
        known = cell.weight_ih.dtype in (torch.float64, torch.float32)
        return None if known else f"{cell.weight_ih.dtype} is too coarse for a toy"

    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the hidden states, zero at padding, and each sequence's last states."""
        steps = [values.shape[1]] * len(values) if lengths is None else lengths.tolist()
        hidden, final = [], []
        for row, length in enumerate(steps):
            now = tuple(part[row : row + 1] for part in state)
            mine = []
            for step in range(length):
                now = cell.step(values[row : row + 1, step], now)
                mine.append(now[0])
            padding = values.new_zeros(1, cell.hidden_size)
            hidden.append(torch.cat([*mine, *[padding] * (values.shape[1] - length)]))
            final.append(now)
        return torch.stack(hidden), tuple(torch.cat(part) for part in zip(*final, strict=True))

    def version(self) -> str:
        """Return the toy's version."""
        return "toy 1"


BACKEND = Toy()
