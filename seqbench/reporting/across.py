"""What an overview says, in sentences: of these tasks, and of how many of them for sure."""

from __future__ import annotations

from seqbench.reporting.overview import Overview
from seqbench.reporting.wording import called, joined


def overview_verdict(overview: Overview) -> str:
    """Return who has the highest plain mean, and on how many tasks it is better than others."""
    models = list(overview.scores)
    number = len(overview.tables)
    text = (
        f"{called(models[0])} has the highest plain mean of normalised scores on these {number} "
        f"tasks, {overview.mean(models[0]):.3f}, which says nothing of other tasks."
    )
    if overview.why_not:
        return f"{text} Nothing is claimed across tasks: {overview.why_not}."
    told = [*filter(None, (_better(overview, model) for model in models))]
    return " ".join([text, *(told[:_MOST] or ["None is shown to be better than another."])])


_MOST = 3  # models of which a sentence tells


def _better(overview: Overview, model: str) -> str:
    """Say than which models one is better on how many tasks; empty if than none."""
    by_number: dict[int, list[str]] = {}
    for other in overview.scores:
        if other != model:
            by_number.setdefault(overview.pairs[model, other].at_least, []).append(other)
    sure = sorted((number for number in by_number if number), reverse=True)
    total = len(overview.tables)
    parts = [
        f"than {joined(by_number[number])} on "
        + ("all" if number == total else f"at least {number}")
        for number in sure[:2]
    ]
    if not parts:
        return ""
    return f"{called(model)} is better on average {', '.join(parts)} of these {total} tasks."
