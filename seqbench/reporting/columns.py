"""Every column of a report's tables; a new column is one entry of a list here.

A list is a table. :class:`seqbench.reporting.forms.Column` says what a column is, and which forms
it can have. A column's ``row`` is a class of :mod:`seqbench.reporting.rows`. Of a variant,
``row.variant`` has ``scores`` (a number for each seed), ``scored`` (finished trials by seed),
``trials``, ``mean``, ``deviation`` and ``cost(name)``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from seqbench.records import left_out_lines
from seqbench.reporting.columns_difference import (
    NARROW,
    READ,
    difference,
    differences,
    ends,
    limits,
    matters,
)
from seqbench.reporting.forms import Column, Form, Item, Layout, Line, layout
from seqbench.reporting.numbers import NONE, amount, finite, quantity, score
from seqbench.reporting.rows import (
    Compared,
    FoldRow,
    PairRow,
    TrialRow,
    VariantRow,
    fold_rows,
    pair_rows,
    variant_rows,
)
from seqbench.reporting.table import Table
from seqbench.reporting.text import with_unit
from seqbench.reporting.variant import PASSED

_LABEL = "a model with its parameters and recipe"


def _score(value: float, row: Compared) -> str:
    return score(value, row.level)


def _spread(value: float, row: Compared) -> str:
    return amount(value, row.level)


def _interval(value: tuple[float, float] | None, row: Compared) -> str:
    return ends(value, row.level)


def _rank(value: tuple[int, int] | None, _: object) -> str:
    """Return a rank as an interval."""
    if value is None:
        return NONE
    low, high = value
    return str(low) if low == high else f"{low}-{high}"


def _mean_and_deviation(value: float, row: VariantRow) -> str:
    text = _score(value, row)
    known = math.isfinite(row.variant.deviation)
    return f"{text} ± {_spread(row.variant.deviation, row)}" if known else text


def _test_metric(rows: Sequence[VariantRow]) -> str:
    return f"test {with_unit(rows[0].table.metric)}" if rows else "test"


def _has_region(rows: Sequence[VariantRow]) -> bool:
    return any(row.table.margin is not None for row in rows[:1])


def _are_on_new_groups(rows: Sequence[VariantRow]) -> bool:
    return any(math.isfinite(row.variant.interval.low) for row in rows)


def _has_unaudited(rows: Sequence[VariantRow]) -> bool:
    return any(row.variant.audit != PASSED for row in rows if row.variant.scored)


SCORES: list[Column[VariantRow]] = [
    Column("label", "model", _LABEL, lambda row: row.variant.label, align="left",
           forms=READ | NARROW | Form.JSON),
    Column(
        "rank", "rank", "from 1 + those that are better to all but those that are worse",
        lambda row: row.variant.rank, _rank,
        forms=READ | NARROW | Form.JSON,
    ),
    Column("mean", "test", "mean over seeds, failed runs included",
           lambda row: row.variant.mean, _score, forms=READ | Form.JSON, is_score=True),
    Column("mean", "mean ± sd", "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.LATEX, is_score=True),
    Column("mean", _test_metric, "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.TERMINAL, is_score=True),
    Column("standard_deviation", "sd", "standard deviation over seeds",
           lambda row: row.variant.deviation, _spread, forms=READ | Form.JSON),
    Column("interval", "on new groups", "interval of the mean if the model is trained again and "
           "tested on new groups from the same source", lambda row: row.variant.interval,
           _interval, forms=READ | Form.JSON, shown=_are_on_new_groups),
    Column("same_data_interval", "on these test data",
           "interval of the mean if the model is trained again and tested on these test data",
           lambda row: row.variant.same_data_interval, _interval, forms=READ | Form.JSON,
           shown=lambda rows: not _are_on_new_groups(rows)),
    Column("finished", "seeds", "finished, of those that count",
           lambda row: len(row.variant.scored),
           lambda number, row: f"{number} of {row.variant.number}", forms=READ | NARROW),
    Column("audit", "audit", "whether what the trained model sees was checked",
           lambda row: row.variant.audit, lambda value, _: value.partition(":")[0],
           forms=READ | Form.TERMINAL | Form.JSON, shown=_has_unaudited),
    *differences("two-sided, of no difference on new groups; adjusted for all pairs (Holm)"),
    difference(
        "equivalent", "matters", "whether the difference is worth having",
        lambda pair: pair.equivalent, lambda pair, _: matters(pair), NONE,
        forms=READ | Form.TERMINAL, shown=_has_region,
    ),
]  # fmt: skip
"""Of a table's variants; simple predictors have the first column and the score."""

