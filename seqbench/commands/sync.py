"""``seqbench sync``: what a tracking store did not take when it failed is delivered."""

from __future__ import annotations

import sys

from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused, did_you_mean

_URI = "tracking.uri"


def command(args: list[str]) -> int:
    """Deliver what waits in the working directory.

    Args:
        args: ``tracking.uri=URI``: only what is for that store.

    Raises:
        Refused: an argument is wrong.
    """
    from seqbench.tracking.address import locate, readable_path
    from seqbench.tracking.outbox import deliver, waiting

    uri: str | None = None
    for arg in args:
        key, equals, value = arg.partition("=")
        if not equals or key != _URI:
            hint = did_you_mean(key, [_URI])
            raise Refused(f"seqbench sync takes {_URI}=URI, not '{arg}'{hint}")
        uri = value
    only = None if uri is None else locate(uri)
    if not waiting():
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
