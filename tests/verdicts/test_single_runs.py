"""P: the chance that a new run of one model beats a new run of another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, brunnermunzel
from scipy.stats import t as student

from seqbench.verdicts.scores import Runs
from seqbench.verdicts.single_runs import (
    brunner_munzel,
    chance_interval,
    compare_single_runs,
    permuted_p,
)

LOST = -math.inf


def test_the_statistic_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for n, m in ((9, 7), (10, 10), (5, 20)):
        x, y = np.round(rng.standard_normal(n), 1), np.round(rng.standard_normal(m), 1)
        chance, variance, df = brunner_munzel(x, y)
        p = 2 * student.sf(abs(chance - 0.5) / math.sqrt(variance), df)
        assert np.isclose(brunnermunzel(x, y).pvalue, p)
        assert np.isclose(np.mean((x[:, None] > y) + 0.5 * (x[:, None] == y)), chance)


def _enumerated(x: list[float], y: list[float]) -> float:
    """The permutation p, a sharing out of the runs after the other."""
    pooled = np.array(x + y)
    least, extreme, ways = None, 0, 0
    for chosen in itertools.combinations(range(len(pooled)), len(x)):
        rest = [place for place in range(len(pooled)) if place not in chosen]
        chance, variance, _ = brunner_munzel(pooled[list(chosen)], pooled[rest])
        statistic = abs(chance - 0.5) / math.sqrt(variance)
        least = statistic if least is None else least  # the first is as observed
        extreme += statistic >= least * (1 - 1e-9)
        ways += 1
    return extreme / ways


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0]),
        ([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 0.0]),
        ([LOST, 4.0, 5.0, 6.0], [1.0, 2.0, 3.0, LOST]),
        ([LOST, LOST, 7.0, 8.0, 9.0], [1.0, 2.0, 3.0, 4.0]),
        ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]),
        ([1.0, 1.0], [1.0, 1.0]),
    ],
)
def test_p_is_that_of_every_sharing_out(x: list[float], y: list[float]) -> None:
    assert np.isclose(_enumerated(x, y), permuted_p(x, y))
    assert np.isclose(permuted_p(y, x), permuted_p(x, y))


@pytest.mark.parametrize("n", [5, 6, 10])
def test_separation_has_the_smallest_p(n: int) -> None:
    x, y = np.arange(n) + 100.0, np.arange(n)
    assert np.isclose(2 / math.comb(2 * n, n), permuted_p(x, y))
    found = compare_single_runs(Runs(x), Runs(y))
    assert np.isclose(found.smallest_p, found.p)
    assert found.supports(True, 0.0003)
    assert not found.supports(False, 0.05)


def test_a_random_choice_of_many_ways_is_near_the_truth() -> None:
    """11 and 11 runs have 705,432 ways, of which 199,999 are looked at."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(11) + 0.8, rng.standard_normal(11)
    chance, variance, df = brunner_munzel(x, y)
    by_t = 2 * student.sf(abs(chance - 0.5) / math.sqrt(variance), df)
    p = permuted_p(x, y)
    assert p == permuted_p(x, y)
    assert abs(by_t - p) < 0.02
    apart = permuted_p(np.arange(15) + 99.0, np.arange(15))
    assert np.isclose(1 / 200_000, apart)


def test_order_alone_counts() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal(8), rng.standard_normal(9)
    assert permuted_p(x, y) == permuted_p(np.exp(x), np.exp(y))


def test_a_failed_run_loses_to_every_finished_one() -> None:
    finished = np.arange(10.0)
    whole, failing = Runs(finished), Runs(finished[3:], failed=3)
    found = compare_single_runs(whole, failing)
    # Failing beats whole in 7 x 10 pairs: 3.5 + ... + 9.5 of them.
    assert np.isclose(1 - sum(k + 0.5 for k in range(3, 10)) / 100, found.chance)
    lost = compare_single_runs(Runs(np.zeros(0), failed=6), Runs(finished))
    assert (0.0, True) == (lost.chance, lost.p < 0.001)
    both = compare_single_runs(Runs(np.zeros(0), failed=6), Runs(np.zeros(0), failed=6))
    assert (0.5, 1.0) == (both.chance, both.p)


def test_the_interval_by_hand() -> None:
    """logit(.8) +- 2.228 .1 / (.8 .2) for ten degrees of freedom."""
    low, high = chance_interval(0.8, 0.01, 10, (8, 8))
    reach = student.ppf(0.975, 10) * 0.1 / 0.16
    assert np.isclose(math.log(4) - reach, math.log(low / (1 - low)))
    assert np.isclose(math.log(4) + reach, math.log(high / (1 - high)))
    assert 0 < chance_interval(0.0, 0.001, 10, (8, 8))[0]
    assert chance_interval(1.0, 0.001, 10, (8, 8))[1] < 1


def test_against_a_fixed_score_it_is_the_sign_test() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, -1.0])
    fixed = Runs(np.zeros(1), fixed=True)
    found = compare_single_runs(Runs(scores), fixed)
    assert np.isclose(binomtest(9, 10).pvalue, found.p)
    assert np.isclose(0.9, found.chance)
    exact = binomtest(9, 10).proportion_ci(method="exact")
    assert np.allclose([exact.low, exact.high], [found.low, found.high])
    back = compare_single_runs(fixed, Runs(scores))
    assert np.allclose([0.1, 1 - exact.high, 1 - exact.low], [back.chance, back.low, back.high])
    tied = compare_single_runs(Runs(np.zeros(4)), fixed)
    assert (0.5, 0.0, 1.0, 1.0) == (tied.chance, tied.low, tied.high, tied.p)


def test_five_runs_that_all_beat_a_fixed_score_support_a_claim() -> None:
    """Their p cannot fall below .0625, and nothing stronger could have been seen."""
    found = compare_single_runs(Runs(np.arange(5) + 1.0), Runs(np.zeros(1), fixed=True))
    assert np.isclose(0.0625, found.p)
    assert found.supports(True, 0.05)
    one_lost = compare_single_runs(Runs(np.arange(5.0) - 0.5), Runs(np.zeros(1), fixed=True))
    assert not one_lost.supports(True, 0.05)


def test_where_single_runs_say_nothing() -> None:
    fixed = Runs(np.zeros(1), fixed=True)
    assert compare_single_runs(fixed, fixed) is None
    assert compare_single_runs(Runs(np.zeros(1)), Runs(np.zeros(9))) is None
    assert compare_single_runs(Runs(np.zeros(0)), fixed) is None
