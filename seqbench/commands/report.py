"""``seqbench report``: which differences hold, and what models cost, as a page and as tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from seqbench.commands import read
from seqbench.commands.compare import wanted
from seqbench.errors import EXIT_DONE


def command(args: list[str]) -> int:
    """Read the finished trials of a store and write what they say.

    Args:
        args: see ``seqbench report --help``.

    Raises:
        Refused: a word is wrong, a filter finds nothing, or the store cannot be used.
    """
    given = read("report", args)
    from seqbench.reporting.progress import watched
    from seqbench.reporting.report import report

    found = report(Path(given.text("out")).expanduser(), wanted(given), watched)
    text = json.dumps(found.summary, indent=2) if given.flag("--json") else str(found)
    sys.stdout.write(f"{text}\n")
    return EXIT_DONE
