"""Every column of a report's tables; a new column is one entry of a list here.

A list is a table. :class:`seqbench.reporting.forms.Column` says what a column is, and which forms
it can have. A column's ``row`` is a class of :mod:`seqbench.reporting.rows`. Of a variant,
``row.variant`` has ``scores`` (a number for each seed), ``scored`` (finished trials by seed),
``trials``, ``mean``, ``deviation`` and ``cost(name)``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from seqbench.records import left_out_lines
from seqbench.reporting.forms import Column, Form, Item, Layout, Line, layout
from seqbench.reporting.numbers import NONE, amount, finite, p_value, quantity, score, share
from seqbench.reporting.overview import Overview
from seqbench.reporting.rows import (
    Compared,
    FoldRow,
    ModelRow,
    PairRow,
    TrialRow,
    VariantRow,
    fold_rows,
    model_rows,
    pair_rows,
    variant_rows,
)
from seqbench.reporting.statistics import FEW
from seqbench.reporting.table import Difference, Table
from seqbench.reporting.text import with_unit
from seqbench.reporting.verdict import seeds

_READ = Form.PAGE | Form.MARKDOWN
_NARROW = Form.LATEX | Form.TERMINAL
_LABEL = "a model with its parameters and recipe"


def _score(value: float, row: Compared) -> str:
    return score(value, row.level)


def _spread(value: float, row: Compared) -> str:
    return amount(value, row.level)


def _ends(value: tuple[float, float] | None, level: float) -> str:
    if value is None or not all(map(math.isfinite, value)):
        return NONE
    return f"{amount(value[0], level)} to {amount(value[1], level)}"


def _interval(value: tuple[float, float] | None, row: Compared) -> str:
    return _ends(value, row.level)


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


def _by_group(rows: Sequence[VariantRow]) -> str:
    trials = (trial for row in rows for trial in row.variant.trials)
    group = next((trial.group for trial in trials if trial.group), "")
    return f"by {group}" if group else "test data"


def _test_metric(rows: Sequence[VariantRow]) -> str:
    return f"test {with_unit(rows[0].table.metric)}" if rows else "test"


def _signed(value: float, level: float) -> str:
    text = amount(value, level)
    return f"+{text}" if value > 0 else text


def _effect(value: float) -> str:
    return NONE if math.isnan(value) else f"{value + 0.0:+.1f}"


def _matters(pair: Difference) -> str:
    """Return whether a difference matters, in words."""
    if pair.practical is None:
        return NONE
    within = f"±{pair.practical:.3g}"
    if pair.equivalent:
        return f"no, within {within}"
    low, high = pair.interval
    if pair.seeds < FEW:
        return f"open ({within}, {seeds(pair.seeds)})"
    if low > pair.practical or high < -pair.practical:
        return f"yes, beyond {within}"
    return f"open ({within})"


def _has_region(rows: Sequence[VariantRow]) -> bool:
    return any(pair.equivalent is not None for row in rows[:1] for pair in row.table.pairs.values())


def _difference(
    key: str,
    heading: str,
    meaning: str,
    value: Callable[[Difference], object],
    text: Callable[[Difference, float], str],
    control: str = "",
    **options: Any,
) -> Column[Compared]:
    """Return a column about a difference: of a variant from the control, or of a pair.

    Args:
        key: see :class:`~seqbench.reporting.forms.Column`.
        heading: likewise.
        meaning: likewise.
        value: of a difference.
        text: of a difference and a score of its row.
        control: what the control itself has there.
        options: what else the column is given.
    """

    def found(row: Compared) -> object:
        return None if row.difference is None else value(row.difference)

    def said(_: object, row: Compared) -> str:
        if row.is_control:
            return control
        return NONE if row.difference is None else text(row.difference, row.level)

    return Column(key, heading, meaning, found, said, **options)


def _differences(p: str) -> list[Column[Compared]]:
    """Return the columns of a difference; ``p`` says what its test is adjusted for.

    JSON has a difference whole, under the keys of :class:`~seqbench.reporting.table.Difference`.
    """
    return [
        _difference("mean", "difference", "mean difference from the control on the same seeds",
                    lambda pair: pair.mean, lambda pair, level: _signed(pair.mean, level),
                    "control", forms=_READ | Form.LATEX),
        _difference("interval", "its 95% interval",
                    "of the mean difference over seeds, bootstrap-t", lambda pair: pair.interval,
                    lambda pair, level: _ends(pair.interval, level), forms=_READ),
        _difference("mean", "difference (95%)", "mean difference and its 95% interval",
                    lambda pair: pair.mean,
                    lambda pair, level: f"{_signed(pair.mean, level)} "
                    f"({_ends(pair.interval, level)})", "control", forms=Form.TERMINAL),
        _difference("p_holm", "p", p, lambda pair: pair.p_holm,
                    lambda pair, _: p_value(pair.p_holm), forms=_READ | _NARROW),
        _difference("smallest_p", "least p",
                    "the smallest p that so many paired seeds could have reached",
                    lambda pair: pair.smallest_p, lambda pair, _: p_value(pair.smallest_p),
                    forms=_READ),
        _difference("improvement", "better",
                    "probability that a run is better than one of the control",
                    lambda pair: pair.improvement, lambda pair, _: share(pair.improvement),
                    forms=_READ | Form.TERMINAL),
        _difference("effect", "effect",
                    "mean difference in standard deviations of the differences (Hedges)",
                    lambda pair: pair.effect, lambda pair, _: _effect(pair.effect), forms=_READ),
    ]  # fmt: skip


SCORES: list[Column[VariantRow]] = [
    Column("label", "model", _LABEL, lambda row: row.variant.label, align="left",
           forms=_READ | _NARROW | Form.JSON),
    Column(
        "rank", "rank", "from and to: what cannot be separated from it shares the rank",
        lambda row: row.variant.rank if row.variant.scored else None, _rank,
        forms=_READ | _NARROW | Form.JSON,
    ),
    Column("mean", "test", "mean over seeds", lambda row: row.variant.mean, _score,
           forms=_READ | Form.JSON, is_score=True),
    Column("mean", "mean ± sd", "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.LATEX, is_score=True),
    Column("mean", _test_metric, "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.TERMINAL, is_score=True),
    Column("standard_deviation", "sd", "standard deviation over seeds",
           lambda row: row.variant.deviation, _spread, forms=_READ | Form.JSON),
    Column("interval", "95% interval", "of the mean over seeds, bootstrap-t",
           lambda row: row.variant.interval, _interval, forms=_READ | Form.JSON),
    Column(
        "interval_over_test_data", _by_group,
        "95% interval of the mean over other draws of the test data",
        lambda row: row.variant.groups, _interval, forms=_READ | Form.JSON,
        shown=lambda rows: any(row.variant.groups for row in rows),
    ),
    Column(
        "finished", "seeds", "finished, of those that were tried",
        lambda row: len(row.variant.scored),
        lambda number, row: f"{number} of {len(row.variant.trials)}", forms=_READ | _NARROW,
    ),
    *_differences("exact sign-flip test against the control, adjusted (Holm)"),
    _difference(
        "equivalent", "matters", "whether the difference can be large enough to matter",
        lambda pair: pair.equivalent, lambda pair, _: _matters(pair), NONE,
        forms=_READ | Form.TERMINAL, shown=_has_region,
    ),
]  # fmt: skip
"""Of a table's variants; simple predictors have the first column and the score."""

