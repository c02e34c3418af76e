"""What a tuning found: tables for the terminal, and the best score to be expected by budget."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from seqbench.reporting.text import duration

_RESAMPLES = 2000
_BAND = (2.5, 97.5)
_COLOURS = ("#1f5fbf", "#c2410c", "#15803d", "#7c3aed", "#b45309", "#0e7490", "#be185d", "#4b5563")


@dataclass(frozen=True)
class TunedModel:
    """A model's tuning on a task.

    Args:
        study: its name.
        task: registered name, and the fold where each one chooses for itself.
        model: registered name.
        monitor: validation metric that candidates are judged by.
        direction: ``min`` or ``max``.
        scores: of the candidates in order; NaN for one that failed.
        trials: that were run, one for each candidate and seed.
        seconds: that they took, one after the other.
        best: values of the best candidate by key; empty if every one failed.
        importances: how much of the scores' variance each key explains; empty if unknown.
    """

    study: str
    task: str
    model: str
    monitor: str
    direction: str
    scores: Sequence[float]
    trials: int
    seconds: float
    best: Mapping[str, object]
    importances: Mapping[str, float]


def print_tuning(models: Sequence[TunedModel], console: Console | None = None) -> None:
    """Print what was chosen for each model, what was spent on it, and what mattered.

    Args:
        models: what was tuned.
        console: where to write; None takes standard output.
    """
    target = console or Console(highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "model"):
        table.add_column(name)
    table.add_column("candidates", justify="right")
    table.add_column("trials", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("best on validation", justify="right")
    for item in models:
        failed = sum(map(math.isnan, item.scores))
        number = f"{len(item.scores)}" + (f", {failed} failed" if failed else "")
        values = [score for score in item.scores if not math.isnan(score)]
        best = (min if item.direction == "min" else max)(values, default=math.nan)
        table.add_row(
            item.task,
            item.model,
            number,
            str(item.trials),
            duration(item.seconds),
            f"{item.monitor} {best:.4g}" if values else "",
        )
    target.print()
    target.print(table, crop=False)
    for item in models:
        chosen = " ".join(f"{key}={value}" for key, value in item.best.items())
        line = f"{item.task} {item.model}: {chosen or 'every candidate failed'}"
        if item.importances:
            shares = (f"{key} {share:.0%}" for key, share in item.importances.items())
            line += f" (importances: {', '.join(shares)})"
        target.print(line, soft_wrap=True, markup=False)
    if any(item.best and not item.importances for item in models):
        target.print("importances need four candidates with different scores, and two keys")


def expected_best(
    scores: Sequence[float], direction: str, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the best score to be expected after n candidates, and its 95% bootstrap band.

    Candidates are drawn again with replacement, which gives the expected validation performance of
    Dodge et al. 2019 (Show Your Work, equation 3) and its spread. A candidate that failed is drawn
    like any other, and is never the best.

    Args:
        scores: of the candidates; NaN for one that failed.
        direction: ``min`` or ``max``.
        seed: of the draws.

    Returns:
        Mean, lower and upper end, each ``[N]``; NaN where no draw has a score.
    """
    sign = 1.0 if direction == "min" else -1.0
    values = np.array([math.inf if math.isnan(score) else sign * score for score in scores])
    draws = np.random.default_rng(seed).choice(values, (_RESAMPLES, len(values)))
    best = np.minimum.accumulate(draws, axis=1)
    best[~np.isfinite(best)] = np.nan
    known = ~np.isnan(best).all(axis=0)
    mean, low, high = (np.full(len(values), np.nan) for _ in range(3))
    if not known.any():
        return mean, low, high
    mean[known] = sign * np.nanmean(best[:, known], axis=0)
    ends = sign * np.nanpercentile(best[:, known], _BAND, axis=0)
    low[known], high[known] = np.sort(ends, axis=0)
    return mean, low, high


def best_so_far(scores: Sequence[float], direction: str) -> NDArray[np.float64]:
    """Return the best score among the first n candidates, ``[N]``; NaN before there is one."""
    if direction == "min":
        return np.fmin.accumulate(np.array(scores, dtype=np.float64))
    return np.fmax.accumulate(np.array(scores, dtype=np.float64))


def picture_name(models: Sequence[TunedModel]) -> str:
    """Return a file name that is the same for the same studies and budget only."""
    tasks = dict.fromkeys(item.task.partition(" ")[0].replace("/", "-") for item in models)
    names = " ".join(item.study for item in models)
    digest = hashlib.sha256(names.encode()).hexdigest()[:8]
    return f"{'-'.join(tasks)}-{digest}-{len(models[0].scores)}.png"


def budget_curves(models: Sequence[TunedModel], path: Path) -> None:
    """Draw the best validation score to be expected by the number of candidates.

    Args:
        models: what was tuned; a panel for each task.
        path: the file to write; its suffix decides the format.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    tasks = list(dict.fromkeys(item.task for item in models))
    figure = Figure(figsize=(7.2, 4.2 * len(tasks)), dpi=150, layout="constrained")
    panels = figure.subplots(len(tasks), squeeze=False)[:, 0]
    for task, axes in zip(tasks, panels, strict=True):
        of_task = [item for item in models if item.task == task]
        for colour, item in zip(_COLOURS * len(of_task), of_task, strict=False):
            mean, low, high = expected_best(item.scores, item.direction)
            numbers = np.arange(1, len(mean) + 1)
            marker = "o" if len(mean) < 3 else None
            axes.fill_between(numbers, low, high, color=colour, alpha=0.13, linewidth=0)
            axes.plot(numbers, mean, color=colour, linewidth=1.8, label=item.model, marker=marker)
            axes.step(
                numbers, best_so_far(item.scores, item.direction),
                where="post", color=colour, linewidth=1, linestyle=(0, (4, 3)),
            )  # fmt: skip
        axes.set_title(f"{task}: best candidate by budget", loc="left", weight="bold")
        axes.set_xlabel("candidates tried")
        axes.set_ylabel(f"validation {of_task[0].monitor}", parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.supxlabel(
        "line: expected, drawing candidates again; band: 95% of draws; dashed: as it went",
        fontsize=8, color=_COLOURS[-1],
    )  # fmt: skip
    figure.savefig(path)
