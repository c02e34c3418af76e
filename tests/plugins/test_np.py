"""Peephole LSTM without peepholes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from seqbench.api import SequenceInput
from seqbench.nn import BackendName
from seqbench.plugins.lstm import LSTM
from seqbench.plugins.np import NP
from seqbench.plugins.peephole import Peephole
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(small_shape: dict[str, Any]) -> None:
    check_model(NP, **small_shape)


@pytest.mark.parametrize("backend", ["reference", "cpu", "native"])
def test_golden_numbers(backend: BackendName, check_golden: Callable[..., None]) -> None:
    """The equations, worked out by hand for equal weights, give these hidden states."""
    golden = [0.01588910908678286, 0.037870279073409396, 0.06525313917449366]
    check_golden(NP.cell(2, 2), golden, backend)


@pytest.mark.parametrize("same", [LSTM, Peephole])
def test_starts_as_other_models(same: type[LSTM | Peephole], ragged: SequenceInput) -> None:
    """Given one seed it equals the LSTM, and the peephole LSTM while its peepholes are zero."""
    states = []
    for model_class in (same, NP):
        torch.manual_seed(0)
        model = model_class(3, "past", hidden_size=4, num_layers=2).double()
        states.append(model(ragged).forward_steps)
    torch.testing.assert_close(*states, rtol=0, atol=1e-12)


def test_has_three_vectors_fewer(parameter_count: Callable[[nn.Module], int]) -> None:
    assert 3 * 4 == parameter_count(Peephole.cell(3, 4)) - parameter_count(NP.cell(3, 4))
