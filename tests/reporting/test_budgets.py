"""Budgets of tunings: written, read and compared by their fields."""

from __future__ import annotations

import dataclasses

import pytest

from seqbench.reporting.budgets import Budget, same_budget

SPACE = {"recipe.lr": "tag(log,interval(0.0003,0.02))", "recipe.schedule": "choice('a b',cosine)"}
BUDGET = Budget.of(20, [1, 0], 1, "tpe", 0, SPACE)
OLD = (
    "20 candidates x seeds 0, 1, tpe with seed 0, study music-{}, space: "
    "recipe.lr=tag(log,interval(0.0003,0.02)) recipe.schedule=choice('a b',cosine)"
)


@pytest.mark.parametrize("budget", [BUDGET, dataclasses.replace(BUDGET, folds=5)])
def test_a_budget_is_read_as_it_was_written(budget: Budget) -> None:
    assert budget == Budget.read(str(budget))


def test_equal_budgets_are_equal_whatever_the_model_and_its_study() -> None:
    """Also those of runs of before, which name their study."""
    words = [OLD.format("lstm-01234567"), OLD.format("gru-89abcdef"), str(BUDGET)]
    assert 3 == len(set(words))
    assert same_budget(words)
    assert same_budget(["", ""])
    assert same_budget([])


@pytest.mark.parametrize(
    "other",
    [
        {"candidates": 21},
        {"seeds": (0, 1, 2)},
        {"folds": 5},
        {"sampler": "random"},
        {"sampler_seed": 1},
        {"space": frozenset({**SPACE, "recipe.lr": "tag(log,interval(0.0003,0.2))"}.items())},
        {"space": frozenset(list(SPACE.items())[:1])},
    ],
    ids=lambda other: next(iter(other)),
)
def test_budgets_that_differ_in_a_field_are_not_equal(other: dict[str, object]) -> None:
    changed = dataclasses.replace(BUDGET, **other)  # type: ignore[arg-type]
    assert not same_budget([str(BUDGET), str(changed)])


def test_a_model_that_was_not_tuned_had_no_budget() -> None:
    assert not same_budget([str(BUDGET), ""])


def test_words_of_a_user_are_compared_as_they_stand() -> None:
    assert same_budget(["by hand, two evenings"] * 2)
    assert not same_budget(["by hand, two evenings", "by hand"])
    assert Budget.read("by hand") is None
