"""`seqbench sample run=ID`: a trained model continues a sequence of its task's test split."""

from __future__ import annotations

import sys
from pathlib import Path

from seqbench.commands import read
from seqbench.commands.notes import note
from seqbench.errors import EXIT_DONE


def command(args: list[str]) -> int:
    """Continue a sequence and write it to files; returns the exit code.

    Args:
        args: see ``seqbench sample --help``.

    Raises:
        Refused: an argument is wrong, the run is unknown, unfinished or damaged, its task cannot be
            sampled, its model also reads what comes after, or a file cannot be written.
    """
    given = read("sample", args)
    from seqbench.reporting.progress import watched
    from seqbench.trials.continuation import continue_example

    out = given.optional("out")
    steps, seed = given.whole("steps"), given.whole("seed")
    start, temperature = given.whole("given"), given.number("temperature")
    found = continue_example(
        given.text("run"),
        given.optional("tracking.uri"),
        piece=given.text("piece"),
        given=start,
        steps=steps,
        seed=seed,
        temperature=temperature,
        out=None if out is None else Path(out),
        note=note,
        watch=watched,
    )
    sys.stdout.write(
        f"{found.model} of {found.run} continues {found.group}: {start} steps given,"
        f" {steps} drawn (seed {seed}, temperature {temperature:g})\n"
        + "".join(f"  {path}\n" for path in found.files)
    )
    return EXIT_DONE
