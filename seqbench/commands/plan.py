"""``seqbench plan ...``: what a sweep has and would run, and what a difference takes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.commands import read
from seqbench.errors import EXIT_DONE, Refused, listed
from seqbench.records import some

if TYPE_CHECKING:
    from rich.table import Table

    from seqbench.sweeps.plan import Plan, Planned, State


def command(args: list[str]) -> int:
    """Print the plan of a sweep; nothing is run.

    Args:
        args: the sweep's own words.

    Raises:
        Refused: an override is wrong, the store cannot be used, or no trial can run.
    """
    from rich.console import Console

    from seqbench.config import composition, searchpath
    from seqbench.config.overrides import split_words
    from seqbench.sweeps.plan import plan, summary

    given = read("plan", args)
    words, _ = split_words(given.overrides)
    searchpath.enable()
    composition.check_choices(words)
    found = plan(words)
    refuse_impossible(found.trials)
    console = Console(highlight=False, emoji=False)
    console.print()
    console.print(plan_table(found), crop=False)
    left = [item for item in found.trials if item.state != "impossible" and item.runs(found.rerun)]
    console.print(f"\n{summary(found.trials)}; {len(left)} to run (rerun={found.rerun})")
    for line in [*found.notes, *other_code(found.trials), *reasons(found.trials)]:
        console.print(line, crop=False, soft_wrap=True)
    if left:
        for line in [*known_from(left), time_left(left)]:
            console.print(line, crop=False, soft_wrap=True)
    for line in _needed(found, words, given.values.get("difference")):
        console.print(line, crop=False, soft_wrap=True)
    return EXIT_DONE


def _needed(found: Plan, words: Sequence[str], difference: tuple[float, bool] | None) -> list[str]:
    """Return what a difference between variants takes; nothing where none is asked for."""
    from seqbench.registry.plugins import registry

    tasks = {item.task for item in found.trials if item.settings is not None}
    known = registry()
    if difference is None and all(known.get("task", t).smallest_difference is None for t in tasks):
        return []  # before anything heavy is imported
    from seqbench.reporting.comparison import Practical
    from seqbench.sweeps.pilots import needed

    return needed(found, words, None if difference is None else Practical(*difference))


def refuse_impossible(trials: Sequence[Planned]) -> None:
    """Refuse a sweep of which no trial can run, by the reason that a trial alone would have.

    Raises:
        Refused: every trial is impossible.
    """
    if all(item.state == "impossible" for item in trials):
        first, *others = dict.fromkeys(item.reason for item in trials)
        raise Refused(first, [f"  {line}" for line in some(others, 10, "... and {} more")])


def plan_table(found: Plan) -> Table:
    """Return how many trials of each model and task are in which state."""
    from typing import get_args

    from rich import box
    from rich.table import Table

    from seqbench.reporting.markup import longest_word
    from seqbench.reporting.text import duration
    from seqbench.sweeps.plan import State

    groups: dict[tuple[str, str], list[Planned]] = {}
    for item in found.trials:
        groups.setdefault((item.title, item.model), []).append(item)
    states = [
        state for state in get_args(State) if any(item.state == state for item in found.trials)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, texts in zip(("task", "model"), zip(*groups, strict=True), strict=True):
        table.add_column(name, min_width=longest_word([name, *texts]))
    for state in states:
        table.add_column(state, justify="right")
    is_other = any(item.is_of_other_code for item in found.trials)
    if is_other:
        table.add_column("(under other code)", justify="right")
    table.add_column("a trial takes", justify="right")
    for (task, model), items in groups.items():
        counts = Counter(item.state for item in items)
        seconds = [item.forecast.seconds for item in items if item.forecast is not None]
        table.add_row(
            task,
            model,
            *(str(counts[state] or "") for state in states),
            *([str(sum(item.is_of_other_code for item in items) or "")] if is_other else []),
            f"about {duration(statistics.median(seconds))}" if seconds else "",
        )
    return table


def reasons(trials: Sequence[Planned]) -> list[str]:
    """Return a line for each reason that something failed, is stale or impossible."""
    counts: Counter[tuple[State, str]] = Counter(
        (item.state, f"{item.ended}: {item.reason}" if item.ended else item.reason)
        for item in trials
        if item.reason and item.state in ("failed", "stale", "impossible")
    )
    return [f"{number} {state}: {reason}" for (state, reason), number in counts.items()]


def other_code(trials: Sequence[Planned]) -> list[str]:
    """Return a line for each code of seqbench under which trials have finished, if not today's."""
    counts = Counter(item.reason for item in trials if item.is_of_other_code)
    return [f"{number} finished, {reason}" for reason, number in counts.items()]


def known_from(left: Sequence[Planned]) -> list[str]:
    """Return a line for each thing from which it is known how long trials may take.

    Args:
        left: trials that are not done.
    """
    models: dict[tuple[str, str], dict[str, None]] = {}
    for item in left:
        if item.forecast is not None:
            models.setdefault((item.forecast.basis, item.title), {})[item.model] = None
    return [
        f"time of {task} {listed(names, 100)}: {basis}" for (basis, task), names in models.items()
    ]


def time_left(left: Sequence[Planned], at_once: int = 1) -> str:
    """Return how long trials may take, going by those that have finished.

    Args:
        left: trials that are not done.
        at_once: how many of them run at a time.
    """
    from seqbench.reporting.text import duration

    known = [
        max(0.0, item.forecast.seconds - (item.seconds or 0.0) * (item.state == "running"))
        for item in left
        if item.forecast is not None
    ]
    if not known:
        return "nothing has finished here yet, so nothing is known of the time they take"
    text = f"about {duration(sum(known) / at_once)}, "
    text += f"{at_once} trials at a time" if at_once > 1 else "one by one"
    guessed = sum(item.forecast is not None and item.forecast.is_guess for item in left)
    if guessed:
        text += f"; a guess for {guessed} trial{'s' * (guessed != 1)}"
    unknown = len(left) - len(known)
    return f"{text}; {unknown} of unknown length not counted" if unknown else text
