"""What a claim starts from: runs, groups, and the degrees of freedom of unequal groups."""

from __future__ import annotations

import numpy as np
import pytest

from seqbench.verdicts.scores import Groups, Runs, group_df, shrinkage


def test_a_score_that_is_not_finite_is_a_failed_run() -> None:
    runs = Runs.of([1.0, np.nan, 3.0, -np.inf], np.ones((4, 7)), failed=2)
    assert [1.0, 3.0] == runs.scores.tolist()
    assert (2, 7) == runs.bootstrap.shape
    assert (4, 6) == (runs.failed, runs.number)
    assert [1.0, 3.0, *[-np.inf] * 4] == runs.single.tolist()


def test_a_metric_that_is_to_be_small_is_negated() -> None:
    runs = Runs.of([0.2, np.inf, 0.1], [[1.0, 2.0]] * 3, larger_is_better=False)
    assert [-0.2, -0.1] == runs.scores.tolist()
    assert [[-1.0, -2.0]] * 2 == runs.bootstrap.tolist()
    assert 1 == runs.failed


@pytest.mark.parametrize(
    ("scores", "bootstrap"), [([[1.0]], None), ([1.0, 2.0], [[1.0]]), ([1.0], [1.0])]
)
def test_shapes_that_do_not_fit_are_refused(scores: object, bootstrap: object) -> None:
    with pytest.raises(ValueError, match="shape"):
        Runs.of(scores, bootstrap)


def _by_matrices(sizes: np.ndarray) -> float:
    """Bell and McCaffrey's df from the matrix of the quadratic form."""
    w = sizes / sizes.sum()
    residuals = np.eye(len(w)) - np.outer(np.ones(len(w)), w)
    form = residuals.T @ np.diag(w**2) @ residuals
    return float(np.trace(form) ** 2 / np.trace(form @ form))


@pytest.mark.parametrize("groups", [2, 5, 30])
def test_degrees_of_freedom_of_unequal_groups(groups: int) -> None:
    rng = np.random.default_rng(groups)
    sizes = rng.lognormal(0, 1, (20, groups))
    assert np.allclose(group_df(sizes), [_by_matrices(row) for row in sizes])
    assert np.isclose(groups - 1, group_df(np.full(groups, 7.0)))


def test_degrees_of_freedom_match_the_moments_of_the_variance() -> None:
    """A scaled chi-squared variable with that df has the estimate's mean and variance."""
    rng = np.random.default_rng(1)
    w = np.array([8.0, 4.0, 2.0, 1.0, 1.0, 1.0])
    w = w / w.sum()
    d = rng.standard_normal((200_000, 6))
    estimates = (w**2 * (d - (d @ w)[:, None]) ** 2).sum(1)
    df = 2 * estimates.mean() ** 2 / estimates.var()
    assert np.isclose(df, group_df(w), rtol=0.02)


@pytest.mark.parametrize("sizes", [[1.0] * 5, [8.0, 1.0, 1.0, 1.0, 1.0], [3.0, 2.0, 2.0, 1.0]])
def test_the_plug_in_variance_is_put_right(sizes: list[float]) -> None:
    """Its mean, times the factor, is the variance of a weighted mean of independent groups."""
    w = np.array(sizes) / np.sum(sizes)
    d = np.random.default_rng(2).standard_normal((200_000, len(w)))
    plug_in = (w**2 * (d - (d @ w)[:, None]) ** 2).sum(1)
    assert np.isclose((w**2).sum(), shrinkage(sizes) * plug_in.mean(), rtol=0.01)
    assert np.isclose(shrinkage(sizes), Groups.of(sizes).unshrunk)


def test_equal_groups_shrink_by_their_number() -> None:
    assert np.isclose(10 / 9, shrinkage(np.full(10, 3.0)))
    assert np.isclose(10 / 9, Groups(10).unshrunk)


def test_degrees_of_freedom_of_groups() -> None:
    assert 9 == Groups(10).df
    assert 9 == Groups.of([3.0] * 10).df
    assert 4 == Groups.of([1.0] * 75, [5, 70]).df
    sizes = [1.0, 2.0, 3.0, 4.0, 5.0, 20.0]
    assert np.isclose(group_df(sizes), Groups.of([*sizes, 0.0]).df)
    assert 6 == Groups.of([*sizes, 0.0]).number
    assert group_df(sizes) < 2


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (Groups(5), ""),
        (Groups(1), "1 test group, fewer than 5"),
        (Groups(4), "4 test groups, fewer than 5"),
        (Groups(75, (), (4, 71)), "4 test groups of a class, fewer than 5"),
        (Groups(75, (), (5, 70)), ""),
    ],
)
def test_few_groups_carry_no_verdict(groups: Groups, why: str) -> None:
    assert why == groups.why_not
