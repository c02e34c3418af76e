"""Tables in long form are read exactly, and what is wrong is said with its line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqbench.config.userdata import Bad
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.columns import ColumnChoice
from seqbench.tasks.data.longformat import read_csv, read_parquet


def told(read: Callable[[], Any]) -> str:
    """Return the problems of what is read."""
    with pytest.raises(Bad) as caught:
        read()
    return "\n".join(caught.value.problems)


CSV = """id;time;a;b c;label
2;2;1.5;?;x
1;0;3;4;y
2;1;;6;x
"""


def test_csv_is_read_exactly() -> None:
    """Rows of a sequence stand in the order of their times, wherever they are in the file."""
    found = read_csv(CSV.encode(), ColumnChoice(), "file")
    assert ("a", "b c") == found.columns
    assert ["2", "1"] == [item.name for item in found.series]
    np.testing.assert_array_equal([[np.nan, 6], [1.5, np.nan]], found.series[0].values)
    assert [1, 2] == found.series[0].times.tolist()
    assert [("x", "x"), ("y",)] == [item.labels for item in found.series]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(delimiter: str) -> None:
    found = read_csv(CSV.replace(";", delimiter).encode(), ColumnChoice(), "file")
    assert 2 == len(found.series)


@pytest.mark.parametrize(
    ("columns", "kept", "names"),
    [
        (ColumnChoice(id="label", drop=("id",)), ["a", "b c"], ["x", "y"]),
        (ColumnChoice(time="b c", drop=("time",)), ["a"], None),
        (ColumnChoice(drop=("b c",)), ["a"], ["1", "2"]),
        (ColumnChoice(group="label"), ["a", "b c"], ["1", "2"]),
        (ColumnChoice(forecast=True), ["a", "b c"], ["1", "2"]),
        (ColumnChoice(forecast=True, label="a"), ["a", "b c"], ["1", "2"]),
    ],
)
def test_columns_are_what_the_user_says(
    columns: ColumnChoice, kept: list[str], names: list[str] | None
) -> None:
    if names is None:
        assert "the time is missing" in told(lambda: read_csv(CSV.encode(), columns, "file"))
        return
    found = read_csv(CSV.encode(), columns, "file")
    assert kept == list(found.columns)
    assert names == sorted(item.name for item in found.series)
    if columns.group:
        assert ["x", "y"] == [item.group for item in found.series]


@pytest.mark.parametrize(
    ("old", "new", "columns", "expected"),
    [
        ("3;4;y", "3;y", {}, "line 3: 4 fields; the header has 5"),
        (
            "3;4",
            "3,5;4",
            {},
            "column a, line 3: '3,5' is not a number; write numbers with a",
        ),
        ("3;4", "abc;4", {}, "'task.drop=[a]' leaves the column out"),
        ("1;0;", ";0;", {}, "line 3: column id is empty"),
        ("1;0;", "1;noon;", {}, "line 3: the time 'noon' is neither a number nor an ISO date"),
        ("1;0;", "1;;", {}, "line 3: the time is missing"),
        ("b c", "a", {}, "its header names a column twice: a"),
        ("b c", "case", {}, "the id could be the column id or case"),
        ("id;", "id;", {"id": "idd"}, "task.id: there is no column 'idd' (did you mean 'id'?)"),
        ("id;", "id;", {"drop": ("zz",)}, "task.drop: there is no column 'zz'"),
        ("id;", "id;", {"drop": ("a", "b c")}, "it has no column of values"),
        ("1.5", '"1.5', {}, "it is no CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said(
    old: str, new: str, columns: dict[str, Any], expected: str
) -> None:
    assert old in CSV
    text = CSV.replace(old, new)
    assert expected in told(lambda: read_csv(text.encode(), ColumnChoice(**columns), "file"))


def test_labels_of_anomalies_are_found_by_their_names() -> None:
    """What tells of the same events beside them is no value; elsewhere both are."""
    text = b"time,a,Anomaly,changepoint\n0,5,0,0\n1,6,1,1\n"
    found = read_csv(text, ColumnChoice(anomalies=True), "file")
    assert ("a",) == found.columns
    assert ["0", "1"] == list(found.series[0].labels)
    assert ("column changepoint", "it is a label of something else") in found.unused
    asked = read_csv(text, ColumnChoice(label="changepoint", anomalies=True), "file")
    assert ("a",) == asked.columns
    assert ("column Anomaly", "it is named like a label") in asked.unused
    assert ("a", "Anomaly", "changepoint") == read_csv(text, ColumnChoice(), "file").columns


def test_numbers_of_rows_are_no_values() -> None:
    """As pandas writes them beside a table."""
    found = read_csv(b",a,b\n0,1,2\n1,3,4\n", ColumnChoice(), "file")
    assert ("a", "b") == found.columns
    assert ("column 1", "it numbers the rows") in found.unused
    assert "order of rows" == found.unused[-1][0], "there is no time"


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), stream)
    return stream.getvalue()


def test_parquet_gives_what_csv_gives() -> None:
    frame = pd.read_csv(io.StringIO(CSV), sep=";", na_values="?")
    one, other = (
        read_parquet(parquet(frame), ColumnChoice(), "file"),
        read_csv(CSV.encode(), ColumnChoice(), "f"),
    )
    for left, right in zip(one.series, other.series, strict=True):
        np.testing.assert_array_equal(left.values, right.values)
        assert (left.name, left.labels) == (right.name, right.labels)
        assert left.times.tolist() == right.times.tolist()


def cases() -> Iterator[tuple[str, bytes, Callable[[bytes], Collection]]]:
    columns = ColumnChoice()
    yield "parquet", b"PAR1 no", lambda data: read_parquet(data, columns, "f")
    text = parquet(pd.DataFrame({"id": [1], "a": ["text"]}))
    yield "a text column", text, lambda data: read_parquet(data, columns, "f")
    yield (
        "no rows",
        parquet(pd.DataFrame({"id": [], "a": []})),
        lambda data: read_parquet(data, columns, "f"),
    )
    infinite = parquet(pd.DataFrame({"id": [1], "a": [np.inf]}))
    yield "infinite", infinite, lambda data: read_parquet(data, columns, "f")


@pytest.mark.parametrize(
    ("name", "data", "read"), list(cases()), ids=[name for name, *_ in cases()]
)
def test_what_is_no_table_of_numbers_is_refused(
    name: str, data: bytes, read: Callable[[bytes], Collection]
) -> None:
    assert told(lambda: read(data))


def test_a_second_label_is_no_value() -> None:
    """It would give the first away."""
    text = b"id,a,label,target\n1,2,0,1\n2,3,1,0\n"
    assert "the label could be the column label or target" in told(
        lambda: read_csv(text, ColumnChoice(), "file")
    )
    found = read_csv(text, ColumnChoice(label="target"), "file")
    assert ("a",) == found.columns
    assert ("column label", "it is named like a label") in found.unused


@pytest.mark.parametrize(
    ("text", "values", "label"),
    [
        ("id;time;a;label\nx;0;1,5;u\nx;1;-,25;u\n", [1.5, -0.25], "u"),
        ("id\ttime\ta\tlabel\nx\t0\t1,5e3\tu\nx\t1\t2\tu\n", [1500, 2], "u"),
        ("id|time|a|label\nx|0,5|1,5|u\nx|0,25|3|u\n", [3, 1.5], "u"),
        ("sep=;\nid;time;a;label\nx;0;1,5;0,5\nx;1;n/a;0,5\n", [1.5, np.nan], "0.5"),
        ('id,time,a,label\nx,0,1.5,"0,5"\nx,1,-,"0,5"\n', [1.5, np.nan], "0,5"),
        ("id;time;a;label\nx;0;1.5;u\nx;1;2;u\n", [1.5, 2], "u"),
    ],
)
def test_decimal_commas_are_read_where_no_comma_is_between_columns(
    text: str, values: list[float], label: str
) -> None:
    (found,) = read_csv(text.encode(), ColumnChoice(), "f").series
    np.testing.assert_array_equal(np.array(values)[:, None], found.values)
    assert {label} == set(found.labels)
    (wide,) = read_csv(b"\xff\xfe" + text.encode("utf-16-le"), ColumnChoice(), "f").series
    np.testing.assert_array_equal(found.values, wide.values)


@pytest.mark.parametrize("field", ["1.234,5", "1.234", "2.5"])
def test_commas_beside_points_are_refused_with_a_hint(field: str) -> None:
    text = f"id;time;a\nx;0;1,5\nx;1;{field}\n"
    said = told(lambda: read_csv(text.encode(), ColumnChoice(), "f"))
    assert "write numbers with" in said
    assert "decimal point" in said
