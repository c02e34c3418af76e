"""What data are called in tables, and what of them was left out: told apart, and told once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seqbench.records import DataNames, LeftOut, MetricInfo
from seqbench.reporting.columns import MOST_FOLDS, fold_caption, fold_layout
from seqbench.reporting.comparison import compare
from seqbench.reporting.exports import latex, markdown, write_csv
from seqbench.reporting.forms import Form
from seqbench.reporting.notes import failure_lines, table_notes
from seqbench.reporting.overview import overviews
from seqbench.reporting.page import Content, page
from seqbench.reporting.summary import summary
from seqbench.reporting.sweep import TrialResult, print_sweep
from seqbench.reporting.table import Table
from seqbench.reporting.text import told_apart, wrapped
from seqbench.reporting.trials import ReportedTrial, make_trials
from seqbench.reporting.verdict import sentences
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
LEFT = [LeftOut(f"{name}.csv", "it has no label") for name in "abcde"] + [LeftOut("f.csv", "empty")]


@pytest.fixture
def of_source(logged: Make) -> Callable[..., LoggedTrial]:
    """Make a run on a user's own data."""

    def make(source: str, model: str = "lstm", title: str = "", **given: Any) -> LoggedTrial:
        data = given.pop("data", source)
        found = logged(
            model, task="anomaly/watch", config={"task": {"source": source}}, data=data,
            parts={"source": data}, title=title, **given,
        )  # fmt: skip
        found.tags["seqbench.source"] = f"/home/{source}"  # type: ignore[index]
        return found

    return make


def tables_of(*runs: LoggedTrial) -> list[Table]:
    return compare(make_trials(runs))


def test_rows_of_a_source_have_its_name(of_source: Make, logged: Make) -> None:
    """Also of runs that kept no title; the source stands in no other column."""
    tables = tables_of(of_source("skab/"), logged(), of_source("nab", title="The NAB"))
    assert [table.name for table in tables] == ["The NAB", "anomaly: skab", "music"]
    assert [row["title"] for row in summary(tables)] == ["The NAB", "anomaly: skab", "music"]
    assert [row["task"] for row in summary(tables)] == ["anomaly/watch", "anomaly/watch", "music"]


def test_other_data_of_the_same_name_stay_apart(of_source: Make) -> None:
    """Neither replaces the other, though one is newer."""
    one, other = of_source("a/pump", began=1.0), of_source("b/pump", began=2.0)
    tables = tables_of(one, other)
    assert [table.name for table in tables] == [
        "anomaly: pump task.source=/home/a/pump",
        "anomaly: pump task.source=/home/b/pump",
    ]
    assert not any(table.is_old for table in tables)
    titled = tables_of(of_source("x", title="Mine"), of_source("y", title="Mine"))
    assert len({table.name for table in titled}) == 2


def test_data_that_have_changed_replace_those_of_before(of_source: Make) -> None:
    """The same path with other content, whatever it is called by now."""
    before = of_source("pump", began=1.0, data="old")
    now = of_source("pump", began=2.0, data="new", title="Pump")
    new, old = tables_of(before, now)
    assert (new.name, new.is_old) == ("Pump", False)
    assert (old.name, old.is_old) == ("anomaly: pump", True)


def test_the_same_content_under_two_paths_is_one_table(of_source: Make) -> None:
    (table,) = tables_of(
        of_source("a/pump", data="same"), of_source("b/copy of it", "gru", data="same", began=2e3)
    )
    assert table.name == "anomaly: copy of it"
    assert len(table.variants) == 2


def test_across_tasks_sources_are_tasks_of_their_own(of_source: Make) -> None:
    runs = [
        of_source(source, model, seed=seed, score=score + seed / 10)
        for source in ("skab", "nab")
        for model, score in (("lstm", 5.0), ("gru", 6.0))
        for seed in range(3)
    ]
    found, _ = overviews(tables_of(*runs))
    assert [sorted(table.name for table in item.tables) for item in found] == [
        ["anomaly: nab", "anomaly: skab"]
    ]


@pytest.mark.parametrize(
    ("names", "sources", "said"),
    [
        (["a", "b"], ["x", "y"], ["a", "b"]),
        (["a", "a"], ["x", "x"], ["a", "a"]),
        (["a", "a"], ["x", "y"], ["a (x)", "a (y)"]),
        (["music", "music"], ["", "x"], ["music", "music (x)"]),
        ([], [], []),
    ],
)
def test_told_apart(names: list[str], sources: list[str], said: list[str]) -> None:
    assert told_apart(names, sources) == said


def test_a_running_trial_is_said_to_run(logged: Make) -> None:
    running: dict[str, Any] = {"status": "RUNNING", "score": float("nan")}
    failed = {"status": "FAILED", "reason": "loss", "score": float("nan")}
    said = [
        sentences(tables_of(*runs)[0])[0].removeprefix("Nothing can be said of music: ")
        for runs in (
            [logged(**running)],
            [logged(seed=seed, **running) for seed in range(3)],
            [logged(**running), logged(seed=1, **failed), logged(seed=2, **failed)],
            [logged(**failed)],
            [logged(**failed), logged(seed=1, **failed)],
        )
    ]
    assert said == [
        "its trial is running.",
        "its 3 trials are running.",
        "none of its 3 trials has a score, 1 is running.",
        "its trial has no score.",
        "none of its 2 trials has a score.",
    ]


