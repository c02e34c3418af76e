"""``seqbench repro ID``: a finished run's trial once more, and whether the bits agree.

With ``--isolated`` it is not trained: its weights are scored apart from the targets.
"""

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
        0 if every bit agrees, or apart from the targets every score; otherwise 1.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or cannot be trained or scored here.
        TrialFailed: training failed.
    """
    given = read("repro", args)
    run, uri = given.text("run"), given.optional("tracking.uri")
    if given.flag("--isolated"):
        return _isolated(run, uri)
    from seqbench.trials.repeat import repeat

    found = repeat(run, uri, note=note)
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


def _isolated(run: str, uri: str | None) -> int:
    from seqbench.trials.isolated import isolated

    found = isolated(run, uri, note=note)
    write = sys.stdout.write
    for key, (then, here) in found.scores.items():
        said = "differs" if key in found.differences else "agrees"
        write(f"  {key}: {then:.6g} then, {here:.6g} without the targets: {said}\n")
    total, wrong = len(found.scores), len(found.differences)
    if not wrong:
        write(f"{found.name}: all {total} scores agree in a process that never held the targets\n")
        return EXIT_DONE
    for key, (before, after) in found.machine.items():
        write(f"  {key} was {before}, and is {after}\n")
    write(
        f"{found.name}: {wrong} of {total} scores differ in a process that never held the targets: "
        "the model gets more than its inputs"
        f"{', or this machine computes otherwise' if found.machine else ''}\n"
    )
    return EXIT_FAILED
