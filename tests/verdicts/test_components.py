"""The parts of a difference's variance, and the t tests that they make."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind

from seqbench.verdicts.components import (
    Components,
    from_bootstrap,
    from_groups,
    from_seeds,
    on_new_data,
    on_these_data,
)
from seqbench.verdicts.scores import Groups, Runs, group_df


def _known(groups: float, a: float, b: float, both: float) -> Components:
    parts = [np.array(value) for value in (1.0, groups, a, b, both)]
    gain, of_groups, of_a, of_b, of_both = parts
    return Components(gain, of_groups, 9.0, of_a, 4.0, of_b, 4.0, of_both, np.array(0.0))


def test_e1_is_welch() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((50, 9)), 2 * rng.standard_normal((50, 7))
    welch = ttest_ind(a, b, axis=1, equal_var=False)
    found = on_these_data(from_seeds(Runs(a), Runs(b)))
    assert np.allclose(welch.pvalue, found.p)
    low, high = welch.confidence_interval(0.95)
    assert np.allclose(low, found.low)
    assert np.allclose(high, found.high)


def test_e2_without_seeds_is_the_t_test_over_groups() -> None:
    """Two baselines differ by groups alone."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 12))
    parts = from_groups(np.tile(a, (2, 1)), np.tile(b, (2, 1)))
    d = a - b
    assert np.isclose(d.var(ddof=1) / 12, parts.groups)
    assert np.isclose(0, parts.both)
    p = 2 * student.sf(abs(d.mean()) / np.sqrt(d.var(ddof=1) / 12), 11)
    assert np.isclose(p, on_new_data(parts).p)


def test_components_by_hand() -> None:
    """Two models, two seeds, three groups."""
    a = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
    b = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    parts = from_groups(a, b)
    # Run scores 2, 5 and 0, 2; differences of groups 1, 2, 4.5, with mean 2.5.
    assert np.isclose(2.5, parts.gain)
    assert np.isclose(4.5 / 2, parts.a)
    assert np.isclose(2 / 2, parts.b)
    assert np.isclose((1.5**2 + 0.5**2 + 2.0**2) / 6, parts.groups)
    # Rest of the first model: -+1 (2, 3, 5.5) less its group and run means: .5, .5, -1.
    assert np.isclose(2 * (0.5**2 + 0.5**2 + 1.0**2) / (3 * 2 * 1 * 2), parts.both)


def test_the_variance_is_the_largest_of_three() -> None:
    for parts, variance in (
        (_known(4, 1, 1, 0.5), 5.5),
        (_known(4, 1, 1, 3.0), 4.0),
        (_known(1, 2, 2, 3.0), 4.0),
    ):
        assert np.isclose(variance, on_new_data(parts).error ** 2)


def test_degrees_of_freedom_are_satterthwaites() -> None:
    found = on_new_data(_known(4, 1, 1, 0.5))
    assert np.isclose(5.5**2 / (16 / 9 + 1 / 4 + 1 / 4), found.df)
    # At least the smallest of the three.
    assert 4 == on_new_data(_known(1, 1, 0, 1)).df


def test_bootstrap_scores_give_the_components_of_groups() -> None:
    """G / (G - 1) undoes the bootstrap's shrinkage; weighted means of unequal groups too."""
    rng = np.random.default_rng(2)
    y = rng.standard_normal((2, 6, 30)) + 2 * rng.standard_normal(30)
    y[0] += rng.standard_normal(30)
    sizes = rng.integers(1, 9, 30).astype(float)
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=40_000).astype(float)
    drawn = ((y * sizes) @ counts.T) / (counts @ sizes)
    scores = (y * sizes).sum(-1) / sizes.sum()
    groups = Groups.of(sizes.tolist())
    ours = from_bootstrap(Runs(scores[0], drawn[0]), Runs(scores[1], drawn[1]), groups)
    truth = from_groups(y[0], y[1], sizes)
    for name in ("gain", "a", "b", "groups_df"):
        assert np.isclose(getattr(truth, name), getattr(ours, name)), name
    for name in ("groups", "both"):
        assert np.isclose(getattr(truth, name), getattr(ours, name), rtol=0.1), name
    assert np.isclose(group_df(sizes), ours.groups_df)


