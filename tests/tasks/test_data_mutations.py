"""Whatever bytes a file has, it is refused, or read as a second reader reads it."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import arff as scipy_arff

from seqbench.tasks.data.arff import read_arff
from seqbench.tasks.data.arrays import collect, read_npy, read_npz
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.columns import ColumnChoice
from seqbench.tasks.data.longformat import read_csv, read_parquet
from seqbench.tasks.data.ts import read_ts

Row = tuple[list[list[float]], str]
"""A sequence's values by step, and its label."""

TS = """@problemName P
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true 1 2
@data
1.5,2,3:4,5,?:1
-1e2,7:.5,9:2
"""
TS_PLAIN = """@problemName P
@univariate true
@classLabel false
@data
1,2,3
4,?,6
"""
ARFF = """@relation p
@attribute a numeric
@attribute b numeric
@attribute c numeric
@attribute target {1,2}
@data
1.5,2,3,1
-1e2,7,0.5,2
"""
MISSING = {"", "-", "--", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "nil",
           "none"}  # fmt: skip
GERMAN = "id;time;a;b;label\nx;0,5;1,5;2;1\nx;1;?;3;1\ny;0;-1e2;7;2\n"
CSV = "id,time,a,b,label\nx,0,1.5,2,1\nx,1,?,3,1\ny,0,-1e2,7,2\n"


def npz() -> bytes:
    stream = io.BytesIO()
    values = np.arange(12.0).reshape(2, 3, 2)
    np.savez_compressed(stream, X=values, y=np.array([1, 2]), lengths=np.array([3, 2]))
    return stream.getvalue()


def parquet() -> bytes:
    stream = io.BytesIO()
    table = pa.Table.from_pandas(pd.read_csv(io.StringIO(CSV), na_values="?"))
    pq.write_table(table.replace_schema_metadata(None), stream)
    return stream.getvalue()


def second_ts(data: bytes) -> list[Row]:
    """Read a .ts file without times as the format's documents say it, and check nothing."""
    text = data.decode("utf-8-sig", "replace")
    _, below = re.split("(?im)^@data[^\n]*$", text, maxsplit=1)
    has_label = re.search("(?im)^[ \t]*@(class|target)label[ \t]+true", text)
    found = []
    for line in below.split("\n"):
        if line.strip() and line.strip()[0] not in "#%":
            fields = line.strip().split(":")
            label = fields.pop().strip() if has_label else ""
            columns = [[_number(value) for value in field.split(",")] for field in fields]
            found.append((np.array(columns).T.tolist(), label))
    return found


