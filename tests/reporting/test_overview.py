"""What is said across tasks, and of what."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from scipy import stats

from seqbench.reporting.comparison import compare
from seqbench.reporting.overview import Overview, overviews
from seqbench.reporting.trials import make_trials
from seqbench.reporting.verdict import overview_verdict
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def across(runs: list[LoggedTrial]) -> tuple[list[Overview], list[str]]:
    return overviews(compare(make_trials(runs)))


def only(runs: list[LoggedTrial]) -> Overview:
    ((found,), _) = across(runs)
    return found


def test_scores_across_tasks_are_normalised(family: Family) -> None:
    """The weakest simple predictor is 0 and the best run is 1, whatever the metric."""
    runs = [*family(lstm=8.5, gru=8.4), *family(task="speech", lstm=5.0, gru=7.0)]
    found = only(runs)
    assert {"lstm", "gru"} == set(found.iqm)
    best = {table.task: min(min(item.scores) for item in table.variants) for table in found.tables}
    scores = [
        (11.3 - score) / (11.3 - best[table.task])
        for table in found.tables
        for item in table.variants
        if item.label == "gru"
        for score in item.scores
    ]
    assert stats.trim_mean(scores, 0.25) == pytest.approx(found.iqm["gru"][0])
    assert "has the highest interquartile mean" in overview_verdict(found)
    assert (found.improvement + found.improvement.T == 1).all()


def test_incomplete_models_are_left_out_across_tasks(family: Family) -> None:
    runs = [
        *family(lstm=8.5, gru=8.4, rnn=9.0, nfg=9.1),
        *family(task="speech", lstm=5.0, gru=7.0),
        *family(task="speech", seeds=range(4), rnn=6.0),
    ]
    found = only(runs)
    assert {"lstm", "gru"} == set(found.iqm)
    assert {"nfg": "0 of 10 seeds on speech", "rnn": "4 of 10 seeds on speech"} == found.left_out


def test_one_task_or_one_model_has_no_overview(family: Family) -> None:
    assert ([], []) == across(family(lstm=8.5, gru=8.4))
    assert ([], []) == across([*family(lstm=8.5), *family(task="speech", lstm=5.0)])


def test_a_seed_more_does_not_end_the_overview(family: Family, logged: Make) -> None:
    """What one model alone has finished is left out, and so is a task that one model ran."""
    runs = [
        *family(lstm=8.5, gru=8.4, rnn=9.0),
        *family(task="speech", lstm=5.0, gru=7.0, rnn=6.0),
        *family(task="health", lstm=5.0),
        logged("gru", 10, 8.4),
    ]
    found = only(runs)
    assert ["music", "speech"] == [table.task for table in found.tables]
    assert [list(range(10))] * 2 == found.seeds
    assert {"lstm", "gru", "rnn"} == set(found.iqm)
    assert {} == found.left_out


def test_a_task_of_other_models_does_not_end_the_overview(family: Family) -> None:
    runs = [
        *family(lstm=8.5, gru=8.4, rnn=9.0),
        *family(task="speech", lstm=5.0, gru=7.0, rnn=6.0),
        *family(task="health", lstm=5.0, mine=6.0),
    ]
    found = only(runs)
    assert ["music", "speech"] == [table.task for table in found.tables]
    assert {"lstm", "gru", "rnn"} == set(found.iqm)
    assert {"mine", "health"} == set(found.left_out)


def test_no_block_is_said(family: Family) -> None:
    runs = [*family(lstm=8.5, gru=8.4), *family(task="speech", rnn=5.0, mine=7.0)]
    found, notes = across(runs)
    assert [] == found
    assert "no two models have finished the same seeds on two tasks" in notes[-1]


def test_a_task_that_nothing_beats_is_said(family: Family) -> None:
    """Between its weakest simple predictor and the best score there is no room to normalise."""
    runs = [
        *family(lstm=8.5, gru=8.4),
        *family(task="speech", lstm=5.0, gru=7.0),
        *family(task="health", lstm=12.0, gru=13.0),
    ]
    (found,), notes = across(runs)
    assert ["music", "speech"] == [table.task for table in found.tables]
    why = (
        "Left out across tasks: health, where nothing beats the weakest simple predictor, unigram."
    )
    assert [why] == notes


def test_older_conditions_do_not_count(family: Family, logged: Make) -> None:
    """Though it has more trials."""
    old = {"parts": {"harness": "old"}, "began": 1.0}
    runs = [
        *family(lstm=8.5, gru=8.4),
        *family(task="speech", lstm=5.0, gru=7.0),
        *(logged(model, seed, 8.0, **old) for model in ("lstm", "gru") for seed in range(20)),
    ]
    assert [list(range(10))] * 2 == only(runs).seeds


def test_one_seed_claims_nothing(family: Family) -> None:
    """One run of a task cannot be drawn otherwise: its interval would have no width."""
    runs = [*family([0], lstm=8.5, gru=8.4), *family([0], task="speech", lstm=5.0, gru=7.0)]
    found = only(runs)
    assert all(math.isnan(interval.low) for _, interval in found.iqm.values())
    text = overview_verdict(found)
    assert "which is exploratory: 1 seed" in text
    assert "overlaps" not in text


def test_variants_are_not_chosen_by_their_score(family: Family, logged: Make) -> None:
    """Of a model with two the one with fewer changes is taken, not the better one."""
    better = {"model": {"hidden_size": 256}}
    runs = [
        *family(lstm=8.5, gru=8.4),
        *(logged("gru", seed, 7.0, config=better) for seed in range(10)),
        *family(task="speech", lstm=5.0, gru=7.0),
    ]
    defaults = {(task, model): {"model.hidden_size": 128} for task in ("music", "speech")
                for model in ("lstm", "gru")}  # fmt: skip
    ((found,), _) = overviews(compare(make_trials(runs), defaults=defaults))
    assert found.iqm["gru"][0] < 0.75