def test_draws_without_a_score_are_left_out() -> None:
    rng = np.random.default_rng(3)
    a, b = (Runs(rng.standard_normal(5), rng.standard_normal((5, 200))) for _ in "ab")
    whole = from_bootstrap(a, b, Groups(8))
    for runs, place in ((a, 3), (b, 199)):
        drawn = np.insert(np.asarray(runs.bootstrap), 7, 99.0, axis=1)
        other = b if runs is a else a
        drawn[place % 5, 7] = np.nan
        with_nan = Runs(runs.scores, drawn)
        padded = Runs(other.scores, np.insert(np.asarray(other.bootstrap), 7, -99.0, axis=1))
        pair = (with_nan, padded) if runs is a else (padded, with_nan)
        found = from_bootstrap(*pair, Groups(8))
        assert np.isclose(whole.groups, found.groups)
        assert np.isclose(whole.both, found.both)


def test_a_fixed_score_adds_no_seeds() -> None:
    rng = np.random.default_rng(4)
    a = Runs(rng.standard_normal(6), rng.standard_normal((6, 300)))
    b = Runs(np.zeros(1), rng.standard_normal((1, 300)), fixed=True)
    parts = from_bootstrap(a, b, Groups(20))
    assert 0 == parts.b
    one_sample = np.var(a.scores, ddof=1) / 6
    t = a.scores.mean() / np.sqrt(one_sample)
    assert np.isclose(2 * student.sf(abs(t), 5), on_these_data(parts).p)
    assert 5 <= on_new_data(parts).df < 30


def test_data_sets_side_by_side_are_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    y = rng.standard_normal((2, 4, 6, 9))
    together = on_new_data(from_groups(*y))
    for place in range(4):
        alone = on_new_data(from_groups(y[0, place], y[1, place]))
        assert np.isclose(together.p[place], alone.p)
        assert np.isclose(together.low[place], alone.low)


@pytest.mark.parametrize("value", [0.3, 0.0, 1e38, 1e-300])
def test_rounding_is_no_difference(value: float) -> None:
    """Means of ten and of seven equal numbers differ in their last bit."""
    found = on_these_data(from_seeds(Runs(np.full(10, value)), Runs(np.full(7, value))))
    assert found.p > 0.99
    assert found.low <= 0 <= found.high


def test_scores_without_any_spread_are_different() -> None:
    found = on_these_data(from_seeds(Runs(np.full(10, 0.9)), Runs(np.full(10, 0.8))))
    assert found.p < 1e-12
    assert np.isclose(0.1, found.low)


def test_the_interval_and_the_test_agree() -> None:
    rng = np.random.default_rng(6)
    y = rng.standard_normal((2, 500, 6, 9))
    y[0] += 0.5
    for alpha in (0.05, 0.0056):
        found = on_new_data(from_groups(*y), alpha)
        assert ((found.p <= alpha) == ((found.low > 0) | (found.high < 0))).all()
        assert ((found.p_of(0.5) <= alpha) == ((found.low > 0.5) | (found.high < 0.5))).all()
        wide = on_new_data(from_groups(*y), 2 * alpha)
        inside = (wide.low > -1) & (wide.high < 1)
        assert ((found.p_equivalent(1.0) <= alpha) == inside).all()


def test_swapped() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((6, 9)), rng.standard_normal((8, 9))
    there, back = from_groups(a, b), from_groups(b, a)
    for item, other in ((there.swapped(), back), (on_new_data(there).swapped(), on_new_data(back))):
        for name in vars(other):
            assert np.allclose(getattr(item, name), getattr(other, name)), name
    assert np.isclose(on_new_data(there).not_excluded, on_new_data(back).not_excluded)
