"""What is said across tasks, and of what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seqbench.reporting.across import overview_verdict
from seqbench.reporting.columns_across import across_layout, overview_layout
from seqbench.reporting.comparison import compare
from seqbench.reporting.forms import Form
from seqbench.reporting.overview import Overview, overviews
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def across(runs: list[LoggedTrial]) -> tuple[list[Overview], list[str]]:
    return overviews(compare(make_trials(runs)))


def only(runs: list[LoggedTrial]) -> Overview:
    ((found,), _) = across(runs)
    return found


def test_means_across_tasks_are_normalised(family: Family) -> None:
    """The weakest simple predictor is 0 and the best run is 1; the plain mean is called that."""
    runs = [*family(lstm=8.5, gru=8.4), *family(task="speech", lstm=5.0, gru=7.0)]
    found = only(runs)
    best = [min(min(item.scores) for item in table.variants) for table in found.tables]
    expected = [(11.3 - mean) / (11.3 - top) for mean, top in zip((8.4, 7.0), best, strict=True)]
    assert expected == pytest.approx(found.scores["gru"])
    assert sum(expected) / 2 == pytest.approx(found.mean("gru"))
    assert "lstm has the highest plain mean of normalised scores on these 2 tasks" in (
        overview_verdict(found)
    )
    heads = [head.text for head in overview_layout(found, Form.PAGE).heads]
    assert ["model", "plain mean", "music", "speech"] == heads


def test_better_on_at_least_so_many_of_these_tasks(family: Family) -> None:
    """On three of four tasks far better, on the fourth alike: three are sure, and named."""
    runs = [
        run
        for task, gap in (("music", 0.5), ("speech", 0.5), ("watch", 0.5), ("pbc", 0.0))
        for run in family(task=task, lstm=8.0, gru=8.0 + gap)
    ]
    found = only(runs)
    assert 3 == found.pairs["lstm", "gru"].at_least
    assert ("music", "speech", "watch") == found.pairs["lstm", "gru"].on
    assert 0 == found.pairs["gru", "lstm"].at_least
    assert "lstm is better on average than gru on at least 3 of these 4 tasks." in (
        overview_verdict(found)
    )
    (line,) = across_layout(found, Form.PAGE).lines
    assert ["lstm - gru", "3", "music, speech, watch", "0", "-"] == [i.text for i in line.items]


def test_better_on_all_of_these_tasks(family: Family) -> None:
    runs = [
        *family(lstm=8.0, gru=8.5, rnn=8.5),
        *family(task="speech", lstm=8.0, gru=8.5, rnn=8.5),
    ]
    text = overview_verdict(only(runs))
    assert "lstm is better on average than gru and rnn on all of these 2 tasks." in text
    assert "gru is better" not in text


def test_none_is_shown_to_be_better(family: Family) -> None:
    runs = [*family(lstm=8.0, gru=8.0), *family(task="speech", lstm=8.0, gru=8.0)]
    assert "None is shown to be better than another." in overview_verdict(only(runs))


def test_a_table_that_claims_nothing_bars_all(family: Family) -> None:
    """Means stand, with the reason."""
    runs = [*family(lstm=8.0, gru=8.5), *family(range(4), task="speech", lstm=8.0, gru=8.5)]
    found = only(runs)
    assert {} == found.pairs
    text = overview_verdict(found)
    assert "Nothing is claimed across tasks: speech: 4 seeds of lstm are too few." in text
    assert "better" not in text
    assert [] == across_layout(found, Form.PAGE).lines


def test_incomplete_models_are_left_out_across_tasks(family: Family) -> None:
    runs = [
        *family(lstm=8.5, gru=8.4, rnn=9.0, nfg=9.1),
        *family(task="speech", lstm=5.0, gru=7.0, rnn=6.0),
    ]
    found = only(runs)
    assert {"lstm", "gru", "rnn"} == set(found.scores)
    assert {"nfg": "not ranked on speech"} == found.left_out


def test_a_model_without_an_audit_is_left_out_across_tasks(family: Family) -> None:
    runs = [*family(lstm=8.5, gru=8.4, rnn=8), *family(task="speech", lstm=5.0, gru=7.0, rnn=8)]
    for run in runs:
        if run.record.model == "rnn":
            run.record.audit = "not possible: it is too large"
    assert {"lstm", "gru"} == set(only(runs).scores)


def test_one_task_or_one_model_has_no_overview(family: Family) -> None:
    assert ([], []) == across(family(lstm=8.5, gru=8.4))
    assert ([], []) == across([*family(lstm=8.5), *family(task="speech", lstm=5.0)])


def test_a_task_of_other_models_does_not_end_the_overview(family: Family) -> None:
    runs = [
        *family(lstm=8.5, gru=8.4, rnn=9.0),
        *family(task="speech", lstm=5.0, gru=7.0, rnn=6.0),
        *family(task="health", lstm=5.0, mine=6.0),
    ]
    found = only(runs)
    assert ["music", "speech"] == [table.task for table in found.tables]
    assert {"lstm", "gru", "rnn"} == set(found.scores)
    assert {"mine", "health"} == set(found.left_out)


def test_no_block_is_said(family: Family) -> None:
    runs = [*family(lstm=8.5, gru=8.4), *family(task="speech", rnn=5.0, mine=7.0)]
    found, notes = across(runs)
    assert [] == found
    assert "no two models are ranked on the same two tasks" in notes[-1]


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
    assert [20, 20] == [len(table.trials) for table in only(runs).tables]


def test_variants_are_not_chosen_by_their_score(family: Family, logged: Make) -> None:
    """Of a model with two the one with fewer changes is taken, not the better one."""
    better = {"model": {"hidden_size": 256}}
    runs = [
        *family(lstm=8.5, gru=8.4),
        *(logged("gru", s, 7.0, config=better, audit="passed") for s in range(10)),
        *family(task="speech", lstm=5.0, gru=7.0),
    ]
    defaults = {(task, model): {"model.hidden_size": 128} for task in ("music", "speech")
                for model in ("lstm", "gru")}  # fmt: skip
    ((found,), _) = overviews(compare(make_trials(runs), defaults=defaults))
    assert found.scores["gru"][0] < 0.75
