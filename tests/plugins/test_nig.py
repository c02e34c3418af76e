"""Peephole LSTM without input gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.nn import BackendName, PeepholeLSTMCell, State, inspect
from seqbench.plugins.nig import NIG, NIGCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(NIG, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.031094519864236992, 0.07699599703852728, 0.13676006019231252]
    check_golden(NIGCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    cell = NIGCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_f, a_g, a_o = sums.chunk(3, dim=1)
        f = torch.sigmoid(a_f + cell.peephole_f * c)
        c = f * c + torch.tanh(a_g)
        o = torch.sigmoid(a_o + cell.peephole_o * c)
        return o * torch.tanh(c), c

    check_steps(cell, step, backend)


def test_has_no_input_gate(parameter_count: Callable[[nn.Module], int]) -> None:
    """A gate's weights, bias and peephole fewer than the peephole LSTM; f starts open."""
    nig, vanilla = NIGCell(3, 4), PeepholeLSTMCell(3, 4)
    assert {"h", "c", "f", "g", "o"} == set(inspect(nig, torch.zeros(1, 1, 3)))
    assert 4 * (3 + 4 + 2) == parameter_count(vanilla) - parameter_count(nig)
    assert [1.0] * 4 + [0.0] * 8 == nig.bias.tolist()
