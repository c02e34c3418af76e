"""What holds across tasks: normalised scores, never raw ones (Agarwal et al. 2021)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqbench.reporting import statistics
from seqbench.reporting.statistics import Interval
from seqbench.reporting.table import UNKNOWN, Table, Variant, by_weight

_THRESHOLDS = 41


@dataclass(frozen=True)
class Overview:
    """Models across tasks.

    A score is normalised so that the task's weakest simple predictor is 0 and the best score that
    any trial of the table has reached is 1. Only complete blocks count: models that have finished
    every one of these seeds on every one of these tasks. A task's seeds are those that more than
    half of its models have finished; of the tasks those are taken that keep most models on most
    tasks.

    Args:
        two_sided: whether predictions on ``next`` tasks see what comes after.
        tables: one for each task.
        seeds: of each table, that all models have finished.
        iqm: interquartile mean over seeds and tasks, and its 95% interval (NaN of one seed), by
            model, the best first.
        thresholds: ``[M]``.
        profiles: share of runs above each threshold ``[M]``, by model.
        improvement: probability that a run of the row is better than one of the column, mean over
            tasks ``[K, K]``, in the order of ``iqm``.
        left_out: models and tasks that are not complete, and why.
    """

    two_sided: bool
    tables: list[Table]
    seeds: list[list[int]]
    iqm: dict[str, tuple[float, Interval]]
    thresholds: NDArray[np.float64]
    profiles: dict[str, NDArray[np.float64]]
    improvement: NDArray[np.float64]
    left_out: dict[str, str]

    @property
    def identifier(self) -> str:
        """Unique among those of a report."""
        return "future" if self.two_sided else "past"


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
            "Nothing can be said across tasks: no two models have finished the same seeds on two "
            "tasks."
        )
    return found, notes


def _weight(table: Table) -> tuple[int, float]:
    return sum(len(item.scores) for item in table.variants), table.newest


def _overview(tables: list[Table], two_sided: bool) -> Overview | None:
    variants = {table.identifier: _by_model(table) for table in tables}
    blocks = {table.identifier: _block(variants[table.identifier]) for table in tables}
    every = dict.fromkeys(model for found in variants.values() for model in found)

    def missing(model: str, table: Table) -> int:
        """Return how many seeds of the table's block a model has not finished."""
        item = variants[table.identifier].get(model)
        block = blocks[table.identifier]
        return len(block - set(item.scored)) if item else len(block) or 1

    chosen, models = _largest_block(tables, {
        model: [table for table in tables if not missing(model, table)] for model in every
    })  # fmt: skip
    if len(chosen) < 2 or len(models) < 2:
        return None
    left_out: dict[str, str] = {}
    for model in every:
        for table in chosen:
            number, wanted = missing(model, table), len(blocks[table.identifier])
            if number and model not in left_out:
                left_out[model] = f"{wanted - number} of {wanted} seeds on {table.name}"
    for table in tables:
        if table not in chosen:
            left_out[table.name] = "other models or seeds than the rest"
    seeds = [sorted(blocks[table.identifier]) for table in chosen]
    scores: dict[str, list[NDArray[np.float64]]] = {model: [] for model in models}
    for table, shared in zip(chosen, seeds, strict=True):
        normalise = _normaliser(table)
        for model in models:
            scored = variants[table.identifier][model].scored
            scores[model].append(np.array([normalise(scored[seed].score) for seed in shared]))
    iqm = {}
    for model, of_tasks in scores.items():
        value = statistics.iqm(np.concatenate(of_tasks))
        interval = UNKNOWN
        if min(map(len, seeds)) > 1:  # one run cannot be drawn otherwise
            interval = statistics.stratified_interval(of_tasks, statistics.iqm)
        iqm[model] = (value, interval)
    iqm = dict(sorted(iqm.items(), key=lambda item: -item[1][0]))
    lowest = min(float(part.min()) for parts in scores.values() for part in parts)
    thresholds = np.linspace(max(-1.0, min(0.0, lowest)), 1.0, _THRESHOLDS)
    improvement = np.full((len(iqm), len(iqm)), 0.5)
    for i, one in enumerate(iqm):
        for j, other in enumerate(iqm):
            if i != j:
                improvement[i, j] = np.mean(
                    [
                        statistics.improvement(mine, theirs, "max")
                        for mine, theirs in zip(scores[one], scores[other], strict=True)
                    ]
                )
    return Overview(
        two_sided=two_sided,
        tables=chosen,
        seeds=seeds,
        iqm=iqm,
        thresholds=thresholds,
        profiles={
            model: statistics.performance_profile(np.concatenate(scores[model]), thresholds)
            for model in iqm
        },
        improvement=improvement,
        left_out=left_out,
    )


def _block(found: Mapping[str, Variant]) -> set[int]:
    """Return the seeds that more than half of a table's models have finished."""
    finished = Counter(seed for item in found.values() for seed in item.scored)
    return {seed for seed, number in finished.items() if 2 * number > len(found)}


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
    """Return a table's variants by model; of several, most seeds and fewest changes."""
    found: dict[str, Variant] = {}
    for item in sorted(table.able, key=by_weight):
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


def _normaliser(table: Table) -> Callable[[float], float]:
    bounds = _bounds(table)
    assert bounds is not None
    trivial, best = bounds
    return lambda score: (score - trivial) / (best - trivial)
