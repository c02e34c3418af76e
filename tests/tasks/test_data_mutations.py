"""Whatever bytes a file has, it is refused, or read as a second reader reads it."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import arff as scipy_arff

from seqbench.config.userdata import Bad
from seqbench.tasks.data.arff import read_arff
from seqbench.tasks.data.arrays import read_npz
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
ARFF = """@relation p
@attribute a numeric
@attribute b numeric
@attribute c numeric
@attribute target {1,2}
@data
1.5,2,3,1
-1e2,7,0.5,2
"""
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
    table, about = scipy_arff.loadarff(io.StringIO(data.decode("utf-8-sig")))
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


def second_csv(data: bytes) -> list[Row]:
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(row["id"].strip(), []).append(row)
    return [
        (
            [[_number(row[name]) for name in ("a", "b")] for row in sorted(part, key=_time)],
            "" if (label := part[0]["label"].strip()) in ("?", "nan") else label,
        )
        for part in found.values()
    ]


def second_parquet(data: bytes) -> list[Row] | None:
    table = pq.read_table(io.BytesIO(data)).to_pandas()
    if set(table) != {"id", "time", "a", "b", "label"}:
        return None  # a name was changed
    return second_csv(table.to_csv(index=False).encode())


def _time(row: dict[str, str]) -> float:
    return float(row["time"])


def _number(text: str) -> float:
    return float("nan") if text.strip().lower() in ("", "?", "na", "null") else float(text)


FORMS: dict[
    str, tuple[bytes, Callable[[bytes], Collection], Callable[[bytes], list[Row] | None]]
] = {
    "ts": (TS.encode(), read_ts, second_ts),
    "arff": (ARFF.encode(), read_arff, second_arff),
    "npz": (npz(), read_npz, second_npz),
    "csv": (CSV.encode(), lambda data: read_csv(data, ColumnChoice(), "f"), second_csv),
    "parquet": (parquet(), lambda data: read_parquet(data, ColumnChoice(), "f"), second_parquet),
}
COUNTS = [200, pytest.param(2000, marks=pytest.mark.nightly)]


def read_rows(found: Collection) -> list[Row]:
    return [(item.values.tolist(), item.labels[0] if item.labels else "") for item in found.series]


def equal(ones: list[Row], others: list[Row]) -> bool:
    return len(ones) == len(others) and all(
        one[1] == other[1] and np.array_equal(np.array(one[0]), np.array(other[0]), equal_nan=True)
        for one, other in zip(ones, others, strict=True)
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_second_reader_agrees_on_a_good_file(form: str) -> None:
    data, read, second = FORMS[form]
    expected = second(data)
    assert expected is not None
    assert equal(expected, read_rows(read(data)))


def changed(form: str) -> Any:
    """Draw a file that was cut short, or of which some bytes were replaced, added or left out."""
    data = FORMS[form][0]
    binary = form in ("npz", "parquet")
    byte = st.integers(0, 255) if binary else st.sampled_from(b"0123?,.:-eE\nx'")
    first = data.index(b"\n") + 1 if form == "csv" else 0  # the second reader knows the columns
    edit = st.tuples(st.integers(first, len(data) - 1), st.sampled_from("rid"), byte)

    def apply(edits: list[tuple[int, str, int]], end: int) -> bytes:
        found = bytearray(data)
        for place, kind, value in edits:
            if kind == "r":
                found[place % len(found)] = value
            elif kind == "i":
                found.insert(place % len(found), value)
            else:
                del found[place % len(found)]
        return bytes(found[: end if end else None])

    whole = st.builds(apply, st.lists(edit, min_size=1, max_size=3), st.just(0))
    return whole | st.builds(apply, st.just([]), st.integers(first + 1, len(data)))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("form", FORMS)
def test_a_changed_file_is_refused_or_read_as_the_second_reader_reads_it(
    form: str, count: int
) -> None:
    """Stricter refusal is allowed; another exception and another number are not."""
    _, read, second = FORMS[form]
    outcomes = {"refused": 0, "read": 0}
    problems: set[str] = set()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(form))
    def check(data: bytes) -> None:
        try:
            found = read(data)
        except Bad as error:
            outcomes["refused"] += 1
            problems.update(error.problems)
            return
        outcomes["read"] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = second(data)
        assert expected is None or equal(expected, read_rows(found)), (
            data,
            expected,
            read_rows(found),
        )

    check()
    assert outcomes["refused"] > count / 10
    assert [] == [problem for problem in problems if not problem or "\n" in problem]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("form", FORMS)
def test_random_bytes_are_refused(form: str, count: int) -> None:
    data, read, _ = FORMS[form]

    @settings(max_examples=count, deadline=None, derandomize=True, database=None)
    @given(st.binary(max_size=300), st.integers(0, 40))
    def check(noise: bytes, kept: int) -> None:
        with pytest.raises(Bad):
            read(data[:kept] + noise if kept < 16 else noise)

    check()
