"""A table may claim something only if its seeds and the look at them were planned."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from seqbench.reporting.comparison import compare
from seqbench.reporting.look import SeedLook, SeedPlan, read_plan
from seqbench.reporting.notes import badge
from seqbench.reporting.table import Table
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]


def table_of(runs: list[LoggedTrial]) -> Table:
    (table,) = compare(make_trials(runs))
    return table


def look_of(runs: list[LoggedTrial]) -> SeedLook:
    return table_of(runs).look


def retag(runs: Sequence[LoggedTrial], text: str) -> None:
    for run in runs:
        run.tags["seqbench.plan"] = text  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ('{"seeds": [0, 1, 2, 3, 4], "looks": [5]}', SeedPlan((0, 1, 2, 3, 4), (5,))),
        ('{"seeds": [1], "looks": [10, 6, 6, 4]}', SeedPlan((1,), (6, 10))),
        ("", None),
        ("[]", None),
        ('{"seeds": [0, true], "looks": [2]}', None),
        ('{"seeds": [0], "looks": "1"}', None),
        ('{"seeds": [], "looks": []}', None),
        ("{", None),
    ],
)
def test_a_plan_is_read_or_is_none(text: str, plan: SeedPlan | None) -> None:
    assert plan == read_plan(text)


def test_one_plan_that_is_complete_is_one_look(family: Family) -> None:
    """Runs that failed by their model's own fault count as seeds that were run."""
    runs = family(lstm=8.5, gru=[8.4] * 9 + [float("nan")])
    look = look_of(runs)
    assert (10, "", (10,)) == (look.seeds, look.why_not, look.of)
    assert 0.05 == pytest.approx(look.alpha)
    assert "" == badge(table_of(runs))


@pytest.mark.parametrize(
    ("seeds", "level"), [(6, 0.0003), (10, 0.0056), (14, 0.0169), (20, 0.0428)]
)
def test_each_look_has_its_level(family: Family, seeds: int, level: float) -> None:
    """In p and intervals alike."""
    runs = family(range(seeds), looks=(6, 10, 14, 20), planned=range(20), lstm=8.5, gru=8.4)
    table = table_of(runs)
    assert level == pytest.approx(table.look.alpha, abs=1e-4)
    once = table_of(family(range(seeds), lstm=8.5, gru=8.4))
    wide, narrow = table.pairs["gru", "lstm"].interval, once.pairs["gru", "lstm"].interval
    assert wide.high - wide.low > narrow.high - narrow.low


def test_other_numbers_of_seeds_are_no_look(family: Family) -> None:
    runs = family(range(9), looks=(6, 10), planned=range(10), lstm=8.5, gru=8.0)
    assert "of 9 seeds no look was planned, only of 6, 10" == look_of(runs).why_not
    assert "exploratory" == badge(table_of(runs))


def test_what_was_not_planned_is_exploratory(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.0)
    retag(runs, "")
    assert "its seeds were not planned beforehand" == look_of(runs).why_not
    runs = family(lstm=8.5, gru=8.0)
    retag(runs[:3], "")
    assert "the seeds of lstm were not planned beforehand" == look_of(runs).why_not


def test_seeds_that_grew_are_exploratory(family: Family) -> None:
    """Another sweep with more seeds is another plan."""
    runs = family(range(20), lstm=8.5, gru=8.0)
    first = json.dumps({"seeds": list(range(10)), "looks": [10]})
    retag([run for run in runs if run.record.seed < 10], first)
    assert "its runs belong to different plans of seeds" == look_of(runs).why_not


def test_a_plan_that_is_not_complete_is_exploratory(family: Family, logged: Make) -> None:
    """A run that was stopped is missing; it is to be run again."""
    runs = family(lstm=8.5, gru=8.0)
    plan = runs[3].tags["seqbench.plan"]
    runs[3] = logged("lstm", 3, status="KILLED", metrics={}, plan=plan)
    assert "its plan is not complete: lstm has 9 runs and gru 10" == look_of(runs).why_not


def test_seeds_outside_the_plan_are_exploratory(family: Family) -> None:
    runs = family(range(5, 15), planned=range(10), lstm=8.5, gru=8.0)
    assert "it has seeds that were not planned" == look_of(runs).why_not


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed of gru is"), (4, "4 seeds of gru are")])
def test_few_seeds_are_exploratory(family: Family, seeds: int, words: str) -> None:
    assert f"{words} too few" == look_of(family(range(seeds), lstm=8.5, gru=8.0)).why_not


def test_a_variant_without_an_audit_has_no_part_in_the_plan(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.0)
    extra = family(range(3), mine=7.0, fields={"audit": "not possible: it is too large"})
    assert "" == look_of([*runs, *extra]).why_not


def test_exploratory_tables_have_no_p_and_no_ranks(family: Family) -> None:
    """But means and intervals."""
    runs = family(lstm=8.5, gru=8.0)
    retag(runs, "")
    table = table_of(runs)
    pair = table.pairs["gru", "lstm"]
    for p in (pair.p, pair.p_holm, pair.same_data_p, pair.improvement_p):
        assert p != p
    assert pair.interval.low < -0.5 < pair.interval.high
    assert [None, None] == [item.rank for item in table.variants]
    assert table.best is None
    assert not any(item.is_best for item in table.variants)
