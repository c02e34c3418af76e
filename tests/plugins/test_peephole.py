"""LSTM with peepholes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from seqbench.nn import BackendName, LSTMCell, PeepholeLSTMCell, unroll
from seqbench.plugins.peephole import Peephole
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(Peephole, **small_shape)


def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.015960449750003925, 0.038435337937871177, 0.06719784918873879]
    check_golden(PeepholeLSTMCell(2, 2), golden, backend)


def test_equals_lstm_with_zero_peepholes(backend: BackendName) -> None:
    """With zero peephole weights, outputs and gradients are the LSTM's."""
    torch.manual_seed(0)
    peephole = PeepholeLSTMCell(3, 5).double()
    lstm = LSTMCell(3, 5).double()
    weights = {name: w for name, w in peephole.state_dict().items() if "peephole" not in name}
    lstm.load_state_dict(weights)
    ours = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    hidden = unroll(peephole, ours, backend=backend).hidden
    expected = unroll(lstm, theirs, backend="native").hidden
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
    expected.square().sum().backward()
    hidden.square().sum().backward()
    torch.testing.assert_close(theirs.grad, ours.grad, rtol=0, atol=1e-12)
    for name, weight in lstm.named_parameters():
        gradient = peephole.get_parameter(name).grad
        torch.testing.assert_close(weight.grad, gradient, rtol=0, atol=1e-12)


def test_peepholes_learn() -> None:
    """Peepholes start at zero and have a gradient there."""
    cell = PeepholeLSTMCell(3, 5)
    unroll(cell, torch.randn(2, 9, 3)).hidden.square().sum().backward()
    for weight in (cell.peephole_i, cell.peephole_f, cell.peephole_o):
        assert bool((weight == 0).all())
        assert bool((weight.grad != 0).all())


def test_output_gate_sees_the_new_cell_state() -> None:
    """Only the output gate's peephole acts in the first step, where the old cell state is zero."""
    cell = PeepholeLSTMCell(3, 5)
    values = torch.randn(2, 1, 3)
    before = unroll(cell, values).hidden
    with torch.no_grad():
        cell.peephole_i.fill_(1.0)
        cell.peephole_f.fill_(1.0)
    assert torch.equal(before, unroll(cell, values).hidden)
    with torch.no_grad():
        cell.peephole_o.fill_(1.0)
    assert not torch.equal(before, unroll(cell, values).hidden)
