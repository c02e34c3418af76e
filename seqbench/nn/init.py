"""One initialisation rule for every recurrent cell, so that models start under equal conditions.

* Input weights: Glorot uniform (Glorot & Bengio 2010), each gate's block on its own.
* Recurrent weights: orthogonal (Saxe et al. 2014), each gate's block on its own.
* Biases: zero, but for the gate that keeps the state, which starts at sigmoid(1): a bias of one for
  the forget gate of an LSTM (Gers et al. 2000; Jozefowicz et al. 2015) and the update gate of a GRU
  written as ``h = (1 - z) * n + z * h``; minus one for an input gate i where the forget gate is
  1 - i. A cell names these in ``bias_init``.
* Peephole weights: zero, so that a peephole LSTM starts as the LSTM without.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def init_gates(weight: Tensor, gates: int, rule: Callable[[Tensor], object]) -> None:
    """Initialise stacked weights ``[gates * H, N]`` in place, each gate's block by itself."""
    for block in weight.chunk(gates):
        rule(block)
