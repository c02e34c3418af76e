"""The report's pictures, as SVG: for light and dark, marks beside colours, told in words too."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqbench.records import MetricInfo
from seqbench.reporting.comparison import Contender, Table
from seqbench.reporting.numbers import quantity, score
from seqbench.reporting.overview import Overview

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette, which colour-blind readers tell apart; yellow is too pale for a line.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))

# Colours that stand for a role; the page replaces them by its own, a file by plain ones.
_INK, _FAINT, _PAPER = "#010203", "#040506", "#070809"
_ON_PAGE = {_INK: "currentColor", _FAINT: "var(--line)", _PAPER: "var(--paper)"}
_IN_FILE = {_INK: "#1f2937", _FAINT: "#d1d5db", _PAPER: "#ffffff"}
_POINTS = 60  # of a learning curve at most
_COSTS = {
    "parameters": ("parameters", ""),
    "flops_per_step": ("operations per step", ""),
    "step_seconds": ("latency of a step, batch 1", "s"),
}
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Look:
    """How a contender is drawn, the same in every picture of a report."""

    colour: str
    mark: str
    dash: Any


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        name: of its file, without a suffix.
        alternative: what it shows, in words.
        svg: with colours that stand for roles.
    """

    name: str
    alternative: str
    svg: str

    def on_page(self) -> str:
        """Return it for a page: it takes the page's colours, and its identifiers are its own."""
        prefix = f"{self.name}-"
        svg = re.sub(r'\bid="', f'id="{prefix}', self.svg)
        svg = re.sub(r'(url\(#|href="#)', rf"\1{prefix}", svg)
        label = html.escape(self.alternative, quote=True)
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        return _recoloured(svg, _ON_PAGE)

    def in_file(self) -> str:
        """Return it as the content of a file."""
        svg = self.svg.replace("<svg ", '<svg style="background: #ffffff" ', 1)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{_recoloured(svg, _IN_FILE)}\n'


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Give each label a colour, a mark and a dash; no two of the first 56 are drawn alike."""
    return {
        label: Look(
            COLOURS[number % len(COLOURS)],
            MARKS[number % (len(MARKS) - 1)],
            DASHES[number % len(DASHES)],
        )
        for number, label in enumerate(dict.fromkeys(labels))
    }


def scores_picture(table: Table, style: Mapping[str, Look]) -> Picture:
    """Draw every seed's score, each mean with its 95% interval, and the simple predictors."""
    able = [item for item in table.contenders if item.scored]
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
            if math.isfinite(item.interval.low):
                axes.plot(item.interval, [row, row], color=look.colour, linewidth=2)
            axes.plot(
                item.mean, row, look.mark, color=look.colour, markersize=8, markeredgecolor=_PAPER
            )
        for number, (name, level) in enumerate(levels.items()):
            axes.axvline(level, color=_INK, linewidth=0.9, linestyle=DASHES[1 + number % 3],
                         label=f"{name} {score(level, level)}", zorder=1)  # fmt: skip
        axes.set_yticks(range(len(able)), [item.label for item in reversed(able)])
        axes.set_ylim(-0.6, len(able) - 0.4)
        axes.grid(visible=False, axis="y")
        _label(axes.set_xlabel, table)
        if levels:
            figure.legend(loc="outside lower left", ncols=3, fontsize=8)

    means = ", ".join(f"{item.label} {score(item.mean, item.mean)}" for item in able)
    text = f"Scores on {table.name} by seed, with means and 95% intervals: {means}"
    if levels:
        text += f"; simple predictors: {', '.join(levels)}"
    return _picture(f"scores-{table.identifier}", text, draw, (7.2, 1.3 + 0.34 * len(able)))


