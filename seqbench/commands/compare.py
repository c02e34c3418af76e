"""``seqbench compare lstm peephole task=music``: is the difference real?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seqbench.errors import EXIT_DONE, Refused, did_you_mean

if TYPE_CHECKING:
    from seqbench.commands.selection import Words
    from seqbench.reporting.table import Table


def command(args: list[str]) -> int:
    """Compare models on the seeds that they share; the first is the control.

    Args:
        args: models, filters, ``practical``, ``--json``, ``tracking.*``.

    Raises:
        Refused: a word is wrong, a model was never run, or the store cannot be used.
    """
    from seqbench.commands.selection import read_words, select
    from seqbench.reporting.summary import print_tables, summary

    words = read_words("compare", args)
    if "model" in words.filters:
        raise Refused("seqbench compare: name the models without model=, for example: lstm gru")
    if len(dict.fromkeys(words.names)) < 2:
        raise Refused("seqbench compare: name two models, for example: seqbench compare lstm gru")
    if words.control and words.control not in words.names:
        hint = did_you_mean(words.control, words.names)
        raise Refused(
            f"control={words.control} is none of the models that are compared{hint}: "
            f"{', '.join(words.names)}"
        )
    chosen = select(_of_models(words))
    tables = [table for table in chosen.tables if not table.is_old]
    if not chosen.trials:
        raise Refused(f"there is no trial in {chosen.store}; run some first: {_example(words)}")
    alone = [table for table in tables if not _compares(table)]
    tables = [table for table in tables if _compares(table)]
    if not tables:
        raise Refused(_nothing(alone, words))
    if words.json:
        sys.stdout.write(json.dumps(summary(tables), indent=2) + "\n")
        return EXIT_DONE
    print_tables(tables)
    for table in alone:
        sys.stdout.write(f"\nnot compared: {_has(table)}\n")
    return EXIT_DONE


def _compares(table: Table) -> bool:
    return table.is_paired and len({item.model for item in table.able}) > 1


def _has(table: Table) -> str:
    """Return what trials a table has, where they are too few to compare."""
    models = ", ".join(
        f"{item.label} {len(item.scored)} of {len(item.trials)} trials" for item in table.variants
    )
    return f"{models} on {table.name}, conditions {table.conditions}"


def _of_models(words: Words) -> Words:
    names = list(dict.fromkeys(words.names))
    filters = {**words.filters, "model": names}
    return replace(words, filters=filters, control=words.control or names[0])


def _nothing(tables: Sequence[Table], words: Words) -> str:
    """Return why nothing can be compared, and what to run."""
    has = "; ".join(map(_has, tables))
    return (
        f"{' and '.join(words.names)} have no finished trials of the same conditions ({has}); "
        f"run them together: {_example(words)}"
    )


def _example(words: Words) -> str:
    task = words.filters.get("task", ["music"])[0]
    return f"seqbench -m task={task} model={','.join(words.names)} seed=range(10)"
