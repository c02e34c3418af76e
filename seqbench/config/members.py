"""The trials of a sweep, each by its overrides: ``model=lstm,gru seed=0,1`` has four."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    RangeSweep,
)

from seqbench.config.overrides import LOOKS, as_list, parse, parse_all, refuse_intervals
from seqbench.errors import Refused, shortened
from seqbench.registry.plugins import registry
from seqbench.registry.registration import KINDS

MOST = 100_000
"""Trials of one sweep."""


def sweep_members(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each trial of a sweep; one that is repeated stands there each time.

    Raises:
        Refused: an override cannot be read, or has no or too many values; or a key is swept and
            given a second time.
    """
    parsed = [_expanded(item) for item in parse_all(overrides)]
    refuse_swept_twice(parsed)
    refuse_intervals(parsed)
    number = 1
    for item in parsed:
        count = _count(item)
        if not count:
            raise Refused(f"{item.input_line} has no value at all, so there is no trial to run")
        number *= count
    if number > MOST:
        raise Refused(f"this sweep has {number:,} trials, more than the {MOST:,} that one may have")
    return BasicSweeper.split_arguments(parsed, None)[0]


def refuse_swept_twice(parsed: Sequence[Override]) -> None:
    """Refuse a key that is given several values and stands there a second time.

    Where each has one value, the last one counts, as of any command of Hydra.

    Raises:
        Refused: there is such a key.
    """
    given: dict[str, list[Override]] = {}
    for item in parsed:
        if not item.is_delete():
            given.setdefault(item.key_or_group, []).append(item)
    for key, items in given.items():
        if len(items) > 1 and any(item.is_sweep_override() for item in items):
            words = [str(item.input_line) for item in items]
            texts = [word.partition("=")[2] for word in words]
            plain = all(item.is_choice_sweep() or not item.is_sweep_override() for item in items)
            joined = f"{key}={','.join(dict.fromkeys(','.join(texts).split(',')))}"
            advice = f", such as {joined}" if plain and "(" not in joined else ""
            raise Refused(
                f"{key} is given twice, as {shortened(' and '.join(words))}: give it once"
                f"{shortened(advice)}"
            )


def _expanded(item: Override) -> Override:
    """Return a choice by pattern as a choice of names, and looks as the list that they are.

    Any other override is returned as it is.
    """
    if not item.is_sweep_override():
        return item
    found, key = item.value(), item.key_or_group
    if key == LOOKS:
        return parse(as_list(item))
    if not isinstance(found, Glob):
        return item
    for kind in KINDS:
        if kind == key:
            names = found.filter(registry().names(kind))
            if not names:
                raise Refused(f"{item.input_line} fits no {kind}; see seqbench list")
            return parse(f"{item.get_key_element()}={','.join(names)}")
    raise Refused(f"{item.input_line}: patterns choose models and tasks; list the values of {key}")


def _count(item: Override) -> int:
    """Return how many values an override gives."""
    if not item.is_sweep_override():
        return 1
    found = item.value()
    if isinstance(found, RangeSweep):
        assert found.start is not None
        assert found.stop is not None
        if not found.step:
            raise Refused(f"{item.input_line}: the step of a range must not be 0")
        return max(0, math.ceil((found.stop - found.start) / found.step))
    assert isinstance(found, ChoiceSweep)
    return len(found.list)
