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

from seqbench.reporting.difference import Difference
from seqbench.reporting.forms import Column, Form, Item, Layout, Line, layout
from seqbench.reporting.numbers import NONE, amount, finite, p_value, quantity, score, share
from seqbench.reporting.overview import Overview
from seqbench.reporting.rows import (
    AcrossRow,
    Compared,
    FoldRow,
    ModelRow,
    PairRow,
    TrialRow,
    VariantRow,
    across_rows,
    fold_rows,
    model_rows,
    pair_rows,
    variant_rows,
)
from seqbench.reporting.table import Table
from seqbench.reporting.text import with_unit
from seqbench.reporting.variant import PASSED
from seqbench.verdicts.family import Claim

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


def _test_metric(rows: Sequence[VariantRow]) -> str:
    return f"test {with_unit(rows[0].table.metric)}" if rows else "test"


def _signed(value: float, level: float) -> str:
    text = amount(value, level)
    return f"+{text}" if value > 0 else text


def _matters(pair: Difference) -> str:
    """Return whether a difference is worth having, in words."""
    if pair.practical is None:
        return NONE
    within = f"±{pair.practical:.3g}"
    if pair.equivalent:
        return f"no, within {within}"
    return f"yes, beyond {within}" if pair.beyond else f"open ({within})"


_TURNED = {
    Claim.BETTER: "worse",
    Claim.BETTER_ON_AVERAGE: "worse on average",
    Claim.USUALLY_BETTER: "usually worse",
}


def _claim(pair: Difference) -> str:
    """Return what is claimed of the first of two, in words."""
    return str(pair.claim) if pair.favours_first else _TURNED.get(pair.claim, str(pair.claim))


def _has_region(rows: Sequence[VariantRow]) -> bool:
    return any(row.table.margin is not None for row in rows[:1])


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

    JSON has a difference whole, under the keys of
    :class:`~seqbench.reporting.difference.Difference`.
    """
    return [
        _difference("mean", "difference", "of the means, from the control; of a pair, first minus "
                    "second", lambda pair: pair.mean,
                    lambda pair, level: _signed(pair.mean, level), "control",
                    forms=_READ | Form.LATEX),
        _difference("interval", "new groups", "interval of the difference if models are trained "
                    "again and tested on new groups from the same source, t",
                    lambda pair: pair.interval, lambda pair, level: _ends(pair.interval, level),
                    forms=_READ),
        _difference("mean", "difference (new groups)", "of the means, and its interval if models "
                    "are trained again and tested on new groups", lambda pair: pair.mean,
                    lambda pair, level: f"{_signed(pair.mean, level)} "
                    f"({_ends(pair.interval, level)})", "control", forms=Form.TERMINAL),
        _difference("p_holm", "p", p, lambda pair: pair.p_holm,
                    lambda pair, _: p_value(pair.p_holm), forms=_READ | _NARROW),
        _difference("same_data_interval", "these test data", "interval of the difference if models "
                    "are trained again and tested on these same test data",
                    lambda pair: pair.same_data_interval,
                    lambda pair, level: _ends(pair.same_data_interval, level),
                    forms=_READ | Form.TERMINAL),
        _difference("improvement", "run better",
                    "probability that a run is better than one of the control; of a pair, one of "
                    "the first than one of the second", lambda pair: pair.improvement,
                    lambda pair, _: share(pair.improvement), forms=_READ | Form.TERMINAL),
        _difference("claim", "claim", "what may be said of the row, or of the first of a pair, on "
                    "new groups", lambda pair: pair.claim, lambda pair, _: _claim(pair),
                    forms=_READ | Form.TERMINAL),
    ]  # fmt: skip


def _limits() -> list[Column[Compared]]:
    """Return the columns that say what of a difference is left open."""
    return [
        _difference("not_excluded", "not excluded",
                    "the largest difference, of either direction, that new groups may show",
                    lambda pair: pair.not_excluded,
                    lambda pair, level: amount(pair.not_excluded, level), forms=_READ),
        _difference("detectable", "found at 80%",
                    "the difference that this many seeds and groups find in 80 of 100 cases",
                    lambda pair: pair.detectable,
                    lambda pair, level: amount(pair.detectable, level), forms=_READ),
    ]  # fmt: skip


def _has_unaudited(rows: Sequence[VariantRow]) -> bool:
    return any(row.variant.audit != PASSED for row in rows if row.variant.scored)


SCORES: list[Column[VariantRow]] = [
    Column("label", "model", _LABEL, lambda row: row.variant.label, align="left",
           forms=_READ | _NARROW | Form.JSON),
    Column(
        "rank", "rank", "from and to: 1 + those that are better, up to all but those that are worse",
        lambda row: row.variant.rank, _rank,
        forms=_READ | _NARROW | Form.JSON,
    ),
    Column("mean", "test", "mean over seeds, failed runs included", lambda row: row.variant.mean, _score,
           forms=_READ | Form.JSON, is_score=True),
    Column("mean", "mean ± sd", "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.LATEX, is_score=True),
    Column("mean", _test_metric, "mean and standard deviation over seeds",
           lambda row: row.variant.mean, _mean_and_deviation, forms=Form.TERMINAL, is_score=True),
    Column("standard_deviation", "sd", "standard deviation over seeds",
           lambda row: row.variant.deviation, _spread, forms=_READ | Form.JSON),
    Column("interval", "on new groups", "interval of the mean if the model is trained again and "
           "tested on new groups from the same source", lambda row: row.variant.interval,
           _interval, forms=_READ | Form.JSON),
    Column("same_data_interval", "on these test data",
           "interval of the mean if the model is trained again and tested on these test data",
           lambda row: row.variant.same_data_interval, _interval, forms=_READ | Form.JSON),
    Column("finished", "seeds", "finished, of those that count",
           lambda row: len(row.variant.scored),
           lambda number, row: f"{number} of {row.variant.number}", forms=_READ | _NARROW),
    Column("audit", "audit", "whether what the trained model sees was checked",
           lambda row: row.variant.audit, lambda value, _: value.partition(":")[0],
           forms=_READ | Form.TERMINAL | Form.JSON, shown=_has_unaudited),
    *_differences("two-sided, of no difference on new groups; adjusted for all pairs (Holm)"),
    _difference(
        "equivalent", "matters", "whether the difference is worth having",
        lambda pair: pair.equivalent, lambda pair, _: _matters(pair), NONE,
        forms=_READ | Form.TERMINAL, shown=_has_region,
    ),
]  # fmt: skip
"""Of a table's variants; simple predictors have the first column and the score."""

