"""The report's pictures: scores, curves, costs, tasks together, tunings; each told in words too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqbench.records import MetricInfo
from seqbench.reporting.difference import Interval
from seqbench.reporting.drawing import (
    DASHES,
    INK,
    PAPER,
    Look,
    Picture,
    draw_picture,
    legend_height,
    looks,
    put_legend,
)
from seqbench.reporting.front import TIMED, places
from seqbench.reporting.latency import latencies
from seqbench.reporting.numbers import quantity, score
from seqbench.reporting.overview import Overview
from seqbench.reporting.table import Table
from seqbench.reporting.text import with_direction, with_unit
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import new_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("scores-", "curves-", "costs-", "means-", "pairs-", "tuning-")
"""How the names of pictures begin."""
MOST_DRAWN = 30
"""Variants of a table that a picture shows."""

_POINTS = 60  # of a learning curve at most
_PLACES = {
    "front": "Nothing beats in both score and {}",
    "beaten": "Beaten in both score and {}",
    "open": "Whether anything beats them in both score and {} cannot be told",
}
_COSTS = {
    "parameters": ("parameters", ""),
    "flops_per_step": ("operations per step", ""),
    "step_seconds": ("latency of a step, batch 1", "s"),
}


def scores_picture(table: Table, style: Mapping[str, Look]) -> Picture:
    """Draw every seed's score, each mean with its interval, and the simple predictors.

    The interval is that on new groups, or if these cannot be judged on these test data.
    """
    able = table.able[:MOST_DRAWN]
    levels = _near(table, able)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, item in enumerate(reversed(able)):
            look = style[item.label]
            spread = np.linspace(-0.16, 0.16, len(item.scores)) if item.scores[1:] else [0.0]
            axes.plot(
                item.scores, row + np.array(spread), look.mark, color=look.colour, alpha=0.45,
                markersize=4, markeredgewidth=0,
            )  # fmt: skip
            interval = _interval(item)
            if math.isfinite(interval.low):
                axes.plot(interval, [row, row], color=look.colour, linewidth=2)
            axes.plot(
                item.mean, row, look.mark, color=look.colour, markersize=8, markeredgecolor=PAPER
            )
        for number, (name, level) in enumerate(levels.items()):
            axes.axvline(level, color=INK, linewidth=0.9, linestyle=DASHES[1 + number % 3],
                         label=f"{name} {score(level, level)}", zorder=1)  # fmt: skip
        axes.set_yticks(range(len(able)), [item.label for item in reversed(able)])
        axes.set_ylim(-0.6, len(able) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"test {with_direction(table.metric)}")
        if levels:
            put_legend(figure, "")

    means = ", ".join(f"{item.label} {score(item.mean, item.mean)}" for item in able)
    of = f"on {new_groups(table)}" if math.isfinite(able[0].interval.low) else "on these test data"
    text = (
        f"Scores on {table.name} by seed, with means and their intervals {of}: "
        f"{means}{_rest(table)}"
    )
    if levels:
        text += f"; simple predictors: {', '.join(levels)}"
    size = (7.2, 1.0 + 0.34 * len(able) + legend_height(levels))
    return draw_picture(f"scores-{table.identifier}", text, draw, size)


def curves_picture(table: Table, style: Mapping[str, Look]) -> Picture | None:
    """Draw the monitor by steps and by time, a line for the mean over seeds and a band to its ends.

    None without a curve.
    """
    drawn = []
    for item in table.able[:MOST_DRAWN]:
        curves = [trial.curve for trial in item.trials if trial.curve and trial.is_scored]
        if curves:
            drawn.append((item, curves))
    if not drawn:
        return None
    monitor = next(trial.monitor for trial in table.trials if trial.curve)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        heights: list[float] = []
        for item, curves in drawn:
            look = style[item.label]
            for axes, by in zip(panels, ("steps", "seconds"), strict=True):
                grid, values = _on_grid(
                    [getattr(curve, by) for curve in curves], [curve.values for curve in curves]
                )
                mean = _quietly(np.nanmean, values)
                axes.plot(grid, mean, color=look.colour, linestyle=look.dash, linewidth=1.6,
                          label=item.label if by == "steps" else None)  # fmt: skip
                axes.fill_between(
                    grid, _quietly(np.nanmin, values), _quietly(np.nanmax, values),
                    color=look.colour, alpha=0.15, linewidth=0,
                )  # fmt: skip
                finite = mean[np.isfinite(mean)]
                heights += finite[len(finite) // 10 :].tolist()
        panels[0].set_xlabel("optimiser steps")
        panels[1].set_xlabel("seconds of training")
        panels[0].set_ylabel(f"validation {with_unit(monitor)}")
        if heights:  # the first steps would press the rest flat
            margin = 0.05 * (max(heights) - min(heights)) or 0.1
            panels[0].set_ylim(min(heights) - margin, max(heights) + margin)
        for axes in panels:
            axes.set_xlim(left=0)
        put_legend(figure, _rest(table))

    labels = [item.label for item, _ in drawn]
    names = ", ".join(labels) + _rest(table)
    text = (
        f"Learning curves on {table.name}: {monitor.name} on validation by optimiser steps and by "
        f"seconds, mean over seeds, band from the lowest to the highest seed: {names}"
    )
    size = (7.2, 2.9 + legend_height(labels))
    return draw_picture(f"curves-{table.identifier}", text, draw, size)


def costs_picture(table: Table, style: Mapping[str, Look]) -> Picture | None:
    """Draw quality against cost, with the Pareto front as far as it can be told.

    What is on it is filled, what is beaten in both is pale, and what cannot be told is hollow.
    """
    able = table.able[:MOST_DRAWN]
    costs = [name for name in _COSTS if len(_with_cost(table, able, name)) > 1]
    if not costs:
        return None
    points = {name: _with_cost(table, able, name) for name in costs}
    standing = {name: places(table, name, [item for item, _ in points[name]]) for name in costs}

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, costs, strict=True):
            title, unit = _COSTS[name]
            here = standing[name]
            corners = [(cost, item.mean) for item, cost in points[name]
                       if here[item.label] == "front"]  # fmt: skip
            if corners[1:]:
                axes.step(*zip(*sorted(corners), strict=True), where="post", color=INK,
                          linewidth=0.9, linestyle=DASHES[2], zorder=1)  # fmt: skip
            for item, cost in points[name]:
                look, place = style[item.label], here[item.label]
                axes.plot(cost, item.mean, look.mark, color=look.colour, markersize=7,
                          alpha=0.35 if place == "beaten" else 1.0,
                          fillstyle="none" if place == "open" else "full",
                          label=item.label if name == costs[0] else None)  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlabel(title)
            axes.xaxis.set_major_formatter(lambda value, _, unit=unit: quantity(value, unit))
            axes.xaxis.set_minor_formatter(lambda value, _: "")
            values = [cost for _, cost in points[name]]
            if max(values) < 10 * min(values):
                axes.set_xticks(sorted({min(values), max(values)}))
                axes.set_xlim(min(values) / 1.4, max(values) * 1.4)
            axes.tick_params(axis="x", labelsize=8)
        # On one line it would be longer than the axis.
        panels[0].set_ylabel(f"test {with_direction(table.metric)}".replace(", ", ",\n"))
        put_legend(figure, _rest(table))

    text = f"Score on {table.name} against {', '.join(_COSTS[name][0] for name in costs)}."
    for name in costs:
        for place, words in _PLACES.items():
            names = [label for label, here in standing[name].items() if here == place]
            if names:
                text += f" {words.format(_COSTS[name][0])}: {', '.join(names)}."
    size = (7.2, 2.7 + legend_height(item.label for item in able))
    return draw_picture(f"costs-{table.identifier}", text, draw, size)


def overview_pictures(overview: Overview, style: Mapping[str, Look]) -> list[Picture]:
    """Draw each model's normalised mean on each task, and the plain mean of these."""
    models = list(overview.scores)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, model in enumerate(reversed(models)):
            look, values = style[model], overview.scores[model]
            axes.plot(values, [row] * len(values), look.mark, color=look.colour, alpha=0.45,
                      markersize=5, markeredgewidth=0)  # fmt: skip
            axes.plot(overview.mean(model), row, look.mark, color=look.colour, markersize=9,
                      markeredgecolor=PAPER)  # fmt: skip
        axes.set_yticks(range(len(models)), list(reversed(models)))
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("normalised mean on each task, and the plain mean of these")

    means = ", ".join(f"{model} {overview.mean(model):.3f}" for model in models)
    text = (
        f"Normalised means on {len(overview.tables)} tasks by model, and the plain mean of these: "
        f"{means}"
    )
    size = (7.2, 1.2 + 0.32 * len(models))
    return [draw_picture(f"means-{overview.identifier}", text, draw, size)]