def curves_picture(table: Table, style: Mapping[str, Look]) -> Picture | None:
    """Draw the monitor by steps and by time, a line for the mean over seeds and a band to its ends.

    None without a curve.
    """
    drawn = []
    for item in table.contenders:
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
        unit = f" [{monitor.unit}]" if monitor.unit else ""
        panels[0].set_ylabel(f"validation {monitor.name}{unit}")
        if heights:  # the first steps would press the rest flat
            margin = 0.05 * (max(heights) - min(heights)) or 0.1
            panels[0].set_ylim(min(heights) - margin, max(heights) + margin)
        for axes in panels:
            axes.set_xlim(left=0)
        figure.legend(loc="outside lower left", ncols=4, fontsize=8)

    names = ", ".join(item.label for item, _ in drawn)
    text = (
        f"Learning curves on {table.name}: {monitor.name} on validation by optimiser steps and by "
        f"seconds, mean over seeds, band from the lowest to the highest seed: {names}"
    )
    return _picture(f"curves-{table.identifier}", text, draw, (7.2, 3.2))


def costs_picture(table: Table, style: Mapping[str, Look]) -> Picture | None:
    """Draw quality against cost, with the Pareto front: what nothing beats in both."""
    able = [item for item in table.contenders if item.scored]
    costs = [
        name
        for name in _COSTS
        if sum(math.isfinite(item.cost(name)) and item.cost(name) > 0 for item in able) > 1
    ]
    if not costs:
        return None

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, costs, strict=True):
            title, unit = _COSTS[name]
            points = [(item, item.cost(name)) for item in able if item.cost(name) > 0]
            front = pareto([(cost, table.sign * item.mean) for item, cost in points])
            corners = sorted((points[at][1], points[at][0].mean) for at in front)
            axes.step(*zip(*corners, strict=True), where="post", color=_INK, linewidth=0.9,
                      linestyle=DASHES[2], zorder=1)  # fmt: skip
            for item, cost in points:
                look = style[item.label]
                axes.plot(cost, item.mean, look.mark, color=look.colour, markersize=7,
                          label=item.label if name == costs[0] else None)  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlabel(title)
            axes.xaxis.set_major_formatter(lambda value, _, unit=unit: quantity(value, unit))
            axes.xaxis.set_minor_formatter(lambda value, _: "")
            values = [cost for _, cost in points]
            if max(values) < 10 * min(values):
                axes.set_xticks(sorted({min(values), max(values)}))
                axes.set_xlim(min(values) / 1.4, max(values) * 1.4)
            axes.tick_params(axis="x", labelsize=8)
        _label(panels[0].set_ylabel, table)
        figure.legend(loc="outside lower left", ncols=4, fontsize=8)

    text = f"Score on {table.name} against {', '.join(_COSTS[name][0] for name in costs)}."
    for name in costs:
        points = [item for item in able if item.cost(name) > 0]
        front = pareto([(item.cost(name), table.sign * item.mean) for item in points])
        names = ", ".join(points[at].label for at in front)
        text += f" Nothing beats in both score and {_COSTS[name][0]}: {names}."
    return _picture(f"costs-{table.identifier}", text, draw, (7.2, 3.0))


