"""Peephole LSTM with coupled input and forget gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.nn import BackendName, PeepholeLSTMCell, State, inspect
from seqbench.plugins.cifg import CIFG, CIFGCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(CIFG, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.015960449750003925, 0.03748250646670093, 0.06311213699101006]
    check_golden(CIFGCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    cell = CIFGCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_i, a_g, a_o = sums.chunk(3, dim=1)
        i = torch.sigmoid(a_i + cell.peephole_i * c)
        c = (1 - i) * c + i * torch.tanh(a_g)
        o = torch.sigmoid(a_o + cell.peephole_o * c)
        return o * torch.tanh(c), c

    check_steps(cell, step, backend)


def test_couples_forget_to_input(parameter_count: Callable[[nn.Module], int]) -> None:
    """F + i is 1, with a gate's weights, bias and peephole fewer than the peephole LSTM."""
    cifg, vanilla = CIFGCell(3, 4).double(), PeepholeLSTMCell(3, 4)
    gates = inspect(cifg, torch.randn(2, 5, 3, dtype=torch.float64))
    ones = torch.ones(2, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(ones, gates["f"] + gates["i"], rtol=0, atol=1e-15)
    assert 4 * (3 + 4 + 2) == parameter_count(vanilla) - parameter_count(cifg)


def test_forgetting_starts_as_elsewhere() -> None:
    """F starts at sigmoid(1), as that of every other LSTM here."""
    cell = CIFGCell(3, 4)
    assert [-1.0] * 4 + [0.0] * 8 == cell.bias.tolist()
    start = inspect(cell, torch.zeros(1, 1, 3))["f"][0, 0]
    torch.testing.assert_close(torch.full((4,), 1.0).sigmoid(), start)
