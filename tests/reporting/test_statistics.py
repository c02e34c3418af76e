"""Report statistics: equal to independent implementations, and honest in simulation."""

from __future__ import annotations

import itertools
import math
import statistics as plain
import warnings

import numpy as np
import pytest
import scipy.stats

from seqbench.reporting.statistics import (
    FEW,
    Interval,
    effect_size,
    group_interval,
    holm,
    improvement,
    iqm,
    is_equivalent,
    is_skewed,
    mean_interval,
    performance_profile,
    rank_intervals,
    sign_flip,
    skewness,
    smallest_p,
    stratified_interval,
)

# Darwin's maize, crossed minus self-fertilised, eighths of an inch: Fisher 1935, section 17.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# Survival of control mice in days: Efron and Tibshirani 1993, table 2.1.
MICE = [52, 104, 146, 10, 51, 30, 40, 27, 46]
NONE = Interval(math.nan, math.nan)


def scipy_sign_flip(differences: np.ndarray) -> float:
    """SciPy's enumeration of all flips."""
    found = scipy.stats.permutation_test(
        (differences,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    return float(found.pvalue)


def same(one: Interval, other: Interval) -> bool:
    """Whether both ends are equal, or NaN together."""
    return np.allclose(one, other, rtol=1e-12, atol=0, equal_nan=True)


# Sign flips


@pytest.mark.parametrize(("n", "p"), [(0, 1), (1, 1), (2, 0.5), (5, 0.0625), (10, 2 / 1024)])
def test_the_smallest_p_is_reached_when_all_differences_agree(n: int, p: float) -> None:
    assert p == smallest_p(n)
    if n:
        assert p == sign_flip(np.arange(1.0, n + 1))


def test_few_is_the_first_number_of_seeds_whose_test_can_reach_the_level() -> None:
    assert smallest_p(FEW - 1) > 0.05 >= smallest_p(FEW)


def test_fishers_analysis_of_darwins_maize() -> None:
    """Fisher 1935, section 21: 1,726 of 32,768 choices of signs reach the observed sum, 314."""
    assert 314 == sum(MAIZE)
    assert 1726 / 32768 == sign_flip(MAIZE)


@pytest.mark.parametrize("n", [2, 3, 6, 10, 13])
@pytest.mark.parametrize("shift", [0, 0.7])
def test_sign_flip_is_scipys_on_continuous_differences(n: int, shift: float) -> None:
    values = np.random.default_rng(n).standard_normal(n) + shift
    assert scipy_sign_flip(values) == pytest.approx(sign_flip(values), abs=1e-15)


@pytest.mark.parametrize("seed", range(8))
def test_sign_flip_is_scipys_on_tied_differences(seed: int) -> None:
    """Whole numbers, zeros among them: sums are exact, so nothing hangs on rounding."""
    values = np.random.default_rng(seed).integers(-3, 5, 9).astype(float)
    assert scipy_sign_flip(values) == pytest.approx(sign_flip(values), abs=1e-15)


def test_rounding_loses_no_tie() -> None:
    """Tenths are inexact in binary: p is that of the same differences in whole numbers."""
    whole = np.array([1, 2, 3, 4, -1, -2, 5, 3])
    assert sign_flip(whole) == sign_flip(whole / 10) == sign_flip((whole + 7) / 10 - 0.7)


def test_sign_flip_has_no_unit_and_no_side() -> None:
    values = np.random.default_rng(1).standard_normal(8) + 0.5
    assert sign_flip(values) == sign_flip(-values) == sign_flip(1e200 * values)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf]])
def test_sign_flip_of_unknown_differences_is_unknown(values: list[float]) -> None:
    assert math.isnan(sign_flip(values))


def test_sign_flip_of_no_difference_is_one() -> None:
    assert 1 == sign_flip(np.zeros(7)) == sign_flip(np.zeros(30))


def test_twenty_pairs_are_enumerated() -> None:
    assert 2 / 2**20 == sign_flip(np.ones(20))


