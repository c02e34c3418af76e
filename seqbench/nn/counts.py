"""What a step of a cell costs, counted rather than timed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from seqbench.nn.cell import Cell


class StepCost(NamedTuple):
    """What one step of one sequence costs."""

    parameters: int
    """Learned numbers, with one bias a gate."""
    flops: int
    """Floating-point operations forward: two for each weight of a product, one for each number
    that an elementwise operation (a sigmoid too) makes."""
    elementwise: int
    """The part of the latter."""


def step_cost(cell: Cell) -> StepCost:
    """Count what one step of one sequence costs."""
    parameters = sum(weight.numel() for weight in cell.parameters())
    elementwise, products = _Elementwise(), FlopCounterMode(display=False)
    with torch.no_grad(), products, elementwise:
        cell.step(cell.weight_ih.new_zeros(1, cell.input_size), cell.initial_state(1))
    flops = products.get_total_flops() + elementwise.numbers
    return StepCost(parameters, flops, elementwise.numbers)


class _Elementwise(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own base
    """Counts the numbers that elementwise operations make."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise in func.tags and isinstance(result, Tensor):
            self.numbers += result.numel()
        return result
