"""A verdict claims no more than the tests do: each claim has its words, from made-up scores."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from seqbench.records import MetricInfo
from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.notes import badge, table_notes
from seqbench.reporting.table import Table
from seqbench.reporting.trials import make_trials
from seqbench.reporting.verdict import sentences, verdict
from seqbench.tracking.logged import LoggedTrial
from seqbench.verdicts.family import Claim

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]

ON = "On music, trained on this training set and tested on new pieces,"
NO_GROUPS: dict[str, Any] = {
    "fields": {"group": "", "group_sizes": [], "bootstrap_scores": [], "baseline_bootstrap": {}}
}
STEADY = [8.5 + seed / 1000 for seed in range(10)]


def only(runs: list[LoggedTrial], **options: object) -> Table:
    (table,) = compare(make_trials(runs), **options)  # type: ignore[arg-type]
    return table


def said(runs: list[LoggedTrial], **options: object) -> str:
    """A verdict, of which every sentence is short."""
    found = sentences(only(runs, **options))
    assert max(map(len, found)) <= 300
    assert " ".join(found) == verdict(only(runs, **options))
    return " ".join(found)


def test_the_better_of_two(family: Family) -> None:
    text = said(family(lstm=8.5, gru=8.3))
    start = (
        rf"{ON} gru is best: better than lstm by 0\.2000 \(95% interval 0\.1\d+ to 0\.2\d+; p = "
    )
    assert re.match(start, text)
    assert "10 seeds, 20 pieces)." in text
    assert "Both beat the best simple predictor, logistic_regression (9.400)." in text


def test_the_best_of_four_and_who_comes_closest(family: Family) -> None:
    text = said(family(a=8.0, b=8.5, c=8.5005, d=9.0))
    assert text.startswith(f"{ON} a is best: better than each of the 3 others. b comes closest, ")
    assert "0.5000 behind (95% interval " in text


def test_the_best_needs_no_adjustment_but_the_pairs_do(family: Family) -> None:
    """An unadjusted p against each other one names the best, where Holm names no pair."""
    runs = family(spread=0.05, a=8.5, b=8.545, c=8.552, d=8.554, e=8.556)
    table = only(runs)
    ps = [table.pairs["a", other] for other in "bcde"]
    assert max(pair.p for pair in ps) <= 0.05 < max(pair.p_holm for pair in ps)
    assert "a is best" in verdict(table)


@pytest.mark.parametrize(
    ("practical", "words"),
    [
        (0.1, "The lead is more than 0.1, the smallest difference worth having."),
        (0.19, "The lead is estimated to matter, for it is above 0.19, the smallest difference"),
        (0.21, "Whether the lead matters is open: 0.21, the smallest difference worth having, is"),
        (0.5, "The lead is too small to matter: less than 0.5, the smallest difference worth"),
    ],
)
def test_whether_the_lead_matters(family: Family, practical: float, words: str) -> None:
    assert words in said(family(lstm=8.5, gru=8.3), practical=Practical(practical, False))


def test_where_larger_is_better(family: Family) -> None:
    runs = family(lstm=0.6, gru=0.7)
    for run in runs:
        run.record.primary = MetricInfo("nll", "max")
        run.record.baselines = {"chance": {"nll": 0.1}, "strong": {"nll": 0.69}}
        run.record.baseline_bootstrap = {
            "chance": [value - 11.2 for value in run.record.baseline_bootstrap["unigram"]],
            "strong": [value - 10.61 for value in run.record.baseline_bootstrap["unigram"]],
        }
    text = said(runs)
    assert "gru is best: better than lstm by 0.1000 (95% interval 0.0" in text
    assert "lstm is worse than strong." in text


def test_better_on_average_while_single_runs_overlap(family: Family) -> None:
    """The means are told apart, the runs are not."""
    gru = [8.40, 8.40, 8.41, 8.41, 8.42, 8.51, 8.51, 8.51, 8.51, 8.51]
    lstm = [8.50, 8.50, 8.50, 8.50, 8.50, 8.50, 8.50, 8.50, 8.50, 8.50]
    text = said(family(lstm=lstm, gru=gru, spread=0.001))
    assert f"{ON} gru is best on average: better than lstm by 0.0410" in text
    assert "Single runs overlap: one of gru is better than one of lstm in 50% of cases." in text


def test_usually_better_while_means_are_not_told_apart(family: Family) -> None:
    """One bad run in ten: nine of ten runs are better, and the means tell nothing."""
    text = said(family(lstm=STEADY, gru=[score - 0.05 for score in STEADY[:9]] + [9.3]))
    assert "On these test data a single run of gru is usually better than one of lstm (90%" in text
    assert "but the means are not told apart. A difference of up to " in text
    assert "best:" not in text


def test_different_directions_have_no_winner(family: Family) -> None:
    """Three runs of ten are far better, seven a little worse."""
    gru = [score + 0.02 for score in STEADY[:8]] + [7.0, 7.0]
    many = [*gru * 3]
    seeds = range(30)
    text = said(family(seeds, lstm=STEADY * 3, gru=many, spread=0.001))
    assert "The mean of gru is better than that of lstm, by " in text
    assert "a single run of lstm is usually better" in text
    assert "there is no winner" in text
    assert "gru is best" not in text


def test_what_cannot_be_told_apart_says_what_is_left_open(family: Family) -> None:
    table = only(family(lstm=8.5, gru=8.5005, rnn=9.5, nfg=9.6))
    text = verdict(table)
    assert f"{ON} lstm and gru cannot be told apart (p = " in text
    pair = table.pairs["lstm", "gru"]
    assert (
        f"A difference of up to {pair.not_excluded:.4f} is not excluded; this design finds one "
        in text
    )
    assert f"of {pair.detectable:.4f} with a probability of 80%." in text
    assert "rnn and nfg are worse than both (adjusted p ≤ 0.05)." in text
    assert "rnn and nfg are worse than logistic_regression." in text


def test_equivalent(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.501)
    text = said(runs, worth={"music": (0.1, "a reason")})
    assert (
        f"{ON} lstm and gru are equivalent (10 seeds, 20 pieces): they differ by less than 0.1"
        in text
    )
    assert "cannot be told apart" not in text
    assert "cannot be told apart" in said(runs, worth={"music": (0.01, "a reason")})


def test_what_these_test_data_alone_tell_apart(family: Family) -> None:
    """Seeds agree, and other pieces may not: that is said in other words."""
    gru = [8.40, 8.40, 8.41, 8.41, 8.42, 8.51, 8.51, 8.51, 8.51, 8.51]
    text = said(family(lstm=[8.5] * 10, gru=gru, spread=0.3))
    assert f"{ON} gru and lstm cannot be told apart" in text
    assert (
        "On these test data alone, trained again, gru is ahead of lstm (adjusted p ≤ 0.05)" in text
    )
    assert "other pieces may say otherwise." in text


def test_losers_of_some(family: Family) -> None:
    """Worse than one of two leaders."""
    runs = family(a=8.0, spread=0.001)
    runs += family(b=[8.0 + 0.08 * (seed % 5 - 2) for seed in range(10)], spread=0.2)
    runs += family(c=8.1, spread=0.001)
    assert "c is worse than one of them." in said(runs)


def test_a_mean_between_two_leaders_may_be_worse_than_one(family: Family) -> None:
    """The last one's runs vary too much to tell it from the first."""
    runs = family(a=8.0, spread=0.001, noise=0.01)
    runs += family(b=8.03, spread=0.001, noise=0.02)
    wide = [8.1 + 0.1 * (seed % 5 - 2) for seed in range(10)]
    runs += family(c=wide, spread=0.3)
    text = said(runs)
    assert text.startswith(f"{ON} a and c cannot be told apart")
    assert "with a probability of 80%" in text
    assert "b is worse than one of them." in text


