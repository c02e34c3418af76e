"""The report as one page that opens offline."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seqbench.reporting.comparison import Contender, Difference, Table
from seqbench.reporting.numbers import NONE, amount, p_value, quantity, score, share
from seqbench.reporting.overview import Overview
from seqbench.reporting.pictures import Picture
from seqbench.reporting.trials import Trial
from seqbench.reporting.verdict import listed, overview_verdict, seeds, verdict

MOST_ROWS = 1000
"""Trials that the page lists; of more it shows aggregates, and the tables beside it have all."""
MOST_TABLES = 60
"""Tables that the page shows in full; of others it has the verdicts."""
PICTURE_BYTES = 1_200_000
"""What pictures may take of the page, which is to stay below 3 MB."""


class Cell(NamedTuple):
    """A cell: what is read, and by what it is sorted."""

    text: str
    value: float | None = None


class Row(NamedTuple):
    """A row of a table."""

    label: str
    cells: list[Cell]
    best: bool = False


class Column(NamedTuple):
    """The head of a column."""

    title: str
    why: str


@dataclass(frozen=True)
class Content:
    """What a report holds.

    Args:
        store: where the trials are, for a person to read.
        chosen: how they were filtered; empty if not at all.
        trials: all of them.
        tables: with verdicts, the current ones first.
        overviews: across tasks.
        pictures: by the identifier of their table or overview.
        tunings: title and picture of each tuning.
        commands: how to repeat a trial, by its run.
        notes: what a reader must know of the whole.
    """

    store: str
    chosen: str
    trials: Sequence[Trial]
    tables: Sequence[Table]
    overviews: Sequence[Overview]
    pictures: Mapping[str, Sequence[Picture]]
    tunings: Sequence[tuple[str, Picture]]
    commands: Callable[[Trial], list[str]]
    notes: Sequence[str]

    @property
    def about(self) -> str:
        """What it is a report of, in one line."""
        finished = sum(trial.status == "FINISHED" for trial in self.trials)
        chosen = f", {self.chosen}" if self.chosen else ""
        return f"{len(self.trials)} trials of {self.store}{chosen}; {finished} finished"


_LABEL = Column("model", "a model with its parameters and recipe")
COLUMNS = (
    _LABEL,
    Column("rank", "from and to: what cannot be separated from it shares the rank"),
    Column("test", "mean over seeds"),
    Column("sd", "standard deviation over seeds"),
    Column("95% interval", "of the mean over seeds, bootstrap-t"),
    Column("seeds", "finished, of those that were tried"),
    Column("difference", "mean difference from the control on the same seeds"),
    Column("its 95% interval", "of the mean difference over seeds, bootstrap-t"),
    Column("p", "exact sign-flip test against the control, adjusted (Holm)"),
    Column("least p", "the smallest p that so many paired seeds could have reached"),
    Column("better", "probability that a run is better than one of the control"),
    Column("effect", "mean difference in standard deviations of the differences (Hedges)"),
)
_UNITS = Column("test data", "95% interval of the mean over other draws of the test data")
_PRACTICAL = Column("matters", "whether the difference can be large enough to matter")
PAIR_COLUMNS = (
    Column("pair", "first minus second"),
    *COLUMNS[6:8],
    Column("p", "exact sign-flip test, adjusted for all pairs of the table (Holm)"),
    *COLUMNS[9:],
    Column("seeds", "that both have finished"),
)
COST_COLUMNS = (
    _LABEL,
    Column("parameters", "trainable numbers in model and head"),
    Column("operations per step", "forward, of one sequence; recurrent cells counted exactly"),
    Column("state", "what must be kept of a sequence to read on, after 64 steps"),
    Column("steps/s", "optimiser steps per second of training"),
    Column("training", "wall time of training"),
    Column("step", "latency of one more step, batch 1"),
    Column("sequence", "latency of the test sequence of median length, batch 1"),
    Column("peak memory", "of the process, since the trial began"),
    Column("back end", "what ran the recurrence"),
)
_TRIAL_COLUMNS = (
    Column("run", "opens what is known of it"),
    Column("task", "and what was changed of it"),
    _LABEL,
    Column("seed", "of the trial"),
    Column("test", "primary metric"),
    Column("valid", "metric that selected the epoch"),
    Column("training", "wall time"),
    Column("status", "how it ended"),
)
_COSTS = (
    ("parameters", ""),
    ("flops_per_step", ""),
    ("state_bytes", "B"),
    ("steps_per_second", ""),
    ("seconds", "s"),
    ("step_seconds", "s"),
    ("sequence_seconds", "s"),
    ("peak_bytes", "B"),
)


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
    labels = labels_of(content.tables)
    sections = [_section(table, pictures.get(table.identifier, [])) for table in full]
    return environment.get_template("page.html.jinja").render(
        title="seqbench report",
        css=(here / "page.css").read_text(encoding="utf-8"),
        script=(here / "page.js").read_text(encoding="utf-8"),
        about=f"{content.about}; written {time.strftime('%Y-%m-%d %H:%M')}",
        nothing="There is no trial to report.",
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
            _overview(item, pictures.get(item.identifier, [])) for item in content.overviews
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
        trials=[_trial(trial, labels) for trial in listed_trials],
        trial_columns=_TRIAL_COLUMNS,
        data=_data(listed_trials, labels, content.commands),
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


def _legend(tables: Sequence[Table]) -> list[Column]:
    """Return every column of the page once, with what it means."""
    of_scores = [column for table in tables for column in columns_of(table)]
    return list(dict.fromkeys([*of_scores, *PAIR_COLUMNS, *COST_COLUMNS]))


FOOTER = (
    "Differences are paired by seed: models of one seed have seen the same batches. p: exact "
    "two-sided sign-flip test, adjusted by Holm's step-down method. Bold: separated from every "
    "other model of its table. Latencies and memory are of the machine that ran the trials, and "
    "compare only within it. How everything is computed: docs/statistics.md of seqbench."
)
TUNING = (
    "Best validation score to be expected after n candidates (Dodge et al. 2019), band: 95% of "
    "draws of the candidates."
)


def labels_of(tables: Sequence[Table]) -> dict[str, tuple[str, str]]:
    """Return by run what a trial's table and contender are called."""
    return {
        trial.run_id: (table.name, item.label)
        for table in tables
        for item in table.contenders
        for trial in item.trials
    }


