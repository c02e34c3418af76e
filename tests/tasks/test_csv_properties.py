"""Mutated CSV files: refused in words, or read as Python's ``csv`` and ``float`` read them.

An accepted file's values and labels are compared with a second reader, written here.
"""

from __future__ import annotations

import csv
import math
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks.anomaly.watch import Watch
from seqbench.tasks.health.longformat import read_folder

ROWS = 120
ANOMALY = range(80, 90)
MISSING = {"", "-", "--", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "nil",
           "none"}  # fmt: skip
GIB = 2**30
PIECES = [
    b",", b";", b"\n", b"\r\n", b'"', b"NA", b"1e309", b"-", b"1,5", b"\0", b"\xff", b"\xff\xfe",
    b"\xef\xbb\xbf", b"nan", b"inf", b"label", b"x", b" ", b"99999999999", b"2014-01-01",
    b"sep=;\n", b"1_0", b"0x1", b"\t", "\u0661".encode(), b"'", b"\\", b"p1",
    b"7", b"0", b".5", b"\n\n", b"p2,1,a,3.5\n", b"e-3",
]  # fmt: skip


def series(separator: str, end: str) -> bytes:
    lines = [separator.join(["ts", "x", "y", "label"])]
    for row in range(ROWS):
        cells = [str(1_600_000_000 + row), f"{math.sin(row):.3f}", str(row % 7)]
        lines.append(separator.join([*cells, str(int(row in ANOMALY))]))
    return end.join(lines).encode()


def records() -> dict[str, bytes]:
    events, outcomes, patients = ["patient,time,variable,value"], ["patient,label"], ["patient,age"]
    for number in range(24):
        for time in range(3):
            events.append(f"p{number},{time},{'ab'[time % 2]},{number * time / 8}")
        outcomes.append(f"p{number},{number % 2}")
        patients.append(f"p{number},{20 + number}")
    files = {"events": events, "outcomes": outcomes, "patients": patients}
    return {f"{name}.csv": "\n".join(lines).encode() for name, lines in files.items()}


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return bytes of a valid file with a few things changed, cut off, or random ones."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(valid)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 8)))
        kind = draw(st.sampled_from(["put", "replace", "cut", "end", "repeat", "flip"]))
        if kind == "put":
            data[at:at] = draw(st.sampled_from(PIECES))
        elif kind == "replace":
            data[at:to] = draw(st.sampled_from(PIECES))
        elif kind == "cut":
            del data[at:to]
        elif kind == "end":
            del data[at:]
        elif kind == "repeat":
            data[at:at] = data[at:to] * draw(st.integers(1, 3))
        elif at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@contextmanager
def folder() -> Iterator[Path]:
    """Give an empty folder, and no more memory than 2 GiB beside what is taken."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 * GIB, limits[1]))
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def second_reader(data: bytes, separator: str = ",") -> list[dict[str, str]]:
    """Read the rows as Python does; blank ones do not count."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            text = data.decode(encoding)
            break
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if lines.lower().startswith("sep="):
        separator, lines = lines[4], lines.partition("\n")[2]
    read = csv.reader(lines.splitlines(True), delimiter=separator)
    rows = [row for row in read if [cell.strip() for cell in row] not in ([], [""])]
    header = [" ".join(name.split()) for name in rows[0]]
    return [
        {name: cell.strip() for name, cell in zip(header, row, strict=True)} for row in rows[1:]
    ]


def number(cell: str, separator: str = ",") -> float:
    if cell.lower() in MISSING:
        return math.nan
    if separator != "," and "," in cell:
        cell = cell.replace(",", ".")
    return float(cell)


def check_refusal(refused: Refused) -> None:
    for line in (str(refused), *refused.details):
        assert "\n" not in line
        assert len(line) < 400


