"""Sentences about runs that have no score: a model's own failures are results, others are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from seqbench.reporting.numbers import percentage, score
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import called, counted, listed

_MOST_NAMED = 4  # variants that a sentence of their own tells of


def failures(table: Table) -> list[str]:
    """Say how many runs failed and how often they may fail, also where none did."""
    counting = [item for item in table.variants if item.number]
    failed = sorted((x for x in counting if x.failed), key=lambda x: -len(x.failed) / x.number)
    found = [_failed(item) for item in failed[:_MOST_NAMED]]
    if failed[_MOST_NAMED:]:
        runs = sum(len(item.failed) for item in failed[_MOST_NAMED:])
        models = counted(len(failed) - _MOST_NAMED, "other variant")
        found.append(f"So did {counted(runs, 'run')} of {models}, which the notes list.")
    if any(item.scores for item in failed):
        found.append(_counts_as(table))
    whole = [item for item in counting if not item.failed]
    if whole:
        found.append(_none_failed(whole, len(whole) == len(counting)))
    return [*found, *_uncounted(table.variants)]


def _failed(item: Variant) -> str:
    return (
        f"{called(item.label)} failed in {len(item.failed)} of {counted(item.number, 'run')}; it "
        f"may fail in up to {percentage(item.fails_at_most)}."
    )


def _counts_as(table: Table) -> str:
    """Say what a failed run counts."""
    if table.trivial_baseline is None or not math.isfinite(table.trivial_baseline[1]):
        return "A failed run is worse than any other; means are of the runs that finished."
    name, level = table.trivial_baseline
    return f"In means a failed run counts as {called(name)}, {score(level, level)}."


def _none_failed(whole: Sequence[Variant], everybody: bool) -> str:
    """Say that no run failed, and how often the one with the fewest runs may fail."""
    few, many = min(x.number for x in whole), max(x.number for x in whole)
    of = f"0 of {few}" if few == many else f"0 of {few} to {many}"
    each = " each" if len(whole) > 1 else ""
    limit = percentage(max(item.fails_at_most for item in whole))
    who = "No run" if everybody else f"No run of {listed(whole)}"
    return f"{who} failed ({of}{each}): a rate of up to {limit} is not excluded."


def _uncounted(variants: Sequence[Variant]) -> list[str]:
    """Say which runs are no results, as they run or were stopped."""
    found = Counter(_why(trial.status, trial.gap) for x in variants for trial in x.uncounted)
    if not found:
        return []
    who = listed([item for item in variants if item.uncounted])
    states = ", ".join(f"{number} {status}" for status, number in found.items())
    return [f"Not counted are runs of {who}: {states}."]


def _why(status: str, gap: str) -> str:
    if status == "FINISHED":
        return "that cannot be read" if gap else "without a score"
    return {"RUNNING": "that still run", "KILLED": "that were stopped"}.get(status, status)