def second_arff(data: bytes) -> list[Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = "\n".join(line.strip() for line in text.split("\n"))  # as Weka reads them
    table, about = scipy_arff.loadarff(io.StringIO(lines))
    *steps, label = about.names()
    is_label = about.types()[-1] == "nominal"
    steps = steps if is_label else [*steps, label]
    found = []
    for row in table:
        values = [float(row[name]) for name in steps]
        while values and np.isnan(values[-1]):
            values.pop()
        found.append(([[v] for v in values], row[label].decode() if is_label else ""))
    return found


def second_npz(data: bytes) -> list[Row]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        values = file["X"].astype(float)
        lengths = file["lengths"] if "lengths" in file else [values.shape[1]] * len(values)
        labels = [str(label) for label in file["y"].tolist()] if "y" in file else [""] * len(values)
    values = values if values.ndim == 3 else values[:, :, None]
    return [(v[:n].tolist(), y) for v, n, y in zip(values, lengths, labels, strict=True)]


def second_csv(data: bytes) -> list[Row] | None:
    """Read a table whose numbers have points, or commas beside semicolons."""
    mark = next((m for m in (b"\xff\xfe", b"\xfe\xff") if data.startswith(m)), b"")
    text = data.decode("utf-16" if mark else "utf-8-sig")
    separator = ";" if text.partition("\n")[0].count(";") else ","
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [[field.strip() for field in row] for row in table]
    rows = [row for row in rows if row not in ([], [""])]
    if rows[0] != ["id", "time", "a", "b", "label"]:
        return None  # a name was changed
    found: dict[str, list[tuple[str, ...]]] = {}
    columns = [list(column) for column in zip(*rows[1:], strict=True)]
    for place in range(1, 5):
        if separator == ";" and not any("." in field for field in columns[place]):
            columns[place] = [_with_point(field) for field in columns[place]]
    for row in zip(*columns, strict=True):
        found.setdefault(row[0], []).append(row)
    return [
        (
            [[_number(field) for field in row[2:4]] for row in part],
            "" if (label := part[0][4]).lower() in ("?", "nan") else label,
        )
        for part in (sorted(rows, key=_time) for rows in found.values())
    ]


def second_parquet(data: bytes) -> list[Row] | None:
    table = pq.read_table(io.BytesIO(data)).to_pandas()
    if set(table) != {"id", "time", "a", "b", "label"}:
        return None  # a name was changed
    return second_csv(table.to_csv(index=False).encode())


def _with_point(field: str) -> str:
    return re.sub(r"^([-+]?\d*),(\d+(e[-+]?\d+)?)$", r"\1.\2", field, flags=re.IGNORECASE)


def _time(row: tuple[str, ...]) -> float:
    return float(row[1])


def _number(text: str) -> float:
    return float("nan") if text.strip().lower() in MISSING else float(text)


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(12.0).reshape(2, 3, 2))
    return stream.getvalue()


def second_npy(data: bytes) -> list[Row]:
    values = np.load(io.BytesIO(data), allow_pickle=False).astype(float)
    values = values if values.ndim == 3 else values[:, :, None]
    found = []
    for item in values:
        known = np.flatnonzero(~np.isnan(item).all(axis=1))
        found.append((item[: known[-1] + 1].tolist(), ""))
    return found


FORMS: dict[
    str, tuple[list[bytes], Callable[[bytes], Collection], Callable[[bytes], list[Row] | None]]
] = {
    "ts": ([TS.encode(), TS_PLAIN.encode()], read_ts, second_ts),
    "arff": ([ARFF.encode()], read_arff, second_arff),
    "npz": ([npz()], read_npz, second_npz),
    "npy": ([npy()], lambda data: collect({"X": read_npy(data)}), second_npy),
    "csv": (
        [CSV.encode(), GERMAN.encode()],
        lambda data: read_csv(data, ColumnChoice(), "f"),
        second_csv,
    ),
    "parquet": ([parquet()], lambda data: read_parquet(data, ColumnChoice(), "f"), second_parquet),
}


def read_rows(found: Collection) -> list[Row]:
    return [(item.values.tolist(), item.labels[0] if item.labels else "") for item in found.series]


def equal(ones: list[Row], others: list[Row]) -> bool:
    return len(ones) == len(others) and all(
        one[1] == other[1] and np.array_equal(np.array(one[0]), np.array(other[0]), equal_nan=True)
        for one, other in zip(ones, others, strict=True)
    )


def same(found: Collection, expected: list[Row] | None) -> bool:
    return expected is None or equal(expected, read_rows(found))


@pytest.mark.parametrize("form", FORMS)
def test_the_second_reader_agrees_on_a_good_file(form: str) -> None:
    files, read, second = FORMS[form]
    for data in files:
        expected = second(data)
        assert expected is not None
        assert equal(expected, read_rows(read(data)))


@pytest.mark.parametrize("form", FORMS)
def test_hostile_files_are_refused_or_read_as_the_second_reader_reads_them(
    form: str, hostile: Callable[..., None]
) -> None:
    """Stricter refusal is allowed; another exception and another number are not."""
    files, read, second = FORMS[form]
    taken = 0

    def counted(data: bytes) -> Collection:
        nonlocal taken
        found = read(data)
        taken += 1
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hostile(files, counted, second, same)
    assert taken > len(files)  # it is not only refusals that are tested
