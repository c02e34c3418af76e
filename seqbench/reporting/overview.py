"""What holds across tasks: on how many of them one model is better, and normalised means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant, by_weight
from seqbench.verdicts.across_tasks import better_on_at_least
from seqbench.verdicts.components import ALPHA
from seqbench.verdicts.family import holm


@dataclass(frozen=True)
class Across:
    """A model against another across tasks.

    Args:
        at_least: on so many of these tasks its mean is better on new data; which ones is not said.
        on: tasks on which it is better, adjusted for all pairs on all tasks (Holm).
    """

    at_least: int
    on: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """Models across tasks: those that are ranked on each of them.

    A score is normalised so that the task's weakest simple predictor is 0 and the best score that
    any trial of the table has reached is 1.

    Args:
        two_sided: whether predictions on ``next`` tasks see what comes after.
        tables: one for each task.
        scores: normalised mean on each task, by model, the best mean over tasks first.
        pairs: each model against each other one, both ways round; empty where nothing is claimed.
        why_not: why nothing is claimed, a clause; empty where something may be.
        left_out: models and tasks that are not complete, and why.
    """

    two_sided: bool
    tables: list[Table]
    scores: dict[str, list[float]]
    pairs: dict[tuple[str, str], Across]
    why_not: str
    left_out: dict[str, str]

    @property
    def identifier(self) -> str:
        """Unique among those of a report."""
        return "future" if self.two_sided else "past"

    def mean(self, model: str) -> float:
        """Return the plain mean of a model's normalised scores over these tasks."""
        return sum(self.scores[model]) / len(self.tables)


def overviews(tables: Sequence[Table]) -> tuple[list[Overview], list[str]]:
    """Return what can be said across tasks, and what cannot, for a person to read.

    Of each task the current table with the most finished trials is taken, the newest of those.
    Tables of ``next`` tasks that see what comes after stand apart from those that do not. Two tasks
    and two models are the least.
    """
    current = [
        table
        for table in tables
        if not (table.is_old or table.is_smoke or table.is_lost) and len(_by_model(table)) > 1
    ]
    reasons = {table.name: _no_scale(table) for table in current}
    able = [table for table in current if not reasons[table.name]]
    notes = [f"Left out across tasks: {name}, {why}." for name, why in reasons.items() if why]
    if len({table.data for table in current}) < 2:
        return [], []
    next_tasks = {table.data for table in able if table.two_sided}
    found = []
    for two_sided in (False, True):
        chosen: dict[tuple[str, ...], Table] = {}
        for table in able:
            if table.two_sided != two_sided and table.data in next_tasks:
                continue
            best = chosen.get(table.data)
            if best is None or _weight(table) > _weight(best):
                chosen[table.data] = table
        if two_sided and not next_tasks:
            continue
        overview = _overview(list(chosen.values()), two_sided)
        if overview is not None:
            found.append(overview)
    if not found:
        notes.append(
            "Nothing can be said across tasks: no two models are ranked on the same two tasks."
        )
    return found, notes


def _weight(table: Table) -> tuple[int, float]:
    return sum(len(item.scores) for item in table.variants), table.newest


def _overview(tables: list[Table], two_sided: bool) -> Overview | None:
    variants = {table.identifier: _by_model(table) for table in tables}
    every = dict.fromkeys(model for found in variants.values() for model in found)
    chosen, models = _largest_block(tables, {
        model: [table for table in tables if model in variants[table.identifier]]
        for model in every
    })  # fmt: skip
    if len(chosen) < 2 or len(models) < 2:
        return None
    left_out: dict[str, str] = {}
    for model in every:
        missing = [t.name for t in chosen if model not in variants[t.identifier]]
        if missing:
            left_out[model] = f"not ranked on {missing[0]}"
    for table in tables:
        if table not in chosen:
            left_out[table.name] = "other models than the rest"
    scores = {
        model: [_normalised(table, variants[table.identifier][model]) for table in chosen]
        for model in models
    }
    scores = dict(sorted(scores.items(), key=lambda item: -sum(item[1])))
    why_not = next((f"{t.name}: {t.look.why_not}" for t in chosen if t.is_exploratory), "")
    labels = [[variants[t.identifier][model].label for model in scores] for t in chosen]
    pairs = {} if why_not else _pairs(list(scores), chosen, labels)
    return Overview(two_sided, chosen, scores, pairs, why_not, left_out)


