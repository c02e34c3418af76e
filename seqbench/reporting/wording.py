"""Words that several sentences of a report share: lists of names, groups, intervals."""

from __future__ import annotations

from collections.abc import Sequence

from seqbench.errors import shortened
from seqbench.reporting.difference import Difference, Interval
from seqbench.reporting.numbers import amount, p_value, percentage
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant

_MOST_NAMED = 12  # labels in a list
_ROOM = 110  # characters of a list
_LONGEST = 60  # characters of a label in a sentence


def listed(items: Sequence[Variant]) -> str:
    """Return labels as a list in words; of many the first ones, and how many more."""
    return joined([item.label for item in items])


def joined(names: Sequence[str]) -> str:
    """Return names as a list in words; of many the first ones, and how many more."""
    names = [called(name) for name in names]
    shown = 1
    while shown < min(len(names), _MOST_NAMED) and len(", ".join(names[: shown + 1])) <= _ROOM:
        shown += 1
    if shown < len(names):
        shown = max(1, min(shown, _MOST_NAMED - 1))
        names = [*names[:shown], f"{len(names) - shown} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def called(name: str) -> str:
    """Return a name as a sentence has room for it."""
    return shortened(name, _LONGEST)


def counted(number: int, what: str) -> str:
    """Return a number of things: ``1 seed``, ``10 seeds``."""
    return f"{number} {what if number == 1 else plural(what)}"


def seeds(number: int) -> str:
    """Return a number of seeds in words."""
    return counted(number, "seed")


def plural(word: str) -> str:
    """Return the plural of what groups are: patients, pieces, series."""
    return word if word.endswith("s") else f"{word}s"


def group_words(table: Table) -> str:
    """Return what the groups of a table's test data are, as a plural."""
    return plural(table.group or "group")


def new_groups(table: Table) -> str:
    """Return on what claims are made: ``new patients``."""
    return f"new {group_words(table)}"


def scope(table: Table) -> str:
    """Return what a claim on new data is about."""
    return f"trained on this training set and tested on {new_groups(table)}"


def design(table: Table) -> str:
    """Return how many seeds and groups there are: ``10 seeds, 75 pieces``."""
    few, many = _ends([item.number for item in table.ranked])
    runs = seeds(many) if few == many else f"{few} to {seeds(many)}"
    if table.groups is None:
        return runs
    return f"{runs}, {counted(table.groups.number, table.group or 'group')}"


def _ends(numbers: Sequence[int]) -> tuple[int, int]:
    return min(numbers, default=0), max(numbers, default=0)


def interval_name(table: Table) -> str:
    """Return what intervals of a table are called: ``95% interval``."""
    return f"{percentage(1 - table.look.alpha)} interval"


def gain(table: Table, pair: Difference) -> float:
    """Return by how much the first of two is better."""
    return -table.sign * pair.mean


def gain_text(pair: Difference, level: float) -> str:
    """Return by how much one of two has the better mean."""
    return amount(abs(pair.mean), level)


def interval_text(table: Table, interval: Interval, level: float) -> str:
    """Return the interval of a gain: ``95% interval 0.01 to 0.03``."""
    low, high = interval.turned if table.sign > 0 else interval
    return f"{interval_name(table)} {amount(low, level)} to {amount(high, level)}"


def p_text(pair: Difference, *, adjusted: bool) -> str:
    """Return the p of a difference on new data."""
    return f"adjusted p = {p_value(pair.p_holm)}" if adjusted else f"p = {p_value(pair.p)}"


def limits(table: Table, pairs: Sequence[Difference], level: float) -> str:
    """Say how large a difference may be that was not found, and which one would have been.

    Args:
        table: of the pairs.
        pairs: that cannot be told apart.
        level: a score of the table.
    """
    open_ = max(pair.not_excluded for pair in pairs)
    seen = max(pair.detectable for pair in pairs)
    return (
        f"A difference of up to {amount(open_, level)} is not excluded; this design finds one of "
        f"{amount(seen, level)} with a probability of 80%."
    )
