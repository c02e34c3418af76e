"""``seqbench sync``: what a tracking store did not take when it failed is delivered."""

from __future__ import annotations

import sys

from seqbench.commands import read
from seqbench.errors import EXIT_DONE, EXIT_FAILED


def command(args: list[str]) -> int:
    """Deliver what waits in the working directory.

    Args:
        args: see ``seqbench sync --help``.

    Raises:
        Refused: an argument is wrong.
    """
    given = read("sync", args)
    from seqbench.tracking.address import locate, readable_path
    from seqbench.tracking.outbox import deliver, waiting

    uri = given.optional("tracking.uri")
    only = None if uri is None else locate(uri)
    if not waiting(only):
        sys.stdout.write("nothing waits here: every run is in its store\n")
        return EXIT_DONE
    delivered = deliver(only)
    number = len(delivered.runs)
    sys.stdout.write(f"{number} run{'s' * (number != 1)} delivered\n")
    busy = dict.fromkeys(delivered.busy, "its trial is still running")
    left = delivered.left | busy
    for folder, reason in sorted(left.items()):
        sys.stdout.write(f"{readable_path(folder)} still waits: {reason}\n")
    return EXIT_FAILED if left else EXIT_DONE