def _pairs(
    models: Sequence[str], tables: Sequence[Table], labels: Sequence[Sequence[str]]
) -> dict[tuple[str, str], Across]:
    """Compare each two models on all tasks.

    Args:
        models: K of them.
        tables: T of them.
        labels: of the models' variants ``[T][K]``.
    """
    both = list(itertools.combinations(range(len(models)), 2))
    found = {
        (i, j): [_one_sided(t, of_task[i], of_task[j])
                 for t, of_task in zip(tables, labels, strict=True)]
        for i, j in both
    }  # fmt: skip
    two_sided = [2 * min(p, 1 - p) for ps in found.values() for p in ps]
    adjusted = dict(zip(itertools.product(both, range(len(tables))), holm(two_sided), strict=True))
    level = ALPHA / 2 / len(both)
    result = {}
    for (i, j), ps in found.items():
        for one, other, of_tasks in ((i, j, ps), (j, i, [1 - p for p in ps])):
            sure = tuple(
                table.name
                for place, table in enumerate(tables)
                if adjusted[(i, j), place] <= ALPHA and of_tasks[place] < 0.5
            )
            number = int(better_on_at_least(of_tasks, level))
            result[models[one], models[other]] = Across(number, sure)
    return result


def _one_sided(table: Table, one: str, other: str) -> float:
    """Return the p of the first mean being no better on new data; 1/2 where it is not known."""
    pair = table.pair(one, other)
    if pair is None or pair.why_not or math.isnan(pair.p):
        return 0.5
    return pair.p / 2 if table.sign * pair.mean < 0 else 1 - pair.p / 2


def _largest_block(
    tables: Sequence[Table], complete: Mapping[str, Sequence[Table]]
) -> tuple[list[Table], list[str]]:
    """Return the tables and models with the most pairs of both, each model complete on each table.

    Args:
        tables: one for each task.
        complete: on which of them a model has every seed, by model.
    """
    best: tuple[list[Table], list[str]] = ([], [])
    for candidate in [list(tables), *complete.values()]:
        models = [
            model for model, has in complete.items() if all(table in has for table in candidate)
        ]
        if min(len(candidate), len(models)) > 1:
            size, before = len(candidate) * len(models), len(best[0]) * len(best[1])
            if size > before:
                best = list(candidate), models
    return best


def _by_model(table: Table) -> Mapping[str, Variant]:
    """Return a table's ranked variants by model; of several, most runs and fewest changes."""
    found: dict[str, Variant] = {}
    for item in sorted(table.ranked, key=by_weight):
        found.setdefault(item.model, item)
    return found


def _no_scale(table: Table) -> str:
    """Return why scores of a table cannot be normalised; empty if they can."""
    if table.trivial_baseline is None:
        return "whose task has no simple predictor"
    if _bounds(table) is None:
        return f"where nothing beats the weakest simple predictor, {table.trivial_baseline[0]}"
    return ""


def _bounds(table: Table) -> tuple[float, float] | None:
    """Return the scores that become 0 and 1; None where there is no room between them."""
    scores = [score for item in table.variants for score in item.scores]
    if table.trivial_baseline is None or not scores:
        return None
    trivial = table.trivial_baseline[1]
    best = min(table.sign * score for score in scores) * table.sign
    if not math.isfinite(trivial) or table.sign * (trivial - best) <= 0:
        return None
    return trivial, best


def _normalised(table: Table, item: Variant) -> float:
    bounds = _bounds(table)
    assert bounds is not None
    trivial, best = bounds
    return (item.mean - trivial) / (best - trivial)
