"""Each form of sequence data is read exactly, and what is wrong is said with its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqbench.config.userdata import Bad
from seqbench.tasks.data.arff import read_arff
from seqbench.tasks.data.arrays import collect, read_npy, read_npz
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.source import KINDS, SUFFIXES
from seqbench.tasks.data.ts import read_ts

TS = """#comment
@problemName Two
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true up down
@data
1,2.5,-3e2:4,?,6:up
.1,0,1.:7,8,9:down
"""


def told(read: Callable[[], Any]) -> str:
    """Return the problems of what is read."""
    with pytest.raises(Bad) as caught:
        read()
    return "\n".join(caught.value.problems)


def values_of(found: Collection) -> list[list[list[float]]]:
    return [item.values.tolist() for item in found.series]


def test_the_suffixes_are_those_of_all_forms() -> None:
    assert [suffix for suffixes in KINDS.values() for suffix in suffixes] == list(SUFFIXES)


def test_ts_is_read_exactly() -> None:
    found = read_ts(TS.encode(), "train")
    assert ("dimension 1", "dimension 2") == found.columns
    assert ("up", "down") == found.classes
    np.testing.assert_array_equal(
        [[[1, 4], [2.5, np.nan], [-300, 6]], [[0.1, 7], [0, 8], [1, 9]]], values_of(found)
    )
    assert [("up",), ("down",)] == [item.labels for item in found.series]
    assert {"train"} == {item.part for item in found.series}
    assert ["line 11", "line 12"] == [item.name for item in found.series]


@pytest.mark.parametrize("ending", ["\r\n", "\n\n", "\n"])
def test_ts_of_other_systems_and_unequal_lengths(ending: str) -> None:
    text = "\ufeff@TIMESTAMPS False\n@UnivariatE true\n@classlabel TRUE 1 2\n@Data\n1,2,3:1\n4:2"
    found = read_ts(text.replace("\n", ending).encode())
    assert [3, 1] == [len(item.values) for item in found.series]


def test_ts_without_a_label_and_with_a_number() -> None:
    assert () == read_ts(b"@univariate true\n@classLabel false\n@data\n1,2\n").series[0].labels
    found = read_ts(b"@targetlabel true\n@data\n1,2:3,4:0.25\n")
    assert ("0.25",) == found.series[0].labels
    assert 2 == len(found.columns)


def test_ts_with_times_joins_its_dimensions() -> None:
    """Times may hold colons; where dimensions differ in them, values are missing."""
    head = "@timestamps true\n@classLabel true a b\n@data\n"
    line = "(2020-01-01 00:00:00,1),(2020-01-01 00:00:02,2):(2020-01-01 00:00:01,3):a\n"
    (item,) = read_ts((head + line).encode()).series
    np.testing.assert_array_equal([[1, np.nan], [np.nan, 3], [2, np.nan]], item.values)
    assert [0, 1, 2] == (item.times - item.times[0]).tolist()
    (item,) = read_ts((head + "(0,1),(5,2):b\n").encode()).series
    assert [0, 5] == item.times.tolist()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("7,8,9:down", "7,8:down", "line 12: its dimensions have 3, 2 values"),
        (":down", ":dwon", "line 12: its class 'dwon' is not among those of @classLabel: up, down"),
        ("7,8,9:down", "7,8,9", "line 12: it has 1 dimensions; the header says 2"),
        (":7,8,9:down", ":down", "line 12: it has 1 dimensions; the header says 2"),
        ("1,2.5,", "1,2.5,2,", "line 11: its dimensions have 4, 3 values"),
        ("1,2.5,-3e2:4,?,6", "1,2:3,4", "line 11: 2 steps; the header says that all have 3"),
        ("2.5", "2,5", "line 11: its dimensions"),
        ("2.5", "abc", "line 11: dimension 1, step 2: 'abc' is not a number"),
        ("2.5", "1e999", "line 11: dimension 1, step 2: '1e999' is too large"),
        ("2.5", "inf", "line 11: dimension 1, step 2: 'inf' is not a number"),
        ("2.5", "1_0", "'1_0' is not a number"),
        ("2.5", "٣", "'٣' is not a number"),
        ("2.5", "", "dimension 1, step 2: a value is empty (a missing one is ?)"),
        ("@data", "@dta", "'@dta' is unknown (did you mean '@data'?)"),
        ("@dimensions 2", "@dimensions two", "@dimensions has no whole number above 0"),
        ("@missing true", "@missing maybe", "@missing says neither true nor false"),
        ("up down", "up up", "@classLabel names a class twice"),
        (":up", ":", "line 11: its label is missing"),
        ("#comment", "1,2:3,4:up", "line 1: a line of data before @data"),
    ],
)
def test_what_is_wrong_with_a_ts_file_is_said_with_its_line(
    old: str, new: str, expected: str
) -> None:
    assert old in TS
    assert expected in told(lambda: read_ts(TS.replace(old, new).encode()))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = TS.replace("2.5", "x").replace(":down", ":left") + "1:2:3\n"
    assert 3 == len(told(lambda: read_ts(text.encode())).splitlines())
    many = TS + "x,2,3:4,5,6:up\n" * 50
    problems = told(lambda: read_ts(many.encode())).splitlines()
    assert "... and 30 more" == problems[-1]


@pytest.mark.parametrize(
    "text", ["", "@data\n", "no header", "\0\1", "@timestamps true\n@data\n1,2"]
)
def test_what_is_no_ts_file_is_refused(text: str) -> None:
    assert told(lambda: read_ts(text.encode()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(0,1),(0,2):a", "dimension 1: its times do not ascend"),
        ("(0,1),(x,2):a", "step 2: the time 'x' is neither a number nor an ISO date"),
        ("(0,1),(1,2)", "its label is missing"),
        ("(0,1),(1):a", "a pair is not (time,value)"),
        ("(0,1) (1,2):a", "expected a colon"),
        ("0,1:a", "expected (time,value)"),
    ],
)
def test_what_is_wrong_with_times_is_said(line: str, expected: str) -> None:
    text = f"@timestamps true\n@classLabel true a b\n@data\n{line}\n"
    assert expected in told(lambda: read_ts(text.encode()))


FLAT = """% comment
@relation 'my data'
@attribute t0 numeric
@attribute 't 1' REAL
@attribute target {'class a', b}
@data
1.5,-2,'class a'
?,4,b
5,?,"b"
"""
RELATIONAL = """@relation Motions
@attribute relationalAtt relational
  @attribute att0 numeric
  @attribute att1 numeric
  @attribute att2 numeric
