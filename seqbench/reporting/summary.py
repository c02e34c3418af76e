"""What tables say, as JSON types and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from seqbench.reporting.columns import COSTS, PAIRS, SCORES, pair_layout, score_layout
from seqbench.reporting.columns_across import split_layout
from seqbench.reporting.difference import Difference
from seqbench.reporting.forms import Form, values
from seqbench.reporting.markup import terminal_table
from seqbench.reporting.notes import badge, table_notes
from seqbench.reporting.numbers import finite
from seqbench.reporting.rows import PairRow, VariantRow, variant_rows
from seqbench.reporting.splits import SplitTable, split_tables, split_verdict
from seqbench.reporting.table import FUTURE, Table
from seqbench.reporting.text import wrapped
from seqbench.reporting.verdict import verdict

_WIDTH = 200


def summary(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return tables as JSON types; what is not finite is null."""
    splits = split_tables(tables)
    return [
        {**_table(table), "over_splits": [_splits(x) for x in splits if table in x.tables]}
        for table in tables
    ]


def _splits(item: SplitTable) -> dict[str, Any]:
    return {
        "verdict": split_verdict(item),
        "test_share": item.test_share,
        "not_claimed": item.why_not,
        "best": item.best,
        "pairs": [_plain(vars(pair)) for pair in item.differences],
    }


def _table(table: Table) -> dict[str, Any]:
    rows = {row.variant.label: row for row in variant_rows(table)}
    pairs = [
        PairRow(rows[one].variant, rows[other].variant, pair)
        for (one, other), pair in table.pairs.items()
    ]
    return {
        "task": table.task,
        "title": table.title,
        "changes": table.changes,
        "conditions": table.conditions,
        "is_old": table.is_old,
        "context": FUTURE if table.two_sided else "",
        "metric": vars(table.metric),
        "verdict": verdict(table),
        "badge": badge(table),
        "control": table.control,
        "baselines": {name: finite(value) for name, value in table.baselines.items()},
        "alpha": table.look.alpha,
        "not_claimed": table.look.why_not,
        "smallest_difference": table.margin and table.margin.amount,
        "groups": table.groups.number if table.groups else None,
        "best": table.best.name if table.best else "",
        "variants": [_variant(row) for row in rows.values()],
        "pairs": [_pair(row) for row in pairs],
        "notes": table_notes(table),
    }


def _variant(row: VariantRow) -> dict[str, Any]:
    item = row.variant
    names = dict.fromkeys(name for trial in item.trials for name in trial.costs)
    return {
        "model": item.model,
        "changes": item.changes,
        "seeds": list(item.scored),
        "tried": len(item.trials),
        "failed": len(item.failed),
        "fails_at_most": item.fails_at_most,
        "scores": [finite(value) for value in item.scores],
        "costs": {name: finite(item.cost(name)) for name in names},
        "difference_to_control": item.control and _difference(item.control),
        "difference_to_simple_predictor": item.baseline and _difference(item.baseline),
        **_plain(values([*SCORES, *COSTS], row, Form.JSON)),
    }


def _pair(row: PairRow) -> dict[str, Any]:
    of_columns = _plain(values(PAIRS, row, Form.JSON))
    names = {"one": row.one.label, "other": row.other.label}
    return {**names, **_difference(row.difference), **of_columns}


def _difference(pair: Difference) -> dict[str, Any]:
    return _plain(vars(pair))


def _plain(found: Mapping[str, object]) -> dict[str, Any]:
    """Return values as JSON types."""
    return {
        key: [finite(end) for end in value]
        if isinstance(value, tuple)
        else finite(value)
        if isinstance(value, float)
        else value
        for key, value in found.items()
    }


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print each table's verdict, its variants and, of three or more, every pair.

    Args:
        tables: to print.
        console: where to write; None takes standard output.
    """
    target = console or Console(highlight=False, emoji=False)
    target.width = max(target.width, _WIDTH)  # a narrow terminal breaks lines, not columns
    for table in tables:
        target.print()
        target.print(Text(wrapped(verdict(table)), style="bold"), soft_wrap=True)
        target.print(terminal_table(score_layout(table, Form.TERMINAL)), crop=False)
        if len(table.able) > 2:
            target.print("every pair, adjusted for all of them:")
            target.print(terminal_table(pair_layout(table, Form.TERMINAL)), crop=False)
        for note in table_notes(table):
            target.print(Text(wrapped(note), style="yellow"), soft_wrap=True)
    for item in split_tables(tables):
        target.print()
        target.print(Text(split_verdict(item), style="bold"), soft_wrap=True)
        target.print(terminal_table(split_layout(item, Form.TERMINAL)), crop=False)
