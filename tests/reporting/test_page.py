"""The report's forms: the page in a real browser, Markdown, LaTeX, CSV, Parquet."""

from __future__ import annotations

import csv
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.page import MOST_ROWS, Content, page
from seqbench.reporting.report import write_report
from seqbench.reporting.selection import Selection
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial

Make = Callable[..., LoggedTrial]
Family = Callable[..., list[LoggedTrial]]
Unpictured = Callable[..., Content]

EVIL = "<script>alert(1)</script>&\"'`$\\frac{}$ | ünïcødé 雪"


def selection(runs: list[LoggedTrial], **options: Any) -> Selection:
    trials = make_trials(runs, ["tuning"])
    return Selection("store.db", trials, compare(trials, **options), {}, [])


@pytest.fixture(scope="module")
def rich_runs(family: Family, logged: Make) -> list[LoggedTrial]:
    """Two tasks, three models, ten seeds; a failure, an odd name, an old conditions, a tuning."""
    return [
        *family(lstm=8.5, gru=8.4, rnn=9.0),
        *family(task="speech", lstm=5.0, gru=5.5, rnn=7.0),
        logged(EVIL, 0, task="speech", reason=EVIL, status="FAILED", metrics={}),
        logged("gru", 11, task="speech", score=math.inf),
        logged("lstm", 0, began=1.0, parts={"harness": "old"}),
        *(
            logged("gru", 0, 8 + at, parent="tuning", config={"recipe": {"lr": at}})
            for at in range(4)
        ),
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, rich_runs: list[LoggedTrial]) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, selection(rich_runs, practical=Practical(0.2, False)), "")
    return folder


@pytest.fixture(scope="module", params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def shown(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened without a network; nothing may be asked for and nothing may go wrong."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: problems.append(request.url))
    opened.goto((report / "report.html").as_uri())
    yield opened
    asked = [problem for problem in problems if not problem.startswith("file:")]
    assert [] == [problem for problem in asked if not problem.startswith("data:,")]
    context.close()


def column(shown: Any, table: str, number: int) -> list[str]:
    found: list[str] = shown.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent.trim())"
    )
    return found


