"""The report in other forms: Markdown, LaTeX, and one row for each trial as CSV and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqbench.reporting.across import overview_verdict
from seqbench.reporting.columns import (
    COSTS,
    SCORES,
    TRIALS,
    cost_layout,
    fold_caption,
    fold_layout,
    score_layout,
)
from seqbench.reporting.columns_across import across_layout, overview_layout, split_layout
from seqbench.reporting.forms import Form, values
from seqbench.reporting.markup import latex_table, latex_text, markdown_table, markdown_text
from seqbench.reporting.notes import badge, overview_explanation, overview_title, table_notes
from seqbench.reporting.page import FOOTER, SPLITS_EXPLAINED, TUNING, Content
from seqbench.reporting.rows import TrialRow, VariantRow, places_of
from seqbench.reporting.splits import split_verdict
from seqbench.reporting.table import Table
from seqbench.reporting.text import with_direction
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.verdict import verdict

PICTURES = "pictures"
"""Folder of the pictures, beside the report."""


def markdown(content: Content) -> str:
    """Return the report as Markdown, with pictures as files beside it."""
    parts = ["# seqbench report", f"{markdown_text(content.about)}."]
    current = [table for table in content.tables if not table.is_old]
    if not current:
        parts.append(content.nothing)
    parts += [
        f"* **{markdown_text(item.name)}**{_badge(item)} {markdown_text(verdict(item))}"
        for item in current
    ]
    parts += [f"_{markdown_text(note)}_" for note in content.notes]
    for overview in content.overviews:
        parts += [
            f"## {overview_title(overview)}",
            markdown_text(overview_verdict(overview)),
            markdown_table(overview_layout(overview, Form.MARKDOWN)),
            markdown_table(across_layout(overview, Form.MARKDOWN)),
            markdown_text(overview_explanation(overview)),
            *_pictures(content, overview.identifier),
        ]
    for item in content.splits:
        parts += [
            f"## {markdown_text(item.name)}",
            markdown_text(split_verdict(item)),
            markdown_table(split_layout(item, Form.MARKDOWN)),
            SPLITS_EXPLAINED,
        ]
    for table in content.tables:
        older = f" (older conditions {table.conditions})" if table.is_old else ""
        parts += [
            f"## {markdown_text(table.name)}{older}{_badge(table)}",
            markdown_text(verdict(table)),
            f"Test {markdown_text(with_direction(table.metric))}; conditions {table.conditions}.",
            markdown_table(score_layout(table, Form.MARKDOWN)),
            *(markdown_text(note) for note in table_notes(table)),
            *_folds(table),
            markdown_table(cost_layout(table, Form.MARKDOWN)),
            *_pictures(content, table.identifier),
        ]
    for title, picture in content.tunings:
        parts += [f"## {markdown_text(title)}", _picture(picture.name, picture.alternative), TUNING]
    return "\n\n".join([*filter(None, parts), FOOTER]) + "\n"


def _folds(table: Table) -> list[str]:
    found = markdown_table(fold_layout(table, Form.MARKDOWN))
    return [f"{fold_caption(table)}.", found] if found else []


def latex(tables: Sequence[Table]) -> str:
    """Return the current tables for LaTeX; needs the package booktabs."""
    parts = ["% \\usepackage{booktabs}"]
    for table in tables:
        if not table.is_old:
            caption = f"{table.name}: test {with_direction(table.metric)}. {verdict(table)}"
            parts.append(
                "\\begin{table}\n\\centering\n"
                f"\\caption{{{latex_text(caption)}}}\n"
                f"{latex_table(score_layout(table, Form.LATEX))}\n"
                "\\end{table}"
            )
            folds = fold_layout(table, Form.LATEX)
            if folds.lines:
                parts.append(
                    "\\begin{table}\n\\centering\n"
                    f"\\caption{{{latex_text(f'{table.name}. {fold_caption(table)}.')}}}\n"
                    f"{latex_table(folds)}\n"
                    "\\end{table}"
                )
    return "\n\n".join(parts) + "\n"


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
        found = [row.get(key) for row in rows]
        kinds = {_kind(value) for value in found if value is not None}
        if kinds == {int, float}:
            found = [None if value is None else float(value) for value in found]
        elif len(kinds) != 1 or not kinds <= {bool, int, float, str}:
            found = [None if value is None else str(value) for value in found]
        columns[key] = pyarrow.array(found, pyarrow.string() if not kinds else None)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def flat_rows(trials: Iterable[ReportedTrial], tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return trials as rows: what they are, their scores, costs, configuration and origin."""
    places = places_of(tables)
    of_variants: dict[int, dict[str, object]] = {}
    rows = []
    for trial in trials:
        place = places.get(trial.run_id)
        rows.append(
            {
                **_plain_values(values(TRIALS, TrialRow(trial, place), Form.CSV)),
                **_of_variant(place, of_variants),
                **{f"test/{name}": value for name, value in trial.scores.items()},
                **{f"fold/{name}": value for name, value in trial.folds.items()},
                **{f"baseline/{name}": value for name, value in trial.baselines.items()},
                **{f"cost/{name}": value for name, value in trial.costs.items()},
                **_plain_values(trial.config),
                **{f"origin/{name}": text for name, text in trial.origin.items()},
                **{f"environment/{name}": text for name, text in trial.environment.items()},
            }
        )
    return rows


def _of_variant(
    place: VariantRow | None, known: dict[int, dict[str, object]]
) -> Mapping[str, object]:
    """Return what a trial's row says of its variant, which is worked out once."""
    if place is None:
        return {}
    found = known.get(id(place.variant))
    if found is None:
        found = _plain_values(values([*SCORES, *COSTS], place, Form.CSV), "variant/")
        known[id(place.variant)] = found
    return found


def _plain_values(found: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    return {f"{prefix}{key}": _plain(value) for key, value in found.items()}


def _kind(value: object) -> type:
    """Return which of the types that a column can have a value is of; numpy's are subclasses."""
    return next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), object)


def _plain(value: object) -> object:
    """Return a value of a type that a column can have; an integer of more than 64 bits is text."""
    if isinstance(value, tuple):
        return " to ".join(map(str, value))
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row)) or ["run"]


def _badge(table: Table) -> str:
    return f" ({badge(table)})" if badge(table) else ""


def _pictures(content: Content, identifier: str) -> list[str]:
    found = content.pictures.get(identifier, ())
    return [_picture(picture.name, picture.alternative) for picture in found]


def _picture(name: str, alternative: str) -> str:
    return f"![{markdown_text(alternative)}]({PICTURES}/{name}.svg)"
