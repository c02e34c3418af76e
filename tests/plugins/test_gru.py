"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.nn import BackendName, GRUCell, State, backends_for, unroll
from seqbench.plugins.gru import GRU, ResetBeforeGRUCell
from seqbench.testing import check_model

EVERY_BACKEND = pytest.mark.parametrize("backend", backends_for(GRUCell))


@pytest.mark.parametrize("reset", ["after", "before"])
def test_keeps_the_contract_of_models(reset: str, small_shape: dict[str, Any]) -> None:
    check_model(GRU, reset=reset, **small_shape)


@EVERY_BACKEND
def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.0661516860903121, 0.1248266649336579, 0.17894494203121308]
    check_golden(GRUCell(2, 2), golden, backend)


def test_golden_numbers_of_reset_before(
    backend: BackendName, check_golden: Callable[..., None]
) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.029065399791052313, 0.06669748293791172, 0.10959768867669564]
    check_golden(ResetBeforeGRUCell(2, 2), golden, backend)


@EVERY_BACKEND
def test_equals_torch(backend: BackendName, check_twin: Callable[..., None]) -> None:
    torch.manual_seed(0)
    check_twin(GRUCell(3, 5), torch.nn.GRU(3, 5, batch_first=True), backend)


def test_reset_before_equals_its_equations(
    backend: BackendName, check_steps: Callable[..., None]
) -> None:
    """The reset gate scales the hidden state before the candidate's recurrent product."""
    cell = ResetBeforeGRUCell(3, 4)

    def step(x: Tensor, h: Tensor) -> State:
        x_r, x_z, x_n = (x @ cell.weight_ih.T + cell.bias).chunk(3, dim=1)
        h_r, h_z = (h @ cell.weight_hh.T).chunk(2, dim=1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + (r * h) @ cell.recurrent_reset.T)
        return ((1 - z) * n + z * h,)

    check_steps(cell, step, backend)


def test_forms_agree_where_reset_has_no_effect(backend: BackendName) -> None:
    """With no recurrent weight in the candidate, and no second bias, both forms are one."""
    torch.manual_seed(0)
    after, before = GRUCell(3, 4).double(), ResetBeforeGRUCell(3, 4).double()
    with torch.no_grad():
        after.weight_hh[8:] = 0
        before.recurrent_reset.zero_()
        before.weight_hh.copy_(after.weight_hh[:8])
        before.weight_ih.copy_(after.weight_ih)
    values = torch.randn(2, 7, 3, dtype=torch.float64)
    expected = unroll(after, values, backend=backend).hidden
    found = unroll(before, values, backend=backend).hidden
    torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_update_gate_starts_open(reset: str) -> None:
    """The gate that keeps the state has bias 1, as an LSTM's forget gate has."""
    bias = GRU(3, "past", hidden_size=4, reset=reset).forward_cells[0].bias
    assert [0.0] * 4 + [1.0] * 4 + [0.0] * 4 == bias.tolist()


def test_reset_before_has_no_kernel_of_torch() -> None:
    with pytest.raises(ValueError, match="no kernel for ResetBeforeGRUCell"):
        GRU(3, "past", reset="before", backend="native")
