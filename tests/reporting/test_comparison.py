"""What is compared with what, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from seqbench.reporting.comparison import compare
from seqbench.reporting.models import Comparison
from seqbench.reporting.notes import table_notes
from seqbench.reporting.table import Table
from seqbench.reporting.trials import make_trials
from seqbench.reporting.verdict import verdict
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def tables_of(runs: list[LoggedTrial], **options: object) -> list[Table]:
    return compare(make_trials(runs), **options)  # type: ignore[arg-type]


def only(runs: list[LoggedTrial], **options: object) -> Table:
    (table,) = tables_of(runs, **options)
    return table


def test_uncommitted_changes_are_counted(family: Family, logged: Make) -> None:
    """Of any checkout that code came from; a note says of how many trials and which variants."""
    runs = family(lstm=8.5, gru=8.4)
    assert "uncommitted" not in "\n".join(table_notes(only(runs)))
    dirty = {"git_seqbench": "0123456+changes", "git_model": "89abcde"}
    for seed in (3, 4):
        runs[seed] = logged("lstm", seed, 8.5, environment=dirty)
    table = only(runs)
    note = f"2 of {len(runs)} trials were trained with uncommitted changes: lstm."
    assert note in table_notes(table)
    assert 2 == sum(bool(trial.uncommitted) for trial in table.trials)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {"harness": "other"}},
        {"parts": {"task": "other"}},
        {"parts": {"conditions": "1"}},
        {"config": {"task": {"fold": 1}}},
        {"config": {"recipe": {"max_epochs": 3}}},
        {"config": {"trainer": {"accelerator": "gpu"}}},
    ],
)
def test_conditions_are_never_mixed(family: Family, logged: Make, change: dict) -> None:
    """What a fair comparison must share splits tables; each is told apart."""
    runs = [
        *family(lstm=8.5),
        *(logged("gru", seed, 8.4, began=9.0, **change) for seed in range(10)),
    ]
    tables = tables_of(runs)
    assert [["gru"], ["lstm"]] == sorted(
        [item.label for item in table.variants] for table in tables
    )
    assert 2 == len({table.conditions for table in tables})
    assert 2 == len({table.name for table in tables}) or tables[1].is_old


@pytest.mark.parametrize(
    "change", [{"model": {"hidden_size": 64}}, {"recipe": {"lr": 0.1}}], ids=["size", "rate"]
)
def test_variants_of_a_model_are_variants(family: Family, logged: Make, change: dict) -> None:
    """They are named by what differs."""
    runs = [*family(lstm=8.5), *(logged("lstm", s, 8.4, began=2, config=change) for s in range(10))]
    labels = {item.label for item in only(runs).variants}
    (key, value) = next(iter(next(iter(change.values())).items()))
    assert f"lstm {next(iter(change))}.{key}={value}" in labels
    assert 2 == len(labels)


def test_changed_code_of_a_model_is_another_variant(family: Family, logged: Make) -> None:
    runs = [*family(lstm=8.5), logged("lstm", 0, 8.4, began=2, parts={"model": "new"})]
    assert {"lstm code=bbbb", "lstm code=new"} == {item.label for item in only(runs).variants}


def test_a_plugins_model_is_compared_with_those_that_are_built_in(
    family: Family, logged: Make
) -> None:
    """Whose a model is is no part of the conditions."""
    runs = [*family(lstm=8.5), *(logged("mine", seed, 8.4) for seed in range(10))]
    for run in runs:
        origin = "built-in" if run.record.model == "lstm" else "/home/me/mine.py"
        run.tags["seqbench.model_origin"] = origin  # type: ignore[index]
    assert {"mine", "lstm"} == {item.label for item in only(runs).variants}


def test_a_table_is_named_by_what_is_known(logged: Make) -> None:
    """Also where a plugin's model, whose defaults are not here, comes first."""
    short = {"recipe": {"max_epochs": 3}}
    runs = [logged("mine", 0, began=9.0, config=short), logged("lstm", 0, config=short)]
    runs.append(logged("mine", 1, config={"recipe": {"max_epochs": 1, "max_examples": 16}}))
    same = {"task.fold": 0, "trainer.accelerator": "cpu", "recipe.max_examples": None}
    defaults = {("music", "lstm"): {**same, "recipe.max_epochs": 200}}
    names = [table.name for table in tables_of(runs, defaults=defaults)]
    assert "music recipe.max_epochs=3" == names[0]


def test_a_trial_that_ran_twice_counts_once(logged: Make) -> None:
    """The latest that has finished; a later failure does not take its place."""
    runs = [
        logged(status="FAILED", reason="late", began=3, metrics={}),
        logged(score=8.2, began=2),
        logged(score=8.1, began=1),
    ]
    (trial,) = make_trials(runs)
    assert 8.2 == trial.score


def test_contexts_stand_apart_only_where_the_answer_could_be_seen(family: Family) -> None:
    runs = family(lstm=8.5, bilstm=8.0)
    for run in runs:
        if run.record.model == "bilstm":
            run.record.context = "past+future"
    assert [["lstm"], ["bilstm"]] == [
        [item.label for item in table.variants] for table in tables_of(runs)
    ]
    for run in runs:
        run.record.context = "all" if run.record.model == "bilstm" else "past"
    assert 2 == len(only(runs).variants)


