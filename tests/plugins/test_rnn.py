"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqbench.nn import RNNCell, unroll
from seqbench.plugins.rnn import RNN
from seqbench.testing import check_model


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_keeps_the_contract_of_models(num_layers: int, bidirectional: bool) -> None:
    check_model(RNN, hidden_size=4, num_layers=num_layers, bidirectional=bidirectional)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_golden_numbers(
    backend: str, arange_steps: torch.Tensor, constant: Callable[[RNNCell], RNNCell]
) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    hidden = unroll(constant(RNNCell(2, 2)), arange_steps, backend)
    golden = [0.05992810352914351, 0.12334002233328803, 0.1871055398097914]
    expected = torch.tensor(golden, dtype=torch.float64)[None, :, None].expand(1, 3, 2)
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-15)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_equals_torch(backend: str) -> None:
    """Outputs and gradients are those of `torch.nn.RNN` with the same weights."""
    torch.manual_seed(0)
    theirs = torch.nn.RNN(3, 5, batch_first=True).double()
    ours = RNNCell(3, 5).double()
    with torch.no_grad():
        ours.weight_ih.copy_(theirs.weight_ih_l0)
        ours.weight_hh.copy_(theirs.weight_hh_l0)
        ours.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    values = torch.randn(2, 9, 3, dtype=torch.float64)
    expected = theirs(values)[0]
    hidden = unroll(ours, values, backend)
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
    expected.square().sum().backward()
    hidden.square().sum().backward()
    torch.testing.assert_close(theirs.weight_ih_l0.grad, ours.weight_ih.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(theirs.weight_hh_l0.grad, ours.weight_hh.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(theirs.bias_ih_l0.grad, ours.bias.grad, rtol=0, atol=1e-12)
