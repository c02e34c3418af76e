"""Honest and cheating models, sequences, and an audit of one on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.api import (
    Encoding,
    Example,
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Visibility,
    collate,
)
from seqbench.training.audit import Audit, audit
from seqbench.training.predictor import Predictor
from seqbench.training.scoring import model_rows


class Averages(Model):
    """tanh of a linear map of each step and of the mean of the steps so far: fast, and honest."""

    citation = "None."
    forward_size, backward_size, final_size = 6, 0, 6

    def __init__(self, input_size: int, context: Any) -> None:
        super().__init__(input_size, context)
        self.map = nn.Linear(2 * input_size, 6)

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Average over the past, whatever the context."""
        count = torch.arange(1, inputs.mask.shape[1] + 1)[:, None]
        mean = inputs.values.cumsum(1) / count
        steps = torch.tanh(self.map(torch.cat([inputs.values, mean], -1)))
        steps = steps * inputs.mask[..., None]
        last = (inputs.lengths - 1)[:, None, None].expand(-1, 1, 6)
        return Encoding(steps, None, steps.gather(1, last)[:, 0])


Change = Callable[[Model, SequenceInput], Tensor]
"""What a cheating model adds to its inputs ``[B, T, F]`` before it encodes them honestly."""


def cheating(change: Change, base: type[Model] = Averages, **attributes: object) -> type[Model]:
    """Return a model whose values get something added that they must not have."""

    def encode(self: Model, inputs: SequenceInput) -> Encoding:
        values = inputs.values + change(self, inputs) * inputs.mask[..., None]
        return base.encode(self, inputs.with_values(values))

    return type("Cheating", (base,), {"encode": encode, **attributes})


def data(
    count: int = 40, longest: int = 130, missing: bool = False, shortest: int = 1
) -> list[Example]:
    """Return sequences of many lengths, one of them the longest, with a target for each step."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(shortest, longest, (count,), generator=generator)
    found = []
    for number, length in enumerate([*lengths.tolist(), longest]):
        values = torch.randn(length, 3, generator=generator)
        example = Example(values, torch.zeros(length), group=str(number))
        if missing:
            observed = torch.rand(length, 3, generator=generator) > 0.3
            delta = torch.rand(length, 3, generator=generator)
            static = torch.randn(2, generator=generator)
            example = replace(example, observed=observed, delta=delta, static=static)
        found.append(example)
    return found


def look(
    model: type[Model],
    visibility: Visibility = Visibility.NEXT,
    examples: Sequence[Example] | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Audit:
    """Score a model with random weights, and audit it."""
    examples = examples or data()
    spec = InputSpec(3)
    if examples[0].observed is not None:
        spec = InputSpec(3, static_size=2, missing=True)
    if visibility is Visibility.SEQUENCE:
        examples = [replace(example, targets=torch.zeros(())) for example in examples]
    torch.manual_seed(seed)
    predictor = Predictor(model, {}, spec, OutputSpec(2), visibility)
    starts = range(0, len(examples), batch_size)
    is_stepwise = visibility is not Visibility.SEQUENCE
    batches = [collate(list(examples[i : i + batch_size]), is_stepwise) for i in starts]
    return audit(predictor, examples, seed, batch_size, list(model_rows(predictor, batches)))


def ahead(values: Tensor, steps: int) -> Tensor:
    """Return ``x[t + steps]`` at step t, zero beyond the end."""
    return F.pad(values[:, steps:], (0, 0, 0, min(steps, values.shape[1])))


class TwoDirections(Averages):
    """Averages in each direction, from separate maps: what a two-sided model may be."""

    backward_size = 6

    def __init__(self, input_size: int, context: Any) -> None:
        super().__init__(input_size, context)
        self.final_size = 12
        self.back = Averages(input_size, context)

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Read backwards as well."""
        forward, _, last = Averages.encode(self, inputs)
        index = (inputs.lengths[:, None] - 1 - torch.arange(inputs.mask.shape[1])).clamp(min=0)
        turned = inputs.values.gather(1, index[..., None].expand_as(inputs.values))
        steps, _, first = self.back(inputs.with_values(turned * inputs.mask[..., None]))
        back = steps.gather(1, index[..., None].expand_as(steps)) * inputs.mask[..., None]
        return Encoding(forward, back, torch.cat([last, first], -1))


class Chaotic(Averages):
    """A tanh recurrence far in its chaotic regime: a difference of one unit grows to all."""

    def __init__(self, input_size: int, context: Any) -> None:
        super().__init__(input_size, context)
        generator = torch.Generator().manual_seed(2)
        self.register_buffer("loop", 8 * torch.randn(6, 6, generator=generator))
        self.first = nn.Linear(input_size, 6)

    def encode(self, inputs: SequenceInput) -> Encoding:
        """Multiply in another order at each batch size and length, as vendors' kernels may."""
        state, steps = inputs.values.new_zeros(len(inputs.values), 6), []
        order = (len(inputs.lengths) + inputs.values.shape[1]) % 6
        for value in inputs.values.unbind(1):
            product = state.roll(order, 1) @ self.loop.roll(order, 0)
            state = torch.tanh(product + self.first(value))
            steps.append(state)
        found = torch.stack(steps, 1) * inputs.mask[..., None]
        last = (inputs.lengths - 1)[:, None, None].expand(-1, 1, 6)
        return Encoding(found, None, found.gather(1, last)[:, 0])
