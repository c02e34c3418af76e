"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqbench.nn import GRUCell
from seqbench.plugins.gru import GRU
from seqbench.testing import check_model


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_keeps_the_contract_of_models(num_layers: int, bidirectional: bool) -> None:
    check_model(GRU, hidden_size=4, num_layers=num_layers, bidirectional=bidirectional)


BACKENDS = pytest.mark.parametrize("backend", ["reference", "native"])


@BACKENDS
def test_golden_numbers(backend: str, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.0661516860903121, 0.1248266649336579, 0.17894494203121308]
    check_golden(GRUCell(2, 2), golden, backend)


@BACKENDS
def test_equals_torch(backend: str, check_twin: Callable[..., None]) -> None:
    torch.manual_seed(0)
    check_twin(GRUCell(3, 5), torch.nn.GRU(3, 5, batch_first=True), backend)


def test_update_gate_starts_open() -> None:
    """The gate that keeps the state has bias 1, as an LSTM's forget gate has."""
    bias = GRU(3, "past", hidden_size=4).forward_cells[0].bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
