"""Differences, intervals and ranks of a table are those of the statistics, in its own direction."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from seqbench.records import MetricInfo
from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.judging import rank_intervals
from seqbench.reporting.notes import table_notes
from seqbench.reporting.table import MOST_PAIRED, Table
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial
from seqbench.verdicts.family import Claim

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def only(runs: list[LoggedTrial], **options: object) -> Table:
    (table,) = compare(make_trials(runs), **options)  # type: ignore[arg-type]
    return table


def test_these_test_data_are_judged_by_welch(family: Family) -> None:
    """Runs are not paired: as scipy says of two samples, also of unequal seeds."""
    runs = [*family(range(10), lstm=8.5), *family(range(20, 32), gru=8.48)]
    table = only(runs)
    pair = table.pairs["gru", "lstm"]
    gru, lstm = (next(x for x in table.variants if x.label == name) for name in ("gru", "lstm"))
    found = stats.ttest_ind(gru.scores, lstm.scores, equal_var=False)
    assert tuple(found.confidence_interval()) == pytest.approx(pair.same_data_interval)
    assert np.mean(gru.scores) - np.mean(lstm.scores) == pytest.approx(pair.mean)


def test_new_groups_widen_the_interval(family: Family) -> None:
    """By hand: of the seeds' mean difference over draws, and of the seeds."""
    groups = 20
    runs = family(lstm=8.5, gru=8.45, groups=groups, spread=0.2)
    table = only(runs)
    pair = table.pairs["gru", "lstm"]
    drawn = {
        model: np.array([r.record.bootstrap_scores for r in runs if r.record.model == model])
        for model in ("gru", "lstm")
    }
    of_groups = groups / (groups - 1) * (drawn["gru"].mean(0) - drawn["lstm"].mean(0)).var(ddof=1)
    error = (pair.interval.high - pair.interval.low) / 2 / stats.t.ppf(0.975, groups - 1)
    assert math.sqrt(of_groups) == pytest.approx(error, rel=0.05)
    same = pair.same_data_interval
    assert pair.interval.low < same.low < same.high < pair.interval.high
    assert pair.not_excluded == pytest.approx(max(map(abs, pair.interval)))
    assert pair.detectable > 2.8 * math.sqrt(of_groups)


def test_a_pair_turned_round_is_the_same_pair(family: Family) -> None:
    table = only(family(lstm=8.5, gru=8.4))
    one, other = table.pairs["gru", "lstm"], table.pairs["lstm", "gru"]
    assert one.mean == -other.mean < 0
    assert (one.interval.low, one.interval.high) == (-other.interval.high, -other.interval.low)
    assert 1 == one.improvement + other.improvement
    assert (one.p, one.p_holm, one.claim) == (other.p, other.p_holm, other.claim)
    assert one.favours_first
    assert not other.favours_first
    assert one.same_data_interval == other.turned().same_data_interval
    assert (1, -1) == (one.runs_favour, other.runs_favour)


def test_where_larger_is_better(family: Family) -> None:
    """The difference keeps its sign; the claim is about the larger one."""
    runs = family(lstm=0.6, gru=0.7)
    for run in runs:
        run.record.primary = MetricInfo("nll", "max")
        run.record.baselines = {"chance": {"nll": 0.1}, "strong": {"nll": 0.65}}
    table = only(runs)
    pair = table.pairs["gru", "lstm"]
    assert 0 < pair.interval.low < 0.1 < pair.interval.high
    assert (Claim.BETTER, True) == (pair.claim, pair.favours_first)
    assert ("chance", 0.1) == table.trivial_baseline


def test_what_is_not_better_shares_ranks(family: Family) -> None:
    """Two models of one mean, a better and a worse one: 1, 2-3, 2-3, 4; one is bold."""
    table = only(family(a=8.0, b=8.5, c=8.5005, d=9.0))
    assert {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)} == {
        item.label: item.rank for item in table.variants
    }
    assert ["a"] == [item.label for item in table.variants if item.is_best]