@end relationalAtt
@attribute activity {Run,Walk}
@data
'1,2,3\\n4,5,?',Run
"6,7,?\\n8,9,?",Walk
"""


def test_arff_is_read_exactly() -> None:
    """Steps that are missing at the end are how the archives write shorter sequences."""
    found = read_arff(FLAT.encode())
    np.testing.assert_array_equal([[1.5], [-2]], found.series[0].values)
    np.testing.assert_array_equal([[np.nan], [4]], found.series[1].values)
    np.testing.assert_array_equal([[5]], found.series[2].values)
    assert ("class a", "b") == found.classes
    found = read_arff(RELATIONAL.encode())
    np.testing.assert_array_equal([[1, 4], [2, 5], [3, np.nan]], found.series[0].values)
    np.testing.assert_array_equal([[6, 8], [7, 9]], found.series[1].values)
    assert ["Run", "Walk"] == [item.labels[0] for item in found.series]


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        (FLAT, "@attribute t0 numeric", "@attribute t0 date", "attribute 't0' is 'date'"),
        (FLAT, "?,4,b", "?,4,c", "line 8: its class 'c' is not among class a, b"),
        (FLAT, "?,4,b", "4,b", "line 8: 2 fields; the header has 3 attributes"),
        (FLAT, "?,4,b", "x,4,b", "line 8: dimension 1, step 1: 'x' is not a number"),
        (FLAT, "?,4,b", "?,?,b", "line 8: all its values are missing"),
        (FLAT, "?,4,b", "?,4,?", "line 8: its label is missing"),
        (FLAT, "?,4,b", "{0 1, 1 2}", "sparse lines"),
        (FLAT, "1.5,-2,'class a'", "1.5,-2,'class a", "line 7: a quote has no end"),
        (FLAT, "@data", "@dat", "'@dat' is unknown (did you mean '@data'?)"),
        (FLAT, "'t 1' REAL", "t0 REAL", "a second attribute 't0'"),
        (FLAT, "@attribute t0 numeric\n@attribute 't 1' REAL\n", "", "no attribute for the values"),
        (RELATIONAL, "4,5,?", "4,5", "line 9: dimension 2 has 2 values; the header has 3 steps"),
        (RELATIONAL, "@end relationalAtt\n", "", "has no @end"),
        (RELATIONAL, "\\n8,9,?", "", "line 10: 1 dimensions; others have 2"),
    ],
)
def test_what_is_wrong_with_an_arff_file_is_said(
    text: str, old: str, new: str, expected: str
) -> None:
    assert old in text
    assert expected in told(lambda: read_arff(text.replace(old, new).encode()))


def test_arff_with_a_number_for_a_label() -> None:
    text = FLAT.replace("target {'class a', b}", "target numeric").replace("'class a'", "1.25")
    found = read_arff(text.replace('"b"', "2").replace(",b", ",3").encode())
    assert ["1.25", "3", "2"] == [item.labels[0] for item in found.series]


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_arrays_are_read_exactly() -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    found = read_npz(npz(X=values, y=[3, 1], lengths=[4, 2], groups=["s1", "s2"], columns=[*"abc"]))
    assert values[0].tolist() == found.series[0].values.tolist()
    assert values[1, :2].tolist() == found.series[1].values.tolist()
    assert [("3",), ("1",)] == [item.labels for item in found.series]
    assert ["s1", "s2"] == [item.group for item in found.series]
    assert ("a", "b", "c") == found.columns


def test_padding_of_nan_is_dropped_and_labels_of_steps_are_cut_with_it() -> None:
    values = np.array([[1.0, np.nan, 3], [4, 5, np.nan]], dtype=np.float32)
    found = read_npz(npz(X=values, y=np.array([[0, 1, 1.5], [np.nan, 2, 2]])))
    assert [3, 2] == [len(item.values) for item in found.series]
    assert [("0", "1", "1.5"), ("", "2")] == [item.labels for item in found.series]


def test_a_given_split_of_arrays() -> None:
    ones = np.ones((2, 3, 1))
    parts = {"X_train": ones, "y_train": [1, 2], "X_test": ones, "y_test": [1, 2]}
    found = read_npz(npz(**parts, columns=["a"]))
    assert ["train", "train", "test", "test"] == [item.part for item in found.series]
    assert ("a",) == found.columns
    expected = r"X beside arrays of test, train"
    assert expected in told(lambda: read_npz(npz(**parts, X=ones)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i2", "|u1", "|b1", "<U3", "|S2"])
def test_npy_is_numpys(order: Any, kind: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(kind).copy(order=order)
    np.testing.assert_array_equal(array, read_npy(npy(array)))


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x_rows": np.ones(3)}, "array x_rows is none of X, y, lengths, groups, columns"),
        ({"X": np.ones(3)}, "X is [3]; it must be [sequences, steps, columns]"),
        ({"X": np.array([["a"]])}, "X is of type <U1; it must hold numbers"),
        ({"X": np.full((1, 2), np.inf)}, "the value at [0, 0] is inf"),
        ({"X": np.ones((2, 3)), "y": np.ones(4)}, "y is [4]; beside X [2, 3] it is [2] or [2, 3]"),
        ({"X": np.ones((2, 3)), "lengths": [3, 4]}, "lengths[1] is 4; it must be 1 to 3"),
        ({"X": np.ones((2, 3)), "lengths": [3.0, 2]}, "lengths must be 2 whole numbers"),
        ({"X": np.ones((2, 3)), "groups": ["a"]}, "groups is [1], and there are 2 sequences"),
        ({"X": np.ones((1, 3, 2)), "columns": ["a", "a"]}, "columns must be 2 different names"),
        ({"y": np.ones(2)}, "it has no array X; there are y"),
        ({"X": np.array([[1, None]])}, "array X: it holds Python objects"),
        ({"X": np.full((2, 3), np.nan)}, "X[0] is missing throughout"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(arrays: dict[str, Any], expected: str) -> None:
    assert expected in told(lambda: read_npz(npz(**arrays)))


def test_a_size_that_a_header_declares_is_compared_with_what_is_there() -> None:
    """Else a few bytes would ask for any memory."""
    good = npy(np.zeros((10, 10)))
    huge = _with_shape((10**9,), good)
    assert "says 8,000,000,000 bytes and has 800" in told(lambda: read_npy(huge))
    assert "cut short" in told(lambda: read_npy(good[:-8]))
    assert "no .npz file" in told(lambda: read_npz(good))


def _with_shape(shape: tuple[int, ...], data: bytes) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data[-800:]


def test_no_code_of_a_pickle_runs(tmp_path: Any) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    data = npz(X=np.array([[Evil()]], dtype=object))
    assert "Python objects" in told(lambda: read_npz(data))
    assert not (tmp_path / "ran").exists()


def test_one_array_alone_has_no_labels() -> None:
    assert [(), ()] == [item.labels for item in collect({"X": np.ones((2, 3))}).series]
