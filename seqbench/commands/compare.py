"""``seqbench compare lstm peephole task=music``: does the difference hold?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from seqbench.commands import read
from seqbench.errors import EXIT_DONE

if TYPE_CHECKING:
    from seqbench.commands.words import Given
    from seqbench.reporting.selection import Wanted


def command(args: list[str]) -> int:
    """Compare models by the runs that each has; the first is the control.

    Args:
        args: see ``seqbench compare --help``.

    Raises:
        Refused: a word is wrong, a model was never run, or the store cannot be used.
    """
    given = read("compare", args)
    from seqbench.reporting.models import compare_models
    from seqbench.reporting.progress import watched
    from seqbench.reporting.summary import print_tables
    from seqbench.reporting.text import wrapped

    found = compare_models(given.list("MODEL"), wanted(given), watched)
    if given.flag("--json"):
        sys.stdout.write(json.dumps(found.summary, indent=2) + "\n")
        return EXIT_DONE
    print_tables(found.tables)
    for line in found.not_compared:
        sys.stdout.write(f"\n{wrapped(line)}\n")
    return EXIT_DONE


def wanted(given: Given) -> Wanted:
    """Return which trials a command's words ask for, and how they are compared.

    Raises:
        Refused: ``practical`` is no amount.
    """
    from seqbench.reporting.selection import FILTERS, Wanted, read_practical

    practical = given.optional("practical")
    return Wanted(
        filters={key: given.list(key) for key in FILTERS if key in given.values},
        control=given.optional("control") or "",
        practical=None if practical is None else read_practical(practical),
        tracking=given.overrides,
    )
