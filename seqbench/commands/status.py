"""``seqbench status``: how a sweep goes, from another terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.commands import read
from seqbench.commands.plan import known_from, other_code, plan_table, reasons, time_left
from seqbench.commands.tune import known_members
from seqbench.errors import EXIT_DONE, Refused, shortened

if TYPE_CHECKING:
    from rich.console import RenderableType

    from seqbench.config.settings import TrackingSettings
    from seqbench.sweeps.plan import Plan
    from seqbench.tracking.trials import StoredSweep

SECONDS_BETWEEN_LOOKS = 2.0
_OF_TRACKING = "tracking."


def command(args: list[str]) -> int:
    """Show how the latest sweep of the store stands, live while it runs on a terminal.

    Args:
        args: ``tracking.*`` overrides, which name another store or experiment; or the words of
            another sweep.

    Raises:
        Refused: there is no sweep, or the store cannot be used.
    """
    from rich.console import Console
    from rich.live import Live

    from seqbench.config import searchpath
    from seqbench.config.overrides import split_words

    words, _ = split_words(read("status", args).overrides)
    searchpath.enable()
    console = Console(highlight=False, emoji=False)
    view, is_running = _look(words)
    if not (is_running and sys.stdout.isatty()):
        console.print(view, soft_wrap=True)
        return EXIT_DONE
    with Live(view, console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while is_running:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            view, is_running = _look(words)
            live.update(view, refresh=True)
    return EXIT_DONE


def _look(words: Sequence[str]) -> tuple[RenderableType, bool]:
    """Return what a sweep looks like now, and whether it runs."""
    from seqbench.config import composition
    from seqbench.sweeps.plan import plan, plan_members
    from seqbench.tracking.trials import TUNE, latest_sweep

    of_tracking = [word for word in words if word.startswith(_OF_TRACKING)]
    tracking = composition.settings(composition.compose(of_tracking)).tracking
    sweep = latest_sweep(tracking)
    if len(of_tracking) == len(words):
        if sweep is None:
            raise _no_sweep(tracking)
        words = _words(sweep, of_tracking)
    elif sweep is not None and sorted(words) != sweep.words["overrides"]:
        sweep = None  # another one is asked for
    if TUNE in words:
        found = plan_members(known_members(words), candidates=True)
    else:
        composition.check_choices(words)
        found = plan(words)
    is_running = any(item.state == "running" for item in found.trials)
    return _view(words, found, sweep), is_running or (
        sweep is not None and sweep.status == "RUNNING"
    )


def _words(sweep: StoredSweep, of_tracking: Sequence[str]) -> list[str]:
    """Return the words of a sweep, its plugins registered."""
    from dataclasses import fields

    from seqbench.sweeps.job import Surroundings

    known = {field.name for field in fields(Surroundings)}
    Surroundings(**{name: value for name, value in sweep.words.items() if name in known}).enter()
    own = [word.partition("=")[0] for word in of_tracking]
    kept = [word for word in sweep.words["overrides"] if word.partition("=")[0] not in own]
    return [*kept, *of_tracking]


def _no_sweep(tracking: TrackingSettings) -> Refused:
    from seqbench.config.command import command, store_words
    from seqbench.tracking.address import locate

    where = locate(tracking.uri).shown if tracking.enabled else "tracking=none"
    words = ["-m", "model=lstm,gru", "seed=0,1,2", "experiment=smoke", *store_words(tracking)]
    return Refused(
        f"no sweep yet in {where}, experiment {tracking.experiment}; start one, for example: "
        f"{command(words)}"
    )


def _view(words: Sequence[str], found: Plan, sweep: StoredSweep | None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from seqbench.reporting.text import duration
    from seqbench.sweeps.plan import summary

    running = [item for item in found.trials if item.state == "running"]
    left = [item for item in found.trials if item.runs(found.rerun) and item.settings is not None]
    title = f"sweep {shortened(' '.join(words), 220)}"
    if sweep is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(sweep.began))
        title += f" (started {when}, {sweep.status})"
    lines: list[RenderableType] = [
        Text(title, style="bold"),
        plan_table(found),
        Text(summary(found.trials)),
    ]
    for item in running:
        assert item.settings is not None
        epochs = f"epoch {item.epochs} of at most {item.settings.recipe.max_epochs}"
        for_ = duration(item.seconds or 0.0)
        lines.append(Text(f"running: {' '.join(item.overrides)}: {epochs}, {for_}"))
    lines += [Text(line) for line in [*found.notes, *other_code(found.trials)]]
    lines += [Text(line, style="red") for line in reasons(found.trials)]
    if left or running:
        at_once = max(1, len(running))
        lines += [Text(line) for line in known_from([*running, *left])]
        lines.append(Text(f"left: {time_left([*running, *left], at_once)}"))
    return Group(*lines)