def folded(logged: Make, model: str = "lstm", seed: int = 0, number: int = 2) -> LoggedTrial:
    """Make a run of folds with names."""
    folds = list(range(number))
    metrics = {"test/nll": 8.0, "valid/nll": 8.0}
    metrics |= {f"fold-{fold}/nll": 7.0 + fold + seed for fold in folds}
    names = {fold: DataNames(f"n_{fold} & co.csv") for fold in folds}
    return logged(model, seed, folds=folds, metrics=metrics, names=names, left_out=LEFT)


def test_folds_have_their_names_in_every_form(
    logged: Make,
    content_of: Callable[[list[ReportedTrial], list[Table]], Content],
    tmp_path: Path,
) -> None:
    trials = make_trials(
        folded(logged, model, seed) for model in ("lstm", "gru") for seed in (0, 1)
    )
    tables = compare(trials)
    (table,) = tables
    found = fold_layout(table, Form.PAGE)
    assert [head.text for head in found.heads] == ["fold", *(item.label for item in table.able)]
    assert [[item.text for item in line.items] for line in found.lines] == [
        ["n_0 & co.csv", "7.500", "7.500"], ["n_1 & co.csv", "8.500", "8.500"],
    ]  # fmt: skip
    content = content_of(trials, tables)
    assert "| n\\_1 & co.csv | 8.500 | 8.500 |" in markdown(content)
    assert "n_1 &amp; co.csv" in page(content)
    assert r"n\_1 \& co.csv & 8.500 & 8.500 \\" in latex(tables)
    write_csv(tmp_path / "r.csv", trials, tables)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert {row["fold/n_1 & co.csv"] for row in rows} == {"8.0", "9.0"}
    assert {row["title"] for row in rows} == {"music"}


def test_of_one_fold_there_is_no_table_of_folds(logged: Make) -> None:
    (table,) = tables_of(logged())
    assert fold_layout(table, Form.PAGE).lines == []


def test_of_many_folds_the_first_are_shown(logged: Make) -> None:
    (table,) = tables_of(folded(logged, number=MOST_FOLDS + 7))
    assert len(fold_layout(table, Form.MARKDOWN).lines) == MOST_FOLDS
    assert f"the first {MOST_FOLDS} of {MOST_FOLDS + 7} folds" in fold_caption(table)


def test_what_was_left_out_stands_below_the_table(
    logged: Make,
    content_of: Callable[[list[ReportedTrial], list[Table]], Content],
    tmp_path: Path,
) -> None:
    trials = make_trials([folded(logged), folded(logged, seed=1)])
    tables = compare(trials)
    notes = table_notes(tables[0])
    assert "Left out of the data: a.csv, b.csv, c.csv and 2 more: it has no label" in notes
    assert "Left out of the data: f.csv: empty" in notes
    assert not any("Left out" in note for note in table_notes(tables[0], left_out=False))
    whole = page(content_of(trials, tables))
    assert "<summary>Left out of the data: 6</summary>" in whole
    assert all(f"<li>{name}: {reason}</li>" in whole for name, reason in LEFT)
    said = "; ".join(f"{name}: {reason}" for name, reason in LEFT)
    content = content_of(trials, tables)
    assert markdown(content).count("Left out of the data: a.csv, b.csv") == 1
    write_csv(tmp_path / "r.csv", trials, tables)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [row["left_out"] for row in rows] == [said, said]
    assert json.dumps(summary(tables)).count("Left out of the data: f.csv") == 1


def test_a_sweep_says_once_what_was_left_out_of_a_task() -> None:
    metric = MetricInfo("nll", "min")
    results = [
        TrialResult("t", model, "", str(seed), "FINISHED", "", metric, 1.0, title, left_out)
        for model in ("lstm", "gru")
        for seed in (0, 1)
        for title, left_out in (("t: a", "x, y: bad\nz: rare"), ("t: b", ""), ("", ""))
    ]
    text = io.StringIO()
    print_sweep(results, Console(file=text, width=100))
    out = text.getvalue()
    assert out.count("left out of") == 1
    assert "left out of t: a: x, y: bad\n  z: rare" in out
    assert [line.split()[0:2] for line in out.splitlines() if "lstm" in line] == [
        ["t:", "a"], ["t:", "b"], ["t", "lstm"],
    ]  # fmt: skip


def test_problems_of_one_source_are_tables_of_their_own(logged: Make) -> None:
    """Each has its problem in its name, and in no other place; none replaces the other."""
    runs = [
        logged(
            task="data/classify", config={"task": {"source": "uea", "problem": name, "drop": []}},
            data=name, parts={"source": "same"}, began=began,
        )
        for name, began in (("Basic", 1.0), ("Epilepsy", 2.0))
    ]  # fmt: skip
    tables = tables_of(*runs)
    assert [table.title for table in tables] == ["data: uea Basic", "data: uea Epilepsy"]
    assert not any("task.problem" in table.name or table.is_old for table in tables)


def test_a_trial_without_a_score_says_why(logged: Make) -> None:
    (table,) = tables_of(logged(status="KILLED", reason="interrupted"))
    (line,) = failure_lines(table)
    assert (
        "KILLED: interrupted; the same command goes on from its last checkpoint, if it has one"
        in line
    )


@pytest.mark.parametrize("text", ["a b " * 200, "one " + "x" * 200, "", "well-known " * 40])
def test_long_texts_have_lines(text: str) -> None:
    lines = wrapped(text).splitlines()
    assert all(len(line) <= 120 or " " not in line for line in lines)
    assert " ".join(lines).split() == text.split()
