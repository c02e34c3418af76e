"""Peephole LSTM with full gate recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.nn import BackendName, PeepholeLSTMCell, State, unroll
from seqbench.plugins.fgr import FGR, FGRCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(FGR, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.015960449750003925, 0.07501507388993817, 0.18064104159280367]
    check_golden(FGRCell(2, 2), golden, backend)


def test_equals_its_equations(backend: BackendName, check_steps: Callable[..., None]) -> None:
    """Each of the nine matrices leads from one old gate to one new gate."""
    cell = FGRCell(3, 4)

    def step(x: Tensor, h: Tensor, c: Tensor, i: Tensor, f: Tensor, o: Tensor) -> State:
        sums = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias
        a_i, a_f, a_o, a_g = sums.chunk(4, dim=1)
        to_i, to_f, to_o = (
            i @ from_i.T + f @ from_f.T + o @ from_o.T
            for from_i, from_f, from_o in zip(
                cell.recurrent_i.chunk(3),
                cell.recurrent_f.chunk(3),
                cell.recurrent_o.chunk(3),
                strict=True,
            )
        )
        i = torch.sigmoid(a_i + to_i + cell.peephole_i * c)
        f = torch.sigmoid(a_f + to_f + cell.peephole_f * c)
        c = f * c + i * torch.tanh(a_g)
        o = torch.sigmoid(a_o + to_o + cell.peephole_o * c)
        return o * torch.tanh(c), c, i, f, o

    check_steps(cell, step, backend)


def test_equals_the_peephole_lstm_without_gate_recurrence(backend: BackendName) -> None:
    """With the nine matrices at zero, hidden states are the peephole LSTM's."""
    torch.manual_seed(0)
    fgr, vanilla = FGRCell(3, 4).double(), PeepholeLSTMCell(3, 4).double()
    with torch.no_grad():
        for name, weight in vanilla.named_parameters():
            weight.normal_()
            source = weight
            if name in ("weight_ih", "weight_hh", "bias"):  # FGR has the gates in another order
                i, f, g, o = weight.chunk(4)
                source = torch.cat([i, f, o, g])
            fgr.get_parameter(name).copy_(source)
        for weight in (fgr.recurrent_i, fgr.recurrent_f, fgr.recurrent_o):
            weight.zero_()
    values = torch.randn(2, 7, 3, dtype=torch.float64)
    expected = unroll(vanilla, values, backend=backend).hidden
    found = unroll(fgr, values, backend=backend).hidden
    torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)


def test_has_nine_matrices_more(parameter_count: Callable[[nn.Module], int]) -> None:
    fgr, vanilla = FGRCell(3, 4), PeepholeLSTMCell(3, 4)
    assert 9 * 4 * 4 == parameter_count(fgr) - parameter_count(vanilla)


def test_forget_gate_starts_open() -> None:
    """The forget gate's bias is 1, every other bias 0."""
    assert [0.0] * 4 + [1.0] * 4 + [0.0] * 8 == FGRCell(3, 4).bias.tolist()
