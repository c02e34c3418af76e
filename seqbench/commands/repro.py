"""``seqbench repro RUN``: a finished run's trial once more, and whether the bits agree."""

from __future__ import annotations

import sys

from seqbench.commands import read
from seqbench.commands.notes import note
from seqbench.errors import EXIT_DONE, EXIT_FAILED

_SHOWN = 8


def command(args: list[str]) -> int:
    """Train the trial again, without logging it, and compare every score with the run's.

    Args:
        args: see ``seqbench repro --help``.

    Returns:
        0 if every bit agrees, otherwise 1.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or cannot be trained here.
        TrialFailed: training failed.
    """
    given = read("repro", args)
    from seqbench.trials.repeat import repeat

    found = repeat(given.text("run"), given.optional("tracking.uri"), note=note)
    write = sys.stdout.write
    if not found.differences:
        write(f"{found.name}: every bit agrees ({found.scores} scores, all epochs included)\n")
        return EXIT_DONE
    write(f"{found.name}: {len(found.differences)} of {found.scores} scores differ\n")
    for key, (then, here) in list(found.differences.items())[:_SHOWN]:
        write(f"  {key}: {then!r} then, {here!r} now\n")
    if len(found.differences) > _SHOWN:
        write(f"  and {len(found.differences) - _SHOWN} more\n")
    for key, (before, after) in found.machine.items():
        write(f"  {key} was {before}, and is {after}\n")
    return EXIT_FAILED
