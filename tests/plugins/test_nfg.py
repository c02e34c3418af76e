"""Peephole LSTM without forget gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.nn import BackendName, PeepholeLSTMCell, State, inspect
from seqbench.plugins.nfg import NFG, NFGCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(NFG, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.015960449750003925, 0.04621552883014606, 0.0944773340024402]
    check_golden(NFGCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    cell = NFGCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_i, a_g, a_o = sums.chunk(3, dim=1)
        i = torch.sigmoid(a_i + cell.peephole_i * c)
        c = c + i * torch.tanh(a_g)
        o = torch.sigmoid(a_o + cell.peephole_o * c)
        return o * torch.tanh(c), c

    check_steps(cell, step, backend)


def test_has_no_forget_gate(parameter_count: Callable[[nn.Module], int]) -> None:
    """A gate's weights, bias and peephole fewer than the peephole LSTM; every bias starts at 0."""
    nfg, vanilla = NFGCell(3, 4), PeepholeLSTMCell(3, 4)
    assert {"h", "c", "i", "g", "o"} == set(inspect(nfg, torch.zeros(1, 1, 3)))
    assert 4 * (3 + 4 + 2) == parameter_count(vanilla) - parameter_count(nfg)
    assert [0.0] * 12 == nfg.bias.tolist()
