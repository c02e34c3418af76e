"""The result of a sweep in the terminal: a line for each group of trials that differ in seed."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from seqbench.records import MetricInfo
from seqbench.reporting.forms import Column, Form, Layout, layout
from seqbench.reporting.markup import terminal_table
from seqbench.reporting.text import with_unit


@dataclass(frozen=True)
class TrialResult:
    """A trial of a sweep that has ended.

    Args:
        task: registered name.
        model: registered name.
        changes: what else tells it from other trials of the sweep, apart from the seed.
        seed: as text.
        status: ``FINISHED``, or how else it stands.
        reason: why it has no result.
        metric: the primary one; None without a result.
        score: its value on test; NaN without.
        title: what the task's data are called; empty where its name says it.
        left_out: what of a user's own data was not used, and why, in lines.
    """

    task: str
    model: str
    changes: str
    seed: str
    status: str
    reason: str
    metric: MetricInfo | None
    score: float
    title: str = ""
    left_out: str = ""

    @property
    def called(self) -> str:
        """What a table calls the task's data."""
        return self.title or self.task


@dataclass(frozen=True)
class SeedGroup:
    """The trials of a sweep that differ in nothing but the seed; a row of its table."""

    task: str
    model: str
    changes: str
    trials: Sequence[TrialResult]

    @property
    def scores(self) -> list[float]:
        """Of the trials that have finished."""
        return [trial.score for trial in self.trials if trial.status == "FINISHED"]

    @property
    def metric(self) -> MetricInfo | None:
        """The primary one; None if no trial has a result."""
        return next((trial.metric for trial in self.trials if trial.metric), None)

    @property
    def order(self) -> float:
        """What groups of a task are sorted by: their mean, the best first."""
        finite = [score for score in self.scores if math.isfinite(score)]
        sign = -1 if self.metric and self.metric.direction == "max" else 1
        return sign * statistics.fmean(finite) if finite else math.inf


COLUMNS: list[Column[SeedGroup]] = [
    Column("task", "task", "what its data are called", lambda row: row.task, align="left"),
    Column("model", "model", "registered name", lambda row: row.model, align="left"),
    Column("changes", "changes", "what else tells it from other rows", lambda row: row.changes,
           lambda value, _: value, align="left",
           shown=lambda rows: any(row.changes for row in rows)),
    Column("finished", "finished", "of the trials of this sweep", lambda row: len(row.scores),
           lambda number, row: f"{number} of {len(row.trials)}"),
    Column("metric", "test", "the primary metric",
           lambda row: with_unit(row.metric) if row.metric else "", lambda value, _: value,
           align="left"),
    Column("mean", "mean ± sd", "over seeds", lambda row: row.scores,
           lambda scores, _: _mean(scores)),
]  # fmt: skip


def print_sweep(results: Sequence[TrialResult], console: Console | None = None) -> None:
    """Print a sweep's result: a mean over seeds never hides how many of them it is of.

    Args:
        results: of its trials.
        console: where to write; None takes standard output.
    """
    target = console or Console(highlight=False, emoji=False)
    target.print()
    target.print(terminal_table(sweep_layout(results)), crop=False)
    reasons = Counter(
        (item.called, item.model, item.status, item.reason)
        for item in results
        if item.status != "FINISHED"
    )
    for (task, model, status, reason), number in reasons.items():
        times = f"{number} x " if number > 1 else ""
        text = f"{times}{task} {model}: {status}" + (f": {reason}" if reason else "")
        target.print(Text(text, style="red"), soft_wrap=True)
    for task, text in dict.fromkeys((r.called, r.left_out) for r in results if r.left_out):
        first, *others = text.splitlines()
        said = [f"left out of {task}: {first}", *(f"  {line}" for line in others)]
        target.print(Text("\n".join(said), style="yellow"), soft_wrap=True)


def sweep_layout(results: Sequence[TrialResult], form: Form = Form.TERMINAL) -> Layout:
    """Return how many trials of each group have finished, and their mean and standard deviation.

    Groups of a task stand by their mean, the best first; no difference is judged here.
    """
    return layout(COLUMNS, seed_groups(results), form, _mark)


def seed_groups(results: Sequence[TrialResult]) -> list[SeedGroup]:
    """Return the groups of a sweep's trials: task by task, of each the best first."""
    found: dict[tuple[str, str, str], list[TrialResult]] = {}
    for item in results:
        found.setdefault((item.called, item.model, item.changes), []).append(item)
    groups = [SeedGroup(*key, items) for key, items in found.items()]
    tasks = list(dict.fromkeys(group.task for group in groups))
    groups.sort(key=lambda group: (tasks.index(group.task), group.order))
    return groups


def best_means(results: Sequence[TrialResult]) -> dict[str, float]:
    """Return the best mean over seeds by primary metric, of metrics that one task alone has."""
    best: dict[str, float] = {}
    of_task: dict[str, str] = {}
    several = set()
    for group in seed_groups(results):
        if group.metric is None or not math.isfinite(group.order):
            continue
        name = group.metric.name
        if of_task.setdefault(name, group.task) != group.task:
            several.add(name)
        best.setdefault(name, statistics.fmean(group.scores))
    return {name: mean for name, mean in best.items() if name not in several}


def _mark(group: SeedGroup) -> str:
    return "partial" if len(group.scores) < len(group.trials) else ""


def _mean(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    mean = statistics.fmean(scores)
    if len(scores) == 1:
        return f"{mean:.4g}"
    spread = statistics.stdev(scores)
    digits = 3 if not mean else max(0, 3 - math.floor(math.log10(abs(mean))))
    return f"{mean:.{digits}f} ± {spread:.{digits}f}" if math.isfinite(mean) else str(mean)