PAIRS: list[Column[PairRow]] = [
    Column("pair", "pair", "first minus second", lambda row: f"{row.one.label} - {row.other.label}",
           align="left", forms=READ | Form.TERMINAL),
    *differences("two-sided, of no difference on new groups; adjusted for all pairs (Holm)"),
    *limits(),
]  # fmt: skip
"""Of every pair of a table's variants."""


def _cost(name: str, heading: str, meaning: str, unit: str = "") -> Column[VariantRow]:
    """Return a column of a cost that records have; JSON and CSV hold all of them by themselves.

    It is not shown where no model has any of it: most have no frozen numbers.
    """
    return Column(
        name, heading, meaning, lambda row: row.variant.cost(name),
        lambda value, _: quantity(value, unit), forms=READ,
        shown=lambda rows: any(row.variant.cost(name) != 0 for row in rows),
    )  # fmt: skip


COSTS: list[Column[VariantRow]] = [
    Column("label", "model", _LABEL, lambda row: row.variant.label, align="left", forms=READ),
    _cost("parameters", "parameters", "trainable numbers in model and head"),
    _cost("frozen", "frozen", "numbers in their parameters that are not trained"),
    _cost("buffers", "buffers", "numbers that the model keeps beside its parameters"),
    _cost("flops_per_step", "operations per step",
          "forward, of one sequence; recurrent cells counted exactly"),
    _cost("state_bytes", "state", "what must be kept of a sequence to read on, after 64 steps",
          "B"),
    _cost("steps_per_second", "steps/s", "optimiser steps per second of training"),
    _cost("seconds", "training", "wall time of training", "s"),
    Column(
        "step_seconds", "step", "latency of one more step, batch 1: median and 95% interval of "
        "models timed together (seqbench costs); without an interval, as trials timed themselves",
        lambda row: row.step_seconds,
        lambda value, row: str(row.latency or quantity(value, "s")), forms=READ,
    ),
    Column("step_interval", "95% interval", "of step_seconds, where models were timed together",
           lambda row: row.latency and row.latency.interval, forms=Form.JSON),
    _cost("sequence_seconds", "sequence",
          "latency of the test sequence of median length, batch 1", "s"),
    _cost("peak_bytes", "peak memory", "of the process, since the trial began", "B"),
    Column("backend", "back end", "what ran the recurrence", lambda row: row.variant.backend,
           forms=READ | Form.JSON),
]  # fmt: skip
"""Of what a table's variants cost; medians over seeds."""

_OF_TRIAL = Form.DIALOG | Form.CSV


def _own_score(value: float, _: object) -> str:
    return score(value, value)


def _moment(value: float, _: object) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))


def _text(value: str, _: object) -> str:
    return value


