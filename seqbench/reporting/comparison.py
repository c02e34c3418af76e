"""Which trials stand in one table: those of the same conditions, as variants of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqbench.config.titles import part
from seqbench.identity import BUDGET
from seqbench.reporting.judging import judge_table
from seqbench.reporting.table import FUTURE, LOST, Margin, Table
from seqbench.reporting.text import slug
from seqbench.reporting.trials import (
    LARGEST,
    SOURCE_KEY,
    Defaults,
    ReportedTrial,
    by_pair,
    changes_of,
    task_parameters,
    word,
)
from seqbench.reporting.variant import Variant, by_weight
from seqbench.tracking.address import readable_path

CONTROL = "lstm"
"""What others are compared with unless something else is asked for."""


@dataclass(frozen=True)
class Practical:
    """The smallest difference that is worth having, as it was asked for.

    Args:
        amount: in the metric's unit, or a share of the control's mean.
        is_share: which of them.
    """

    amount: float
    is_share: bool

    def of(self, level: float) -> float:
        """Return it in the metric's unit, given the control's mean."""
        return abs(level) * self.amount if self.is_share else self.amount


def compare(
    trials: Iterable[ReportedTrial],
    control: str = "",
    practical: Practical | None = None,
    defaults: Defaults | None = None,
    worth: Mapping[str, tuple[float, str]] | None = None,
) -> list[Table]:
    """Return a table for each set of conditions, by task, the newest first.

    Args:
        trials: of a store; candidates of tunings are left out.
        control: model or label that others are compared with; empty takes ``lstm``, and where it
            was not run what has the most seeds.
        practical: the smallest difference worth having; None takes what the task says.
        defaults: what tasks and models are composed to with nothing changed.
        worth: what tasks say: the smallest difference worth having, and why, by their names.
    """
    defaults = defaults or {}
    compared = [trial for trial in trials if not trial.candidate]
    # A trial that failed early does not say what its predictions see; others of its model do.
    contexts = {
        (trial.conditions, trial.variant): trial.context for trial in compared if trial.context
    }
    groups: dict[tuple[str, str, bool], list[ReportedTrial]] = {}
    for trial in compared:
        context = trial.context or contexts.get((trial.conditions, trial.variant), "")
        key = (trial.task, trial.conditions, context == FUTURE)
        groups.setdefault(key, []).append(trial)
    of_pair = by_pair(compared)
    tables = [
        _table(group, two_sided, control, defaults, of_pair)
        for (_, _, two_sided), group in groups.items()
    ]
    for table in tables:
        if not table.is_lost:
            table.margin = _margin(table, practical, worth or {})
            judge_table(table)
    _tell_old(tables)
    _tell_apart(tables)
    tables.sort(
        key=lambda table: (table.task, table.title, table.two_sided, table.changes, -table.newest)
    )
    tables.sort(key=lambda table: (table.is_old, table.is_smoke))  # stable
    taken: set[str] = set()
    for table in tables:
        plain_name = slug(table.name)
        alone = not table.is_old and plain_name not in taken
        future = "-future" if table.two_sided else ""
        table.identifier = plain_name if alone else f"{plain_name}-{table.conditions}{future}"
        taken.add(plain_name)
    return tables


def _tell_old(tables: Sequence[Table]) -> None:
    """Find the tables whose place a later one has taken, and name those that differ in budget."""
    budgets = [tuple(word(table.trials[0].config.get(key)) for key in BUDGET) for table in tables]
    asked = [
        (table.task, table.title, table.two_sided, table.changes, budget, _part(table))
        for table, budget in zip(tables, budgets, strict=True)
    ]
    current: dict[tuple[object, ...], float] = {}
    for table, key in zip(tables, asked, strict=True):
        for source in table.sources or {""}:
            if table.able and not table.is_lost:  # one that has only begun replaces none
                place = (*_without_title(key), source)
                current[place] = max(current.get(place, -math.inf), table.newest)
    named: dict[tuple[object, ...], set[tuple[str, ...]]] = {}
    for table, key, budget in zip(tables, asked, budgets, strict=True):
        table.is_old = not table.is_lost and all(
            table.newest < current.get((*_without_title(key), source), -math.inf)
            for source in table.sources or {""}
        )
        named.setdefault(_without_budget(key), set()).add(budget)
    for table, key, budget in zip(tables, asked, budgets, strict=True):
        differing = zip(BUDGET, budget, zip(*named[_without_budget(key)], strict=True), strict=True)
        words = [f"{name}={value}" for name, value, all_of in differing if len(set(all_of)) > 1]
        table.changes = " ".join([*filter(None, [table.changes]), *words])


def _without_title(key: tuple[object, ...]) -> tuple[object, ...]:
    """Return what a table was asked for; the same data may be called otherwise by now."""
    return (key[0], *key[2:])


def _without_budget(key: tuple[object, ...]) -> tuple[object, ...]:
    return (*key[:4], *key[5:])


def _part(table: Table) -> tuple[str, ...]:
    """Return which part of a source a table is of, where its title may be all that says it."""
    trial = table.trials[0]
    return tuple(part(trial.task, task_parameters(trial)).values())


def _tell_apart(tables: Sequence[Table]) -> None:
    """Say where data lie, of tables of one name whose data are others."""
    alike: dict[str, list[Table]] = {}
    for table in tables:
        alike.setdefault(table.name, []).append(table)
    for group in alike.values():
        if len({table.data for table in group}) > 1 and not set.intersection(
            *(set(table.sources) for table in group)
        ):
            for table in group:
                places = [f"{SOURCE_KEY}={readable_path(Path(p))}" for p in sorted(table.sources)]
                table.changes = " ".join(filter(None, [table.changes, *places[:1]]))


def _table(
    trials: Sequence[ReportedTrial],
    two_sided: bool,
    control: str,
    defaults: Defaults,
    of_pair: Mapping[tuple[str, str], Sequence[ReportedTrial]],
) -> Table:
    groups: dict[str, list[ReportedTrial]] = {}
    for trial in trials:
        groups.setdefault(trial.variant, []).append(trial)
    metric = next((trial.metric for trial in trials if trial.is_scored), trials[0].metric)
    variants = [
        Variant(
            label="",
            model=group[0].model,
            changes=changes_of(group[0], defaults, of_pair, shared=False),
            trials=sorted(group, key=lambda trial: trial.seed),
            direction=metric.direction,
        )
        for group in groups.values()
    ]
    _label(variants)
    known = any(trial.config for trial in trials)
    # What all share is named by a trial whose defaults are known; a plugin's may not be here.
    named = next((trial for trial in trials if (trial.task, trial.model) in defaults), trials[0])
    table = Table(
        task=trials[0].task,
        title=max(trials, key=lambda trial: trial.began).title,
        sources=frozenset(trial.source for trial in trials if trial.source),
        changes=changes_of(named, defaults, of_pair, shared=True) if known else LOST,
        conditions=trials[0].conditions,
        two_sided=two_sided,
        variants=variants,
        control="",
        wanted=control,
        metric=metric,
        baselines={},
        newest=max(trial.began for trial in [t for t in trials if t.is_scored] or trials),
    )
    _take_baselines(table)
    ranked = {item.label for item in table.ranked}
    variants.sort(key=lambda item: (not item.scored, item.label not in ranked,
                                    table.sign * item.mean if item.scored else 0.0))  # fmt: skip
    table.control = _control(table.ranked or table.able, control)
    return table


def _control(variants: Sequence[Variant], asked: str) -> str:
    """Return the label of what others are compared with; empty if nothing has a score.

    Of several variants of a model it is the one with most seeds, then with the fewest changes.
    """
    able = sorted((item for item in variants if item.scores), key=by_weight)
    for name in filter(None, (asked, CONTROL)):
        named = [item for item in able if item.label == name]
        for item in named or [item for item in able if item.model == name]:
            return item.label
    return able[0].label if able else ""


def _label(variants: Sequence[Variant]) -> None:
    """Name variants by model, and by what else is needed to tell them apart."""
    by_model: dict[str, list[Variant]] = {}
    for item in variants:
        by_model.setdefault(item.model, []).append(item)
    for model, items in by_model.items():
        labels = [f"{model} {item.changes}".strip() for item in items] if items[1:] else [model]
        for item, label in zip(items, labels, strict=True):
            twin = labels.count(label) > 1
            code = item.trials[0].origin.get("model", "")[:6]
            item.label = f"{label} code={code or item.trials[0].variant[:6]}" if twin else label
    labels = [item.label for item in variants]
    for item in variants:
        if labels.count(item.label) > 1:
            item.label = f"{item.label} {item.trials[0].variant}"


def _margin(
    table: Table, practical: Practical | None, worth: Mapping[str, tuple[float, str]]
) -> Margin | None:
    """Return the smallest difference worth having: what was asked for, or what the task says.

    A task speaks of its own data, and not of a user's.
    """
    if practical is not None:
        level = next((item.mean for item in table.able if item.label == table.control), math.nan)
        amount = practical.of(level)
        return Margin(amount, "given by practical=") if 0 < amount < math.inf else None
    found = None if table.sources else worth.get(table.task)
    return found and Margin(*found)


def _take_baselines(table: Table) -> None:
    """Fill in the simple predictors, the best first, of the latest trial, as all agree.

    A run that failed counts as the weakest of them.
    """
    told = [trial for trial in table.trials if trial.baselines]
    latest = max(told, key=lambda t: (bool(t.baseline_bootstrap), t.began), default=None)
    found = dict(latest.baselines) if latest else {}
    finite = {name: value for name, value in found.items() if abs(value) < LARGEST}
    table.baselines = dict(sorted(finite.items(), key=lambda item: table.sign * item[1]))
    table.baseline_bootstrap = dict(latest.baseline_bootstrap) if latest else {}
    table.without_score = [name for name in found if name not in finite]
    for item in table.variants:
        item.stand_in = table.trivial_baseline[1] if table.trivial_baseline else math.nan
