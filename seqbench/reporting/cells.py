"""What stands in a report's tables: columns, rows and notes, whatever form they take."""

from __future__ import annotations

import math
from typing import NamedTuple

from seqbench.reporting.numbers import NONE, amount, p_value, quantity, score, share
from seqbench.reporting.overview import Overview
from seqbench.reporting.statistics import FEW
from seqbench.reporting.table import MOST_PAIRED, Difference, Table, Variant
from seqbench.reporting.verdict import listed, seeds


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


_MOST_FAILURES = 20  # lines below a table

LABEL = Column("model", "a model with its parameters and recipe")
COLUMNS = (
    LABEL,
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
    LABEL,
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


def badge(table: Table) -> str:
    """Return a word of warning; empty if none is due."""
    if table.is_smoke:
        return "smoke run"
    if table.is_lost:
        return "not compared"
    if sum(bool(item.scored) for item in table.variants) < 2:
        return "one model"
    return "exploratory" if table.is_exploratory else ""


def columns_of(table: Table) -> list[Column]:
    """Return the columns that a table's scores take."""
    found = list(COLUMNS)
    if any(item.groups for item in table.variants):
        unit = next((trial.group for trial in table.trials if trial.group), "")
        found.insert(5, Column(f"by {unit}" if unit else _UNITS.title, _UNITS.why))
    if any(pair.equivalent is not None for pair in table.pairs.values()):
        found.append(_PRACTICAL)
    return found


def rows_of(table: Table) -> list[Row]:
    """Return a row for each variant of a table, with :func:`columns_of` less the first."""
    columns = columns_of(table)
    units = any(column.why == _UNITS.why for column in columns)
    practical = _PRACTICAL in columns
    rows = []
    for item in table.variants:
        cells = [
            Cell(rank(item), item.rank[0]) if item.scored else Cell(NONE),
            score_cell(item.mean, item.mean),
            amount_cell(item.deviation, item.mean),
            interval(item.interval, item.mean),
        ]
        if units:
            cells.append(interval(item.groups, item.mean))
        cells.append(Cell(f"{len(item.scored)} of {len(item.trials)}", len(item.scored)))
        if item.label == table.control:
            cells += [Cell("control"), *[Cell("")] * 5]
        else:
            cells += difference_cells(item.control, item.mean)
        if practical:
            cells.append(_matters(item.control))
        rows.append(Row(item.label, cells, best=is_best(table, item)))
    return rows


def is_best(table: Table, item: Variant) -> bool:
    """Return whether a variant is separated from every other one, and better."""
    able = sum(bool(other.scored) for other in table.variants)
    return able > 1 and bool(item.scored) and item.rank == (1, 1)


def baseline_rows(table: Table) -> list[Row]:
    """Return a row for each simple predictor of a table's task."""
    empty = [Cell("")] * (len(columns_of(table)) - 3)
    return [
        Row(name, [Cell("", None), score_cell(level, level), *empty])
        for name, level in table.baselines.items()
    ]


def cost_rows(table: Table) -> list[Row]:
    """Return what each variant costs, with :data:`COST_COLUMNS` less the first."""
    rows = []
    for item in table.variants:
        if item.scored:
            values = [(item.cost(name), unit) for name, unit in _COSTS]
            cells = [Cell(quantity(value, unit), finite(value)) for value, unit in values]
            rows.append(Row(item.label, [*cells, Cell(item.backend or NONE)]))
    return rows


def pair_rows(table: Table) -> list[Row]:
    """Return every pair that was compared once, the better one first."""
    able = table.able
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
        amount_cell(pair.mean, level, signed=True),
        interval(pair.interval, level),
        Cell(p_value(pair.p_holm), finite(pair.p_holm)),
        Cell(p_value(pair.smallest_p), pair.smallest_p),
        Cell(share(pair.improvement), finite(pair.improvement)),
        Cell(NONE if math.isnan(pair.effect) else f"{pair.effect + 0.0:+.1f}", finite(pair.effect)),
    ]