def badge(table: Table) -> str:
    """Return a word of warning; empty if none is due."""
    if table.is_smoke:
        return "smoke run"
    if sum(bool(item.scored) for item in table.contenders) < 2:
        return "one model"
    return "exploratory" if table.is_exploratory else ""


def columns_of(table: Table) -> list[Column]:
    """Return the columns that a table's scores take."""
    found = list(COLUMNS)
    if any(item.units for item in table.contenders):
        unit = next((trial.unit for trial in table.trials if trial.unit), "")
        found.insert(5, Column(f"by {unit}" if unit else _UNITS.title, _UNITS.why))
    if any(pair.equivalent is not None for pair in table.pairs.values()):
        found.append(_PRACTICAL)
    return found


def rows_of(table: Table) -> list[Row]:
    """Return a row for each contender of a table, with :func:`columns_of` less the first."""
    columns = columns_of(table)
    units = any(column.why == _UNITS.why for column in columns)
    practical = _PRACTICAL in columns
    rows = []
    for item in table.contenders:
        cells = [
            Cell(rank(item), item.rank[0]) if item.scored else Cell(NONE),
            _score(item.mean, item.mean),
            _amount(item.deviation, item.mean),
            interval(item.interval, item.mean),
        ]
        if units:
            cells.append(interval(item.units, item.mean))
        cells.append(Cell(f"{len(item.scored)} of {len(item.trials)}", len(item.scored)))
        if item.label == table.control:
            cells += [Cell("control"), *[Cell("")] * 5]
        else:
            cells += difference_cells(item.control, item.mean)
        if practical:
            cells.append(_matters(item.control))
        rows.append(Row(item.label, cells, best=is_best(table, item)))
    return rows


def is_best(table: Table, item: Contender) -> bool:
    """Return whether a contender is separated from every other one, and better."""
    able = sum(bool(other.scored) for other in table.contenders)
    return able > 1 and bool(item.scored) and item.rank == (1, 1)


def baseline_rows(table: Table) -> list[Row]:
    """Return a row for each simple predictor of a table's task."""
    empty = [Cell("")] * (len(columns_of(table)) - 3)
    return [
        Row(name, [Cell("", None), _score(level, level), *empty])
        for name, level in table.baselines.items()
    ]


