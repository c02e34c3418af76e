"""A verdict claims no more than the tests do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seqbench.records import MetricInfo
from seqbench.reporting.columns import score_layout
from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.forms import Form
from seqbench.reporting.notes import table_notes
from seqbench.reporting.table import MOST_PAIRED, Difference, Table
from seqbench.reporting.trials import make_trials
from seqbench.reporting.verdict import verdict
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def only(runs: list[LoggedTrial], **options: object) -> Table:
    (table,) = compare(make_trials(runs), **options)  # type: ignore[arg-type]
    return table


def test_the_best_and_the_one_that_comes_closest(family: Family) -> None:
    text = verdict(only(family(a=8.0, b=8.5, c=8.5005, d=9.0)))
    assert text.startswith("a is best on music, better than b by 0.4975 (95% ")
    assert text.endswith("All beat the best simple predictor, logistic_regression (9.400).")


def test_verdict_of_leaders_that_cannot_be_told_apart(family: Family) -> None:
    table = only(family(gru=8.5, lstm=8.5005, rnn=9.5, nfg=9.6))
    text = verdict(table)
    assert "lstm and gru cannot be told apart on music (p = " in text
    assert "10 seeds). rnn and nfg are worse than both (adjusted p ≤ 0.05)." in text
    assert text.endswith(
        "lstm and gru beat the best simple predictor, logistic_regression (9.400); rnn and nfg "
        "are worse than it."
    )


def test_where_larger_is_better(family: Family) -> None:
    runs = family(lstm=0.6, gru=0.7)
    for run in runs:
        run.record.primary = MetricInfo("nll", "max")
        run.record.baselines = {"chance": {"nll": 0.1}, "strong": {"nll": 0.65}}
    table = only(runs)
    assert "gru is best on music" in verdict(table)
    text = verdict(table)
    assert "Neither can be told from the best simple predictor, strong (0.650)." in text
    low, high = table.pairs["gru", "lstm"].interval
    assert f"(95% interval {low:.4f} to {high:.4f};" in text
    assert ("chance", 0.1) == table.trivial_baseline


def test_the_best_is_who_wins_on_shared_seeds(logged: Make) -> None:
    """Seeds of its own make the mean of the loser look better."""
    runs = [logged("lstm", seed, 8.0 + seed / 10 + 0.001 * (seed % 3)) for seed in range(10)]
    runs += [logged("gru", seed, 8.1 + seed / 10) for seed in range(10)]
    runs += [logged("gru", seed, 5.0) for seed in range(10, 20)]
    table = only(runs)
    assert ["gru", "lstm"] == [item.label for item in table.variants]
    assert verdict(table).startswith("lstm is best on music, better than gru by 0.09")


def test_models_that_beat_each_other_in_a_circle(logged: Make) -> None:
    """On three sets of seeds, each shared by two of three models."""
    runs = []
    for first, (better, worse) in enumerate([("a", "b"), ("b", "c"), ("c", "a")]):
        for seed in range(20 * first, 20 * first + 12):
            runs += [logged(better, seed, 8.0 + seed % 7 / 50), logged(worse, seed, 8.5)]
    table = only(runs)
    assert [2, 2, 2] == [item.rank[0] for item in table.variants]
    assert verdict(table).startswith("No model is unbeaten on music: on the seeds that two have ")


def test_a_leader_that_beats_only_some(logged: Make) -> None:
    """B is beaten by a, and c by b alone: nobody has run a and c on the same seeds."""
    runs = [logged("a", seed, 8.0) for seed in range(12)]
    runs += [logged("b", seed, 8.5 + seed % 3 / 100) for seed in range(24)]
    runs += [logged("c", seed, 9.0) for seed in range(12, 24)]
    text = verdict(only(runs))
    assert "No model is better than a on music: it is better than b (adjusted p ≤ 0.05), " in text
    assert "it shares no seeds with c." in text


def test_an_interval_that_holds_0_is_printed_as_it_is(logged: Make) -> None:
    """A test and an interval can disagree; the sign of an end is not lost."""
    differences = [0.001] * 9 + [3.0]
    runs = [logged("lstm", seed, 9.0) for seed in range(10)]
    runs += [logged("gru", seed, 9.0 - value) for seed, value in enumerate(differences)]
    table = only(runs)
    pair = table.pairs["gru", "lstm"]
    assert pair.is_real
    assert pair.interval.low < 0 < pair.interval.high
    low, high = -pair.interval.high, -pair.interval.low
    text = verdict(table)
    assert f"(95% interval {low:.4f} to {high:.4f}, which holds 0; " in text


def test_leaders_of_which_some_share_no_seeds(logged: Make) -> None:
    """What was not compared is not said to be equivalent."""
    runs = [logged("a", seed, 8.0) for seed in range(10)]
    runs += [logged("b", seed, 8.0 + seed % 2 / 1000) for seed in range(20)]
    runs += [logged("c", seed, 8.0) for seed in range(10, 20)]
    text = verdict(only(runs, practical=Practical(1.0, False)))
    assert "cannot be told apart on music" in text
    assert "; a and c share no seeds." in text
    assert "too small to matter" not in text


def test_few_seeds_are_never_equivalent(family: Family) -> None:
    for seeds, equivalent in ((range(5), False), (range(6), True)):
        table = only(family(seeds, noise=1e-6, lstm=8.5, gru=8.5), practical=Practical(1.0, False))
        assert equivalent is table.pairs["gru", "lstm"].equivalent


@pytest.mark.parametrize(
    ("seeds", "text"), [(5, "open (±0.01, 5 seeds)"), (6, "yes, beyond ±0.01")]
)
def test_few_seeds_never_matter(family: Family, seeds: int, text: str) -> None:
    """Their interval assumes what they cannot show."""
    table = only(family(range(seeds), lstm=8.5, gru=8.0), practical=Practical(0.01, False))
    assert text == score_layout(table, Form.PAGE).lines[0].items[-1].text


def test_models_without_a_common_seed(logged: Make) -> None:
    runs = [*(logged("lstm", seed, 8.5) for seed in range(6))]
    runs += [logged("gru", seed, 8.4) for seed in range(6, 12)]
    assert verdict(only(runs)).startswith("gru and lstm share no seeds on music: they cannot be ")


def test_losers_of_some(family: Family, logged: Make) -> None:
    """Worse than one of two leaders, and worse than a model that does not lead."""
    runs = family(a=8.0, b=8.0005)[:-2]
    runs += [logged("c", seed, 8.6 + seed % 3 / 100) for seed in range(10)]
    table = only(runs)
    table.pairs["b", "c"] = table.pairs["c", "b"] = Difference(
        **{**vars(table.pairs["b", "c"]), "p_holm": 0.2}
    )
    assert "c is worse than one of them." in verdict(table)


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([9.0] * 10, "It beats the best simple predictor, logistic_regression (9.400)."),
        ([9.0, 9.9] * 5, "It cannot be told from the best simple predictor,"),
        ([9.6, 9.9] * 5, "It is worse than the best simple predictor,"),
        ([9.0] * 5, "It has a better mean than the best simple predictor,"),
        ([9.4], "It has no better mean than the best simple predictor,"),
    ],
)
def test_a_simple_predictor_is_beaten_by_an_interval(
    logged: Make, scores: list[float], text: str
) -> None:
    """By a mean alone it is not."""
    found = verdict(only([logged("lstm", seed, score) for seed, score in enumerate(scores)]))
    assert text in found


def test_equal_means_are_not_ordered(logged: Make) -> None:
    text = verdict(only([logged("lstm", 0, 8.0), logged("gru", 0, 8.0)]))
    assert "On music lstm and gru have the best mean, 8.000, which is exploratory" in text


def test_the_wanted_control_is_missing(family: Family) -> None:
    """Another takes its place, and the table says so."""
    notes = table_notes(only(family(lstm=8.5, gru=8.4), control="rnn"))
    assert "control=rnn has no score here: compared with lstm." in notes


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


def test_many_variants_are_compared_with_the_control_alone(logged: Make) -> None:
    """A grid of a thousand would have half a million pairs, and no p could survive them."""
    number = MOST_PAIRED + 5
    runs = [
        logged("gru", seed, 8.5 + step + (seed * at % 5 - 2) / 100, config={"recipe": {"lr": at}})
        for at, step in [
            (1, 0.0),
            (2, 0.0),
            *((at, (-0.5, 0.5)[at % 2]) for at in range(3, number)),
        ]
        for seed in range(12)
    ]
    runs += [logged("lstm", seed, 8.5) for seed in range(12)]
    table = only(runs)
    assert 2 * (number - 1) == len(table.pairs)
    text = verdict(table)
    assert f"{number} variants are too many to compare every pair on music" in text
    assert "each is compared with lstm alone. 21 of them are better than it (the best mean" in text
    assert "21 are worse (adjusted p ≤ 0.05); 2 cannot be told apart from it." in text
