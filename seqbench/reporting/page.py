"""The report as one page that opens offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqbench.reporting.across import overview_verdict
from seqbench.reporting.columns import (
    COSTS,
    PAIRS,
    SCORES,
    TRIALS,
    cost_layout,
    fold_caption,
    fold_layout,
    pair_layout,
    score_layout,
)
from seqbench.reporting.columns_across import across_layout, overview_layout, split_layout
from seqbench.reporting.drawing import Picture
from seqbench.reporting.forms import Form, Head, Layout, heads, layout
from seqbench.reporting.notes import badge, overview_explanation, overview_title, table_notes
from seqbench.reporting.overview import Overview
from seqbench.reporting.rows import TrialRow, places_of, variant_rows
from seqbench.reporting.splits import SplitTable, split_verdict
from seqbench.reporting.table import Table
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.verdict import verdict

MOST_ROWS = 1000
"""Trials that the page lists; of more it shows aggregates, and the tables beside it have all."""
MOST_TABLES = 60
"""Tables that the page shows in full; of others it has the verdicts."""
MOST_PAIRS = 1000
"""Pairs of variants that the page lists, in all of its tables together."""
MOST_LEFT_OUT = 1000
"""Parts of the data that the page lists as left out, below a table."""
PICTURE_BYTES = 800_000
"""What pictures may take of the page, which is to stay below 3 MB."""


@dataclass(frozen=True)
class Content:
    """What a report holds.

    Args:
        store: where the trials are, for a person to read.
        chosen: how they were filtered; empty if not at all.
        trials: all of them.
        tables: with verdicts, the current ones first.
        overviews: across tasks.
        splits: over splits of a task's data.
        pictures: by the identifier of their table or overview.
        tunings: title and picture of each tuning.
        commands: how to repeat a trial, by its run.
        notes: what a reader must know of the whole.
    """

    store: str
    chosen: str
    trials: Sequence[ReportedTrial]
    tables: Sequence[Table]
    overviews: Sequence[Overview]
    splits: Sequence[SplitTable]
    pictures: Mapping[str, Sequence[Picture]]
    tunings: Sequence[tuple[str, Picture]]
    commands: Callable[[ReportedTrial], list[str]]
    notes: Sequence[str]

    @property
    def about(self) -> str:
        """What it is a report of, in one line."""
        finished = sum(trial.status == "FINISHED" for trial in self.trials)
        chosen = f", {self.chosen}" if self.chosen else ""
        return f"{len(self.trials)} trials of {self.store}{chosen}; {finished} finished"

    @property
    def nothing(self) -> str:
        """Why no table stands in it."""
        if self.trials:
            return "There is no trial to compare: all are candidates of tunings."
        return "There is no trial to report."


def page(content: Content) -> str:
    """Return the report as HTML; every name in it is escaped."""
    import jinja2

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    listed_trials = content.trials if len(content.trials) <= MOST_ROWS else []
    full = content.tables[:MOST_TABLES]
    notes = list(content.notes)
    if not listed_trials and content.trials:
        notes.append(
            f"More than {MOST_ROWS:,} trials: this page shows aggregates, results.csv has every "
            "trial."
        )
    if len(full) < len(content.tables):
        notes.append(
            f"{len(full)} of {len(content.tables)} tables stand here in full, report.md has all; "
            "filter with task=."
        )
    pictures, left_out = _fitting(content.pictures)
    if left_out:
        notes.append(f"{left_out} pictures are left out, so that the page stays small.")
    places = places_of(content.tables)
    trials = [TrialRow(trial, places.get(trial.run_id)) for trial in listed_trials]
    sections = []
    room = MOST_PAIRS
    for table in full:
        pairs = pair_layout(table, Form.PAGE)
        if len(pairs.lines) > room:
            what = f"{len(pairs.lines):,} pairs of {table.name}"
            notes.append(f"{what} are left out; `seqbench report --json` has them.")
            pairs.lines.clear()
        room -= len(pairs.lines)
        sections.append(_section(table, pictures.get(table.identifier, []), pairs))
    return environment.get_template("page.html.jinja").render(
        title="seqbench report",
        css=(here / "page.css").read_text(encoding="utf-8"),
        script=(here / "page.js").read_text(encoding="utf-8"),
        about=f"{content.about}; written {time.strftime('%Y-%m-%d %H:%M')}",
        nothing=content.nothing,
        notes=notes,
        verdicts=[
            {
                "anchor": f"table-{table.identifier}" if table in full else "",
                "name": table.name,
                "badge": badge(table),
                "verdict": verdict(table),
            }
            for table in content.tables
            if not table.is_old
        ],
        tables=sections,
        overviews=[
            *(_overview(item, pictures.get(item.identifier, [])) for item in content.overviews),
            *map(_over_splits, content.splits),
        ],
        tunings=[
            {
                "anchor": picture.name,
                "title": title,
                "picture": picture.on_page(),
                "explanation": TUNING,
            }
            for title, picture in content.tunings
        ],
        legend=_legend(content.tables) if content.tables else [],
        trials=layout(TRIALS, trials, Form.PAGE, _mark),
        data=_data(trials, content.commands),
        footer=FOOTER,
    )


def _fitting(pictures: Mapping[str, Sequence[Picture]]) -> tuple[dict[str, list[str]], int]:
    """Return the pictures that there is room for, as a page has them, and how many there is not."""
    room = PICTURE_BYTES
    chosen: dict[str, list[str]] = {}
    left_out = 0
    for identifier, found in pictures.items():
        for picture in found:
            svg = picture.on_page()
            room -= len(svg)
            if room > 0:
                chosen.setdefault(identifier, []).append(svg)
            else:
                left_out += 1
    return chosen, left_out


def _legend(tables: Sequence[Table]) -> list[Head]:
    """Return every column of the page's tables once, with what it means."""
    found = [head for table in tables for head in heads(SCORES, variant_rows(table), Form.PAGE)]
    found += [*heads(PAIRS, [], Form.PAGE), *heads(COSTS, [], Form.PAGE)]
    return list(dict.fromkeys(found))


