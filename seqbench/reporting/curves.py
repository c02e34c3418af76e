"""The learning curve of a trial, as a picture; a plugin that draws it for every trial."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.records import TrialRecord
from seqbench.registry.hookspecs import hookimpl
from seqbench.reporting.text import with_unit

if TYPE_CHECKING:
    from seqbench.api import FinishedTrial

_TRAIN = "#8a8f98"
_VALID = "#1f5fbf"
_BEST = "#c2410c"
_BASELINE = "#4b5563"
_DASHES = (0, (4, 3))
_LABEL_HEIGHT = 0.05  # of the axes, so that labels of near baselines do not overlap


@hookimpl
def seqbench_outputs(trial: FinishedTrial, folder: Path) -> None:
    """Draw the trial's learning curve."""
    learning_curve(trial.record, folder / "learning_curve.png")


def learning_curve(record: TrialRecord, path: Path) -> None:
    """Draw the monitor on train and validation by epoch, with the selected epoch and the baselines.

    A training loss is drawn beside a monitor of which smaller is better, and left out beside
    another, whose axis it cannot share. Epochs count from 1 in the picture. A baseline's level is
    its score on the test split, and is drawn only where the baselines have the monitor's score.

    Args:
        record: of a trial with at least one epoch.
        path: the file to write; its suffix decides the format (``.png``, ``.svg``, ``.pdf``).

    Raises:
        ValueError: the trial has no epoch.
    """
    if not record.history:
        raise ValueError("a trial without an epoch has no learning curve")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    monitor = record.monitor
    figure = Figure(figsize=(7.2, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.margins(x=0.02)
    folds = _by_fold(record)
    longest = max(map(len, folds))
    marker = "o" if longest < 3 else None
    curves = [
        (f"train/{monitor.name}", "train", _TRAIN),
        (f"valid/{monitor.name}", "validation", _VALID),
    ]
    if monitor.direction == "min":
        curves.insert(0, ("train/loss", "train loss", _TRAIN))
    several = f", {len(folds)} folds" if len(folds) > 1 else ""
    for number, history in enumerate(folds):
        for key, label, colour in curves:
            values = [epoch.get(key, math.nan) for epoch in history]
            if any(map(math.isfinite, values)):
                axes.plot(
                    range(1, len(values) + 1), values, color=colour, marker=marker,
                    label=None if number else label + several,
                    linewidth=1.8 if len(folds) == 1 else 1.0,
                )  # fmt: skip
    chosen = _selected(record, folds)
    if chosen:
        epoch, score = chosen[0]
        alone = f"selected: epoch {epoch}, validation {score:.4g}"
        axes.plot(
            *zip(*chosen, strict=True), "o", color=_BEST, markersize=7, zorder=5,
            label=alone if len(folds) == 1 else "selected epochs",
        )  # fmt: skip
    levels = {
        name: level
        for name, scores in record.baselines.items()
        if math.isfinite(level := scores.get(monitor.name, math.nan))
    }
    for name, level in levels.items():
        line = axes.axhline(level, color=_BASELINE, linewidth=1, linestyle=_DASHES, zorder=1)
        if name == next(iter(levels)):
            line.set_label("baselines, on test")
    low, high = axes.get_ylim()
    for name, height in _spread(levels, (high - low) * _LABEL_HEIGHT).items():
        axes.annotate(
            f"{name} {levels[name]:.4g}", (1, height), xycoords=("axes fraction", "data"),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8, color=_BASELINE,
            annotation_clip=False, parse_math=False,
        )  # fmt: skip
    axes.set_ylim(low, high)
    axes.set_title(
        f"{record.title or record.task}, {record.model}, seed {record.seed}",
        loc="left", weight="bold", parse_math=False,
    )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel(with_unit(monitor), parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if longest == 1:
        axes.set_xlim(0.5, 1.5)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    # Each trial of a sweep pays for this: little compression takes half the time.
    options: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if path.suffix == ".png" else {}
    figure.savefig(path, **options)


def _by_fold(record: TrialRecord) -> list[list[dict[str, float]]]:
    """Return each fold's history, in the order of training; one without folds is one."""
    found: dict[float, list[dict[str, float]]] = {}
    for epoch in record.history:
        found.setdefault(epoch.get("fold", 0), []).append(epoch)
    return list(found.values())


def _selected(record: TrialRecord, folds: list[list[dict[str, float]]]) -> list[tuple[int, float]]:
    """Return each fold's selected epoch, counted from 1, and its monitor, where it is finite."""
    chosen = []
    for epoch, history in zip(record.best_epochs, folds, strict=False):
        best = history[min(epoch, len(history) - 1)]
        score = best.get(f"valid/{record.monitor.name}", math.nan)
        if math.isfinite(score):
            chosen.append((epoch + 1, score))
    return chosen


def _spread(levels: dict[str, float], gap: float) -> dict[str, float]:
    """Return the heights of labels: at their levels, but no two nearer than the gap."""
    heights: dict[str, float] = {}
    lowest = -math.inf
    for name in sorted(levels, key=lambda name: levels[name]):
        heights[name] = max(levels[name], lowest)
        lowest = heights[name] + gap
    return heights