PAIRS: list[Column[PairRow]] = [
    Column("pair", "pair", "first minus second", lambda row: f"{row.one.label} - {row.other.label}",
           align="left", forms=_READ | Form.TERMINAL),
    *_differences("exact sign-flip test, adjusted for all pairs of the table (Holm)"),
    Column("seeds", "seeds", "that both have finished", lambda row: row.difference.seeds,
           forms=_READ),
]  # fmt: skip
"""Of every pair of a table's variants."""


def _cost(name: str, heading: str, meaning: str, unit: str = "") -> Column[VariantRow]:
    """Return a column of a cost that records have; JSON and CSV hold all of them by themselves."""
    return Column(
        name, heading, meaning, lambda row: row.variant.cost(name),
        lambda value, _: quantity(value, unit), forms=_READ,
    )  # fmt: skip


COSTS: list[Column[VariantRow]] = [
    Column("label", "model", _LABEL, lambda row: row.variant.label, align="left", forms=_READ),
    _cost("parameters", "parameters", "trainable numbers in model and head"),
    _cost("flops_per_step", "operations per step",
          "forward, of one sequence; recurrent cells counted exactly"),
    _cost("state_bytes", "state", "what must be kept of a sequence to read on, after 64 steps",
          "B"),
    _cost("steps_per_second", "steps/s", "optimiser steps per second of training"),
    _cost("seconds", "training", "wall time of training", "s"),
    _cost("step_seconds", "step", "latency of one more step, batch 1", "s"),
    _cost("sequence_seconds", "sequence",
          "latency of the test sequence of median length, batch 1", "s"),
    _cost("peak_bytes", "peak memory", "of the process, since the trial began", "B"),
    Column("backend", "back end", "what ran the recurrence", lambda row: row.variant.backend,
           forms=_READ | Form.JSON),
]  # fmt: skip
"""Of what a table's variants cost; medians over seeds."""

OVERVIEW: list[Column[ModelRow]] = [
    Column("model", "model", "of several variants the one with most seeds, then with fewest "
           "changes", lambda row: row.model, align="left"),
    Column("iqm", "interquartile mean", "of normalised scores over seeds and tasks",
           lambda row: row.value, lambda value, _: f"{value:.3f}"),
    Column(
        "iqm_interval", "95% interval", "seeds drawn again within each task",
        lambda row: row.interval, lambda value, _: f"{value[0]:.3f} to {value[1]:.3f}"
        if math.isfinite(value[0]) else NONE,
    ),
]  # fmt: skip
"""Of the models of an overview."""

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


def overview_layout(overview: Overview, form: Form) -> Layout:
    """Return the models of an overview, laid out."""
    return layout(OVERVIEW, model_rows(overview), form)
