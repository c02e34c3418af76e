"""What tables say, as JSON types and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from seqbench.reporting.cells import (
    badge,
    baseline_rows,
    columns_of,
    pair_rows,
    rows_of,
    table_notes,
)
from seqbench.reporting.table import Difference, Table, Variant
from seqbench.reporting.verdict import verdict

_WIDTH = 200


def summary(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return tables as JSON types; what is not finite is null."""
    return [
        {
            "task": table.task,
            "changes": table.changes,
            "conditions": table.conditions,
            "is_old": table.is_old,
            "context": "past+future" if table.two_sided else "",
            "metric": vars(table.metric),
            "verdict": verdict(table),
            "badge": badge(table),
            "control": table.control,
            "baselines": {name: _finite(value) for name, value in table.baselines.items()},
            "variants": [_variant(table, item) for item in table.variants],
            "pairs": [
                {"one": one, "other": other, **_difference(pair)}
                for (one, other), pair in table.pairs.items()
            ],
            "notes": table_notes(table),
        }
        for table in tables
    ]


def _variant(table: Table, item: Variant) -> dict[str, Any]:
    names = dict.fromkeys(name for trial in item.trials for name in trial.costs)
    return {
        "label": item.label,
        "model": item.model,
        "changes": item.changes,
        "seeds": list(item.scored),
        "tried": len(item.trials),
        "scores": [_finite(value) for value in item.scores],
        "mean": _finite(item.mean),
        "standard_deviation": _finite(item.deviation),
        "interval": [_finite(value) for value in item.interval],
        "interval_over_test_data": item.groups and [_finite(value) for value in item.groups],
        "rank": list(item.rank) if item.scored else None,
        "costs": {name: _finite(item.cost(name)) for name in names},
        "backend": item.backend,
        "difference_to_control": item.control and _difference(item.control),
    }


def _difference(pair: Difference) -> dict[str, Any]:
    found = dict(vars(pair))
    for name in ("interval", "groups"):
        found[name] = found[name] and [_finite(value) for value in found[name]]
    return {
        name: _finite(value) if isinstance(value, float) else value for name, value in found.items()
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def print_tables(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print each table's verdict, its variants and, of three or more, every pair.

    Args:
        tables: to print.
        console: where to write; None takes standard output.
    """
    target = console or Console(highlight=False, emoji=False)
    target.width = max(target.width, _WIDTH)  # a narrow terminal breaks lines, not cells
    for table in tables:
        target.print()
        target.print(Text(verdict(table), style="bold"), soft_wrap=True)
        target.print(_grid(table), crop=False)
        able = [item for item in table.variants if item.scored]
        if len(able) > 2:
            target.print("every pair, adjusted for all of them:")
            for pair in pair_rows(table):
                mean, interval, p = (cell.text for cell in pair.cells[:3])
                target.print(Text(f"  {pair.label}: {mean} ({interval}), p = {p}"), soft_wrap=True)
        for note in table_notes(table):
            target.print(Text(note, style="yellow"), soft_wrap=True)


def _grid(table: Table) -> Grid:
    """Return a table's variants, narrower than the page has them."""
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    practical = any(pair.equivalent is not None for pair in table.pairs.values())
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("model", overflow="fold")
    titles = ["rank", f"test {table.metric.name}{unit}", "seeds", "difference (95%)", "p", "better"]
    for title in [*titles, *(["matters"] if practical else [])]:
        grid.add_column(Text(title), justify="right", no_wrap=True)
    for item, row in zip(table.variants, rows_of(table), strict=True):
        found = dict(
            zip((column.title for column in columns_of(table)[1:]), row.cells, strict=True)
        )
        text = {title: cell.text for title, cell in found.items()}
        difference = text["difference"]
        if item.control is not None:
            difference += f" ({text['its 95% interval']})"
        cells = [text["rank"], f"{text['test']} ± {text['sd']}", text["seeds"], difference]
        cells += [text["p"], text["better"], *([text["matters"]] if practical else [])]
        grid.add_row(Text(row.label), *map(Text, cells), style="bold" if row.best else "")
    for row in baseline_rows(table):
        grid.add_row(Text(row.label), "", Text(row.cells[1].text), style="italic dim")
    return grid
