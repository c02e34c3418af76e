"""Minimal gated unit."""

from __future__ import annotations

import torch
from torch import Tensor

from seqbench.nn import Cell, Named, RecurrentModel


class MGUCell(Cell):
    """The minimal gated unit by its equations; weights and the loop over time follow from them.

    The candidate sees f * h through weights within the same step, which makes it an inner value.
    The state is kept where f is near 0, so the bias of f starts at -1, as that of a forget gate,
    which keeps the state near 1, starts at 1.
    """

    gates = ("f", "n")
    bias_init = {"f": -1.0}
    feedback = {"h": ("f",)}
    inner = {"gated": ("n",)}

    def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return f * h."""
        return {"gated": torch.sigmoid(a.f) * s.h}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        f, n = torch.sigmoid(a.f), torch.tanh(a.n)
        return {"h": (1 - f) * s.h + f * n, "f": f, "n": n}


class MGU(RecurrentModel):
    """Minimal gated unit: a recurrent network with one gate.

    At each step t, for inputs x_t ``[F]`` and hidden state h_t ``[H]`` (h_0 = 0)::

        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)              gate
        h~_t = tanh(W_h x_t + U_h (f_t * h_{t-1}) + b_h)        candidate
        h_t = (1 - f_t) * h_{t-1} + f_t * h~_t

    Each W is ``[H, F]``, each U ``[H, H]``, each b ``[H]``; ``*`` is elementwise.
    """

    citation = (
        "G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou: Minimal gated unit for recurrent neural "
        "networks. International Journal of Automation and Computing 13(3), 2016."
    )
    cell = MGUCell