def test_nobody_is_better_than_one_that_is_not_better_than_all(family: Family) -> None:
    """As where single runs go round in a circle."""
    table = only(family(a=8.0, b=8.3, c=8.6))
    for names in (("a", "c"), ("c", "a")):
        table.pairs[names] = replace(table.pairs[names], claim=Claim.OPEN)
    table.best = None
    text = verdict(table)
    assert text.startswith(f"{ON} no model is better than a (10 seeds, 20 pieces). It is better ")
    assert "than b (adjusted p ≤ 0.05). It cannot be told apart from c. A difference of " in text


@pytest.mark.parametrize("models", [2, 4])
def test_without_groups_there_is_no_claim_of_new_data(family: Family, models: int) -> None:
    names = ("lstm", "gru", "rnn", "nfg")[:models]
    means = {name: 8.5 + at / 10 for at, name in enumerate(names)}
    text = said(family(**NO_GROUPS, **means))
    assert "On music nothing is claimed of new data: the test data have no groups." in text
    assert "On these test data alone, trained again, lstm is ahead of gru" in text
    assert not re.search(r"tested on new|is best|better", text)


def test_four_groups_carry_no_claim(family: Family) -> None:
    text = said(family(groups=4, lstm=8.5, gru=8.0))
    assert "On music nothing is claimed of new data: 4 test groups, fewer than 5." in text
    assert "On these test data alone, trained again, gru is ahead of lstm: by 0.5000" in text


