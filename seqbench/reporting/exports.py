"""The report in other forms: Markdown, LaTeX, and one row for each trial as CSV and Parquet."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqbench.reporting.cells import (
    COST_COLUMNS,
    OVERVIEW_COLUMNS,
    Column,
    Row,
    badge,
    baseline_rows,
    columns_of,
    cost_rows,
    is_best,
    overview_explanation,
    overview_rows,
    overview_title,
    rank,
    rows_of,
    table_notes,
)
from seqbench.reporting.numbers import NONE, amount, p_value, score
from seqbench.reporting.page import FOOTER, TUNING, Content, labels_of
from seqbench.reporting.table import Table, Variant
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.verdict import overview_verdict, verdict

PICTURES = "pictures"
"""Folder of the pictures, beside the report."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "≤": r"$\leq$", "±": r"$\pm$", "µ": r"$\mu$",
}  # fmt: skip


def markdown(content: Content) -> str:
    """Return the report as Markdown, with pictures as files beside it."""
    parts = ["# seqbench report", f"{_escaped(content.about)}."]
    current = [table for table in content.tables if not table.is_old]
    if not current:
        parts.append(content.nothing)
    parts += [
        f"* **{_escaped(item.name)}**{_badge(item)} {_escaped(verdict(item))}" for item in current
    ]
    parts += [f"_{_escaped(note)}_" for note in content.notes]
    for overview in content.overviews:
        parts += [
            f"## {overview_title(overview)}",
            _escaped(overview_verdict(overview)),
            _table(OVERVIEW_COLUMNS, overview_rows(overview)),
            _escaped(overview_explanation(overview)),
            *_pictures(content, overview.identifier),
        ]
    for table in content.tables:
        older = f" (older conditions {table.conditions})" if table.is_old else ""
        parts += [
            f"## {_escaped(table.name)}{older}{_badge(table)}",
            _escaped(verdict(table)),
            f"Test {_escaped(heading(table))}; conditions {table.conditions}.",
            _table(columns_of(table), [*rows_of(table), *baseline_rows(table)]),
            *(_escaped(note) for note in table_notes(table)),
            _table(COST_COLUMNS, cost_rows(table)),
            *_pictures(content, table.identifier),
        ]
    for title, picture in content.tunings:
        parts += [f"## {_escaped(title)}", _picture(picture.name, picture.alternative), TUNING]
    return "\n\n".join([*filter(None, parts), FOOTER]) + "\n"


def heading(table: Table) -> str:
    """Return a table's metric, its unit, and which way is better."""
    unit = f" [{table.metric.unit}]" if table.metric.unit else ""
    better = "smaller" if table.metric.direction == "min" else "larger"
    return f"{table.metric.name}{unit}, {better} is better"


def latex(tables: Sequence[Table]) -> str:
    """Return the current tables for LaTeX; needs the package booktabs."""
    parts = ["% \\usepackage{booktabs}"]
    for table in tables:
        if table.is_old:
            continue
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(table.name)}: test {_tex(heading(table))}. {_tex(verdict(table))}}}",
            r"\begin{tabular}{llrrrl}",
            r"\toprule",
            r"model & rank & mean $\pm$ sd & seeds & difference & $p$ \\",
            r"\midrule",
            *(_latex_row(table, item) for item in table.variants),
            r"\midrule",
            *(rf"{_tex(name)} & & {score(value, value)} & & & \\"
              for name, value in table.baselines.items()),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]  # fmt: skip
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _latex_row(table: Table, item: Variant) -> str:
    name = _tex(item.label)
    if not item.scored:
        return rf"{name} & & & 0 of {len(item.trials)} & & \\"
    mean = score(item.mean, item.mean)
    if is_best(table, item):
        mean = rf"\textbf{{{mean}}}"
    if math.isfinite(item.deviation):
        mean += rf" $\pm$ {amount(item.deviation, item.mean)}"
    pair = item.control
    difference = amount(pair.mean, item.mean).replace("-", "$-$") if pair else ""
    p = p_value(pair.p_holm) if pair else ("control" if item.label == table.control else NONE)
    numbers = f"{len(item.scored)} of {len(item.trials)}"
    return rf"{name} & {rank(item)} & {mean} & {numbers} & {difference} & {p} \\"


def write_csv(path: Path, trials: Sequence[ReportedTrial], tables: Sequence[Table]) -> None:
    """Write one row for each trial."""
    rows = flat_rows(trials, tables)
    with path.open("w", encoding="utf-8", errors="replace", newline="") as stream:
        writer = csv.DictWriter(stream, _keys(rows), restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, trials: Sequence[ReportedTrial], tables: Sequence[Table]) -> None:
    """Write one row for each trial; a column of mixed types is text."""
    import pyarrow
    import pyarrow.parquet

    rows = flat_rows(trials, tables)
    columns = {}
    for key in _keys(rows):
        values = [row.get(key) for row in rows]
        kinds = {_kind(value) for value in values if value is not None}
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) != 1 or not kinds <= {bool, int, float, str}:
            values = [None if value is None else str(value) for value in values]
        columns[key] = pyarrow.array(values, pyarrow.string() if not kinds else None)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def flat_rows(trials: Iterable[ReportedTrial], tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return trials as rows: what they are, their scores, costs, configuration and origin."""
    labels = labels_of(tables)
    rows = []
    for trial in trials:
        table, variant = labels.get(trial.run_id, ("", ""))
        rows.append(
            {
                "run": trial.run_id,
                "task": trial.task,
                "model": trial.model,
                "seed": trial.seed,
                "status": trial.status,
                "reason": trial.reason,
                "table": table,
                "variant": variant,
                "conditions": trial.conditions,
                "context": trial.context,
                "metric": trial.metric.name,
                "direction": trial.metric.direction,
                "score": trial.score,
                "valid": trial.valid,
                "candidate": trial.candidate,
                "tuning": trial.tuning,
                "backend": trial.backend,
                "began": trial.began,
                "cannot_be_read": trial.gap,
                **{f"test/{name}": value for name, value in trial.scores.items()},
                **{f"baseline/{name}": value for name, value in trial.baselines.items()},
                **{f"cost/{name}": value for name, value in trial.costs.items()},
                **{key: _plain(value) for key, value in trial.config.items()},
                **{f"origin/{name}": text for name, text in trial.origin.items()},
                **{f"environment/{name}": text for name, text in trial.environment.items()},
            }
        )
    return rows


def _kind(value: object) -> type:
    """Return which of the types that a column can have a value is of; numpy's are subclasses."""
    return next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), object)


def _plain(value: object) -> object:
    """Return a value of a type that a column can have; an integer of more than 64 bits is text."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row)) or ["run"]


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        "| " + " | ".join(column.title for column in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in rows:
        label = f"**{_escaped(row.label)}**" if row.best else _escaped(row.label)
        cells = [_escaped(cell.text) for cell in row.cells]
        cells += [""] * (len(columns) - 1 - len(cells))
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def _badge(table: Table) -> str:
    return f" ({badge(table)})" if badge(table) else ""


def _pictures(content: Content, identifier: str) -> list[str]:
    found = content.pictures.get(identifier, ())
    return [_picture(picture.name, picture.alternative) for picture in found]


def _picture(name: str, alternative: str) -> str:
    return f"![{_escaped(alternative)}]({PICTURES}/{name}.svg)"


def _escaped(text: str) -> str:
    """Return text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
