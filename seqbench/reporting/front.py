"""What of a table's variants nothing beats in both score and cost, as far as that can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from seqbench.reporting.latency import is_faster, latencies
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant

Place = Literal["front", "beaten", "open"]
"""On the Pareto front; beaten in both score and cost; or it cannot be told."""

TIMED = "step_seconds"
"""The cost that is measured, not counted."""


def places(table: Table, name: str, items: Sequence[Variant]) -> dict[str, Place]:
    """Return where variants stand between score and a cost, by label.

    A variant is on the front if for every other one it can be told that the first scores better or
    costs less; it is beaten if another one can be told to score better and does not cost more. A
    difference of scores can be told where the table's verdict claims it
    (:meth:`~seqbench.reporting.table.Table.is_better`). Counts are exact; times can be told apart
    where their intervals separate (:func:`~seqbench.reporting.latency.is_faster`).

    Args:
        table: of the variants.
        name: of the cost.
        items: the variants.
    """
    timed = latencies(table) if name == TIMED else {}

    def is_cheaper(one: Variant, other: Variant) -> bool:
        if name != TIMED:
            return one.cost(name) < other.cost(name)
        first, second = timed.get(one.label), timed.get(other.label)
        return first is not None and second is not None and is_faster(first, second)

    def is_no_dearer(one: Variant, other: Variant) -> bool:
        equal = name != TIMED and one.cost(name) == other.cost(name)
        return equal or is_cheaper(one, other)

    def place(item: Variant) -> Place:
        others = [other for other in items if other is not item]
        if any(table.is_better(other, item) and is_no_dearer(other, item) for other in others):
            return "beaten"
        if all(table.is_better(item, other) or is_cheaper(item, other) for other in others):
            return "front"
        return "open"

    return {item.label: place(item) for item in items}
