"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqbench.nn import BackendName, RNNCell, backends_for
from seqbench.plugins.rnn import RNN
from seqbench.testing import check_model

EVERY_BACKEND = pytest.mark.parametrize("backend", backends_for(RNNCell))


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(RNN, **small_shape)


@EVERY_BACKEND
def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.05992810352914351, 0.12334002233328803, 0.1871055398097914]
    check_golden(RNNCell(2, 2), golden, backend)


@EVERY_BACKEND
def test_equals_torch(backend: BackendName, check_twin: Callable[..., None]) -> None:
    torch.manual_seed(0)
    check_twin(RNNCell(3, 5), torch.nn.RNN(3, 5, batch_first=True), backend)
