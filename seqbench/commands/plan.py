"""``seqbench plan ...``: what a sweep would run, what it has, and how long the rest may take."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.commands import read
from seqbench.errors import EXIT_DONE

if TYPE_CHECKING:
    from rich.table import Table

    from seqbench.sweeps.plan import Plan, Planned, State


def command(args: list[str]) -> int:
    """Print the plan of a sweep; nothing is run.

    Args:
        args: the sweep's own words.
    """
    from rich.console import Console

    from seqbench.config import composition, searchpath
    from seqbench.config.overrides import split_words
    from seqbench.sweeps.plan import plan, summary

    words, _ = split_words(read("plan", args).overrides)
    searchpath.enable()
    composition.check_choices(words)
    found = plan(words)
    console = Console(highlight=False, emoji=False)
    console.print()
    console.print(plan_table(found), crop=False)
    left = [item for item in found.trials if item.runs(found.rerun)]
    console.print(f"\n{summary(found.trials)}; {len(left)} to run (rerun={found.rerun})")
    repeats = [found.repeats] if found.repeats else []
    for line in [*repeats, *other_code(found.trials), *reasons(found.trials)]:
        console.print(line, crop=False, soft_wrap=True)
    if left:
        console.print(time_left(found, left))
    return EXIT_DONE


def plan_table(found: Plan) -> Table:
    """Return how many trials of each model and task are in which state."""
    from typing import get_args

    from rich import box
    from rich.table import Table

    from seqbench.reporting.text import duration
    from seqbench.sweeps.plan import State

    groups: dict[tuple[str, str], list[Planned]] = {}
    for item in found.trials:
        groups.setdefault((item.task, item.model), []).append(item)
    states = [
        state for state in get_args(State) if any(item.state == state for item in found.trials)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "model"):
        table.add_column(name)
    for state in states:
        table.add_column(state, justify="right")
    is_other = any(item.is_of_other_code for item in found.trials)
    if is_other:
        table.add_column("(under other code)", justify="right")
    table.add_column("a trial takes", justify="right")
    for (task, model), items in groups.items():
        counts = Counter(item.state for item in items)
        seconds = _seconds(found, task, model)
        table.add_row(
            task,
            model,
            *(str(counts[state] or "") for state in states),
            *([str(sum(item.is_of_other_code for item in items) or "")] if is_other else []),
            "" if seconds is None else duration(seconds),
        )
    return table


def reasons(trials: Sequence[Planned]) -> list[str]:
    """Return a line for each reason that something failed, is stale or impossible."""
    counts: Counter[tuple[State, str]] = Counter(
        (item.state, item.reason)
        for item in trials
        if item.reason and item.state in ("failed", "stale", "impossible")
    )
    return [f"{number} {state}: {reason}" for (state, reason), number in counts.items()]


def other_code(trials: Sequence[Planned]) -> list[str]:
    """Return a line for each code of seqbench under which trials have finished, if not today's."""
    counts = Counter(item.reason for item in trials if item.is_of_other_code)
    return [f"{number} finished, {reason}" for reason, number in counts.items()]


def time_left(found: Plan, left: Sequence[Planned], at_once: int = 1) -> str:
    """Return how long trials may take, going by those that have finished.

    Args:
        found: the plan that they are of.
        left: trials that are not done.
        at_once: how many of them run at a time.
    """
    from seqbench.reporting.text import duration

    known = [
        max(0.0, seconds - (item.seconds or 0.0) * (item.state == "running"))
        for item in left
        if (seconds := _seconds(found, item.task, item.model)) is not None
    ]
    if not known:
        return "no trial of these has finished yet, so nothing is known of the time they take"
    total = duration(sum(known) / at_once)
    text = f"about {total}, {f'{at_once} trials at a time' if at_once > 1 else 'one by one'}"
    unknown = len(left) - len(known)
    return f"{text}; {unknown} trials of unknown length not counted" if unknown else text


def _seconds(found: Plan, task: str, model: str) -> float | None:
    """Return the median time of a model's finished trials on a task; None without any."""
    seconds = found.seconds.get((task, model))
    return statistics.median(seconds) if seconds else None
