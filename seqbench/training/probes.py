"""Sequences with what a prediction may not see changed, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.api import SequenceInput

GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, modulo 1, lie evenly in 0 to 1 however many there are (Weyl, 1916)."""

NOISE = 1e3
"""Size of noise in standard deviations: what reads a hidden step with a tiny weight shows, too."""

Hidden = Literal["after", "one"]
"""What is hidden: every step from the cut on, or the step at the cut alone."""


@dataclass(frozen=True)
class Cut:
    """Where each sequence of a batch is changed, and what it becomes; ``[B]`` int64 each.

    Args:
        steps: the first hidden step.
        donors: the sequence whose steps stand there instead.
        shifts: the donor's step that stands at step 0; it starts again at its end.
        lengths: of the sequences after the change.
    """

    steps: Tensor
    donors: Tensor
    shifts: Tensor
    lengths: Tensor


class Cuts:
    """Draws cuts: evenly over all steps, so that no distance and no chunk escapes them.

    Args:
        pool: the sequences to take steps from.
        first: the first step that can be hidden.
        generator: the only source of randomness.
    """

    def __init__(self, pool: SequenceInput, first: int, generator: torch.Generator) -> None:
        self._pool = pool
        self._lengths = pool.lengths.cpu()
        self._first = first
        self._generator = generator
        self._offset = float(torch.rand((), generator=generator))
        self._drawn = 0

    def draw(self, rows: Tensor) -> Cut:
        """Return a cut in each of some sequences, which keep their lengths.

        Args:
            rows: ``[B]`` int64, numbers in the pool, on the CPU.
        """
        count, lengths = len(rows), self._lengths[rows]
        numbers = torch.arange(self._drawn, self._drawn + count)
        self._drawn += count
        places = (self._offset + GOLDEN * numbers.double()) % 1.0
        choices = (lengths - self._first).clamp(min=1)
        steps = self._first + (places * choices).long().clamp(max=choices - 1)
        others = max(len(self._lengths) - 1, 1)
        donors = (rows + 1 + self._below(others, count)) % len(self._lengths)
        shifts = 1 + self._below(int(self._lengths.max()), count)
        return Cut(steps, donors, shifts, lengths)

    def other_lengths(self, cut: Cut, visible: int) -> Cut:
        """Return a cut with other lengths, shorter and longer ones.

        Args:
            cut: as drawn.
            visible: steps from the cut on that there must be.
        """
        least = cut.steps + visible
        most = int(self._lengths.max()) + _LONGER
        share = torch.rand(len(least), generator=self._generator)
        return replace(cut, lengths=least + (share * (most + 1 - least)).long())

    def _below(self, stop: int, count: int) -> Tensor:
        return torch.randint(stop, (count,), generator=self._generator)


_LONGER = 8  # steps that a changed sequence may have more than the longest


def choose(
    lengths: Sequence[int], longest: int, shortest: int, count: int, generator: torch.Generator
) -> list[int]:
    """Return the numbers of some sequences: the longest, the shortest, others at random.

    Args:
        lengths: of all of them.
        longest: how many of the longest.
        shortest: how many of the shortest.
        count: how many in all, if there are as many.
        generator: the only source of randomness.

    Returns:
        The longest first.
    """
    by_length = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    if len(by_length) > count:
        middle = by_length[longest : len(by_length) - shortest]
        drawn = torch.randperm(len(middle), generator=generator)[: count - longest - shortest]
        ends = by_length[:longest] + by_length[len(by_length) - shortest :]
        by_length = ends + [middle[index] for index in drawn.tolist()]
    return sorted(by_length, key=lambda index: -lengths[index])


def last_place(dtype: torch.dtype, device: torch.device) -> float:
    """Return the unit in the last place of products of numbers near 1."""
    tf32 = torch.get_float32_matmul_precision() != "highest" or torch.backends.cudnn.allow_tf32
    if device.type == "cuda" and dtype is torch.float32 and tf32:  # a plugin allowed it
        return 2.0**-11
    return torch.finfo(dtype).eps


def rows_of(inputs: SequenceInput, rows: Tensor | slice) -> SequenceInput:
    """Return some sequences of a batch, without padding that all of them have."""
    lengths = inputs.lengths[rows]
    steps = int(lengths.max())

    def taken(part: Tensor | None) -> Tensor | None:
        return None if part is None else part[rows][:, :steps]

    return SequenceInput(
        inputs.values[rows][:, :steps],
        lengths,
        taken(inputs.observed),
        taken(inputs.delta),
        None if inputs.static is None else inputs.static[rows],
    )


