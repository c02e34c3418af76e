"""Peephole LSTM without output gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.nn import BackendName, PeepholeLSTMCell, State, inspect
from seqbench.plugins.nog import NOG, NOGCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(NOG, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.030852908494966177, 0.0755563103393941, 0.13310129498238138]
    check_golden(NOGCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    cell = NOGCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_i, a_f, a_g = sums.chunk(3, dim=1)
        i = torch.sigmoid(a_i + cell.peephole_i * c)
        f = torch.sigmoid(a_f + cell.peephole_f * c)
        c = f * c + i * torch.tanh(a_g)
        return torch.tanh(c), c

    check_steps(cell, step, backend)


def test_has_no_output_gate(parameter_count: Callable[[nn.Module], int]) -> None:
    """A gate's weights, bias and peephole fewer than the peephole LSTM; f starts open."""
    nog, vanilla = NOGCell(3, 4), PeepholeLSTMCell(3, 4)
    assert {"h", "c", "i", "f", "g"} == set(inspect(nog, torch.zeros(1, 1, 3)))
    assert 4 * (3 + 4 + 2) == parameter_count(vanilla) - parameter_count(nog)
    assert [0.0] * 4 + [1.0] * 4 + [0.0] * 4 == nog.bias.tolist()