def test_many_pairs_are_drawn_and_agree_with_the_normal_limit() -> None:
    """At 200 pairs the sum over flips is normal, with variance the sum of squares."""
    values = np.random.default_rng(3).standard_normal(200) + 0.1
    z = abs(values.sum()) / math.sqrt(float(np.sum(values**2)))
    expected = 2 * scipy.stats.norm.sf(z)
    assert 0.02 < expected < 0.5
    assert expected == pytest.approx(sign_flip(values), abs=4 * math.sqrt(expected / 100_000))
    assert sign_flip(values) == sign_flip(values, seed=0) != sign_flip(values, seed=1)


def test_drawn_flips_never_give_zero() -> None:
    assert 1 / 100_001 == sign_flip(np.ones(40))


# Several tests


def test_holm_by_hand() -> None:
    """4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 raised to the one before it."""
    assert [0.03, 0.06, 0.06, 0.02] == pytest.approx(holm([0.01, 0.04, 0.03, 0.005]))


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import only: statsmodels is not ours
        from statsmodels.stats import multitest
    p = np.random.default_rng(seed).integers(1, 40, 12) / 256  # with ties
    assert multitest.multipletests(p, method="holm")[1] == pytest.approx(holm(p))


def test_holm_does_not_count_what_was_not_tested() -> None:
    adjusted = holm([math.nan, 0.02, 0.7, math.nan])
    assert [0.04, 0.7] == adjusted[1:3]
    assert math.isnan(adjusted[0])
    assert math.isnan(adjusted[3])
    assert [] == holm([])
    assert [1.0, 1.0] == holm([0.6, 0.9])


# Intervals of a mean


@pytest.mark.parametrize("n", range(2, FEW))
def test_few_values_get_students_interval(n: int) -> None:
    values = np.random.default_rng(n).standard_normal(n)
    error = values.std(ddof=1) / math.sqrt(n)
    expected = scipy.stats.t.interval(0.95, n - 1, values.mean(), error)
    assert expected == pytest.approx(mean_interval(values))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bootstrap_t_is_its_definition(level: float) -> None:
    """A loop over resamples, in plain Python."""
    values = [0.2, 0.5, 0.1, 1.9, 0.7, 0.4, 0.3]
    n, mean = len(values), plain.fmean(values)
    ratios = []
    for positions in np.random.default_rng(0).integers(0, n, (9999, n)):
        drawn = [values[position] for position in positions]
        centre = sum(drawn) / n
        error = math.sqrt(sum((value - centre) ** 2 for value in drawn) / (n - 1) / n)
        away = centre - mean
        ratios.append(away / error if len(set(drawn)) > 1 else math.copysign(math.inf, away))
    ratios.sort()
    tail = round(10_000 * (1 - level) / 2)
    error = plain.stdev(values) / math.sqrt(n)
    expected = (mean - ratios[-tail] * error, mean - ratios[tail - 1] * error)
    assert expected == pytest.approx(mean_interval(values, level=level), rel=1e-9)


def test_the_interval_of_efron_and_tibshiranis_mice() -> None:
    """Section 12.5: 90% from 35.82 to 116.74 with 1,000 resamples, whose ends are rough."""
    low, high = mean_interval(MICE, level=0.9)
    assert 35.82 == pytest.approx(low, abs=2)
    assert 116.74 == pytest.approx(high, abs=10)


def test_an_interval_has_no_unit_and_no_side() -> None:
    values = np.random.default_rng(2).lognormal(0, 1, 10)
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert high - values.mean() > values.mean() - low  # longer on the side of the tail
    assert (-high, -low) == pytest.approx(mean_interval(-values))
    assert (5 + 3 * low, 5 + 3 * high) == pytest.approx(mean_interval(5 + 3 * values))
    assert (1e200 * low, 1e200 * high) == pytest.approx(mean_interval(1e200 * values))


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(4).standard_normal(8)
    assert mean_interval(values) == mean_interval(values.tolist(), seed=0)
    assert mean_interval(values) != mean_interval(values, seed=1)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf] * 7])
def test_the_interval_of_too_little_is_unknown(values: list[float]) -> None:
    assert same(NONE, mean_interval(values))


@pytest.mark.parametrize("n", [2, 9])
def test_the_interval_of_equal_values_is_the_value(n: int) -> None:
    assert Interval(0.1, 0.1) == mean_interval([0.1] * n)


