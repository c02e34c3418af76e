"""What a design can see, and what no number of seeds can."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import nct
from scipy.stats import t as student
from statsmodels.stats.power import TTestIndPower

from seqbench.verdicts.components import from_groups, from_seeds, on_new_data
from seqbench.verdicts.planning import (
    Variances,
    detectable,
    detectable_over_splits,
    floor,
    groups_needed,
    in_range,
    plausible,
    power,
    seeds_needed,
)
from seqbench.verdicts.scores import Groups, Runs
from seqbench.verdicts.splits import over_splits

SOME = Variances(1.0, 0.02, 0.03, 0.2)


def test_without_groups_it_is_the_power_of_the_two_sample_t_test() -> None:
    seeds_alone = Variances(0.0, 1.0, 1.0)
    for n in (5, 10, 20):
        expected = TTestIndPower().power(1.0, n, 0.025, alternative="larger")
        assert np.isclose(expected, power(1.0, n, 10_000, seeds_alone), atol=1e-5)


@pytest.mark.parametrize(("n", "groups"), [(5, 5), (10, 20), (20, 300)])
def test_a_detectable_gain_has_the_power_asked(n: int, groups: int) -> None:
    for goal in (0.8, 0.9):
        gain = detectable(n, groups, SOME, goal=goal)
        assert np.isclose(goal, power(gain, n, groups, SOME), atol=1e-6)
    assert detectable(n, groups, SOME, 0.005) > detectable(n, groups, SOME)


def test_the_variance_is_that_of_the_design() -> None:
    """Seeds 10, groups 20: .03 / 10 + .04 / 10 + 1 / 20, as rest / G is .01."""
    error, df = SOME.error_and_df(10, 20)
    assert np.isclose(0.003 + 0.004 + 0.05, error**2)
    squares = (0.05 + 0.002) ** 2 / 19 + (0.003**2 + 0.004**2) / 9
    assert np.isclose(0.057**2 / squares, df)


def test_a_pilots_variances_give_its_own_components() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 7, 40)) + 3 * rng.standard_normal((2, 7, 1))
    y += 2 * rng.standard_normal((2, 1, 40))
    parts = from_groups(*y)
    error, df = Variances.of(parts, Groups(40)).error_and_df(7, 40)
    found = on_new_data(parts)
    assert np.isclose(found.error, error)
    assert np.isclose(found.df, df)


def test_against_a_baseline_there_is_one_model_with_seeds() -> None:
    rng = np.random.default_rng(1)
    y = rng.standard_normal((7, 40)) + rng.standard_normal((7, 1))
    parts = from_groups(y, np.tile(rng.standard_normal(40), (2, 1)))
    fixed = Variances.of(
        type(parts)(**{**vars(parts), "b_df": math.inf, "b": np.zeros(())}), Groups(40)
    )
    assert fixed.fixed_b
    error, _ = fixed.error_and_df(7, 40)
    assert np.isclose(parts.a + parts.groups - parts.both, error**2)
    swapped = Variances.of(
        type(parts)(**{**vars(parts), "b_df": math.inf, "b": np.zeros(())}).swapped(), Groups(40)
    )
    assert np.isclose(fixed.seeds_a, swapped.seeds_a)


def test_no_number_of_seeds_passes_the_floor() -> None:
    for groups in (5, 20, 300):
        least = floor(groups, SOME)
        assert detectable(100_000, groups, SOME) == pytest.approx(least, rel=0.01)
        assert math.isinf(seeds_needed(0.99 * float(least), groups, SOME))
        assert math.isfinite(seeds_needed(1.05 * float(least), groups, SOME))
    assert np.isclose(2.8 / math.sqrt(300), floor(300, SOME), rtol=0.01)


def test_needed_numbers_are_the_smallest() -> None:
    n = int(seeds_needed(0.75, 20, SOME))
    assert detectable(n, 20, SOME) <= 0.75 < detectable(n - 1, 20, SOME)
    groups = int(groups_needed(0.3, 10, SOME))
    assert detectable(10, groups, SOME) <= 0.3 < detectable(10, groups - 1, SOME)
    assert 5 == seeds_needed(50.0, 20, SOME)
    assert math.isinf(groups_needed(0.01, 10, SOME))  # of ten seeds


def test_a_pilot_gives_a_range_that_holds_the_truth() -> None:
    """In about 80 of 100 pilots, the range of what is detectable holds the true number."""
    rng = np.random.default_rng(2)
    truth = Variances(1.0, 0.05, 0.05, 0.25)
    true, held = float(detectable(10, 20, truth)), 0
    for _ in range(100):
        y = 0.5 * rng.standard_normal((2, 5, 20)) + rng.standard_normal((2, 1, 20)) / math.sqrt(2)
        y += math.sqrt(0.05) * rng.standard_normal((2, 5, 1))
        low, high = in_range(detectable(10, 20, plausible(from_groups(*y), Groups(20))))
        held += low <= true <= high
    assert 70 <= held <= 92


def test_a_range_is_the_same_each_time() -> None:
    rng = np.random.default_rng(3)
    parts = from_groups(*rng.standard_normal((2, 5, 20)))
    ends = [in_range(seeds_needed(1.0, 20, plausible(parts, Groups(20)))) for _ in "ab"]
    assert ends[0] == ends[1]
    assert ends[0][0] <= seeds_needed(1.0, 20, Variances.of(parts, Groups(20))) <= ends[0][1]


def test_the_noncentral_t_is_scipys() -> None:
    df = SOME.error_and_df(6, 12)[1]
    ncp = detectable(6, 12, SOME) / SOME.error_and_df(6, 12)[0]
    assert np.isclose(0.8, nct.sf(student.ppf(0.975, df), df, ncp))


def test_without_groups_nothing_is_planned_for_new_data() -> None:
    parts = from_seeds(Runs(np.arange(5.0)), Runs(np.arange(5.0)))
    assert np.isnan(detectable(10, 20, Variances.of(parts, Groups(20))))


def test_gain_over_splits_is_found_in_about_four_of_five() -> None:
    rng = np.random.default_rng(4)
    gain = detectable_over_splits(5, 1.0, 0.25)
    # Gains of splits are correlated by what the correction supposes: .25 / 1.25.
    shared = rng.standard_normal((4000, 1)) * math.sqrt(0.2)
    gains = gain * math.sqrt(1.0) + shared * math.sqrt(1.25) + rng.standard_normal((4000, 5))
    found = over_splits(gains, 0.25)
    assert 0.72 <= np.mean(found.p <= 0.05) <= 0.88
