"""Planned looks: their nominal levels, and what a number of seeds that is not planned means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from seqbench.errors import Refused
from seqbench.verdicts.looks import PLANNED, Looks, nominal_levels


def _crossed(
    numbers: tuple[int, ...], levels: tuple[float, ...], paths: int = 400_000
) -> np.ndarray:
    """The share of Brownian paths that have crossed by each look."""
    times = np.array(numbers) / numbers[-1]
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((paths, len(times))) * np.sqrt(np.diff(np.r_[0, times]))
    z = np.abs(steps.cumsum(1) / np.sqrt(times))
    return np.logical_or.accumulate(z >= norm.isf(np.array(levels) / 2), 1).mean(0)


@pytest.mark.parametrize("numbers", [(6, 10, 14, 20), (10, 20), (5, 6, 7, 8, 9, 10), (20,)])
def test_levels_spend_what_they_should(numbers: tuple[int, ...]) -> None:
    times = np.array(numbers) / numbers[-1]
    spending = 2 * norm.sf(norm.isf(0.025) / np.sqrt(times))
    assert np.allclose(spending, _crossed(numbers, nominal_levels(numbers)), atol=1e-3)


def test_two_looks_are_exact() -> None:
    """The first spends its share alone; the second's level is known from tables (.0478)."""
    first, second = nominal_levels((10, 20))
    assert np.isclose(2 * norm.sf(norm.isf(0.025) * 2**0.5), first)
    assert np.isclose(0.0478, second, atol=5e-5)


@pytest.mark.parametrize("numbers", PLANNED)
def test_fixed_levels_are_near_the_computed(numbers: tuple[int, ...]) -> None:
    assert np.allclose(nominal_levels(numbers), PLANNED[numbers], atol=2.5e-4)
    assert _crossed(numbers, PLANNED[numbers])[-1] < 0.051
    assert PLANNED[numbers] == Looks.planned(numbers).levels


def test_one_look_is_at_five_percent() -> None:
    looks = Looks.planned([10])
    assert 0.05 == looks.level_at(10)
    assert looks.level_at(9) is looks.level_at(11) is None


@pytest.mark.parametrize("numbers", [(), (10, 6), (6, 6), (4, 10)])
def test_looks_that_cannot_be_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match=r"rising numbers of seeds from 5 on, for example 6,10,14,20"):
        Looks.planned(numbers)