PAIRS: list[Column[PairRow]] = [
    Column("pair", "pair", "first minus second", lambda row: f"{row.one.label} - {row.other.label}",
           align="left", forms=_READ | Form.TERMINAL),
    *_differences("two-sided, of no difference on new groups; adjusted for all pairs (Holm)"),
    *_limits(),
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
    Column("mean", "plain mean", "of the normalised means on these tasks",
           lambda row: row.value, lambda value, _: f"{value:.3f}"),
]  # fmt: skip
"""Of the models of an overview; a column for each task follows."""

ACROSS: list[Column[AcrossRow]] = [
    Column("pair", "pair", "of models", lambda row: f"{row.one} - {row.other}", align="left"),
    Column("better", "better on at least", "tasks on which the mean of the first is better on new "
           "groups, adjusted for the number of pairs", lambda row: row.better.at_least),
    Column("better_on", "which", "those that are sure, adjusted for all pairs on all tasks (Holm)",
           lambda row: ", ".join(row.better.on), align="left"),
    Column("worse", "worse on at least", "likewise", lambda row: row.worse.at_least),
    Column("worse_on", "which", "likewise", lambda row: ", ".join(row.worse.on), align="left"),
]  # fmt: skip
"""Of pairs of models across tasks."""

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
           lambda row: "; ".join(row.trial.left_out), _text, forms=_OF_TRIAL),
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
    """Return the models of an overview with their normalised means on each task, laid out."""
    columns = [*OVERVIEW, *(_of_task(at, table.name) for at, table in enumerate(overview.tables))]
    return layout(columns, model_rows(overview), form)


def _of_task(place: int, name: str) -> Column[ModelRow]:
    return Column(f"task {place}", name, "normalised mean", lambda row: row.scores[place],
                  lambda value, _: f"{value:.3f}")  # fmt: skip


def across_layout(overview: Overview, form: Form) -> Layout:
    """Return the pairs of an overview's models, laid out; no rows where nothing is claimed."""
    return layout(ACROSS, across_rows(overview), form)