def test_rank_intervals_by_hand() -> None:
    better = np.zeros((4, 4), dtype=bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert [(1, 2), (1, 3), (2, 4), (3, 4)] == rank_intervals(better)
    assert [(1, 3)] * 3 == rank_intervals(np.zeros((3, 3), dtype=bool))
    assert [(1, 1), (2, 2), (3, 3)] == rank_intervals(np.triu(np.ones((3, 3), dtype=bool), 1))


@pytest.mark.parametrize(
    ("practical", "equivalent", "beyond"),
    [
        (Practical(0.1, False), True, False),
        (Practical(0.03, False), False, False),
        (Practical(0.001, False), False, True),
        (Practical(0.02, True), True, False),
        (None, None, False),
    ],
)
def test_the_smallest_difference_worth_having(
    family: Family, practical: Practical | None, equivalent: bool | None, beyond: bool
) -> None:
    """Within it a difference is equivalent, though it is there; beyond it is not."""
    pair = only(family(lstm=8.5, gru=8.47), practical=practical).pairs["gru", "lstm"]
    assert pair.p_holm < 0.05
    assert (equivalent, beyond) == (pair.equivalent, pair.beyond)


def test_a_task_says_what_is_worth_having(family: Family) -> None:
    """Of its own data; what is asked for replaces it, and a user's data have none."""
    worth = {"music": (0.1, "for a reason")}
    runs = family(lstm=8.5, gru=8.4)
    table = only(runs, worth=worth)
    assert table.margin is not None
    assert 0.1 == table.margin.amount
    note = "The smallest difference worth having is 0.1 nats per frame: for a reason."
    assert note in table_notes(table)
    asked = only(runs, worth=worth, practical=Practical(0.2, False)).margin
    assert asked is not None
    assert 0.2 == asked.amount
    for run in runs:
        run.tags["seqbench.source"] = "/home/me/mine.npz"  # type: ignore[index]
    assert only(runs, worth=worth).margin is None


def test_failed_runs_count_as_the_weakest_predictor(family: Family) -> None:
    """In means and draws; in single runs they lose to every other one."""
    good = [8.5 + seed / 1000 for seed in range(10)]
    runs = family(lstm=good, gru=[*good[:8], math.nan, math.nan])
    table = only(runs)
    lstm, gru = table.variants
    assert ("gru", 8, 2, 10) == (gru.label, len(gru.scored), len(gru.failed), gru.number)
    assert (sum(good[:8]) + 2 * 11.3) / 10 == pytest.approx(gru.mean)
    assert gru.fails_at_most == pytest.approx(stats.beta.ppf(0.95, 3, 8))
    pair = table.pairs["gru", "lstm"]
    wins = sum((mine < other) + (mine == other) / 2 for mine in good[:8] for other in good)
    assert wins / 100 == pytest.approx(pair.improvement)
    assert pair.mean == pytest.approx(gru.mean - lstm.mean)


def test_runs_that_were_stopped_do_not_count(family: Family, logged: Make) -> None:
    """Nor do those that still run, or whose score cannot be read."""
    runs = family(lstm=8.5)
    runs += [
        logged("lstm", 10, status="KILLED", metrics={}),
        logged("lstm", 11, status="RUNNING", metrics={}),
        logged("lstm", 12, metrics={}, gap="record.json: it is cut short"),
        logged("lstm", 13, status="OOM", reason="used 3 GiB", metrics={}),
        logged("lstm", 14, math.inf),
    ]
    (lstm,) = only(runs).variants
    assert (10, 12) == (len(lstm.scored), lstm.number)
    assert [13, 14] == [trial.seed for trial in lstm.failed]
    assert [10, 11, 12] == [trial.seed for trial in lstm.uncounted]


def test_without_a_simple_predictor_failed_runs_have_no_mean(family: Family) -> None:
    """Then nothing is claimed of means."""
    runs = family(lstm=8.5, gru=[8.0] * 9 + [math.nan], fields={"baseline_bootstrap": {}})
    for run in runs:
        run.record.baselines = {}
    table = only(runs)
    pair = table.pairs["gru", "lstm"]
    assert Claim.NO_VERDICT is pair.claim
    assert "what a failed run counts in a mean is not known" == pair.why_not
    assert math.isnan(pair.mean)
    assert 0.9 == pytest.approx(pair.improvement)


def test_a_predictor_without_a_finite_score_is_left_out(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.4)
    for run in runs:
        run.record.baselines = {"a": {"nll": math.inf}, "b": {"nll": 9.0}, "c": {"nll": math.nan}}
    table = only(runs)
    assert {"b": 9.0} == table.baselines
    assert ["a", "c"] == table.without_score


def test_draws_of_other_test_data_are_not_compared(family: Family) -> None:
    """A run whose groups are others has no bootstrap scores for this table."""
    runs = family(lstm=8.5, gru=8.4)
    runs[3].record.group_sizes = [2.0] * 20
    runs[3].record.bootstrap_scores = runs[3].record.bootstrap_scores[:500]
    pair = only(runs).pairs["gru", "lstm"]
    assert "there are no bootstrap scores" == pair.why_not
    assert math.isnan(pair.interval.low)


def test_many_variants_are_compared_with_the_control_alone(family: Family) -> None:
    """A grid of a thousand would have half a million pairs, and no p could survive them."""
    number = MOST_PAIRED + 5
    table = only(family(range(5), **{f"m{at}": 8 + at % 3 for at in range(number)}))
    assert 2 * (number - 1) == len(table.pairs)
    assert table.best is None