def test_conditions_that_have_only_begun_replace_none(family: Family, logged: Make) -> None:
    """Until it has a score the one before is the current one."""
    new = {"parts": {"harness": "new"}, "began": 2000.0}
    running = logged("lstm", 0, status="RUNNING", metrics={}, environment={}, **new)
    tables = tables_of([running, *family(lstm=8.5)])
    assert [False, False] == [table.is_old for table in tables]
    tables = tables_of([logged("lstm", 0, **new), *family(lstm=8.5)])
    assert [False, True] == [table.is_old for table in tables]


def test_a_run_without_a_record_belongs_to_its_conditions(family: Family, logged: Make) -> None:
    """What was killed tells nothing of its machine; its configuration and code are known."""
    runs = family(lstm=8.5)
    runs.append(logged("lstm", 10, status="KILLED", metrics={}, environment={}))
    assert 11 == len(only(runs).variants[0].trials)


def test_candidates_of_a_tuning_are_not_compared(family: Family, logged: Make) -> None:
    """Nor are they when their configuration was chosen; the final trials are."""
    final = [logged("gru", seed, parent="t", tuning="20 candidates") for seed in range(3)]
    candidates = [logged("gru", seed, parent="t") for seed in range(10, 15)]
    trials = make_trials([*family(lstm=8.5), *final, *candidates], ["t"])
    assert 5 == sum(trial.candidate for trial in trials)
    (table,) = compare(trials)
    assert 3 == next(len(item.trials) for item in table.variants if item.label == "gru")


def test_why_there_is_nothing_to_compare(logged: Callable[..., LoggedTrial]) -> None:
    """A score that is no number, and a trial that failed, are said where nothing is compared."""
    runs = [
        logged("lstm", 0, math.nan),
        logged("gru", 0, status="FAILED", reason="the loss became nan", metrics={}),
    ]
    (line,) = Comparison([], tables_of(runs)).not_compared
    assert "0 of 1 trials" in line
    assert "its score is nan" in line
    assert "the loss became nan" in line


def test_the_wanted_control_is_missing(family: Family) -> None:
    """Another takes its place, and the table says so."""
    notes = table_notes(only(family(lstm=8.5, gru=8.4), control="rnn"))
    assert "control=rnn is not ranked here: compared with lstm." in notes


def test_the_control_has_most_seeds_then_fewest_changes(logged: Make) -> None:
    runs = [logged("lstm", seed, 8.5) for seed in range(6)]
    runs += [logged("lstm", 0, 5.0, config={"model": {"hidden_size": 64}})]
    runs += [logged("lstm", seed, 8.0, config={"recipe": {"lr": 0.1}}) for seed in range(6)]
    defaults = {("music", "lstm"): {"model.hidden_size": 128, "recipe.lr": 0.003}}
    table = only(runs, defaults=defaults)
    assert "recipe.lr" not in table.control
    assert "hidden_size=64" not in table.control


def test_runs_whose_configuration_is_lost(family: Family, logged: Make) -> None:
    """They are no conditions and no variant: they neither replace nor join any."""
    runs = family(lstm=8.5, gru=8.4)
    for size, seed in ((16, 0), (None, 1)):
        lost = logged("lstm", seed, 8.0, began=5000.0, max_examples=size)
        lost.config.clear()  # type: ignore[attr-defined]
        runs.append(lost)
    tables = compare(make_trials(runs))
    assert ["music", "music configuration lost"] == [table.name for table in tables]
    assert [False, False] == [table.is_old for table in tables]
    assert [10, 10, 1, 1] == [len(item.scores) for table in tables for item in table.variants]
    assert verdict(tables[1]).startswith("Nothing can be said of music configuration lost: what ")
    assert tables[1].is_smoke


def test_what_failed_does_not_renew_older_conditions(family: Family, logged: Make) -> None:
    old = {"parts": {"harness": "old"}}
    runs = [
        *family(lstm=8.5, gru=8.4),
        logged("lstm", 0, 8.6, began=10.0, **old),
        logged("lstm", 1, status="FAILED", metrics={}, began=9000.0, **old),
    ]
    tables = compare(make_trials(runs))
    assert [(False, 20), (True, 2)] == [(table.is_old, len(table.trials)) for table in tables]


def test_another_budget_is_no_older_conditions(family: Family, logged: Make) -> None:
    """Where models have budgets of their own by default, tables are named by them."""
    own = {"recipe": {"max_epochs": 30}}
    defaults = {
        ("music", "lstm"): {"recipe.max_epochs": 200},
        ("music", "x"): {"recipe.max_epochs": 30},
    }
    runs = [
        *family(lstm=8.5),
        *(logged("x", seed, 8.4, began=9.0, config=own) for seed in range(10)),
    ]
    for found in defaults.values():
        found |= {"task.fold": 0, "trainer.accelerator": "cpu", "recipe.max_examples": None}
    tables = compare(make_trials(runs), defaults=defaults)
    assert [False, False] == [table.is_old for table in tables]
    assert {"music recipe.max_epochs=200", "music recipe.max_epochs=30"} == {
        table.name for table in tables
    }


def test_a_failure_before_anything_was_known(logged: Make) -> None:
    """It stands with the others of its model."""
    runs = [logged("bilstm", seed, 8.0, context="past+future") for seed in range(3)]
    runs.append(logged("bilstm", 3, status="FAILED", metrics={}, context=""))
    assert 4 == len(only(runs).trials)


def test_labels_are_unique(logged: Make) -> None:
    """Also where a model is called like another one's variant."""
    runs = [logged("lstm", 0), logged("lstm", 0, began=2, config={"recipe": {"lr": 1}})]
    runs.append(logged("lstm recipe.lr=1", 0))
    assert 3 == len({item.label for item in only(runs).variants})
