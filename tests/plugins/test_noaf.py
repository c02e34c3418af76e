"""Peephole LSTM without output activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqbench.nn import BackendName, Cell, PeepholeLSTMCell, State
from seqbench.plugins.noaf import NOAF, NOAFCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(NOAF, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.01596551690552709, 0.03850306884230086, 0.06754785104349588]
    check_golden(NOAFCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    cell = NOAFCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_i, a_f, a_g, a_o = sums.chunk(4, dim=1)
        i = torch.sigmoid(a_i + cell.peephole_i * c)
        f = torch.sigmoid(a_f + cell.peephole_f * c)
        c = f * c + i * torch.tanh(a_g)
        o = torch.sigmoid(a_o + cell.peephole_o * c)
        return o * c, c

    check_steps(cell, step, backend)


def test_starts_like_the_peephole_lstm(starts: Callable[[type[Cell]], list[Tensor]]) -> None:
    """It has the parameters of the peephole LSTM, with the same start values."""
    for expected, found in zip(starts(PeepholeLSTMCell), starts(NOAFCell), strict=True):
        assert torch.equal(expected, found)