TRIALS: list[Column[TrialRow]] = [
    Column("run", "run", "opens what is known of it", lambda row: row.trial.run_id,
           lambda _, row: row.trial.short, forms=Form.PAGE | Form.CSV, align="left"),
    Column("run", "run", "", lambda row: row.trial.run_id, forms=Form.DIALOG),
    Column("task", "task", "registered name", lambda row: row.trial.task, forms=Form.CSV),
    Column("title", "title", "what its data are called", lambda row: row.trial.title,
           forms=Form.CSV),
    Column("model", "model", "registered name", lambda row: row.trial.model, forms=Form.CSV),
    Column("table", "task", "and what was changed of it",
           lambda row: row.place.table.name if row.place else "",
           lambda name, row: name or row.trial.title, forms=Form.PAGE | Form.CSV, align="left"),
    Column("variant", "model", _LABEL,
           lambda row: row.place.variant.label if row.place else "",
           lambda label, row: label or f"{row.trial.model} (candidate)",
           forms=Form.PAGE | Form.CSV, align="left"),
    Column("seed", "seed", "of the trial", lambda row: row.trial.seed,
           forms=Form.PAGE | Form.CSV),
    Column("score", "test", "primary metric", lambda row: row.trial.score, _own_score,
           forms=Form.PAGE | Form.CSV),
    Column("valid", "valid", "metric that selected the epoch", lambda row: row.trial.valid,
           _own_score, forms=Form.PAGE | Form.CSV),
    Column("seconds", "training", "wall time", lambda row: row.trial.costs["seconds"],
           lambda value, _: quantity(value, "s"), forms=Form.PAGE),
    Column("metric", "metric", "primary metric", lambda row: row.trial.metric.name,
           forms=Form.CSV),
    Column("direction", "direction", "min or max", lambda row: row.trial.metric.direction,
           forms=Form.CSV),
    Column("status", "status", "how it ended", lambda row: row.trial.status, _text,
           forms=Form.PAGE | _OF_TRIAL, align="left"),
    Column("reason", "reason", "why it has no score", lambda row: row.trial.reason, _text,
           forms=_OF_TRIAL),
    Column("cannot_be_read", "cannot be read", "what of it is damaged",
           lambda row: row.trial.gap, _text, forms=_OF_TRIAL),
    Column("uncommitted", "uncommitted changes", "whose code was not as its commit",
           lambda row: row.trial.uncommitted, _text, forms=_OF_TRIAL),
    Column("audit", "audit", "what the audit of the trained model saw",
           lambda row: row.trial.audit, _text, forms=_OF_TRIAL),
    Column("left_out", "left out", "what of the user's own data was not used, and why",
           lambda row: "; ".join(f"{name}: {why}" for name, why in row.trial.left_out), _text,
           forms=Form.CSV),
    Column("left_out_by_reason", "left out", "the same by reason, in short",
           lambda row: "; ".join(left_out_lines(row.trial.left_out)), _text, forms=Form.DIALOG),
    Column("by_fold", "by fold", "primary metric of each fold",
           lambda row: ", ".join(f"{name} {value:.4g}" for name, value in row.trial.folds.items()),
           _text, forms=Form.DIALOG),
    Column("conditions", "conditions", "hash of what a fair comparison shares",
           lambda row: row.trial.conditions, _text, forms=_OF_TRIAL),
    Column("backend", "back end", "what ran the recurrence", lambda row: row.trial.backend, _text,
           forms=_OF_TRIAL),
    Column("context", "context", "what predictions saw", lambda row: row.trial.context, _text,
           forms=_OF_TRIAL),
    Column("tuning", "tuning", "how its configuration was found", lambda row: row.trial.tuning,
           _text, forms=_OF_TRIAL),
    Column("candidate", "candidate", "of a tuning", lambda row: row.trial.candidate,
           forms=Form.CSV),
    Column("began", "began", "in seconds since 1970", lambda row: row.trial.began, _moment,
           forms=_OF_TRIAL),
]  # fmt: skip
"""Of trials; what each has under names of its own (metrics, costs, configuration) is not here."""


def score_layout(table: Table, form: Form) -> Layout:
    """Return a table's variants and simple predictors, laid out."""
    found = layout(SCORES, variant_rows(table), form, lambda row: "best" if row.is_best else "")
    for name, level in table.baselines.items():
        number = Item(score(level, level), finite(level))
        rest = [number if head.is_score else Item("") for head in found.heads[1:]]
        found.lines.append(Line([Item(name), *rest], "baseline"))
    return found


def pair_layout(table: Table, form: Form) -> Layout:
    """Return every pair of a table's variants that was compared, laid out."""
    return layout(PAIRS, pair_rows(table), form)


def fold_layout(table: Table, form: Form) -> Layout:
    """Return the scores of folds, of a table's best variants, laid out; no rows of one fold."""
    columns: list[Column[FoldRow]] = [
        Column("fold", "fold", "its name or number", lambda row: row.name, align="left")
    ]
    columns += [_of_fold(item.label) for item in table.able[:_MOST_BESIDE]]
    return layout(columns, fold_rows(table)[:MOST_FOLDS], form)


def _of_fold(label: str) -> Column[FoldRow]:
    return Column(label, label, "mean over seeds", lambda row: row.means[label], _own_score)


def fold_caption(table: Table) -> str:
    """Return what :func:`fold_layout` shows."""
    number = len(fold_rows(table))
    rest = f", the first {MOST_FOLDS} of {number} folds" if number > MOST_FOLDS else ""
    rest += f", the best {_MOST_BESIDE} models" if len(table.able) > _MOST_BESIDE else ""
    return f"By fold: means over seeds{rest}{'; results.csv has all' if rest else ''}"


MOST_FOLDS = 100
"""Rows of a table of folds."""
_MOST_BESIDE = 8  # models of a table of folds


def cost_layout(table: Table, form: Form) -> Layout:
    """Return what those variants cost that have a score, laid out."""
    return layout(COSTS, [row for row in variant_rows(table) if row.variant.scored], form)
