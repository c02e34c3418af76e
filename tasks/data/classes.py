"""Labels of sequences and of steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from seqbench.errors import listed
from seqbench.tasks.data.collection import ReadSequence


def sequence_label(item: ReadSequence, instead: str) -> str:
    """Return the one label of a sequence.

    Args:
        item: the sequence.
        instead: the task that takes a label for each step.

    Raises:
        ValueError: it has none, or several; the message says what to do.
    """
    known = list(dict.fromkeys(label for label in item.labels if label))
    if not known:
        raise ValueError("it has no label; task.label says in which column of a table it is")
    if len(known) > 1:
        raise ValueError(
            f"it has {len(known)} labels ({listed(known, 60)}); task={instead} takes one a step"
        )
    return known[0]


def ordered(labels: Iterable[str], declared: Sequence[str], kept: Sequence[str]) -> tuple[str, ...]:
    """Return the classes: a trained model's first, else as the data declare them, else by name.

    Args:
        labels: that occur.
        declared: by the data; those that do not occur count too.
        kept: a trained model's.
    """
    there = {*labels, *declared}
    if kept and there <= set(kept):
        return tuple(kept)
    if declared:
        return (*declared, *sorted(there - set(declared), key=_natural))
    return tuple(sorted(there, key=_natural))


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a key under which 2 stands before 10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", text)
    return tuple(
        (part[0] not in "0123456789", int(part) if part[0] in "0123456789" else 0, part)
        for part in parts
    )