def overview_pictures(overview: Overview, style: Mapping[str, Look]) -> list[Picture]:
    """Draw what holds across tasks: interquartile means, performance profiles, pairs of models."""
    models = list(overview.iqm)

    def draw_means(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        for row, model in enumerate(reversed(models)):
            value, interval = overview.iqm[model]
            look = style[model]
            left.plot(interval, [row, row], color=look.colour, linewidth=2)
            left.plot(value, row, look.mark, color=look.colour, markersize=7)
        left.set_yticks(range(len(models)), list(reversed(models)))
        left.set_ylim(-0.6, len(models) - 0.4)
        left.grid(visible=False, axis="y")
        left.set_xlabel("interquartile mean of normalised scores")
        for model in models:
            look = style[model]
            right.plot(overview.thresholds, overview.profiles[model], color=look.colour,
                       linestyle=look.dash, linewidth=1.6, label=model)  # fmt: skip
        right.set_xlabel("normalised score τ")
        right.set_ylabel("share of runs above τ")
        right.set_ylim(-0.03, 1.03)
        right.legend(fontsize=8, loc="lower left")

    means = ", ".join(f"{model} {overview.iqm[model][0]:.3f}" for model in models)
    text = (
        f"Across {len(overview.tables)} tasks: interquartile means of normalised scores with 95% "
        f"intervals ({means}), and for each score the share of runs above it"
    )
    size = (7.2, 1.6 + 0.3 * max(5, len(models)))
    found = [_picture(f"means-{overview.identifier}", text, draw_means, size)]

    def draw_pairs(figure: Figure) -> None:
        axes = figure.subplots()
        edges = np.arange(len(models) + 1) - 0.5
        axes.pcolormesh(edges, edges, overview.improvement, cmap="PuOr", vmin=0, vmax=1)
        axes.invert_yaxis()
        for i, j in np.ndindex(overview.improvement.shape):
            if i != j:
                value = overview.improvement[i, j]
                axes.text(j, i, f"{value:.0%}", ha="center", va="center", fontsize=9,
                          color="#000000" if 0.15 < value < 0.85 else "#ffffff")  # fmt: skip
        axes.set_xticks(range(len(models)), models, rotation=30, ha="right")
        axes.set_yticks(range(len(models)), models)
        axes.grid(visible=False)
        axes.set_title("a run of the row is better than one of the column", fontsize=9)

    if len(models) > 1:
        text = "How often a run of one model is better than one of another, mean over tasks: "
        text += "; ".join(
            f"{one} over {other} {overview.improvement[i, j]:.0%}"
            for i, one in enumerate(models)
            for j, other in enumerate(models)
            if i < j
        )
        size = (2.4 + 0.62 * len(models), 1.9 + 0.42 * len(models))
        found.append(_picture(f"pairs-{overview.identifier}", text, draw_pairs, size))
    return found


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
        unit = f" [{monitor.unit}]" if monitor.unit else ""
        axes.set_xlabel("candidates tried")
        axes.set_ylabel(f"best validation {monitor.name}{unit}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower left", ncols=4, fontsize=8)

    ends = ", ".join(
        f"{model} {score(mean[-1], mean[-1])}" for model, (mean, _, _) in curves.items()
    )
    text = f"Best {monitor.name} on validation of {task} to be expected by candidates tried: {ends}"
    return _picture(name, text, draw, (7.2, 3.0))


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which points no other one beats: smaller or equal in both, and smaller in one.

    Args:
        points: two costs each, of which less is better.
    """
    return [
        number
        for number, (cost, loss) in enumerate(points)
        if not any(
            other_cost <= cost and other_loss <= loss and (other_cost, other_loss) != (cost, loss)
            for other_cost, other_loss in points
        )
    ]


def _near(table: Table, able: Sequence[Contender]) -> dict[str, float]:
    """Return the simple predictors whose scores fit beside the contenders', five at most."""
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
    end = max((float(np.nanmax(place)) for place in places if np.isfinite(place).any()), default=1)
    longest = max(len(place) for place in places)
    start = min((float(place[0]) for place in places if math.isfinite(place[0])), default=0.0)
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


def _label(put: Callable[..., object], table: Table) -> None:
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    better = "smaller" if table.metric.direction == "min" else "larger"
    put(f"test {table.metric.name}{unit}, {better} is better")


def _picture(
    name: str, alternative: str, draw: Callable[[Figure], None], size: tuple[float, float]
) -> Picture:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_RC, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg ") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', _short, svg)
    return Picture(name, alternative, re.sub(r"\s*\n\s*", "\n", svg))


def _short(attribute: re.Match[str]) -> str:
    """Return an attribute with two decimals for each number, which no eye can tell."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def _recoloured(svg: str, colours: Mapping[str, str]) -> str:
    for role, colour in colours.items():
        svg = svg.replace(role, colour)
    return svg
