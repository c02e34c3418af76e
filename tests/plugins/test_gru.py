"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqbench.nn import GRUCell, unroll
from seqbench.plugins.gru import GRU
from seqbench.testing import check_model


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_keeps_the_contract_of_models(num_layers: int, bidirectional: bool) -> None:
    check_model(GRU, hidden_size=4, num_layers=num_layers, bidirectional=bidirectional)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_golden_numbers(
    backend: str, arange_steps: torch.Tensor, constant: Callable[[GRUCell], GRUCell]
) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    hidden = unroll(constant(GRUCell(2, 2)), arange_steps, backend)
    golden = [0.0661516860903121, 0.1248266649336579, 0.17894494203121308]
    expected = torch.tensor(golden, dtype=torch.float64)[None, :, None].expand(1, 3, 2)
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-15)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_equals_torch(backend: str) -> None:
    """Outputs and gradients are those of `torch.nn.GRU` with the same weights."""
    torch.manual_seed(0)
    theirs = torch.nn.GRU(3, 5, batch_first=True).double()
    ours = GRUCell(3, 5).double()
    with torch.no_grad():
        ours.weight_ih.copy_(theirs.weight_ih_l0)
        ours.weight_hh.copy_(theirs.weight_hh_l0)
        ours.bias.copy_(theirs.bias_ih_l0)
        ours.bias[:10] += theirs.bias_hh_l0[:10]
        ours.bias_hn.copy_(theirs.bias_hh_l0[10:])
    values = torch.randn(2, 9, 3, dtype=torch.float64)
    expected = theirs(values)[0]
    hidden = unroll(ours, values, backend)
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
    expected.square().sum().backward()
    hidden.square().sum().backward()
    torch.testing.assert_close(theirs.weight_ih_l0.grad, ours.weight_ih.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(theirs.weight_hh_l0.grad, ours.weight_hh.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(theirs.bias_ih_l0.grad, ours.bias.grad, rtol=0, atol=1e-12)


def test_update_gate_starts_open() -> None:
    """The gate that keeps the state has bias 1, as an LSTM's forget gate has."""
    bias = GRU(3, "past", hidden_size=4).forward_cells[0].bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
