"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqbench.nn import RNNCell
from seqbench.plugins.rnn import RNN
from seqbench.testing import check_model


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_keeps_the_contract_of_models(num_layers: int, bidirectional: bool) -> None:
    check_model(RNN, hidden_size=4, num_layers=num_layers, bidirectional=bidirectional)


BACKENDS = pytest.mark.parametrize("backend", ["reference", "native"])


@BACKENDS
def test_golden_numbers(backend: str, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.05992810352914351, 0.12334002233328803, 0.1871055398097914]
    check_golden(RNNCell(2, 2), golden, backend)


@BACKENDS
def test_equals_torch(backend: str, check_twin: Callable[..., None]) -> None:
    torch.manual_seed(0)
    check_twin(RNNCell(3, 5), torch.nn.RNN(3, 5, batch_first=True), backend)
