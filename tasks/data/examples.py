"""From sequences as they were read to examples for a model.

Legend of shapes: T steps, F columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seqbench.api import Example, InputSpec
from seqbench.tasks.data.collection import Floats, ReadSequence

IRREGULAR = 1.5
"""The longest time between two steps, in the median one, from which on times are an input."""


class Stretch(NamedTuple):
    """A stretch of a sequence, and which of its steps count, ``[T]``."""

    item: ReadSequence
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Filling:
    """What training sequences say about values that are missing, and about time.

    Args:
        means: ``[F]``, 0 where training has no value.
        varies: ``[F]``, whether training has two values that differ; a column that does not is 0
            throughout, for nothing can be learnt of it and its scale is not known.
        gap: the median time between two steps.
        missing: whether examples say what was observed, and when.
    """

    means: Floats
    varies: NDArray[np.bool_]
    gap: float
    missing: bool

    @classmethod
    def of(
        cls, train: Sequence[ReadSequence], everything: Iterable[ReadSequence], asked: bool | None
    ) -> Filling:
        """Return that of some training sequences.

        Args:
            train: the training sequences.
            everything: all sequences: whether a value is missing in any.
            asked: whether examples are to say what was observed; None: where a value is missing, or
                times are irregular.
        """
        rows = np.concatenate([item.values for item in train])
        known = ~np.isnan(rows)
        means = np.nansum(rows, axis=0) / known.sum(axis=0).clip(1)
        low = rows.min(axis=0, initial=np.inf, where=known)
        varies = rows.max(axis=0, initial=-np.inf, where=known) > low
        gaps = [np.diff(item.times) for item in train if item.times is not None]
        together = np.concatenate([np.zeros(0), *gaps])
        positive = together[together > 0]
        gap = float(np.median(positive)) if len(positive) else 1.0
        irregular = len(positive) > 0 and bool(together.max() > IRREGULAR * gap)
        missing = irregular or any(bool(np.isnan(item.values).any()) for item in everything)
        return cls(means, varies, gap, missing if asked is None else asked)

    def inputs(self, item: ReadSequence) -> Example:
        """Return a sequence's inputs; its targets are empty.

        A missing value is the last known one, before that the training mean. ``delta`` is the time
        since the last measurement before the step, in training's median time between steps.
        """
        steps = np.arange(len(item.values))[:, None]
        known = ~np.isnan(item.values)
        latest = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
        carried = np.take_along_axis(item.values, latest.clip(0), axis=0)
        filled = np.where(latest < 0, self.means, carried)
        filled[:, ~self.varies] = 0.0
        example = Example(torch.from_numpy(filled).float(), torch.zeros(()), group=item.group)
        if not self.missing:
            return example
        times = steps[:, 0].astype(float) if item.times is None else item.times / self.gap
        before = np.concatenate([np.zeros_like(latest[:1]), latest[:-1]]).clip(0)
        delta = times[:, None] - times[before]
        return replace(
            example,
            observed=torch.from_numpy(known),
            delta=torch.from_numpy(delta).float(),
        )


def input_spec(train: Sequence[Example]) -> InputSpec:
    """Return the columns, with the statistics of what training sequences have observed."""
    values = torch.cat([example.values for example in train]).double()
    if train[0].observed is None:
        observed = torch.ones_like(values)
    else:
        observed = torch.cat([_present(example) for example in train]).double()
    count = observed.sum(dim=0).clamp(min=1)
    mean = (values * observed).sum(dim=0) / count
    variance = ((values - mean).square() * observed).sum(dim=0) / count
    constant = values.max(dim=0).values == values.min(dim=0).values
    return InputSpec(
        size=values.shape[1],
        missing=train[0].observed is not None,
        mean=mean.float(),
        std=torch.where(constant, 0.0, variance.sqrt()).float(),
        observed_rate=None if train[0].observed is None else observed.mean(dim=0).float(),
    )


def steps_to_predict(examples: Iterable[Example]) -> int:
    """Return how many steps of examples have a target that counts."""
    masks = (example.target_mask for example in examples)
    return sum(int(mask.sum()) for mask in masks if mask is not None)


def _present(example: Example) -> torch.Tensor:
    assert example.observed is not None  # all examples of a split have it, or none
    return example.observed


def pieces(item: ReadSequence, window: int, ahead: int) -> list[Stretch]:
    """Return a sequence in stretches, each with the steps before it, which do not count again.

    Args:
        item: of any length.
        window: steps that count in a stretch; as many before them are read again.
        ahead: steps behind them that stand there for their targets alone.

    Returns:
        Each stretch, and which of its steps count. A sequence of at most two windows is whole.
    """
    if len(item.values) <= 2 * window:
        return [Stretch(item, np.ones(len(item.values), dtype=bool))]
    return _pieces(item, 0, len(item.values), window, ahead, item.group)


def chronological(item: ReadSequence, window: int, ahead: int) -> tuple[list[Stretch], ...]:
    """Return a long sequence's first three fifths, the next one, and the last, in pieces.

    A piece may begin in the part before its own: it is read, and does not count there. Arguments
    are those of :func:`pieces`.
    """
    length = len(item.values)
    bounds = [0, length * 3 // 5, length * 4 // 5, length]
    return tuple(
        _pieces(item, start, stop, window, ahead, None)
        for start, stop in itertools.pairwise(bounds)
    )


def _pieces(
    item: ReadSequence, start: int, stop: int, window: int, ahead: int, group: str | None
) -> list[Stretch]:
    """Return the steps from ``start`` to before ``stop`` in pieces, which may read steps before.

    Args:
        item: of which they are.
        start: the first step that counts.
        stop: no piece goes further.
        window: see :func:`pieces`.
        ahead: see :func:`pieces`.
        group: of the pieces; None: each is one.
    """
    found = []
    for begin in range(start, stop, window):
        first, end = max(begin - window, 0), min(begin + window, stop)
        last = min(end + ahead, stop)
        steps = np.arange(first, last)
        name = f"{item.name}, rows {begin} to {end - 1}" if group is None else group
        found.append(Stretch(item.steps(first, last, name), (steps >= begin) & (steps < end)))
    return found
