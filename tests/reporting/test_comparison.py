"""What is compared with what, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from seqbench.reporting.comparison import Practical, compare
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


def test_differences_are_paired_by_seed(family: Family) -> None:
    """What a seed does to both models cancels: as scipy says of the differences."""
    table = only(family(lstm=8.5, gru=8.48))
    gru, lstm = table.variants
    assert ("gru", "lstm") == (gru.label, lstm.label)
    difference = np.subtract(gru.scores, lstm.scores)
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert gru.control is not None
    assert expected.pvalue == pytest.approx(gru.control.p)
    assert difference.mean() == pytest.approx(gru.control.mean)
    assert 2 / 2**10 == gru.control.smallest_p
    unpaired = stats.ttest_ind(gru.scores, lstm.scores).pvalue
    assert gru.control.p < 0.05 < 0.3 < unpaired


def test_a_pair_turned_round_is_the_same_pair(family: Family) -> None:
    table = only(family(lstm=8.5, gru=8.4))
    one, other = table.pairs["gru", "lstm"], table.pairs["lstm", "gru"]
    assert one.mean == -other.mean
    assert (one.interval.low, one.interval.high) == (-other.interval.high, -other.interval.low)
    assert 1 == one.improvement + other.improvement
    assert (one.p, one.p_holm) == (other.p, other.p_holm)


def test_what_cannot_be_separated_shares_ranks(family: Family) -> None:
    """Two models of one mean, a better and a worse one: 1, 2-3, 2-3, 4; one is bold."""
    table = only(family(a=8.0, b=8.5, c=8.5005, d=9.0))
    assert {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)} == {
        item.label: item.rank for item in table.variants
    }


@pytest.mark.parametrize(
    ("models", "seeds", "needed"), [(2, 5, 6), (2, 6, None), (4, 7, 8), (6, 9, 10), (6, 10, None)]
)
def test_too_few_seeds_are_exploratory(
    family: Family, models: int, seeds: int, needed: int | None
) -> None:
    """Also where the smallest p would not survive the adjustment for all pairs."""
    table = only(family(range(seeds), **{f"m{at}": 8 + at / 2 for at in range(models)}))
    assert (needed is not None) == table.is_exploratory
    if needed:
        assert f"cannot tell {models} models apart, {needed} can" in verdict(table)
    assert table.is_exploratory == all(item.rank == (1, models) for item in table.variants)


def test_a_difference_that_does_not_matter(family: Family) -> None:
    """Within the region it is equivalent, though it is real; beyond it is not."""
    runs = family(noise=0.001, lstm=8.5, gru=8.49)
    for practical, equivalent in (
        (Practical(0.1, False), True),
        (Practical(0.001, False), False),
        (Practical(0.01, True), True),
        (None, None),
    ):
        table = only(runs, practical=practical)
        assert table.pairs["gru", "lstm"].is_real
        assert equivalent is table.pairs["gru", "lstm"].equivalent
    assert "a difference too small to matter" in verdict(only(runs, practical=Practical(1, False)))


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


def test_failed_trials_stand_and_are_left_out(family: Family, logged: Make) -> None:
    """Of ten seeds nine finished: the mean is of nine, and the reason is told."""
    runs = family(lstm=8.5, gru=8.4)
    runs[3] = logged("lstm", 3, status="OOM", reason="used 3 GiB", metrics={})
    runs[4] = logged("lstm", 4, math.nan)
    table = only(runs)
    lstm = next(item for item in table.variants if item.label == "lstm")
    assert (8, 10) == (len(lstm.scored), len(lstm.trials))
    assert 8 == table.pairs["gru", "lstm"].seeds
    assert [0, 1, 2, 5, 6, 7, 8, 9] == table.complete_seeds
    notes = "\n".join(table_notes(table))
    assert "lstm, seed 3: OOM: used 3 GiB" in notes
    assert "lstm, seed 4: FINISHED: its score is nan" in notes


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
    assert ("mine", "lstm") in only(runs).pairs


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


def test_groups_of_the_test_data(logged: Make) -> None:
    """Bootstrap scores are averaged over seeds, and subtracted draw by draw."""
    draws = np.random.default_rng(0).normal(0, 0.5, 1000)
    runs = [
        logged(model, seed, mean, group="piece", bootstrap_scores=(mean + draws).tolist())
        for model, mean in (("lstm", 8.5), ("gru", 8.4))
        for seed in range(6)
    ]
    table = only(runs)
    gru = table.variants[0]
    assert tuple(np.percentile(8.4 + draws, [2.5, 97.5])) == pytest.approx(gru.groups, abs=1e-5)
    assert (-0.1, -0.1) == pytest.approx(table.pairs["gru", "lstm"].groups, abs=1e-5)
    runs[0].record.bootstrap_scores = []
    assert only(runs).variants[1].groups is None


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
