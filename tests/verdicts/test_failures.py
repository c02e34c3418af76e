"""Failed runs: the limit of their rate, and the rate at which a lead is gone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from seqbench.verdicts.failures import failure_rate_at_most, filled, vanishes_at
from seqbench.verdicts.scores import Runs


@pytest.mark.parametrize(
    ("failed", "number", "limit"), [(0, 10, 0.259), (0, 20, 0.139), (10, 10, 1.0), (0, 1, 0.95)]
)
def test_limits_that_are_known(failed: int, number: int, limit: float) -> None:
    assert np.isclose(limit, failure_rate_at_most(failed, number), atol=5e-4)


@pytest.mark.parametrize(("failed", "number"), [(1, 10), (3, 10), (9, 10)])
def test_at_the_limit_so_few_failures_are_a_rare_event(failed: int, number: int) -> None:
    assert np.isclose(0.05, binom.cdf(failed, number, failure_rate_at_most(failed, number)))


@pytest.mark.parametrize(("failed", "number"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(failed: int, number: int) -> None:
    with pytest.raises(ValueError, match="failed of"):
        failure_rate_at_most(failed, number)


def test_the_lead_vanishes_at_that_rate() -> None:
    """Of ten runs at .8 against .7: one more in three that fails, at .5, and both are equal."""
    rate = vanishes_at(0.1, 0.8, 0.5)
    assert np.isclose(0.7, (1 - rate) * 0.8 + rate * 0.5)


@pytest.mark.parametrize(
    ("gain", "mean", "failed"), [(0.1, 0.8, 0.8), (0.1, 0.8, 0.9), (0.0, 0.8, 0.5), (0.4, 0.8, 0.5)]
)
def test_a_lead_that_never_vanishes(gain: float, mean: float, failed: float) -> None:
    """A failed run costs nothing, or too little; or there is no lead."""
    assert vanishes_at(gain, mean, failed) is None


def test_filled_runs() -> None:
    trivial = Runs.of([0.5], [[0.4, 0.6]], fixed=True)
    whole = filled(Runs.of([0.9, 0.8], [[0.9, 0.9], [0.8, 0.8]], failed=2), trivial)
    assert [0.9, 0.8, 0.5, 0.5] == whole.scores.tolist()
    assert [[0.9, 0.9], [0.8, 0.8], [0.4, 0.6], [0.4, 0.6]] == whole.bootstrap.tolist()
    assert 0 == whole.failed


def test_bootstrap_scores_are_those_of_all_runs_or_none() -> None:
    drawn = [[0.9, 0.9]]
    assert filled(Runs.of([0.9], drawn, failed=1), Runs.of([0.5])).bootstrap is None
    assert filled(Runs.of([0.9], failed=1), Runs.of([0.5], [[0.4, 0.6]])).bootstrap is None
    unharmed = Runs.of([0.9], drawn)
    assert filled(unharmed, Runs.of([0.5])) is unharmed