@pytest.mark.slow
def test_the_page_fits_and_starts_with_the_verdicts(shown: Any) -> None:
    """No sideways scrolling of the page itself, on a phone either; pictures have words."""
    sizes = shown.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert sizes[0] <= sizes[1]
    assert "What the trials say" == shown.inner_text("main h2 >> nth=0")
    assert "gru is best: better than " in shown.inner_text(".verdicts li >> nth=0")
    labels = shown.eval_on_selector_all("svg", "all => all.map(s => s.getAttribute('aria-label'))")
    assert len(labels) > 8
    assert all(len(label) > 40 for label in labels)
    identifiers = shown.eval_on_selector_all("[id]", "all => all.map(node => node.id)")
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.slow
def test_dark_and_light_are_readable(shown: Any) -> None:
    """Text of the page and of pictures differs from the paper by 7 to 1 (WCAG 2.2, AAA)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    paper = luminance(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
    for what in ("p", "td", "svg text"):
        ink = shown.eval_on_selector(
            what, "node => node.closest('svg') ? getComputedStyle(node).fill"
            " : getComputedStyle(node).color",
        )  # fmt: skip
        low, high = sorted((paper, luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 7, what


@pytest.mark.slow
def test_columns_sort_by_value_and_by_keyboard(shown: Any) -> None:
    """Down and up again; what has no value stays at the end."""
    scores = "#trials thead button:text-is('test')"
    shown.focus(scores)
    shown.keyboard.press("Enter")
    texts = column(shown, "#trials", 4)
    numbers = [float(text) for text in texts if text not in ("-", "inf")]
    assert sorted(numbers) == numbers
    assert {"-", "inf"} >= set(texts[len(numbers) :])
    shown.keyboard.press("Enter")
    down = column(shown, "#trials", 4)
    assert sorted(numbers, reverse=True) == [float(t) for t in down if t not in ("-", "inf")]
    assert texts[len(numbers) :] == down[len(numbers) :]
    heads = shown.eval_on_selector_all(
        "#trials th[aria-sort]", "all => all.map(head => head.getAttribute('aria-sort'))"
    )
    assert ["descending"] == [sort for sort in heads if sort != "none"]


@pytest.mark.slow
def test_trials_are_filtered_by_words(shown: Any) -> None:
    shown.fill("#filter", "speech rnn")
    visible = shown.locator("#trials tbody tr:visible")
    assert 10 == visible.count()
    assert "10 of 67 trials" == shown.inner_text("#shown")
    shown.fill("#filter", "")
    assert 67 == visible.count()


@pytest.mark.slow
def test_a_run_opens_and_closes(shown: Any) -> None:
    """Names are text there too; Escape closes it, and the focus is back."""
    shown.fill("#filter", "FAILED")
    button = shown.locator("#trials tbody tr:visible .open")
    button.focus()
    shown.keyboard.press("Enter")
    text = shown.inner_text("#detail")
    run = button.inner_text()
    assert f"seqbench repro {run}" in text
    assert EVIL in text
    for what in ("recipe.lr", "torch", "git", "data", "back end", "0123456 (clean)"):
        assert what in text
    assert 0 == shown.locator("#detail script").count()
    shown.keyboard.press("Escape")
    assert not shown.is_visible("#detail")
    assert run == shown.evaluate("document.activeElement.textContent")


def test_every_name_is_escaped(report: Path) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert html.count("<script") == 2
    markdown = (report / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert r"\textless{}script\textgreater{}" in (report / "tables.tex").read_text("utf-8")
    assert "67 trials of store.db; 66 finished" in html


def test_the_page_needs_nothing_from_elsewhere(report: Path) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    assert [] == re.findall(r"""(?:src|href)=["'](?!#|data:,)[^"']*""", html)
    assert [] == re.findall(r"@import|url\((?!#)", html)


def test_pictures_are_files_beside_markdown(report: Path) -> None:
    """Each is well-formed, and every picture that Markdown names is there."""
    markdown = (report / "report.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\((pictures/[^)]+)\)", markdown)
    assert len(names) > 8
    for name in names:
        ElementTree.parse(report / name)
    assert sorted(names) == sorted(f"pictures/{p.name}" for p in (report / "pictures").iterdir())


def test_numbers_in_pictures_are_whole(report: Path, rich_runs: list[LoggedTrial]) -> None:
    """What is read keeps its digits; only coordinates are shortened."""
    svg = (report / "pictures" / "scores-music.svg").read_text(encoding="utf-8")
    assert "logistic_regression 9.400" in svg or "unigram 11.30" in svg
    assert not re.search(r' d="[^"]*\.\d{3}', svg)


def test_older_conditions_are_shown_apart(report: Path) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    assert 1 == html.count(">older conditions")
    assert 2 == html.count('<li><a href="#table-')


def test_csv_and_parquet_have_every_trial(report: Path) -> None:
    with (report / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert 67 == len(rows)
    assert EVIL in {row["model"] for row in rows}
    frame = pd.read_parquet(report / "results.parquet")
    assert 67 == len(frame)
    np.testing.assert_array_equal([float(row["score"]) for row in rows], frame["score"])
    assert {"test/accuracy", "cost/flops_per_step", "recipe.lr", "origin/torch"} <= set(frame)
    assert 4 == frame["candidate"].sum()


def test_latex_is_balanced(report: Path) -> None:
    text = (report / "tables.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{") == text.count(r"\end{") == 4
    bold = [line for line in text.splitlines() if r"\textbf" in line]
    assert ["gru"] == [line.split(" &")[0] for line in bold]  # the other task's plan has a gap
    assert text.isascii() or set("ünïcødé雪") >= {letter for letter in text if not letter.isascii()}
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")


def test_json_in_the_page_is_whole(report: Path) -> None:
    """What is shared by trials stands once."""
    html = (report / "report.html").read_text(encoding="utf-8")
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert 67 == len(data["trials"])
    assert len(data["configs"]) < 15
    assert 1 == len(data["environments"])


def test_more_rows_than_a_page_holds(tmp_path: Path, family: Family) -> None:
    """The page has aggregates, the CSV all; and the page stays below 3 MB."""
    seeds = range(MOST_ROWS // 2 + 1)
    write_report(tmp_path, selection(family(seeds, lstm=8.5, gru=8.4)), "")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "More than 1,000 trials: this page shows aggregates" in html
    assert 'id="trials"' not in html
    assert MOST_ROWS + 3 == len((tmp_path / "results.csv").read_text("utf-8").splitlines())
    assert len(html) < 3e6


@pytest.mark.filterwarnings("error")
def test_more_variants_than_a_page_compares(tmp_path: Path, logged: Make) -> None:
    """Each is compared with the control; pictures have the best, and no warning is written."""
    runs = [
        logged("gru", seed, 8 + at / 50 + seed / 100, config={"recipe": {"lr": at}})
        for at in range(150)
        for seed in range(2)
    ]
    runs += [
        logged("lstm", seed, 8.0, config={"recipe": {"lr": at}}, status="FAILED", metrics={},
               reason=f"failure {at}")
        for at in range(40)
        for seed in range(1)
    ]  # fmt: skip
    write_report(tmp_path, selection(runs), "")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(html) < 1.5e6
    assert "Of more than 40 variants each is compared with the control alone." in html
    assert "20 more lines of failures; results.csv has the reason of each trial." in html
    assert "120 more, which are not drawn" in html


def test_more_pairs_than_a_page_lists(logged: Make, content_of: Unpictured) -> None:
    runs = [
        logged("gru", 0, 8 + at / 50, task=task, config={"recipe": {"lr": at}})
        for task in ("music", "speech")
        for at in range(40)
    ]
    trials = make_trials(runs)
    html = page(content_of(trials, compare(trials)))
    assert "780 pairs of speech are left out; `seqbench report --json` has them." in html
    assert 1 == html.count("<summary>Every pair")


def test_a_tuning_of_two_tasks(tmp_path: Path, logged: Make) -> None:
    """A picture for each; and candidates alone are no table."""
    runs = [
        logged("gru", 0, 8 + at, task=task, parent="tuning", config={"recipe": {"lr": at}})
        for task in ("music", "health/pbc")
        for at in range(4)
    ]
    write_report(tmp_path, selection(runs), "")
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"tuning-tuning-music.svg", "tuning-tuning-health-pbc.svg"} == names
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "There is no trial to compare: all are candidates of tunings." in html
    identifiers = re.findall(r' id="([^"]*)"', html)
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_reason(tmp_path: Path, logged: Make) -> None:
    """Too large to reckon with, or to draw: a correct page and no warning."""

    def history(*values: float) -> list[dict[str, float]]:
        return [{"valid/nll": value, "seconds": abs(value)} for value in values]

    runs = [
        logged("lstm", 0, 1e300, history=history(math.inf, -math.inf, 1.0)),
        logged("lstm", 1, history=history(math.nan, math.nan), bootstrap_scores=[1e300, 8.0]),
        logged("gru", 0, -1e300, history=history(1e300, 2.0)),
        logged("gru", 1, costs={"step_seconds": 1e-300, "flops_per_step": 1e300}),
        logged("rnn", 1, -0.0, costs={"step_seconds": math.inf, "flops_per_step": -3.0}),
    ]
    write_report(tmp_path, selection(runs), "")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "lstm, seed 0: FINISHED: its score is 1e+300" in html
    assert "gru, seed 0: FINISHED: its score is -1e+300" in html


@pytest.mark.parametrize("number", [0, 1, 2])
def test_next_to_nothing(tmp_path: Path, logged: Make, number: int) -> None:
    """No trial, one trial, one that failed: a correct page."""
    runs = [logged(), logged(status="FAILED", reason="broke", metrics={}, history=[], costs={})]
    write_report(tmp_path, selection(runs[number - 1 : number] if number else []), "")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    expected = (
        "There is no trial to report.",
        "1 seed of lstm is too few. lstm has a mean nll of 8.500 (1 seed). The strongest simple ",
        "Nothing can be said of music: its trial has no score.",
    )
    assert expected[number] in html


def test_records_of_which_much_is_missing(tmp_path: Path, logged: Make) -> None:
    """An older version's record: no costs, no baselines, no history, no configuration."""
    run = logged(costs={}, baselines={}, history=[], gap="config.json: no such file")
    run.config.clear()  # type: ignore[attr-defined]
    run.record.environment.clear()
    other = logged("gru", config={"recipe": {"clip": None}}, history=[{"valid/nll": "x"}])
    write_report(tmp_path, selection([run, other]), "")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1 run cannot be read in full, for example" in html
    assert "rerun=always makes it anew" in html