FOOTER = (
    "Models are compared by runs of their own seeds. On new groups: trained again on the same "
    "training set and tested on other groups from the same source. On these test data: trained "
    "again, tested on the same. p: two-sided, adjusted by Holm's step-down method. A run that "
    "failed by its model's own fault counts as the weakest simple predictor. Bold: better than "
    "every other model of its table. Latencies and memory are of the machine that ran the trials, "
    "and compare only within it. How everything is computed: docs/statistics.md of seqbench."
)
SPLITS_EXPLAINED = (
    "The test folds have no group in common. The interval is Nadeau and Bengio's, as the training "
    "data of splits overlap."
)
TUNING = (
    "Best validation score to be expected after n candidates (Dodge et al. 2019), band: 95% of "
    "draws of the candidates."
)


def _section(table: Table, pictures: Sequence[str], pairs: Layout) -> dict[str, Any]:
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    better = "smaller is better" if table.metric.direction == "min" else "larger is better"
    control = f"; control {table.control}" if table.control else ""
    return {
        "anchor": f"table-{table.identifier}",
        "name": table.name,
        "conditions": table.conditions,
        "is_old": table.is_old,
        "badge": badge(table),
        "verdict": verdict(table),
        "caption": f"Test {table.metric.name}{unit}: {better}; "
        f"conditions {table.conditions}{control}",
        "scores": score_layout(table, Form.PAGE),
        "notes": table_notes(table, left_out=False),
        "left_out": table.left_out[:MOST_LEFT_OUT],
        "left_out_caption": _left_out_caption(len(table.left_out)),
        "folds": fold_layout(table, Form.PAGE),
        "folds_caption": fold_caption(table),
        "pairs": pairs,
        "costs": cost_layout(table, Form.PAGE),
        "pictures": pictures,
    }


def _left_out_caption(number: int) -> str:
    rest = f"; the first {MOST_LEFT_OUT}, results.csv has all" if number > MOST_LEFT_OUT else ""
    return f"Left out of the data: {number}{rest}"


def _overview(item: Overview, pictures: Sequence[str]) -> dict[str, Any]:
    return {
        "anchor": f"overview-{item.identifier}",
        "title": overview_title(item),
        "verdict": overview_verdict(item),
        "explanation": overview_explanation(item),
        "scores": overview_layout(item, Form.PAGE),
        "pairs": across_layout(item, Form.PAGE),
        "pictures": pictures,
    }


def _over_splits(item: SplitTable) -> dict[str, Any]:
    return {
        "anchor": item.identifier,
        "title": item.name,
        "verdict": split_verdict(item),
        "explanation": SPLITS_EXPLAINED,
        "scores": split_layout(item, Form.PAGE),
        "pairs": Layout([], []),
        "pictures": [],
    }


def _mark(row: TrialRow) -> str:
    return "" if row.trial.is_scored else "failed"


def _data(rows: Sequence[TrialRow], commands: Callable[[ReportedTrial], list[str]]) -> str:
    """Return what the page tells of a run when it is opened, as JSON; what is shared is once."""
    pools: dict[str, dict[str, int]] = {"configs": {}, "environments": {}, "origins": {}}

    def place(pool: str, values: Mapping[str, object]) -> int:
        text = json.dumps({key: str(value) for key, value in values.items()}, sort_keys=True)
        return pools[pool].setdefault(text, len(pools[pool]))

    found = {}
    dialog = layout(TRIALS, rows, Form.DIALOG)
    for row, line in zip(rows, dialog.lines, strict=True):
        trial = row.trial
        task = row.place.table.name if row.place else trial.title
        label = row.place.variant.label if row.place else trial.model
        about = {
            **{head.text: item.text for head, item in zip(dialog.heads, line.items, strict=True)},
            **{f"test {name}": f"{value:.6g}" for name, value in trial.scores.items()},
        }
        found[trial.short] = {
            "title": f"{task}, {label}, seed {trial.seed}",
            "commands": commands(trial),
            "about": {name: text for name, text in about.items() if text},
            "config": place("configs", trial.config),
            "environment": place("environments", trial.environment),
            "origin": place("origins", trial.origin),
        }
    data = {
        "trials": found,
        **{name: [json.loads(t) for t in pool] for name, pool in pools.items()},
    }
    # Nothing in it may end the script element that holds it.
    return json.dumps(data).replace("<", "\\u003c").replace("&", "\\u0026")
