"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seqbench.api import Context
from seqbench.nn import Cell, GRUCell, Named, RecurrentModel


class ResetBeforeGRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), the reset gate applied before the recurrent product.

    ::

        r = sigmoid(W_r x + U_r h + b_r)            reset gate
        z = sigmoid(W_z x + U_z h + b_z)            update gate
        n = tanh(W_n x + U_n (r * h) + b_n)         candidate
        h' = (1 - z) * n + z * h

    U_r and U_z are ``weight_hh``, U_n is ``recurrent_reset``.
    """

    gates = ("r", "z", "n")
    bias_init = {"z": 1.0}
    feedback = {"h": ("r", "z")}
    inner = {"reset": ("n",)}

    def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return r * h."""
        return {"reset": torch.sigmoid(a.r) * s.h}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        r, z, n = torch.sigmoid(a.r), torch.sigmoid(a.z), torch.tanh(a.n)
        return {"h": (1 - z) * n + z * s.h, "r": r, "z": z, "n": n}


class GRU(RecurrentModel):
    """Gated recurrent unit: one state, a reset and an update gate.

    At each step t, for inputs x_t ``[F]`` and hidden state h_t ``[H]`` (h_0 = 0)::

        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)                  reset gate
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)                  update gate
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_hn))      candidate (reset=after)
        n_t = tanh(W_n x_t + b_n + U_n (r_t * h_{t-1}))             candidate (reset=before)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Each W is ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is elementwise. The update gate
    keeps the state, so its bias starts at 1, as a forget gate's does.

    Args:
        reset: where the reset gate acts: ``after`` the recurrent product, the form that GPU
            libraries compute, or ``before`` it, the form of Cho et al.
    """

    citation = (
        "K. Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical "
        "machine translation. EMNLP 2014."
    )

    def __init__(
        self,
        input_size: int,
        context: Context,
        *,
        reset: Literal["after", "before"] = "after",
        **options: Any,
    ) -> None:
        self.reset = reset  # first, for the base class makes the cells
        super().__init__(input_size, context, **options)

    def make_cell(self, input_size: int, hidden_size: int) -> Cell:
        """Return the cell of the chosen form."""
        cell = GRUCell if self.reset == "after" else ResetBeforeGRUCell
        return cell(input_size, hidden_size)
