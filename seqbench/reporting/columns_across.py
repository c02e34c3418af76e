"""Columns of what holds across tasks, and over splits of one task's data."""

from __future__ import annotations

from seqbench.reporting.columns_difference import ends, signed
from seqbench.reporting.forms import Column, Form, Layout, layout
from seqbench.reporting.numbers import p_value
from seqbench.reporting.overview import Overview
from seqbench.reporting.rows import (
    AcrossRow,
    ModelRow,
    SplitRow,
    across_rows,
    model_rows,
    split_rows,
)
from seqbench.reporting.splits import SplitTable

OVERVIEW: list[Column[ModelRow]] = [
    Column("model", "model", "of several variants the one with most seeds, then with fewest "
           "changes", lambda row: row.model, align="left"),
    Column("mean", "plain mean", "of the normalised means on these tasks",
           lambda row: row.value, lambda value, _: f"{value:.3f}"),
]  # fmt: skip
"""Of the models of an overview; a column for each task follows."""

ACROSS: list[Column[AcrossRow]] = [
    Column("pair", "pair", "of models", lambda row: f"{row.one} - {row.other}", align="left"),
    Column("better", "better on at least", "tasks on which the mean of the first is better on new "
           "groups, adjusted for the number of pairs", lambda row: row.better.at_least),
    Column("better_on", "surely better on",
           "tasks, adjusted for all pairs on all tasks (Holm)",
           lambda row: ", ".join(row.better.on), align="left"),
    Column("worse", "worse on at least", "likewise", lambda row: row.worse.at_least),
    Column("worse_on", "surely worse on", "likewise",
           lambda row: ", ".join(row.worse.on), align="left"),
]  # fmt: skip
"""Of pairs of models across tasks."""

SPLITS: list[Column[SplitRow]] = [
    Column("pair", "pair", "first minus second", lambda row: f"{row.pair.one} - {row.pair.other}",
           align="left"),
    Column("mean", "difference", "of the means over seeds, mean over splits",
           lambda row: row.pair.mean, lambda value, row: signed(value, row.level)),
    Column("interval", "95% interval", "on new training and test data of these sizes (Nadeau and "
           "Bengio)", lambda row: row.pair.interval, lambda value, row: ends(value, row.level)),
    Column("p_holm", "p", "two-sided, adjusted for all pairs (Holm)", lambda row: row.pair.p_holm,
           lambda value, _: p_value(value)),
    Column("of_splits", "on each split", "difference of the means over seeds",
           lambda row: ", ".join(signed(value, row.level) for value in row.pair.of_splits)),
]  # fmt: skip
"""Of pairs of variants over splits."""


def overview_layout(overview: Overview, form: Form) -> Layout:
    """Return the models of an overview with their normalised means on each task, laid out."""
    columns = [*OVERVIEW, *(_of_task(at, table.name) for at, table in enumerate(overview.tables))]
    return layout(columns, model_rows(overview), form)


def _of_task(place: int, name: str) -> Column[ModelRow]:
    return Column(f"task {place}", name, "normalised mean", lambda row: row.scores[place],
                  lambda value, _: f"{value:.3f}")  # fmt: skip


def across_layout(overview: Overview, form: Form) -> Layout:
    """Return the pairs of an overview's models, laid out; no rows where nothing is claimed."""
    return layout(ACROSS, across_rows(overview), form)


def split_layout(item: SplitTable, form: Form) -> Layout:
    """Return the pairs of variants over splits, laid out."""
    return layout(SPLITS, split_rows(item), form)