def cost_rows(table: Table) -> list[Row]:
    """Return what each contender costs, with :data:`COST_COLUMNS` less the first."""
    rows = []
    for item in table.contenders:
        if item.scored:
            values = [(item.cost(name), unit) for name, unit in _COSTS]
            cells = [Cell(quantity(value, unit), _finite(value)) for value, unit in values]
            rows.append(Row(item.label, [*cells, Cell(item.backend or NONE)]))
    return rows


def pair_rows(table: Table) -> list[Row]:
    """Return every pair once, the better one first."""
    able = [item for item in table.contenders if item.scored]
    rows = []
    for number, one in enumerate(able):
        for other in able[number + 1 :]:
            pair = table.pair(one.label, other.label)
            if pair is not None:
                cells = [*difference_cells(pair, one.mean), Cell(str(pair.seeds), pair.seeds)]
                rows.append(Row(f"{one.label} - {other.label}", cells))
    return rows


def difference_cells(pair: Difference | None, level: float) -> list[Cell]:
    """Return a difference with its interval, p, smallest p, improvement and effect."""
    if pair is None:
        return [Cell(NONE)] * 6
    return [
        _amount(pair.mean, level, signed=True),
        interval(pair.interval, level),
        Cell(p_value(pair.p_holm), _finite(pair.p_holm)),
        Cell(p_value(pair.smallest_p), pair.smallest_p),
        Cell(share(pair.improvement), _finite(pair.improvement)),
        Cell(NONE if math.isnan(pair.effect) else f"{pair.effect:+.1f}", _finite(pair.effect)),
    ]


def interval(found: tuple[float, float] | None, level: float) -> Cell:
    """Return an interval as a cell."""
    if found is None or not all(map(math.isfinite, found)):
        return Cell(NONE)
    return Cell(f"{amount(found[0], level)} to {amount(found[1], level)}", found[0])


def rank(item: Contender) -> str:
    """Return a rank as an interval."""
    low, high = item.rank
    return str(low) if low == high else f"{low}-{high}"


def table_notes(table: Table) -> list[str]:
    """Return what a reader must know of a table."""
    notes = []
    skewed = [item for item in table.contenders if item.is_skewed]
    if skewed:
        notes.append(
            f"Scores of {listed(skewed)} are strongly skewed: their intervals may hold less often "
            "than 95%."
        )
    incomplete = [item for item in table.contenders if len(item.scored) < len(item.trials)]
    for item in incomplete:
        reasons: dict[str, list[int]] = {}
        for trial in item.trials:
            if not trial.is_scored:
                why = f"{trial.status}: {trial.reason}" if trial.reason else trial.status
                reasons.setdefault(why, []).append(trial.seed)
        for why, of_seeds in reasons.items():
            numbers = ", ".join(map(str, of_seeds))
            notes.append(f"{item.label}, seed {numbers}: {why}")
    complete = table.complete_seeds
    able = [item for item in table.contenders if item.scored]
    if len(able) > 1 and any(len(item.scored) != len(complete) for item in able):
        numbers = ", ".join(map(str, complete)) or "none"
        notes.append(
            "Means are over each model's own seeds, differences over the seeds that both have "
            f"finished; seeds that all have finished: {numbers}."
        )
    gaps = [trial for trial in table.trials if trial.gap]
    if gaps:
        notes.append(
            f"{len(gaps)} runs cannot be read in full, for example {gaps[0].short}: {gaps[0].gap}"
        )
    tuned = dict.fromkeys(trial.tuning for trial in table.trials if trial.tuning)
    if tuned and len({trial.tuning for trial in table.trials}) > 1:
        notes.append("Not all were tuned with the same budget: each run says how it was.")
    return notes


def _section(table: Table, pictures: Sequence[str]) -> dict[str, Any]:
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    better = "smaller is better" if table.metric.direction == "min" else "larger is better"
    control = f"; control {table.control}" if table.control else ""
    return {
        "anchor": f"table-{table.identifier}",
        "name": table.name,
        "protocol": table.protocol,
        "is_old": table.is_old,
        "badge": badge(table),
        "verdict": verdict(table),
        "caption": f"Test {table.metric.name}{unit}: {better}; protocol {table.protocol}{control}",
        "columns": columns_of(table),
        "rows": rows_of(table),
        "baselines": baseline_rows(table),
        "notes": table_notes(table),
        "pair_columns": PAIR_COLUMNS,
        "pairs": pair_rows(table),
        "cost_columns": COST_COLUMNS,
        "costs": cost_rows(table),
        "pictures": pictures,
    }