def test_values_too_tied_for_the_bootstrap_get_students_interval() -> None:
    """A third of resamples miss the one other value: an end would be infinite."""
    values = [0.5, 0.5, 0.5, 0.5, 0.5, 0.8]
    error = plain.stdev(values) / math.sqrt(6)
    expected = scipy.stats.t.interval(0.95, 5, 0.55, error)
    assert expected == pytest.approx(mean_interval(values))


def test_resamples_without_spread_count() -> None:
    """Half of the values tied, half others: 2 of 1,024 resamples have no spread, no end is lost."""
    low, high = mean_interval([0.0] * 5 + [1.0] * 5)
    assert -0.1 < low < 0.5 < high < 1.1
    assert math.isclose(0.5 - low, high - 0.5, rel_tol=0.2)


# Skew, effects, ranks


@pytest.mark.parametrize("n", [3, 6, 25])
def test_skewness_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).lognormal(0, 1, n)
    assert scipy.stats.skew(values, bias=False) == pytest.approx(skewness(values))
    assert skewness(values) == pytest.approx(skewness(1e-200 * values))


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0] * 9, [1.0, 2.0, math.nan]])
def test_the_skewness_of_too_little_is_unknown(values: list[float]) -> None:
    assert math.isnan(skewness(values))
    assert not is_skewed(values)


def test_one_value_far_off_is_skew() -> None:
    """Ten values of which one is far: G1 is 3.1, its standard error 0.69."""
    far = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.1, 0.9, 1.0, 9.0]
    assert is_skewed(far)
    assert is_skewed([-value for value in far])
    assert not is_skewed(np.arange(10.0))
    assert not is_skewed([1.0, 1.1, 0.9, 1.0, 9.0])  # too few to tell


def test_effect_size_by_hand() -> None:
    """Mean 2, deviation 1, three pairs: 2 times 1 - 3/7."""
    assert 8 / 7 == pytest.approx(effect_size([1.0, 2.0, 3.0]))
    assert -8 / 7 == pytest.approx(effect_size([-1e200, -2e200, -3e200]))


def test_the_effect_size_is_hardly_biased() -> None:
    """The mean over many samples of eight pairs is the true one; uncorrected it is 13% larger."""
    drawn = np.random.default_rng(0).standard_normal((8_000, 8)) + 0.8
    assert 0.8 == pytest.approx(np.mean([effect_size(row) for row in drawn]), abs=0.02)


def test_effect_sizes_without_spread() -> None:
    assert math.inf == effect_size([0.1, 0.1, 0.1])
    assert math.inf == effect_size([0.3 - 0.2, 0.5 - 0.4, 0.1])  # equal but for rounding
    assert -math.inf == effect_size([-2.0, -2.0])
    assert 0 == effect_size([0.0, 0.0])
    unknown = ([], [1.0], [1.0, 2.0], [1.0, math.nan, 2.0])
    assert all(math.isnan(effect_size(values)) for values in unknown)


@pytest.mark.parametrize("seed", range(4))
def test_improvement_is_mann_whitneys_u(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(0, 6, 7), rng.integers(0, 6, 9)
    u = scipy.stats.mannwhitneyu(ours, theirs).statistic
    assert u / 63 == pytest.approx(improvement(ours, theirs, "max"))
    assert 1 - u / 63 == pytest.approx(improvement(ours, theirs, "min"))


def test_improvement_of_all_equal_none_and_unknown_direction() -> None:
    assert 0.5 == improvement([1.0, 1.0], [1.0], "min")
    assert 1.0 == improvement([1.0, 2.0], [3.0], "min")
    assert math.isnan(improvement([], [1.0], "min"))
    assert math.isnan(improvement([math.nan], [1.0], "max"))
    with pytest.raises(ValueError, match="direction must be min or max, not 'up'"):
        improvement([1.0], [2.0], "up")


def test_rank_intervals_by_hand() -> None:
    """The first beats the third and fourth, the second the fourth: no two ranks are certain."""
    better = np.zeros((4, 4), dtype=bool)
    better[0, [2, 3]] = better[1, 3] = True
    assert [(1, 2), (1, 3), (2, 4), (3, 4)] == rank_intervals(better)
    assert [(1, 3)] * 3 == rank_intervals(np.zeros((3, 3), dtype=bool))
    assert [(1, 1), (2, 2), (3, 3)] == rank_intervals(np.triu(np.ones((3, 3), dtype=bool), 1))


def test_a_difference_is_too_small_to_matter_if_its_whole_interval_is() -> None:
    assert is_equivalent(Interval(-0.1, 0.2), 0.3)
    assert not is_equivalent(Interval(-0.1, 0.3), 0.3)
    assert not is_equivalent(Interval(-0.4, 0.2), 0.3)
    assert not is_equivalent(NONE, 0.3)


# Across tasks, and over groups


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10, 23])
def test_iqm_is_scipys_trimmed_mean(n: int) -> None:
    values = np.random.default_rng(n).standard_normal(n)
    assert scipy.stats.trim_mean(values, 0.25) == pytest.approx(iqm(values))


