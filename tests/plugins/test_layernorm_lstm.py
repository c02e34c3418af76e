"""LSTM with layer normalisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.nn import LSTMCell, State, fallback, unroll
from seqbench.plugins.layernorm_lstm import LayerNormLSTM, LayerNormLSTMCell
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(LayerNormLSTM, **small_shape)


def test_golden_numbers() -> None:
    """The equations in NumPy, for sines as weights, give these hidden states."""
    cell = LayerNormLSTMCell(2, 2).double()
    tenths = torch.arange(8).double() / 10
    with torch.no_grad():
        for weight in (cell.weight_ih, cell.weight_hh):
            weight.copy_(torch.arange(16).double().sin().reshape(8, 2))
        for gate, part in zip(cell.gates, tenths.chunk(4), strict=True):
            cell.get_parameter(f"gain_x_{gate}").copy_(1 + part)
            cell.get_parameter(f"gain_h_{gate}").copy_(1 - part)
            cell.get_parameter(f"bias_{gate}").copy_(part)
        cell.gain_c.copy_(torch.tensor([1.1, 0.9], dtype=torch.float64))
        cell.bias_c.copy_(torch.tensor([0.1, -0.2], dtype=torch.float64))
    hidden = unroll(cell, torch.arange(6).double().reshape(1, 3, 2) / 10).hidden
    golden = [
        [0.6476405811541498, -0.7020263572640913],
        [0.3842780151667873, -0.7508541226447373],
        [0.38492162667256297, -0.7451720285159674],
    ]
    expected = torch.tensor([golden], dtype=torch.float64)
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)


def test_equals_its_equations(check_steps: Callable[..., None]) -> None:
    """Input and recurrent terms are normalised over all four gates, each on its own."""
    cell = LayerNormLSTMCell(3, 4)

    def joined(name: str) -> Tensor:
        return torch.cat([cell.get_parameter(f"{name}_{gate}") for gate in "ifgo"])

    def step(x: Tensor, h: Tensor, c: Tensor) -> State:
        sums = (
            F.layer_norm(x @ cell.weight_ih.T, (16,), joined("gain_x"))
            + F.layer_norm(h @ cell.weight_hh.T, (16,), joined("gain_h"))
            + joined("bias")
        )
        i, f, g, o = sums.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(F.layer_norm(c, (4,), cell.gain_c, cell.bias_c)), c

    check_steps(cell, step, "reference")


def test_runs_on_the_reference_back_end() -> None:
    """A compiled back end refuses it, naming the operation that joins units."""
    reason = fallback(LayerNormLSTMCell(3, 4), torch.zeros(1, 1, 3), "cpu")
    assert "cpu: aten.cat.default is not elementwise" == reason


def test_the_scale_of_input_weights_does_not_matter() -> None:
    """Input weights times 1000 change states by no more than the epsilon does."""
    torch.manual_seed(0)
    cell = LayerNormLSTMCell(3, 4).double()
    values = 100 * torch.randn(2, 5, 3, dtype=torch.float64)
    before = unroll(cell, values).hidden
    with torch.no_grad():
        cell.weight_ih *= 1000
    torch.testing.assert_close(before, unroll(cell, values).hidden, rtol=0, atol=1e-6)


def test_gains_start_at_one_and_the_forget_gate_open() -> None:
    cell = LayerNormLSTMCell(3, 4)
    starts = {name: set(cell.get_parameter(name).tolist()) for name in cell.vectors}
    ones = {name for name, values in starts.items() if values == {1.0}}
    zeros = {name for name, values in starts.items() if values == {0.0}}
    gains = {f"gain_{term}_{gate}" for term in "xh" for gate in "ifgo"} | {"gain_c"}
    assert gains | {"bias_f"} == ones
    assert {"bias_i", "bias_g", "bias_o", "bias_c"} == zeros


def test_has_gains_and_a_second_bias(parameter_count: Callable[[nn.Module], int]) -> None:
    """Beyond the LSTM's parameters: 8 H gains for sums, and gain and bias of the cell state."""
    more = parameter_count(LayerNormLSTMCell(3, 4)) - parameter_count(LSTMCell(3, 4))
    assert (8 + 2) * 4 == more