OVERVIEW_COLUMNS = (
    Column("model", "best of its task's tables"),
    Column("interquartile mean", "of normalised scores over seeds and tasks"),
    Column("95% interval", "seeds drawn again within each task"),
)


def overview_rows(item: Overview) -> list[Row]:
    """Return a row for each model of an overview."""
    return [
        Row(
            model,
            [
                Cell(f"{value:.3f}", value),
                Cell(f"{found.low:.3f} to {found.high:.3f}", found.low),
            ],
        )
        for model, (value, found) in item.iqm.items()
    ]


def overview_explanation(item: Overview) -> str:
    """Return what an overview's numbers are of."""
    names = "; ".join(
        f"{table.name}, {seeds(len(shared))}, 0 is {table.trivial_baseline[0]}"
        for table, shared in zip(item.tables, item.seeds, strict=True)
        if table.trivial_baseline is not None
    )
    text = (
        "Scores are normalised for each task: its weakest simple predictor is 0, the best score "
        f"seen is 1. Complete blocks: {names}."
    )
    if item.left_out:
        missing = "; ".join(f"{model} ({why})" for model, why in item.left_out.items())
        text += f" Left out, as incomplete: {missing}."
    return text


def overview_title(item: Overview) -> str:
    """Return the heading of an overview."""
    extra = ", predictions that see what comes after" if item.two_sided else ""
    return f"Across {len(item.tables)} tasks{extra}"


def _overview(item: Overview, pictures: Sequence[str]) -> dict[str, Any]:
    return {
        "anchor": f"overview-{item.identifier}",
        "title": overview_title(item),
        "verdict": overview_verdict(item),
        "explanation": overview_explanation(item),
        "columns": OVERVIEW_COLUMNS,
        "rows": overview_rows(item),
        "pictures": pictures,
    }


def _trial(trial: Trial, labels: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    task, label = labels.get(trial.run_id, (trial.task, f"{trial.model} (candidate)"))
    return {
        "run": trial.short,
        "task": task,
        "label": label,
        "cells": [
            Cell(str(trial.seed), trial.seed),
            _score(trial.score, trial.score),
            _score(trial.valid, trial.valid),
            Cell(quantity(trial.costs["seconds"], "s"), _finite(trial.costs["seconds"])),
        ],
        "status": trial.status,
        "failed": not trial.is_scored,
    }


def _data(
    trials: Sequence[Trial],
    labels: Mapping[str, tuple[str, str]],
    commands: Callable[[Trial], list[str]],
) -> str:
    """Return what the page tells of a run when it is opened, as JSON; what is shared is once."""
    pools: dict[str, dict[str, int]] = {"configs": {}, "environments": {}, "origins": {}}

    def place(pool: str, values: Mapping[str, object]) -> int:
        text = json.dumps({key: str(value) for key, value in values.items()}, sort_keys=True)
        return pools[pool].setdefault(text, len(pools[pool]))

    found = {}
    for trial in trials:
        task, label = labels.get(trial.run_id, (trial.task, trial.model))
        about = {
            "run": trial.run_id,
            "status": trial.status,
            "reason": trial.reason,
            "cannot be read": trial.gap,
            "protocol": trial.protocol,
            "back end": trial.backend,
            "context": trial.context,
            "tuning": trial.tuning,
            "began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(trial.began)),
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


def _score(value: float, level: float) -> Cell:
    return Cell(score(value, level), _finite(value))


def _amount(value: float, level: float, signed: bool = False) -> Cell:
    text = amount(value, level)
    return Cell(f"+{text}" if signed and value > 0 else text, _finite(value))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _matters(pair: Difference | None) -> Cell:
    if pair is None or pair.equivalent is None:
        return Cell(NONE)
    assert pair.practical is not None
    within = f"±{pair.practical:.3g}"
    if pair.equivalent:
        return Cell(f"no, within {within}")
    low, high = pair.interval
    if low > pair.practical or high < -pair.practical:
        return Cell(f"yes, beyond {within}")
    return Cell(f"open ({within})")
