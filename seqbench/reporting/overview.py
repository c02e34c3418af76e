"""What holds across tasks: normalised scores, never raw ones (Agarwal et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqbench.reporting import statistics
from seqbench.reporting.comparison import Contender, Table
from seqbench.reporting.statistics import Interval

_THRESHOLDS = 41


@dataclass(frozen=True)
class Overview:
    """Models across tasks.

    A score is normalised so that the task's weakest simple predictor is 0 and the best score that
    any trial of the table has reached is 1. Only complete blocks count: models that have finished
    every one of these seeds on every one of these tasks.

    Args:
        two_sided: whether predictions on ``next`` tasks see what comes after.
        tables: one for each task.
        seeds: of each table, that all models have finished.
        iqm: interquartile mean over seeds and tasks, and its 95% interval, by model, the best
            first.
        thresholds: ``[M]``.
        profiles: share of runs above each threshold ``[M]``, by model.
        improvement: probability that a run of the row is better than one of the column, mean over
            tasks ``[K, K]``, in the order of ``iqm``.
        left_out: models that are not complete, and why.
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


def overviews(tables: Sequence[Table]) -> list[Overview]:
    """Return what can be said across tasks; nothing with fewer than two tasks or two models.

    Of each task the table with the most finished trials is taken, the newest of those. Tables of
    ``next`` tasks that see what comes after stand apart from those that do not.
    """
    able = [table for table in tables if _bounds(table) is not None and not table.is_smoke]
    chosen: dict[bool, dict[str, Table]] = {False: {}, True: {}}
    next_tasks = {table.task for table in able if table.two_sided}
    for two_sided in (False, True):
        for table in able:
            if table.two_sided != two_sided and table.task in next_tasks:
                continue
            best = chosen[two_sided].get(table.task)
            if best is None or _weight(table) > _weight(best):
                chosen[two_sided][table.task] = table
    found = []
    for two_sided, by_task in chosen.items():
        if two_sided and not next_tasks:
            continue
        overview = _overview(list(by_task.values()), two_sided)
        if overview is not None:
            found.append(overview)
    return found


def _weight(table: Table) -> tuple[int, float]:
    return sum(len(item.scored) for item in table.contenders), table.newest


def _overview(tables: list[Table], two_sided: bool) -> Overview | None:
    if len(tables) < 2:
        return None
    by_model = [_by_model(table) for table in tables]
    every = dict.fromkeys(model for found in by_model for model in found)
    most = [max((len(item.scored) for item in found.values()), default=0) for found in by_model]
    left_out: dict[str, str] = {}
    for model in every:
        for table, found, wanted in zip(tables, by_model, most, strict=True):
            has = len(found[model].scored) if model in found else 0
            if has < wanted and model not in left_out:
                left_out[model] = f"{has} of {wanted} seeds on {table.name}"
    models = [model for model in every if model not in left_out]
    if len(models) < 2:
        return None
    seeds = [
        sorted(set.intersection(*(set(found[model].scored) for model in models)))
        for found in by_model
    ]
    if not all(seeds):
        return None
    scores: dict[str, list[NDArray[np.float64]]] = {model: [] for model in models}
    for table, found, shared in zip(tables, by_model, seeds, strict=True):
        normalise = _normaliser(table)
        for model in models:
            scored = found[model].scored
            scores[model].append(np.array([normalise(scored[seed].score) for seed in shared]))
    iqm = {}
    for model, of_tasks in scores.items():
        value = statistics.iqm(np.concatenate(of_tasks))
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
        tables=tables,
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


def _by_model(table: Table) -> Mapping[str, Contender]:
    """Return a table's contenders by model; of a model with several the one with most seeds."""
    found: dict[str, Contender] = {}
    for item in table.contenders:
        before = found.get(item.model)
        if item.scored and (before is None or len(item.scored) > len(before.scored)):
            found[item.model] = item
    return found


def _bounds(table: Table) -> tuple[float, float] | None:
    """Return the scores that become 0 and 1; None where there is no room between them."""
    scores = [score for item in table.contenders for score in item.scores]
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