def budget_picture(
    name: str, task: str, monitor: MetricInfo, curves: Mapping[str, Sequence[NDArray[np.float64]]]
) -> Picture:
    """Draw the best validation score to be expected after n candidates, with its band.

    Args:
        name: of the picture.
        task: registered name.
        monitor: by which candidates are judged.
        curves: mean, lower and upper end ``[N]`` by model.
    """
    from matplotlib.ticker import MaxNLocator

    style = looks(curves)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for model, (mean, low, high) in curves.items():
            numbers = np.arange(1, len(mean) + 1)
            look = style[model]
            axes.plot(numbers, mean, color=look.colour, linestyle=look.dash, marker=look.mark,
                      markersize=3, linewidth=1.6, label=model)  # fmt: skip
            axes.fill_between(numbers, low, high, color=look.colour, alpha=0.13, linewidth=0)
        axes.set_xlabel("candidates tried")
        axes.set_ylabel(f"best validation {with_unit(monitor)}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        put_legend(figure, "")

    ends = ", ".join(
        f"{model} {score(mean[-1], mean[-1])}" for model, (mean, _, _) in curves.items()
    )
    text = f"Best {monitor.name} on validation of {task} to be expected by candidates tried: {ends}"
    return draw_picture(name, text, draw, (7.2, 3.0))


def _with_cost(table: Table, items: Sequence[Variant], name: str) -> list[tuple[Variant, float]]:
    """Return the variants that have a cost which an axis can show, with it.

    A step's time is what was timed together; where nothing was, each trial's own.
    """
    timed = latencies(table) if name == TIMED else {}
    costs = [
        (item, timed[item.label].seconds if item.label in timed else item.cost(name))
        for item in items
        if item.label in timed or not timed
    ]
    return [(item, cost) for item, cost in costs if 1e-15 < cost < 1e30]


def _interval(item: Variant) -> Interval:
    known = math.isfinite(item.interval.low)
    return item.interval if known else item.same_data_interval


def _near(table: Table, able: Sequence[Variant]) -> dict[str, float]:
    """Return the simple predictors whose scores fit beside the variants', five at most."""
    values = [value for item in able for value in item.scores]
    width = max(values) - min(values)
    reach = max(1.5 * width, 0.05 * max(map(abs, values)))
    return {
        name: level
        for name, level in list(table.baselines.items())[:5]
        if min(values) - reach <= level <= max(values) + reach
    }


def _on_grid(
    places: Sequence[NDArray[np.float32]], values: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return curves at common places ``[G]``, ``[seeds, G]``; NaN after a curve's end."""
    finite = np.concatenate([place[np.isfinite(place)] for place in places])
    start, end = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    longest = max(len(place) for place in places)
    grid = np.linspace(start, end, min(_POINTS, max(2, longest)))
    rows = []
    for place, value in zip(places, values, strict=True):
        known = np.isfinite(place) & np.isfinite(value)
        if not known.any():
            rows.append(np.full(len(grid), np.nan))
            continue
        rows.append(np.interp(grid, place[known], value[known], right=np.nan))
    return grid, np.array(rows)


def _quietly(
    reduce: Callable[..., NDArray[np.float64]], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Reduce over seeds; NaN where no seed has a value."""
    found = np.full(values.shape[1], np.nan)
    known = np.isfinite(values).any(axis=0)
    found[known] = reduce(values[:, known], axis=0)
    return found


def _rest(table: Table) -> str:
    """Return how many variants a picture leaves out, in words; empty if none."""
    left = len(table.able) - MOST_DRAWN
    return f" and {left} more, which are not drawn" if left > 0 else ""