def as_dtype(inputs: SequenceInput, dtype: torch.dtype) -> SequenceInput:
    """Return the batch with its numbers in a dtype."""
    return replace(
        inputs,
        values=inputs.values.to(dtype),
        delta=None if inputs.delta is None else inputs.delta.to(dtype),
        static=None if inputs.static is None else inputs.static.to(dtype),
    )


def padded(inputs: SequenceInput, steps: int) -> SequenceInput:
    """Return the batch with more padded steps at its end."""

    def longer(part: Tensor | None) -> Tensor | None:
        return None if part is None else F.pad(part, (0, 0, 0, steps))

    return replace(
        inputs,
        values=F.pad(inputs.values, (0, 0, 0, steps)),
        observed=longer(inputs.observed),
        delta=longer(inputs.delta),
    )


def jittered(
    inputs: SequenceInput, size: float, scale: Tensor, generator: torch.Generator
) -> SequenceInput:
    """Return the batch with values a little beside themselves, as after other rounding.

    Values go away from zero, so that a model that cuts or rounds them to integers gets the same.

    Args:
        inputs: the batch.
        size: of the change, relative to a value and to its feature's scale.
        scale: ``[F]``, standard deviations of the features.
        generator: the only source of randomness.
    """

    def moved(part: Tensor, unit: Tensor | float) -> Tensor:
        drawn = _normal(part, generator)
        drawn = torch.where(part == 0, drawn, drawn.abs() * part.sign())
        return part + size * drawn * (part.abs() + unit)

    values = moved(inputs.values, scale).masked_fill(~inputs.mask[..., None], 0.0)
    static = None if inputs.static is None else moved(inputs.static, 1.0)
    return replace(inputs, values=values, static=static)


def spliced(inputs: SequenceInput, pool: SequenceInput, cut: Cut, hidden: Hidden) -> SequenceInput:
    """Return the batch with its hidden steps replaced by real ones of other sequences.

    Args:
        inputs: the batch.
        pool: the sequences that the cut's donors are in.
        cut: where, by what, and how long the sequences then are.
        hidden: which steps are replaced.
    """
    device = inputs.values.device
    lengths, donors = cut.lengths.to(device), cut.donors.to(device)
    time = torch.arange(int(cut.lengths.max()), device=device)
    places = _hidden(time, cut, hidden, device)
    row = torch.arange(len(lengths), device=device)[:, None]
    own = time.clamp(max=inputs.values.shape[1] - 1)[None].expand_as(places)
    foreign = (time + cut.shifts.to(device)[:, None]) % pool.lengths[donors][:, None]
    real = (time < lengths[:, None])[..., None]

    def part(mine: Tensor | None, theirs: Tensor | None) -> Tensor | None:
        if mine is None or theirs is None:
            return None
        mixed = torch.where(places[..., None], theirs[donors[:, None], foreign], mine[row, own])
        return mixed.masked_fill(~real, 0)

    values = part(inputs.values, pool.values)
    assert values is not None
    return SequenceInput(
        values,
        lengths,
        part(inputs.observed, pool.observed),
        part(inputs.delta, pool.delta),
        inputs.static,
    )


def noisy(
    inputs: SequenceInput, cut: Cut, hidden: Hidden, scale: Tensor, generator: torch.Generator
) -> SequenceInput:
    """Return the batch with large noise at its hidden steps, and other flags of what was observed.

    Args:
        inputs: the batch.
        cut: where.
        hidden: which steps are changed.
        scale: ``[F]``, standard deviations of the features.
        generator: the only source of randomness.
    """
    time = torch.arange(inputs.values.shape[1], device=inputs.values.device)
    places = (_hidden(time, cut, hidden, time.device) & inputs.mask)[..., None]
    moved = NOISE * scale * _normal(inputs.values, generator) * places
    observed, delta = inputs.observed, inputs.delta
    if observed is not None:
        observed = observed ^ ((_normal(inputs.values, generator) > 0) & places)
    if delta is not None:
        delta = delta + NOISE * _normal(inputs.values, generator).abs() * places
    return replace(inputs, values=inputs.values + moved, observed=observed, delta=delta)


def _hidden(time: Tensor, cut: Cut, hidden: Hidden, device: torch.device) -> Tensor:
    steps = cut.steps.to(device)[:, None]
    return time >= steps if hidden == "after" else time == steps


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
