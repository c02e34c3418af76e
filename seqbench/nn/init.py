"""One initialisation rule for every recurrent cell, so that models start under equal conditions.

* Input weights: Glorot uniform (Glorot & Bengio 2010), each gate's block on its own.
* Recurrent weights: orthogonal (Saxe et al. 2014), each gate's block on its own.
* Biases: zero, but one for the gate that keeps the state: the forget gate of an LSTM (Gers et al.
  2000; Jozefowicz et al. 2015), the update gate of a GRU written as ``h = (1 - z) * n + z * h``.
* Peephole weights: zero, so that a peephole LSTM starts as the LSTM without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def init_gates(
    weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, gates: int, keep_gate: int | None
) -> None:
    """Initialise a cell's stacked weights in place.

    Args:
        weight_ih: ``[gates * H, F]``.
        weight_hh: ``[gates * H, H]``.
        bias: ``[gates * H]``.
        gates: blocks stacked along the first axis.
        keep_gate: index of the block whose bias is one; None if the cell has no such gate.
    """
    for block in weight_ih.chunk(gates):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.chunk(gates):
        nn.init.orthogonal_(block)
    bias.zero_()
    if keep_gate is not None:
        bias.chunk(gates)[keep_gate].fill_(1.0)
