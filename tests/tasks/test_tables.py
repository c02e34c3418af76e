"""CSV files as people have them: the right values, or what is wrong and on which lines."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from seqbench.config.userdata import Bad
from seqbench.tasks import _tables
from seqbench.tasks._tables import CsvTable, has_decimal_commas, number_advice, numbers, read_table


def table(folder: Path, contents: str | bytes, quoting: bool = True) -> CsvTable:
    path = folder / "a.csv"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return read_table(path, quoting)


def problem(folder: Path, contents: str | bytes, quoting: bool = True) -> str:
    with pytest.raises(Bad) as bad:
        table(folder, contents, quoting)
    return str(bad.value)


PLAIN = "a,b c\n1,2\n3,4\n"


@pytest.mark.parametrize(
    "contents",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        '"a","b c"\n"1","2"\n"3","4"\n',
        " a , b  c \n 1 , 2 \n 3 , 4 ",
        "a,b c,\n1,2,\n3,4,\n",
        "\n\na,b c\n\n1,2\n   \n3,4\n\n\n",
    ],
)
def test_forms_of_one_table(tmp_path: Path, contents: str | bytes) -> None:
    found = table(tmp_path, contents)
    assert found.columns == {"a": ["1", "3"], "b c": ["2", "4"]}


def test_lines_are_those_on_which_rows_begin(tmp_path: Path) -> None:
    found = table(tmp_path, 'a,b\n\n1,"x\ny"\n2,z\n3\n4,w\n')
    assert found.lines == [3, 5, 7]
    assert found.ragged == [(6, ["3"])]
    assert found.ragged_problems() == ["line 6: 1 fields, but the header has 2"]
    assert table(tmp_path, "sep=,\na,b\n1,2\n").lines == [3]


def test_a_separator_in_a_quoted_header_separates_nothing(tmp_path: Path) -> None:
    assert list(table(tmp_path, '"x;y;z",b\n1,2\n').columns) == ["x;y;z", "b"]


def test_many_lines_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    found = table(tmp_path, "a\n" + "1\n" * 12)
    assert found.at([3], "odd") == "line 5: odd"
    assert found.at([3, 4], "odd") == "line 5: odd; also line 6"
    assert found.at(range(12), "odd") == "line 2: odd; also lines 3, 4, 5, 6 and 7 more"


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("a,b\n", "no rows below its header"),
        ("1.5,2\n3,4\n", "line 1: it has numbers where the header must name the columns"),
        ("2020-01-01 10:00,2,-\n2020-01-01 11:00,2,3\n", "line 1: it has numbers where the header"),
        ("a,b,a\n1,2,3\n", "names a column twice: a"),
        ('a,b\n1,"2\n3,4\n', "line 2: it is no CSV from here on"),
        ('a,b\n1,"2"3\n', "line 2: it is no CSV from here on"),
        ("a,b\n1,2\n\xe4".encode("latin-1"), "line 3: byte 9 of the file is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1: there is a zero byte"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "is not UTF-16 text"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "it is compressed with gzip: unpack it"),
        (b"PK\x03\x04 and more", "a ZIP archive or an Excel file"),
        (b"\n<!doctype html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (",".join(f"c{n}" for n in range(2001)) + "\n", "line 1: 2,001 columns, more than 2,000"),
    ],
)
def test_what_is_no_table(tmp_path: Path, contents: str | bytes, expected: str) -> None:
    assert expected in problem(tmp_path, contents)


def test_columns_that_pandas_has_numbered_have_names(tmp_path: Path) -> None:
    assert list(table(tmp_path, "0,1,2\n1.5,2,3\n").columns) == ["0", "1", "2"]


def test_a_header_is_not_quoted_where_it_may_be_a_patient(tmp_path: Path) -> None:
    assert "Zaphod" not in problem(tmp_path, "Zaphod,Zaphod\n1,2\n", quoting=False)


@pytest.mark.parametrize(
    ("limit", "expected"), [("MOST_ROWS", "more than 1 rows"), ("MOST_BYTES", "it has 14 bytes")]
)
def test_sizes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: str
) -> None:
    monkeypatch.setattr(_tables, limit, 1)
    assert expected in problem(tmp_path, PLAIN)


def test_numbers() -> None:
    cells = ["1", "-2.5e3", "", "NA", "-", "null", "nan", "#N/A", "None", " 3"]
    values, wrong = numbers(cells)
    assert not wrong
    assert [value for value in values if not math.isnan(value)] == [1, -2500, 3]
    values, wrong = numbers(["1,5", "x", "-,5"], decimal_comma=True)
    assert (values[0], values[2], wrong) == (1.5, -0.5, [1])
    assert numbers(["1,5"])[1] == [0]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("a;b\n1,5;2\n", True),
        ("a\tb\n1,5\t2\n", True),
        ("a;b\n1,5;2.5\n", False),
        ("a;b\n1.234,5;2\n", False),
        ("a;b\n1.5;2\n", False),
        ("a;b\n1,234,567;2\n", False),
        ('a,b\n"1,5",2\n', False),
    ],
)
def test_where_a_comma_can_only_be_a_decimal_one(
    tmp_path: Path, contents: str, expected: bool
) -> None:
    found = table(tmp_path, contents)
    assert has_decimal_commas(found, list(found.columns)) == expected


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("1,234.5", "without separators of thousands"),
        ("1.234,5", "without separators of thousands"),
        ("1 234", "without separators of thousands"),
        ("12'345", "without separators of thousands"),
        ("0,5", "with a decimal point"),
        ("5 %", "without units"),
        ("-3.5V", "without units"),
    ],
)
def test_advice_about_numbers(cell: str, advice: str) -> None:
    assert advice in number_advice(cell)
    assert not number_advice("red")