def test_few_groups_of_a_class_carry_no_claim(family: Family) -> None:
    text = said(family(lstm=8.5, gru=8.0, fields={"group_classes": [4, 16]}))
    assert "nothing is claimed of new data: 4 test groups of a class, fewer than 5." in text


def test_runs_of_before_that_kept_no_sizes(family: Family) -> None:
    text = said(family(lstm=8.5, gru=8.5, fields={"group_sizes": []}))
    assert "nothing is claimed of new data: its runs kept no sizes of the test groups." in text
    assert "gru is not shown to be ahead of lstm" in text or "lstm is not shown" in text


def test_an_exploratory_table_claims_nothing(family: Family) -> None:
    """It gives means and intervals, and never how many seeds would do."""
    runs = family(range(7), looks=(6, 10), planned=range(10), lstm=8.5, gru=8.0)
    text = said(runs)
    assert "On music nothing is claimed: of 7 seeds no look was planned, only of 6, 10." in text
    assert "gru has the lowest mean nll, 8.000 (7 seeds, 20 pieces); lstm is 0.5000 behind " in text
    assert "on new pieces)" in text
    assert not re.search(r"\bbest\b|better|\bp = |can tell|needed", text)


def test_equal_means_are_not_ordered(logged: Make) -> None:
    text = said([logged("lstm", 0, 8.0), logged("gru", 0, 8.0)])
    assert "lstm and gru have the lowest mean nll, 8.000 (1 seed)." in text


def test_models_that_were_trained_before_audits(family: Family) -> None:
    table = only(family(lstm=8.5, gru=8.0, fields={"audit": ""}))
    assert "On music nothing is claimed: its models were trained before audits." in verdict(table)
    assert "better" not in verdict(table)
    assert "not audited" == badge(table)
    assert 2 == len(table.pairs)


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        ("failed: it sees step 7 at step 5", "the audit saw what it may not see"),
        ("not possible: it needs a GPU", "an audit was not possible"),
        ("", "trained before audits"),
    ],
)
def test_who_did_not_pass_the_audit_is_listed_without_a_rank(
    family: Family, audit: str, words: str
) -> None:
    """One run is enough; the others are compared without it."""
    runs = [*family(lstm=8.5, gru=8.3), *family(mine=7.0)]
    runs[-1].record.audit = audit
    table = only(runs)
    assert "gru is best: better than lstm" in verdict(table)
    assert f"mine is listed without a rank: {words}." in verdict(table)
    assert "gru and lstm beat the best simple predictor" in verdict(table)
    (mine,) = [item for item in table.variants if item.label == "mine"]
    assert table.variants[-1] is mine
    assert (None, None) == (mine.rank, mine.control)
    assert any("mine, audit " in note for note in table_notes(table)) == bool(audit)


def test_no_model_passed_the_audit(family: Family) -> None:
    text = said(family(lstm=8.5, gru=8.3, fields={"audit": "not possible: too large"}))
    assert text.startswith("Nothing is ranked on music: no model passed the audit.")


