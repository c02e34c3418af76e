"""Two models: what is known of new data, of these data, and of single runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from seqbench.verdicts.components import from_bootstrap, on_new_data
from seqbench.verdicts.pair import compare
from seqbench.verdicts.scores import Groups, Runs

TEN = Groups(10)


def runs(seed: int, n: int = 8, mean: float = 0.0, draws: int = 300) -> Runs:
    rng = np.random.default_rng(seed)
    scores = mean + rng.standard_normal(n)
    return Runs(scores, scores[:, None] + 0.3 * rng.standard_normal((n, draws)))


TRIVIAL = Runs(
    np.array([-3.0]), np.random.default_rng(99).standard_normal((1, 300)) - 3, fixed=True
)


def test_all_three_questions_are_answered() -> None:
    a, b = runs(0, mean=1), runs(1, n=6)
    found = compare(a, b, TEN, TRIVIAL)
    assert "" == found.why_not
    assert np.isclose(ttest_ind(a.scores, b.scores, equal_var=False).pvalue, found.on_these_data.p)
    assert np.isclose(on_new_data(from_bootstrap(a, b, TEN)).p, found.on_new_data.p)
    assert found.single.chance > 0.5
    lead = a.scores.mean() - b.scores.mean()
    assert np.isclose(lead / (a.scores.mean() + 3), found.vanishes_at)


def test_a_failed_run_counts_the_trivial_score() -> None:
    """In the mean, in its variance and in every draw; and it loses to every finished run."""
    a, b = runs(2), runs(3)
    lost = Runs(a.scores[:6], a.bootstrap[:6], failed=2)
    filled = Runs(
        np.r_[a.scores[:6], -3, -3], np.concatenate([a.bootstrap[:6], *[TRIVIAL.bootstrap] * 2])
    )
    found, truth = compare(lost, b, TEN, TRIVIAL), compare(filled, b, TEN)
    for name in ("gain", "p", "low", "high"):
        for what in ("on_new_data", "on_these_data"):
            assert np.isclose(
                getattr(getattr(truth, what), name), getattr(getattr(found, what), name)
            )
    assert found.single.chance <= compare(a, b).single.chance
    assert truth.on_new_data.gain < compare(a, b, TEN).on_new_data.gain


def test_a_model_that_always_fails_is_as_good_as_the_trivial_predictor() -> None:
    found = compare(Runs(np.zeros(0), failed=8), runs(4), TEN, TRIVIAL)
    assert "" == found.why_not
    assert np.isclose(-3 - runs(4).scores.mean(), found.on_new_data.gain)
    assert 0 == found.single.chance


def test_failures_without_a_trivial_score_are_not_passed_over() -> None:
    """Leaving them out would claim too much: the means are unknown, single runs are not."""
    found = compare(Runs(runs(5).scores, runs(5).bootstrap, failed=1), runs(6), TEN)
    assert "what a failed run counts in a mean is not known" == found.why_not
    assert found.on_new_data is found.on_these_data is found.vanishes_at is None
    assert found.single is not None


@pytest.mark.parametrize(
    ("a", "groups", "why"),
    [
        (runs(7), None, "the test data have no groups"),
        (runs(7), Groups(0), "the test data have no groups"),
        (runs(7), Groups(4), "4 test groups, fewer than 5"),
        (runs(7), Groups(90, (), (88, 2)), "2 test groups of a class, fewer than 5"),
        (Runs(runs(7).scores), TEN, "there are no bootstrap scores"),
        (runs(7, draws=200), TEN, "the bootstrap scores are of different draws"),
    ],
)
def test_without_enough_test_data_only_e1_is_known(a: Runs, groups: Groups, why: str) -> None:
    found = compare(a, runs(8), groups)
    assert why == found.why_not
    assert found.on_new_data is None
    assert found.on_these_data is not None


def test_draws_without_scores_are_too_few() -> None:
    a = runs(9)
    a.bootstrap[3, 60:] = np.nan
    found = compare(a, runs(10), TEN)
    assert "60 draws of test groups with a score, fewer than 100" == found.why_not
    assert found.on_new_data is None


@pytest.mark.parametrize(
    ("n", "why"),
    [(4, "4 seeds of a model, fewer than 5"), (5, ""), (2, "2 seeds of a model, fewer than 5")],
)
def test_few_seeds_are_exploratory(n: int, why: str) -> None:
    found = compare(runs(11, n=n), runs(12), TEN)
    assert why == found.why_not
    assert found.on_new_data is not None


@pytest.mark.parametrize(("n", "why"), [(1, "a model has 1 run"), (0, "a model has no runs")])
def test_one_run_has_no_spread(n: int, why: str) -> None:
    a = Runs(np.zeros(n), np.zeros((n, 300)))
    found = compare(a, runs(12), TEN)
    assert why == found.why_not
    assert found.on_these_data is found.single is None


def test_a_baseline_has_no_seeds() -> None:
    found = compare(runs(13, mean=2), TRIVIAL, TEN, TRIVIAL)
    assert "" == found.why_not
    assert 1 == found.single.chance
    both = compare(TRIVIAL, Runs(np.zeros(1), np.zeros((1, 300)), fixed=True), TEN)
    assert "" == both.why_not
    assert both.single is None
    assert 9 == both.on_new_data.df


def test_a_baseline_that_failed_is_filled_like_a_model() -> None:
    found = compare(runs(14), Runs(np.zeros(0), failed=1, fixed=True), TEN, TRIVIAL)
    assert "" == found.why_not
    assert np.isclose(runs(14).scores.mean() + 3, found.on_new_data.gain)


def test_a_look_that_was_not_planned_is_exploratory() -> None:
    found = compare(runs(15, mean=9), runs(16), TEN, alpha=None)
    assert "no look was planned after so many seeds" == found.why_not
    assert np.isclose(compare(runs(15, mean=9), runs(16), TEN).on_new_data.p, found.on_new_data.p)


def test_swapped() -> None:
    a, b = runs(17, mean=1), runs(18)
    there, back = compare(a, b, TEN, TRIVIAL).swapped(), compare(b, a, TEN, TRIVIAL)
    for what in ("on_new_data", "on_these_data", "single", "parts"):
        for name, value in vars(getattr(back, what)).items():
            assert np.allclose(value, getattr(getattr(there, what), name), equal_nan=True)
    assert np.isclose(back.vanishes_at, there.vanishes_at)
