"""Looks that were declared beforehand, and those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from seqbench.config.settings import Recipe, Settings, TrackingSettings, TrainerSettings
from seqbench.errors import LONGEST, Refused
from seqbench.trials.looks import with_looks


def asked(seed: int) -> Settings:
    return Settings(
        "music", {}, "lstm", {}, Recipe(), TrainerSettings(), TrackingSettings(), seed=seed
    )


@pytest.mark.parametrize(
    ("seed", "looks", "seeds"),
    [
        (0, [6, 10, 14, 20], range(20)),
        (19, [6, 10, 14, 20], range(20)),
        (119, [10, 20], range(100, 120)),
        (1234, [50], range(1200, 1250)),
        (99, [5, 100], range(100)),
    ],
)
def test_looks_plan_the_first_seeds_of_a_hundred(
    seed: int, looks: list[int], seeds: Sequence[int]
) -> None:
    """So each call means the same seeds, whichever of them it asks for."""
    assert {"seeds": list(seeds), "looks": looks} == json.loads(with_looks(asked(seed), looks).plan)


def test_without_looks_nothing_is_declared() -> None:
    assert asked(3) == with_looks(asked(3), None)


@pytest.mark.parametrize(
    ("seed", "looks", "message"),
    [
        (0, [], "must be rising numbers of seeds from 5 on, for example 6,10,14,20"),
        (0, [10, 6], "looks=10,6 must be rising numbers"),
        (0, [6, 6], "must be rising numbers"),
        (0, [3, 10], "from 5 on"),
        (20, [6, 20], "looks=6,20 plans the seeds 0 to 19, and seed=20 is none of them"),
        (199, [10], "plans the seeds 100 to 109, and seed=199 is none of them"),
        (0, [10, 101], "the last look must be at 100 seeds or fewer"),
    ],
)
def test_impossible_looks_are_refused(seed: int, looks: list[int], message: str) -> None:
    with pytest.raises(Refused, match=message) as refusal:
        with_looks(asked(seed), looks)
    assert len(str(refusal.value)) < LONGEST
