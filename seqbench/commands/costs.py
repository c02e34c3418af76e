"""``seqbench costs task=music``: what a step of each model costs, all of them timed together."""

from __future__ import annotations

from seqbench.commands import read
from seqbench.commands.notes import note
from seqbench.errors import EXIT_DONE, Refused


def command(args: list[str]) -> int:
    """Time the models of each table in turns, keep it with their runs, and print it.

    Args:
        args: see ``seqbench costs --help``.

    Raises:
        Refused: a word is wrong, no trial has finished, or the store cannot be used.
    """
    given = read("costs", args)
    from rich.console import Console

    from seqbench.config import composition
    from seqbench.reporting.latency import latency_layout
    from seqbench.reporting.markup import terminal_table
    from seqbench.reporting.progress import watched
    from seqbench.reporting.selection import Wanted, select
    from seqbench.trials.measuring import measure_table

    keys = [key for key in ("task", "conditions") if key in given.values]
    filters: dict[str, list[str]] = {key: given.list(key) for key in keys}
    found = select(Wanted(filters, tracking=given.overrides), watched)
    tracking = composition.settings(composition.compose(given.overrides)).tracking
    tables = [table for table in found.tables if table.able and not table.is_old]
    if not tables:
        raise Refused(f"no trial has finished in {found.store}, so there is nothing to time")
    console = Console(highlight=False, emoji=False)
    for table in tables:
        count = len(table.able)
        note(f"timing {count} model{'s' * (count != 1)} of {table.name}")
        steps = measure_table(table, tracking, note)
        if steps:
            console.print(f"\n{table.name}: one more step, batch 1", markup=False)
            console.print(terminal_table(latency_layout(steps)), crop=False)
    return EXIT_DONE