def test_iqm_of_nothing_and_of_a_table() -> None:
    assert math.isnan(iqm([]))
    assert 2.5 == iqm([[9.0, 1.0], [2.0, 3.0]])


def test_runs_are_drawn_within_their_task() -> None:
    """Tasks far apart: with runs mixed between them the mean would swing by 50."""
    tasks = [np.array([0.0, 1.0, 2.0]), np.array([100.0, 101.0, 102.0])]
    low, high = stratified_interval(tasks, np.mean)
    assert 49.9 < low < 51 < high < 52.1
    assert Interval(low, high) == stratified_interval(tasks, np.mean)
    assert same(NONE, stratified_interval([], np.mean))
    assert same(NONE, stratified_interval([np.array([])], np.mean))


def test_the_stratified_interval_has_every_draw_in_its_measure() -> None:
    """Two tasks of two runs: the 16 equally likely means, their percentiles by enumeration."""
    tasks = [np.array([0.0, 1.0]), np.array([0.0, 3.0])]
    means = [np.mean(draw) for draw in itertools.product([0, 1], [0, 1], [0, 3], [0, 3])]
    low, high = stratified_interval(tasks, np.mean, resamples=20_000)
    assert (min(means), max(means)) == (low, high)  # each end has probability 1/16
    seen: list[int] = []
    stratified_interval(tasks, lambda row: float(seen.append(len(row)) or 0), resamples=3)
    assert [4, 4, 4] == seen


def test_performance_profile_by_hand() -> None:
    profile = performance_profile([0.2, 0.8, 0.8, 1.0], [-1.0, 0.2, 0.5, 0.8, 1.0])
    assert [1.0, 0.75, 0.75, 0.25, 0.0] == profile.tolist()
    assert np.isnan(performance_profile([], [0.0, 1.0])).all()


def test_group_interval_leaves_nan_out() -> None:
    values = np.arange(1001.0)
    assert Interval(25.0, 975.0) == group_interval(np.append(values, [math.nan] * 9))
    assert same(NONE, group_interval([math.nan]))
    assert same(NONE, group_interval([]))
    low, high = group_interval([1.0, *[math.inf] * 9])
    assert not low < high  # an infinite score is not left out


# Simulations


def test_without_a_difference_the_test_rejects_as_often_as_it_may() -> None:
    """Ten pairs, 8,000 times: p is an even number of 1,024ths, so the size is 50/1,024."""
    attainable = 2 * math.floor(0.05 * 512) / 1024
    drawn = np.random.default_rng(10).standard_normal((8_000, 10))
    rejected = np.mean([sign_flip(row) <= 0.05 for row in drawn])
    error = math.sqrt(attainable * (1 - attainable) / 8_000)
    assert attainable == pytest.approx(rejected, abs=3 * error)


def test_five_comparisons_to_one_control_err_together_in_one_report_of_twenty() -> None:
    """Six models of equal worth, ten seeds whose data they share, 2,000 times."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(2_000):
        scores = rng.standard_normal((6, 10)) + 3 * rng.standard_normal(10)
        wrong += min(holm([sign_flip(row - scores[0]) for row in scores[1:]])) <= 0.05
    assert 0 < wrong / 2_000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2_000)


def test_intervals_of_normal_scores_hold_the_mean_as_often_as_they_say() -> None:
    """Ten seeds, 1,000 times."""
    intervals = (
        mean_interval(row) for row in np.random.default_rng(12).standard_normal((1_000, 10))
    )
    held = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.93 <= held <= 0.97