def test_failures_are_never_silent(family: Family) -> None:
    """A model that fails on three of ten seeds is not best, whatever the others say."""
    gru = [8.3, math.nan, 8.31, 8.29, math.nan, 8.3, 8.3, 8.28, 8.3, math.nan]
    text = said(family(lstm=STEADY, gru=gru))
    assert "is best" not in text
    assert "gru failed in 3 of 10 runs; it may fail in up to 61%." in text
    assert "In means a failed run counts as unigram, 11.30." in text
    assert "No run of lstm failed (0 of 10): a rate of up to 26% is not excluded." in text


def test_that_none_failed_is_said_with_its_limit(family: Family) -> None:
    text = said(family(range(20), lstm=8.5, gru=8.3))
    assert "No run failed (0 of 20 each): a rate of up to 14% is not excluded." in text


def test_the_rate_at_which_the_lead_vanishes(family: Family) -> None:
    """0.31 of the 3.1 nats that a failed run costs."""
    text = said(family(lstm=8.51, gru=8.2))
    assert "The lead would vanish if gru failed in a further 10% of its runs." in text


def test_a_model_that_only_failed(family: Family) -> None:
    """It has no mean and no rank, and is named."""
    text = said(family(lstm=8.5, gru=8.3, mine=[math.nan] * 10))
    assert "gru is best: better than lstm" in text
    assert "mine failed in 10 of 10 runs; it may fail in up to 100%." in text


def test_runs_that_do_not_count_are_named(family: Family, logged: Make) -> None:
    runs = family(lstm=8.5, gru=8.3)
    plan = runs[0].tags["seqbench.plan"]
    runs += [logged("gru", 10, status="RUNNING", metrics={}, plan=plan)]
    runs += [logged("lstm", 10, status="KILLED", metrics={}, plan=plan)]
    text = said(runs)
    assert "Not counted are runs of gru and lstm: 1 that still run, 1 that were stopped." in text


def test_a_simple_predictor_is_compared_like_a_model(family: Family) -> None:
    """Beaten, not told apart, and better: each model has its verb."""
    runs = family(a=9.0, b=9.405, c=9.9)
    text = said(runs)
    assert "a beats the best simple predictor, logistic_regression (9.400)." in text
    assert "b is not told apart from logistic_regression." in text
    assert "c is worse than logistic_regression." in text
    assert text.count("with a probability of 80%") == 1


def test_a_simple_predictor_without_a_score_is_named(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.3)
    for run in runs:
        run.record.baselines = {**run.record.baselines, "markov": {"nll": math.inf}}
    assert "The simple predictor markov has no finite score and is left out." in said(runs)


def test_one_model(family: Family) -> None:
    text = said(family(lstm=8.5))
    start = (
        r"lstm alone was run on music: nll 8\.500 ± 0\.0\d+ \(10 seeds, 20 pieces\); on new pieces"
    )
    assert re.match(start, text)
    assert "It beats the best simple predictor, logistic_regression (9.400)." in text


def test_the_look_and_its_level_are_said(family: Family) -> None:
    runs = family(range(10), looks=(6, 10, 14, 20), planned=range(20), lstm=8.5, gru=8.0)
    text = said(runs)
    assert (
        "This is the planned look at 10 seeds, of 6, 10, 14 and 20: a claim needs p up to " in text
    )
    assert re.search(r"\(99\.4\d*% interval", text)


def test_a_grid_is_compared_with_its_control(family: Family) -> None:
    """Variants that are neither better nor worse say what is left open."""
    means = {f"m{at}": 8.5 + (-0.5, 0.0, 0.5)[at % 3] for at in range(45)}
    text = said(family(range(6), **means), control="m1")
    assert "45 variants are too many to compare every pair: each is compared with m1 alone." in text
    assert "15 are better than it (the best mean has " in text
    assert "15 are worse (adjusted p ≤ 0.05)." in text
    assert "14 are not shown to be better or worse. A difference of up to " in text


def test_sentences_stay_short_whatever_names_are(family: Family) -> None:
    """Of long labels the first characters stand, of many names the first ones."""
    long = {f"model_{at}_{'x' * 70}": 8.5 + at / 1e4 for at in range(14)}
    for runs in (family(task="t" * 150, **long), family(task="t" * 150, **NO_GROUPS, **long)):
        assert "x" * 10 in said(runs)
    tiny = {f"m{at}": 8.5 + at / 1e4 for at in range(30)}
    assert " more cannot be told apart" in said(family(**tiny))
