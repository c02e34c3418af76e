"""A column of the report is one entry of a list, and stands in every form that it names."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from seqbench.reporting import columns, columns_across
from seqbench.reporting.columns import COSTS, PAIRS, SCORES, TRIALS, pair_layout, score_layout
from seqbench.reporting.columns_across import ACROSS, OVERVIEW, SPLITS
from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.exports import latex, markdown, write_csv, write_parquet
from seqbench.reporting.forms import Column, Form, Layout
from seqbench.reporting.markup import latex_table
from seqbench.reporting.page import Content, page
from seqbench.reporting.summary import print_tables, summary
from seqbench.reporting.trials import ReportedTrial, make_trials
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]
Unpictured = Callable[..., Content]
LISTS: dict[str, list[Column[Any]]] = {
    "scores": SCORES, "pairs": PAIRS, "costs": COSTS, "trials": TRIALS, "overview": OVERVIEW,
    "across": ACROSS, "splits": SPLITS,
}  # fmt: skip


@pytest.fixture
def entries() -> Iterator[None]:
    """A new column in each list."""
    new: dict[str, Column[Any]] = {
        "scores": Column("worst", "worst seed", "the highest score",
                         lambda row: max(row.variant.scores), is_score=False),
        "pairs": Column("sum", "sum of means", "of both",
                        lambda row: row.one.mean + row.other.mean),
        "costs": Column("epochs", "epochs run", "median over seeds",
                        lambda row: row.variant.cost("epochs")),
        "overview": Column("double", "double mean", "twice", lambda row: 2 * row.value),
        "trials": Column("halves", "half the seed", "of the trial", lambda row: row.trial.seed / 2),
    }  # fmt: skip
    for name, column in new.items():
        LISTS[name].append(column)
    yield
    for name in new:
        LISTS[name].pop()


@pytest.fixture
def trials(family: Family) -> list[ReportedTrial]:
    """Of two tasks and three models."""
    runs = [*family(lstm=8.5, gru=8.4, rnn=9.0), *family(task="speech", lstm=5.0, gru=7.0)]
    return make_trials(runs)


def tables_in(page_text: str) -> list[pd.DataFrame]:
    """Every table of a page, as text."""
    found = []
    for table in re.findall(r"<table.*?</table>", page_text, re.DOTALL):
        rows = [
            [html.unescape(re.sub("<[^>]*>", "", text)).strip()
             for text in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        ]  # fmt: skip
        found.append(pd.DataFrame(rows[1:], columns=rows[0]))
    return found


def the_one(found: list[pd.DataFrame], heading: str) -> pd.DataFrame:
    """The first table with a heading, by the names of its rows."""
    frame = next(frame for frame in found if heading in frame.columns)
    return frame.set_index(frame.columns[0])


def markdown_tables(text: str) -> list[pd.DataFrame]:
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = [[part.strip() for part in line[1:-1].split("|")] for line in block.splitlines()]
            found.append(pd.DataFrame(rows[2:], columns=rows[0]))
    return found


@pytest.mark.usefixtures("entries")
def test_a_new_column_is_one_entry(
    trials: list[ReportedTrial], content_of: Unpictured, tmp_path: Path
) -> None:
    """It stands on the page, in Markdown, LaTeX, the terminal, JSON, CSV and Parquet."""
    tables = compare(trials)
    content = content_of(trials, tables)
    music = next(table for table in tables if table.task == "music")
    worst = {item.label: max(item.scores) for item in music.variants}
    said = {label: f"{value:.4g}" for label, value in worst.items()}

    text_of_page = page(content)
    shown = tables_in(text_of_page)
    scores = the_one(shown, "worst seed")["worst seed"]
    assert said == {label: scores[label] for label in said}
    assert "<dt>worst seed</dt><dd>the highest score</dd>" in text_of_page
    assert 'title="the highest score">worst seed</button>' in text_of_page
    assert f'data-value="{worst["gru"]:.7g}">{said["gru"]}</td>' in text_of_page

    found = the_one(markdown_tables(markdown(content)), "worst seed")["worst seed"]
    assert said == {label.strip("*"): text for label, text in found.items() if text}

    lines = latex([music]).splitlines()
    assert any(line.endswith(r"& $p$ & worst seed \\") for line in lines)
    for label, text in said.items():
        assert any(line.startswith(f"{label} &") and line.endswith(rf"& {text} \\")
                   for line in lines)  # fmt: skip

    stream = io.StringIO()
    print_tables([music], Console(file=stream, highlight=False, emoji=False))
    printed = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    assert any(line[-2:] == ["worst", "seed"] for line in printed)
    for label, text in said.items():
        assert any(line[0] == label and line[-1] == text for line in printed)

    (found_music,) = [table for table in summary(tables) if table["task"] == "music"]
    assert worst == {item["label"]: item["worst"] for item in found_music["variants"]}

    write_csv(tmp_path / "results.csv", trials, tables)
    write_parquet(tmp_path / "results.parquet", trials, tables)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as stream_of_rows:
        rows = [row for row in csv.DictReader(stream_of_rows) if row["task"] == "music"]
    assert worst == {row["model"]: float(row["variant/worst"]) for row in rows}
    frame = pd.read_parquet(tmp_path / "results.parquet")
    of_music = frame[frame["task"] == "music"]
    assert worst == dict(zip(of_music["model"], of_music["variant/worst"], strict=True))


@pytest.mark.usefixtures("entries")
def test_a_new_column_of_the_other_tables(
    trials: list[ReportedTrial], content_of: Unpictured, tmp_path: Path
) -> None:
    """Of pairs, costs, models across tasks and trials, in the forms that have these tables."""
    tables = compare(trials)
    content = content_of(trials, tables)
    music = next(table for table in tables if table.task == "music")
    means = {item.label: item.mean for item in music.variants}
    text_of_page = page(content)
    shown, written = tables_in(text_of_page), markdown_tables(markdown(content))

    total = means["gru"] + means["lstm"]
    assert f"{total:.4g}" == the_one(shown, "sum of means")["sum of means"]["gru - lstm"]
    stream = io.StringIO()
    print_tables([music], Console(file=stream, highlight=False, emoji=False))
    assert any(
        line.strip().startswith("gru - lstm") and line.split()[-1] == f"{total:.4g}"
        for line in stream.getvalue().splitlines()
    )
    (found,) = [table for table in summary(tables) if table["task"] == "music"]
    assert {total} == {pair["sum"] for pair in found["pairs"]
                       if {pair["one"], pair["other"]} == {"gru", "lstm"}}  # fmt: skip

    for frames in (shown, written):
        assert {"5"} == set(the_one(frames, "epochs run")["epochs run"])
        (overview,) = content.overviews
        double = the_one(frames, "double mean")["double mean"]
        assert {model: f"{2 * overview.mean(model):.4g}" for model in overview.scores} == {
            label.strip("*"): text for label, text in double.items()
        }
    assert {5.0} == {item["epochs"] for item in found["variants"]}

    trial = trials[3]
    assert f"{trial.seed / 2:.4g}" == the_one(shown, "half the seed")["half the seed"][trial.short]
    data = json.loads(text_of_page.split('id="data">')[1].split("</script>")[0])
    assert f"{trial.seed / 2:.4g}" == data["trials"][trial.short]["about"]["half the seed"]
    write_csv(tmp_path / "results.csv", trials, tables)
    frame = pd.read_csv(tmp_path / "results.csv").set_index("run")
    assert trial.seed / 2 == frame["halves"][trial.run_id]
    assert 5 == frame["variant/epochs"][trial.run_id]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", Form)
def test_columns_of_a_form_are_told_apart(name: str, form: Form) -> None:
    """No two have one key or one heading; every one says what it means where people read it."""
    chosen = [column for column in LISTS[name] if form in column.forms]
    keys = [column.key for column in chosen]
    if form in (Form.JSON, Form.CSV):
        assert len(keys) == len(set(keys))
    else:
        headings = [column.heading for column in chosen]
        assert len(headings) == len(set(headings))
        assert all(column.meaning for column in chosen if form is Form.PAGE)


def heads(found: Layout) -> list[str]:
    return [head.text for head in found.heads]


def test_a_column_is_shown_where_there_is_something_to_show(family: Family) -> None:
    """The column "matters" with a margin, "audit" where one failed; JSON has keys always."""
    runs = family(lstm=8.5, gru=8.4)
    (plain,) = compare(make_trials(runs))
    assert not {"audit", "matters"} & set(heads(score_layout(plain, Form.PAGE)))
    runs[0].record.audit = "not possible: it is too large"
    (table,) = compare(make_trials(runs), practical=Practical(0.2, False))
    for form in (Form.PAGE, Form.MARKDOWN, Form.TERMINAL):
        found = score_layout(table, form)
        audits = [line.items[heads(found).index("audit")].text for line in found.lines[:2]]
        assert ["passed", "not possible"] == audits
        assert "matters" == heads(found)[-1]
    for found_table in (plain, table):
        (one,) = summary([found_table])
        assert "audit" in one["variants"][0]
        assert all("equivalent" in pair for pair in one["pairs"])


def test_new_groups_and_these_data_stand_beside_each_other(family: Family) -> None:
    """Two intervals of a difference under headings of their own; of a mean the one that can be."""
    (table,) = compare(make_trials(family(lstm=8.5, gru=8.4)))
    found = score_layout(table, Form.PAGE)
    texts = dict(zip(heads(found), (item.text for item in found.lines[0].items), strict=True))
    for heading, (low, high) in (
        ("on new groups", table.variants[0].interval),
        ("new groups", table.pairs["gru", "lstm"].interval),
        ("these test data", table.pairs["gru", "lstm"].same_data_interval),
    ):
        assert f"{low:.4f} to {high:.4f}" == texts[heading]
    assert "better" == texts["claim"]
    assert "on these test data" not in texts
    bare = family(lstm=8.5, gru=8.4, fields={"group_sizes": []})
    (table,) = compare(make_trials(bare))
    assert "on these test data" in heads(score_layout(table, Form.PAGE))
    assert "on new groups" not in heads(score_layout(table, Form.PAGE))
    (table,) = compare(make_trials(family(lstm=8.5, gru=8.4)))
    (pair,) = pair_layout(table, Form.PAGE).lines
    assert {"not excluded", "found at 80%"} < set(heads(pair_layout(table, Form.PAGE)))
    assert "gru - lstm" == pair.items[0].text


def test_the_control_is_compared_with_nothing(family: Family) -> None:
    """It says so where its difference would stand; a failure has dashes."""
    (table,) = compare(make_trials(family(lstm=8.5, gru=8.4)))
    for form in (Form.PAGE, Form.MARKDOWN, Form.LATEX, Form.TERMINAL):
        found = score_layout(table, form)
        texts = {line.items[0].text: [item.text for item in line.items]
                 for line in found.lines}  # fmt: skip
        at = next(n for n, text in enumerate(heads(found)) if text.startswith("difference"))
        assert ["control", ""] == texts["lstm"][at : at + 2]
        assert texts["gru"][at].startswith("-0.1")
        assert all(text == "" for text in texts["unigram"][at:])


def test_numbers_in_latex(family: Family) -> None:
    """A minus is a minus, a rank's dash is none, and names keep their hyphens."""
    (table,) = compare(make_trials(family(range(6), **{"lstm": 8.5, "my-gru-2": 8.501})))
    text = latex_table(score_layout(table, Form.LATEX))
    (line,) = [line for line in text.splitlines() if line.startswith("my-gru-2")]
    assert re.search(r"^my-gru-2 & 1-2 & [\d.]+ \$\\pm\$ [\d.]+ & 6 of 6 & \+0\.\d+ & ", line)


def test_what_a_trial_was_called_where_no_table_has_it(
    family: Family, logged: Make, content_of: Unpictured
) -> None:
    """A candidate of a tuning is named by its task and model."""
    runs = [*family(range(2), lstm=8.5, gru=8.4), logged("rnn", parent="tuning")]
    trials = make_trials(runs, ["tuning"])
    found = the_one(tables_in(page(content_of(trials, compare(trials)))), "valid")
    (candidate,) = [trial for trial in trials if trial.candidate]
    assert ["music", "rnn (candidate)"] == found.loc[candidate.short, ["task", "model"]].tolist()


def test_every_list_is_found_here() -> None:
    """A list that is added to the module is tested as the others are."""
    lists = [
        value
        for module in (columns, columns_across)
        for value in vars(module).values()
        if isinstance(value, list)
    ]
    assert [id(value) for value in LISTS.values()] == [id(value) for value in lists]
