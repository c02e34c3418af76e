"""LSTM with forget gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqbench.nn import BackendName, LSTMCell, backends_for
from seqbench.plugins.lstm import LSTM
from seqbench.testing import check_model

EVERY_BACKEND = pytest.mark.parametrize("backend", backends_for(LSTMCell))


def test_keeps_the_contract_of_models(shape: dict[str, Any]) -> None:
    check_model(LSTM, **shape)


@EVERY_BACKEND
def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.01588910908678286, 0.037870279073409396, 0.06525313917449366]
    check_golden(LSTMCell(2, 2), golden, backend)


@EVERY_BACKEND
def test_equals_torch(backend: BackendName, check_twin: Callable[..., None]) -> None:
    torch.manual_seed(0)
    check_twin(LSTMCell(3, 5), torch.nn.LSTM(3, 5, batch_first=True), backend)


def test_forget_gate_starts_open() -> None:
    """The forget gate's whole bias is 1, every other bias 0."""
    bias = LSTM(3, "past", hidden_size=4).forward_cells[0].bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_has_one_bias_for_each_gate() -> None:
    """Parameters: 4 (H F + H H + H) in one layer and direction."""
    model = LSTM(3, "past", hidden_size=4)
    assert sum(weight.numel() for weight in model.parameters()) == 4 * (4 * 3 + 4 * 4 + 4)