def interval(found: tuple[float, float] | None, level: float) -> Cell:
    """Return an interval as a cell."""
    if found is None or not all(map(math.isfinite, found)):
        return Cell(NONE)
    return Cell(f"{amount(found[0], level)} to {amount(found[1], level)}", found[0])


def rank(item: Variant) -> str:
    """Return a rank as an interval."""
    low, high = item.rank
    return str(low) if low == high else f"{low}-{high}"


def table_notes(table: Table) -> list[str]:
    """Return what a reader must know of a table."""
    notes = []
    skewed = [item for item in table.variants if item.is_skewed]
    if skewed:
        notes.append(
            f"Scores of {listed(skewed)} are strongly skewed: their intervals may hold less often "
            "than 95%."
        )
    if table.wanted and table.control:
        control = next(item for item in table.variants if item.label == table.control)
        if table.wanted not in (control.label, control.model):
            notes.append(
                f"control={table.wanted} has no score here: compared with {control.label}."
            )
    if table.is_large:
        notes.append(
            f"Of more than {MOST_PAIRED} variants each is compared with the control alone."
        )
    incomplete = [item for item in table.variants if len(item.scored) < len(item.trials)]
    failures = []
    for item in incomplete:
        reasons: dict[str, list[int]] = {}
        for trial in item.trials:
            if not trial.is_scored:
                why = f"{trial.status}: {trial.reason}" if trial.reason else trial.status
                reasons.setdefault(why, []).append(trial.seed)
        for why, of_seeds in reasons.items():
            numbers = ", ".join(map(str, of_seeds))
            failures.append(f"{item.label}, seed {numbers}: {why}")
    notes += failures[:_MOST_FAILURES]
    if failures[_MOST_FAILURES:]:
        left = len(failures) - _MOST_FAILURES
        notes.append(f"{left} more lines of failures; results.csv has the reason of each trial.")
    complete = table.complete_seeds
    able = table.able if table.is_paired else []
    if any(len(item.scored) != len(complete) for item in able):
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
    changed = [item for item in table.variants if any(t.uncommitted for t in item.trials)]
    if changed:
        count = sum(bool(trial.uncommitted) for trial in table.trials)
        notes.append(
            f"{count} of {len(table.trials)} trials were trained with uncommitted changes: "
            f"{listed(changed)}."
        )
    tuned = dict.fromkeys(trial.tuning for trial in table.trials if trial.tuning)
    if tuned and len({trial.tuning for trial in table.trials}) > 1:
        notes.append("Not all were tuned with the same budget: each run says how it was.")
    return notes


OVERVIEW_COLUMNS = (
    Column("model", "of several variants the one with most seeds, then with fewest changes"),
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
                Cell(f"{found.low:.3f} to {found.high:.3f}", found.low)
                if math.isfinite(found.low)
                else Cell(NONE),
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


def score_cell(value: float, level: float) -> Cell:
    """Return a score as a cell, see :func:`seqbench.reporting.numbers.score`."""
    return Cell(score(value, level), finite(value))


def amount_cell(value: float, level: float, signed: bool = False) -> Cell:
    """Return a difference or spread as a cell; ``signed`` writes a plus too."""
    text = amount(value, level)
    return Cell(f"+{text}" if signed and value > 0 else text, finite(value))


def finite(value: float) -> float | None:
    """Return a number to sort by; None where there is none."""
    return value if math.isfinite(value) else None


def _matters(pair: Difference | None) -> Cell:
    if pair is None or pair.equivalent is None:
        return Cell(NONE)
    assert pair.practical is not None
    within = f"±{pair.practical:.3g}"
    if pair.equivalent:
        return Cell(f"no, within {within}")
    low, high = pair.interval
    if pair.seeds < FEW:
        return Cell(f"open ({within}, {seeds(pair.seeds)})")
    if low > pair.practical or high < -pair.practical:
        return Cell(f"yes, beyond {within}")
    return Cell(f"open ({within})")