def check_series(data: bytes, separator: str) -> bool:
    """Check a file, and return whether it was accepted."""
    with folder() as path:
        (path / "a.csv").write_bytes(data)
        task = Watch(source=str(path), lead=0.5)
        try:
            task.prepare()
        except Refused as refused:
            check_refusal(refused)
            return False
        parts = task.parts(0)
        names = task.names(0).inputs
    read = [part[0] for part in parts]
    values = np.concatenate([part.values for part in read])
    labels = np.concatenate([part.labels for part in read])
    rows = second_reader(data, separator)
    assert len(rows) == len(values)
    for place, name in enumerate(names):
        latest = next(
            (found for row in rows if math.isfinite(found := number(row[name], separator))), 0.0
        )
        for row, value in zip(rows, values[:, place], strict=True):
            found = number(row[name], separator)
            latest = found if math.isfinite(found) else latest
            assert value == latest
    label = next(name for name in rows[0] if name.lower() in ("label", "labels", "anomaly"))
    assert [float(row[label].replace(",", ".")) for row in rows] == labels.tolist()
    assert np.isfinite(values).all()
    return True


def check_records(name: str, data: bytes) -> bool:
    """Check a file among valid ones, and return whether it was accepted."""
    files = {**records(), name: data}
    with folder() as path:
        for each, contents in files.items():
            (path / each).write_bytes(contents)
        try:
            found = read_folder(UserData(path), online=False)
        except Refused as refused:
            check_refusal(refused)
            return False
    read = {each: second_reader(contents) for each, contents in files.items()}
    people = sorted({row["patient"] for row in read["outcomes.csv"]})
    labels = {row["patient"]: float(row["label"]) for row in read["outcomes.csv"]}
    ends = np.cumsum(found.lengths) - 1
    assert found.labels[ends].tolist() == [labels[person] for person in people]
    sums = dict.fromkeys(people, 0.0)
    for row in read["events.csv"]:
        sums[row["patient"]] += number(row["value"])
    for person, start, end in zip(people, found.starts, ends, strict=True):
        count = {(float(row["time"]), row["variable"]) for row in read["events.csv"]
                 if row["patient"] == person}  # fmt: skip
        lines = sum(row["patient"] == person for row in read["events.csv"])
        if len(count) == lines:  # else several are averaged
            total = np.nansum(found.values[start : end + 1])
            assert total == pytest.approx(sums[person], rel=1e-9, abs=1e-9)
    if len(found.statics) and "age" in found.statics.tolist():
        ages = {row["patient"]: number(row["age"]) for row in read["patients.csv"]}
        expected = [ages.get(person, math.nan) for person in people]
        np.testing.assert_array_equal(
            found.static[:, found.statics.tolist().index("age")], expected
        )
    return True


FORMS = [(",", "\n"), (";", "\r\n")]
SERIES = st.sampled_from(FORMS).flatmap(
    lambda form: st.tuples(mutated(series(*form)), st.just(form[0]))
)
RECORDS = st.sampled_from(sorted(records())).flatmap(
    lambda name: st.tuples(st.just(name), mutated(records()[name]))
)
EXAMPLES = [200, pytest.param(2000, marks=pytest.mark.nightly)]


def run(check: object, examples: int) -> None:
    settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 1000,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(check)()  # type: ignore[arg-type, operator]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_series_are_refused_or_read_right(examples: int) -> None:
    accepted = 0

    @given(SERIES)
    def check(drawn: tuple[bytes, str]) -> None:
        nonlocal accepted
        accepted += check_series(*drawn)

    run(check, examples)
    assert accepted > examples / 20  # it is not only refusals that are tested


@pytest.mark.parametrize("examples", EXAMPLES)
def test_records_are_refused_or_read_right(examples: int) -> None:
    accepted = 0

    @given(RECORDS)
    def check(drawn: tuple[str, bytes]) -> None:
        nonlocal accepted
        accepted += check_records(*drawn)

    run(check, examples)
    assert accepted > examples / 20


def test_the_second_reader_agrees_on_valid_files() -> None:
    for separator, end in FORMS:
        assert check_series(series(separator, end), separator)
    for name, data in records().items():
        assert check_records(name, data)
