"""Gradients of every model's cell, against finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.nn import RecurrentModel, unroll
from seqbench.registry.plugins import registry


def has_cell(name: str) -> bool:
    """Say whether a model is made of cells; others step by torch's own operations."""
    return issubclass(registry().get("model", name).load(), RecurrentModel)


MODELS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in registry().names("model") if has_cell(name)),
    ("gru", {"reset": "before"}),
]


@pytest.mark.parametrize(("name", "parameters"), MODELS, ids=lambda part: str(part))
def test_gradients_equal_finite_differences(name: str, parameters: dict[str, Any]) -> None:
    """Of inputs, initial states and every weight, through hidden and final states; ragged."""
    torch.manual_seed(0)
    model: RecurrentModel = (
        registry().get("model", name).load()(2, "past", hidden_size=3, **parameters)
    )
    cell = model.make_cell(2, 3).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.normal_(std=0.5)
    values = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    start = [torch.randn(2, 3).double().requires_grad_() for _ in cell.states]
    lengths = torch.tensor([3, 2])

    def run(values: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state = rest[: len(start)]
        hidden, final = unroll(cell, values, lengths, state, "reference")
        return hidden, *final

    # The weights are arguments so that they are varied too.
    assert torch.autograd.gradcheck(run, (values, *start, *cell.parameters()))
