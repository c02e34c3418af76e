"""The result of a sweep in the terminal: a line for each group of trials that differ in seed."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqbench.records import MetricInfo


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
    """

    task: str
    model: str
    changes: str
    seed: str
    status: str
    reason: str
    metric: MetricInfo | None
    score: float


def print_sweep(results: Sequence[TrialResult], console: Console | None = None) -> None:
    """Print a sweep's result: a mean over seeds never hides how many of them it is of.

    Args:
        results: of its trials.
        console: where to write; None takes standard output.
    """
    target = console or Console(highlight=False, emoji=False)
    target.print()
    target.print(sweep_table(results), crop=False)
    reasons = Counter(
        (item.task, item.model, item.status, item.reason)
        for item in results
        if item.status != "FINISHED"
    )
    for (task, model, status, reason), number in reasons.items():
        times = f"{number} x " if number > 1 else ""
        text = f"{times}{task} {model}: {status}" + (f": {reason}" if reason else "")
        target.print(Text(text, style="red"), soft_wrap=True)


def sweep_table(results: Sequence[TrialResult]) -> Table:
    """Return how many trials of each group have finished, and their mean and standard deviation.

    Groups of a task stand by their mean, the best first; no difference is judged here.
    """
    groups: dict[tuple[str, str, str], list[TrialResult]] = {}
    for item in results:
        groups.setdefault((item.task, item.model, item.changes), []).append(item)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "model", *(["changes"] if any(key[2] for key in groups) else [])):
        table.add_column(name, overflow="fold")
    table.add_column("finished", no_wrap=True)
    table.add_column("test", overflow="fold")
    table.add_column("mean ± sd", justify="right", no_wrap=True)
    tasks = list(dict.fromkeys(key[0] for key in groups))
    for key in sorted(groups, key=lambda key: (tasks.index(key[0]), _order(groups[key]))):
        items = groups[key]
        scores = _scores(items)
        metric = next((item.metric for item in items if item.metric), None)
        partial = len(scores) < len(items)
        table.add_row(
            *(Text(text) for text in (key if len(table.columns) == 6 else key[:2])),
            Text(f"{len(scores)} of {len(items)}", style="red" if partial else ""),
            Text(f"{metric.name} [{metric.unit}]" if metric and metric.unit else _name(metric)),
            Text(_mean(scores), style="yellow" if partial else ""),
        )
    return table


def _name(metric: MetricInfo | None) -> str:
    return metric.name if metric else ""


def _scores(items: Sequence[TrialResult]) -> list[float]:
    return [item.score for item in items if item.status == "FINISHED"]


def _order(items: Sequence[TrialResult]) -> float:
    scores = [score for score in _scores(items) if math.isfinite(score)]
    sign = next((-1 for item in items if item.metric and item.metric.direction == "max"), 1)
    return sign * statistics.fmean(scores) if scores else math.inf


def _mean(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    mean = statistics.fmean(scores)
    if len(scores) == 1:
        return f"{mean:.4g}"
    spread = statistics.stdev(scores)
    digits = 3 if not mean else max(0, 3 - math.floor(math.log10(abs(mean))))
    return f"{mean:.{digits}f} ± {spread:.{digits}f}" if math.isfinite(mean) else str(mean)
