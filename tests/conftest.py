"""What tests of models share."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch
from torch import nn

from seqbench.api import SequenceInput
from seqbench.nn import Backend, Cell, GRUCell, unroll, zero_padding

# A shell starts background jobs with Ctrl-C ignored, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ragged() -> SequenceInput:
    """Seven ragged sequences of 3 features in float64, zero at padding."""
    generator = torch.Generator().manual_seed(7)
    values = torch.randn(7, 11, 3, generator=generator, dtype=torch.float64)
    inputs = SequenceInput(values, torch.tensor([11, 1, 5, 8, 2, 10, 11]))
    return inputs.with_values(zero_padding(values, inputs.mask))


@pytest.fixture
def check_golden() -> Callable[[Cell, list[float], Backend], None]:
    """Check the hidden states of a cell with constant weights on three steps, 0.0 to 0.5.

    Weights are 0.1 from inputs, 0.2 recurrent, bias 0.05, a GRU's second bias 0.15, peepholes 0.3.
    """

    def check(cell: Cell, golden: list[float], backend: Backend) -> None:
        constants = {"weight_ih": 0.1, "weight_hh": 0.2, "bias": 0.05, "bias_hn": 0.15}
        cell.double()
        with torch.no_grad():
            for name, weight in cell.named_parameters():
                weight.fill_(constants.get(name, 0.3))
        hidden = unroll(cell, torch.arange(6).reshape(1, 3, 2).double() / 10, backend)
        expected = torch.tensor(golden, dtype=torch.float64)[None, :, None].expand_as(hidden)
        torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-15)

    return check


@pytest.fixture
def check_twin() -> Callable[[Cell, nn.RNNBase, Backend], None]:
    """Check a cell against torch's own module with the same weights: outputs and gradients."""

    def check(ours: Cell, theirs: nn.RNNBase, backend: Backend) -> None:
        ours.double()
        theirs.double()
        bias_ih, bias_hh = theirs.bias_ih_l0, theirs.bias_hh_l0
        with torch.no_grad():
            ours.weight_ih.copy_(theirs.weight_ih_l0)
            ours.weight_hh.copy_(theirs.weight_hh_l0)
            ours.bias.copy_(bias_ih + bias_hh)
            if isinstance(ours, GRUCell):  # the candidate keeps its two biases apart
                size = ours.hidden_size
                ours.bias[2 * size :] = bias_ih[2 * size :]
                ours.bias_hn.copy_(bias_hh[2 * size :])
        values = torch.randn(2, 9, ours.input_size, dtype=torch.float64)
        expected, hidden = theirs(values)[0], unroll(ours, values, backend)
        torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
        expected.square().sum().backward()
        hidden.square().sum().backward()
        for known, name in (
            ("weight_ih_l0", "weight_ih"),
            ("weight_hh_l0", "weight_hh"),
            ("bias_ih_l0", "bias"),
        ):
            wanted, found = theirs.get_parameter(known).grad, ours.get_parameter(name).grad
            torch.testing.assert_close(wanted, found, rtol=0, atol=1e-12)

    return check
