"""What tests of models share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seqbench.api import SequenceInput
from seqbench.nn import Cell, zero_padding


@pytest.fixture
def ragged() -> SequenceInput:
    """Seven ragged sequences of 3 features in float64, zero at padding."""
    generator = torch.Generator().manual_seed(7)
    values = torch.randn(7, 11, 3, generator=generator, dtype=torch.float64)
    inputs = SequenceInput(values, torch.tensor([11, 1, 5, 8, 2, 10, 11]))
    return inputs.with_values(zero_padding(values, inputs.mask))


@pytest.fixture
def arange_steps() -> torch.Tensor:
    """One sequence of 3 steps and 2 features, 0.0 to 0.5, in float64."""
    return torch.arange(6, dtype=torch.float64).reshape(1, 3, 2) / 10


@pytest.fixture
def constant() -> Callable[[Cell], Cell]:
    """Give a cell constant weights: 0.1 from inputs, 0.2 recurrent, bias 0.05, peepholes 0.3."""

    def fill(cell: Cell) -> Cell:
        constants = {"weight_ih": 0.1, "weight_hh": 0.2, "bias": 0.05, "bias_hn": 0.15}
        cell.double()
        with torch.no_grad():
            for name, weight in cell.named_parameters():
                weight.fill_(constants.get(name, 0.3))
        return cell

    return fill
