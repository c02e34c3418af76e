"""Tables in long form, a row for each step: CSV files, and Parquet files.

Columns that are named as the sequence, the time, the label or the group are recognised; all others
are values. Rows may stand in any order where there are times.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqbench.config.userdata import Bad
from seqbench.tasks._tables import MISSING as MISSING_FIELDS
from seqbench.tasks._tables import CsvRows, number_advice, with_point
from seqbench.tasks.data.collection import (
    MISSING,
    MOST_BYTES,
    Collection,
    Floats,
    Problems,
    ReadSequence,
    check_array,
    moment,
    number,
    shown,
)
from seqbench.tasks.data.columns import ColumnChoice, Roles, find_roles, option

MOST_NUMBERS = 2**27


class _Rows(NamedTuple):
    """A table whose values are numbers."""

    values: Floats  # [N, F]
    ids: Sequence[str] | None
    times: Sequence[str] | Floats | None
    labels: Sequence[str] | None
    groups: Sequence[str] | None
    lines: Sequence[int]


def read_csv(data: bytes, columns: ColumnChoice, name: str, part: str = "") -> Collection:
    """Return the sequences of a CSV file, as :class:`~seqbench.tasks._tables.CsvRows` reads it.

    Where it is not commas that are between columns, numbers may have decimal commas.

    Args:
        data: its bytes.
        columns: which are what.
        name: of the file: its sequence's, where no column tells sequences apart.
        part: of the split, where the file's name says it.

    Raises:
        Bad: something is wrong with it; all that is, with its lines.
    """
    read = CsvRows(data)
    header = read.header
    problems = Problems()
    roles = find_roles(header, columns)
    numbers, lines = array("d"), array("q")
    texts: dict[int, list[str]] = {place: [] for place in roles.texts if place is not None}
    wrong: dict[int, tuple[str, int]] = {}  # of a column: its first problem, and how many
    known: dict[str, str] = {}  # each text once: a label stands in every row
    may_have_commas, has_points = read.separator != ",", False
    comma: tuple[int, int, str] | None = None  # the first number with one: place, line, field

    for line, row in read:
        if len(row) != len(header):
            problems.add(f"line {line}: {len(row)} fields; the header has {len(header)}")
            continue
        lines.append(line)
        for place, found in texts.items():
            found.append(known.setdefault(row[place], row[place]))
        for place in roles.values:
            field = row[place]
            if may_have_commas:
                has_points = has_points or "." in field
                pointed = with_point(field)
                if pointed != field:
                    comma = comma or (place, line, field)
                    field = pointed
            try:
                numbers.append(math.nan if field.lower() in MISSING_FIELDS else number(field))
            except ValueError as error:
                numbers.append(math.nan)
                first, count = wrong.get(place, (f"line {line}: {error}", 0))
                wrong[place] = first, count + 1
    if comma is not None and has_points:  # its comma may be one of thousands
        place, line, field = comma
        advice = number_advice(field)
        problems.add(f"column {header[place]}, line {line}: {shown(field)} is not a number{advice}")
    if may_have_commas:
        for role in (roles.time, roles.label):
            if role is not None:
                texts[role] = _with_points(texts[role])
    for place, (first, count) in wrong.items():
        more = f", and {count - 1} more like it" if count > 1 else ""
        advice = f"; {option('drop', [header[place]])} leaves the column out"
        problems.add(f"column {header[place]}, {first}{more}{advice}")
    problems.refuse()
    if not lines:
        raise Bad("it has no rows below its header")
    values = np.frombuffer(numbers, np.float64).reshape(len(lines), len(roles.values))
    found_texts = [None if place is None else texts[place] for place in roles.texts]
    rows = _Rows(values, found_texts[0], found_texts[1], found_texts[2], found_texts[3], lines)
    return _collect(rows, header, roles, name, part)


def _with_points(texts: list[str]) -> list[str]:
    """Return times or labels with decimal points where they have commas, and none has a point."""
    if any("." in text for text in texts):
        return texts
    return [with_point(text) for text in texts]


def read_parquet(data: bytes, columns: ColumnChoice, name: str, part: str = "") -> Collection:
    """Return the sequences of a Parquet file; arguments as of :func:`read_csv`.

    Raises:
        Bad: something is wrong with it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        about = file.metadata
        size = sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups))
        if about.num_rows * about.num_columns > MOST_NUMBERS or size > MOST_BYTES:
            raise Bad(f"it has {about.num_rows:,} rows; that is more than is read")
        table = file.read()
        table.validate(full=True)
        header = [str(field) for field in table.column_names]
    except Bad:
        raise
    except Exception as error:  # pyarrow's, and others of a file that was changed
        reason = (" ".join(str(error).split()) or type(error).__name__)[:120]
        raise Bad(f"it is no Parquet file, or damaged: {reason}") from error
    roles = find_roles(header, columns)
    if not table.num_rows:
        raise Bad("it has no rows")
    problems = Problems()
    found = []
    for place in roles.values:
        column, kind = table.column(place), table.schema.field(place).type
        plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        if not (plain or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
            problems.add(
                f"column {header[place]} holds {kind}, not numbers;"
                f" {option('drop', [header[place]])} leaves it out"
            )
            continue
        array_ = np.array([np.nan if item is None else float(item) for item in column.to_pylist()])
        try:
            check_array(array_)
        except Bad as error:
            problems.add(f"column {header[place]}: {error}")
        found.append(array_)
    problems.refuse()
    values = np.stack(found, axis=1)
    texts = [
        None if place is None else [_text_of(item) for item in table.column(place).to_pylist()]
        for place in roles.texts
    ]
    rows = _Rows(values, texts[0], texts[1], texts[2], texts[3], range(1, len(values) + 1))
    return _collect(rows, header, roles, name, part)


def _text_of(item: Any) -> str:
    if item is None or item != item:
        return ""
    if isinstance(item, float) and item.is_integer() and abs(item) < 2**53:
        return str(int(item))
    return str(item).strip()


def _collect(rows: _Rows, header: Sequence[str], roles: Roles, name: str, part: str) -> Collection:
    """Return a table's sequences, each in the order of its times."""
    problems = Problems()
    count = len(rows.values)
    places: dict[str, list[int]] = {}
    for row, text in enumerate(rows.ids or itertools.repeat(name, count)):
        if not text:
            problems.add(f"line {rows.lines[row]}: column {header[roles.id or 0]} is empty")
        places.setdefault(text, []).append(row)
    times = None
    if rows.times is not None:
        times = np.zeros(count)
        for row, text in enumerate(rows.times):
            try:
                if str(text).lower() in MISSING:
                    raise ValueError("the time is missing")
                times[row] = moment(str(text))
            except ValueError as error:
                advice = f"{option('drop', [header[roles.time or 0]])} takes rows in their order"
                problems.add(f"line {rows.lines[row]}: {error}; {advice}")
    series = []
    for text, of_one in places.items():
        chosen = np.array(of_one)
        found = None
        if times is not None:
            chosen = chosen[np.argsort(times[chosen], kind="stable")]
            found = times[chosen]
        labels: tuple[str, ...] = ()
        if rows.labels is not None:
            labels = tuple(_known(rows.labels[row]) for row in chosen)
        group = _group(rows.groups, chosen, text, header, roles, problems)
        called = text if rows.ids is not None else name
        series.append(ReadSequence(called, rows.values[chosen], labels, found, group, part))
    problems.refuse()
    columns = tuple(header[place] for place in roles.values)
    return Collection(columns, series, (), roles.unused, are_named=True)


def _group(
    groups: Sequence[str] | None,
    chosen: Iterable[int],
    name: str,
    header: Sequence[str],
    roles: Roles,
    problems: Problems,
) -> str:
    if groups is None:
        return ""
    found = sorted({groups[row] for row in chosen})
    if len(found) > 1 or not found[0]:
        what = f"has {len(found)} values" if len(found) > 1 else "is empty"
        problems.add(f"sequence {shown(name)}: its column {header[roles.group or 0]} {what}")
    return found[0]


def _known(label: str) -> str:
    return "" if label in ("", "?") or label.lower() == "nan" else label
