"""CSV files as people have them: their encodings, separators and numbers, and what is wrong.

A problem names the line, and the first ones of many; it quotes what the file says only where the
caller's own words do.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad

MOST_BYTES = 2**30
MOST_ROWS = 2**24
"""Rows of a file: a row's number may stand among targets, exact in float32."""
MOST_COLUMNS = 2000
"""More are taken for rows: a table that lies on its side."""
MOST_FIELDS = 2**28
MISSING = frozenset(
    ("", "-", "--", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "nil", "none")
)
"""Fields that stand for no value, in small letters."""
SEPARATORS = ",;\t|"

_SHOWN_LINES = 5
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FORMS = (
    (b"PK\x03\x04", "it is a ZIP archive or an Excel file: save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "it is an Excel file: save it as CSV"),
    (b"\x1f\x8b", "it is compressed with gzip: unpack it"),
    (b"PAR1", "it is a Parquet file: save it as CSV"),
    (b"version https://git-lfs", "it is a pointer of Git LFS: 'git lfs pull' fetches the file"),
    (b"<!DOCTYPE", "it is a web page, and no CSV: download the file itself"),
    (b"<html", "it is a web page, and no CSV: download the file itself"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?(?:\n|$)', re.IGNORECASE)
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f]")
_DATUM = re.compile(r"[+-]?[\d:/.,+\s-]*\d[\d:/.,+\sTZ-]*")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([,.' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")
_MEASURED = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*[^\d\s.,:/-].*")


@dataclass(frozen=True, eq=False, repr=False)
class CsvTable:
    """A CSV file.

    Args:
        columns: fields by column, without spaces around them.
        lines: on which each row begins, from 1; the header's come before.
        separator: between columns.
        ragged: rows that have not as many fields as the header, which stand in no column, and their
            lines.
    """

    columns: dict[str, list[str]]
    lines: list[int]
    separator: str
    ragged: list[tuple[int, list[str]]]

    def at(self, rows: Sequence[int] | NDArray[np.intp], problem: str) -> str:
        """Return a problem with the lines of the rows that have it."""
        return at([self.lines[row] for row in rows], problem)

    def ragged_problems(self) -> list[str]:
        """Return what is wrong with the rows that have too few fields, or too many."""
        if not self.ragged:
            return []
        lines = [line for line, _ in self.ragged]
        count, names = len(self.ragged[0][1]), len(self.columns)
        return [at(lines, f"{count} fields, but the header has {names}")]


def at(lines: Sequence[int], problem: str) -> str:
    """Return a problem with its lines, the first ones of many."""
    also = ""
    if len(lines) > 1:
        shown = ", ".join(map(str, lines[1:_SHOWN_LINES]))
        more = f" and {len(lines) - _SHOWN_LINES:,} more" if len(lines) > _SHOWN_LINES else ""
        also = f"; also line{'s' if len(lines) > 2 else ''} {shown}{more}"
    return f"line {lines[0]}: {problem}{also}"


class CsvRows:
    """The rows of a CSV file, one after another, each with the line on which it begins.

    It is UTF-8, or begins with the byte order mark of UTF-16 or UTF-32. Commas, semicolons, tabs or
    bars are between columns, whichever makes most columns of the header, unless a first line
    ``sep=;`` says it. Fields have no spaces around them. Blank lines do not count.

    Args:
        data: its bytes.
        quoting: whether problems may quote the header.

    Raises:
        Bad: it is no such file, or too large; while rows are read, too.
    """

    def __init__(self, data: bytes, quoting: bool = True) -> None:
        text, line = _text_of(data), 1
        if found := _SEPARATOR_LINE.match(text):  # a line for Excel alone
            text, line = text[found.end() :], 2
        self.separator = found[1] if found and found[1] in SEPARATORS else _separator(text)
        """What is between columns."""
        self._rows = self._read(text, line)
        begun, row = next(self._rows, (0, []))
        if not row:
            raise Bad("it is empty")
        self.header = _header(row, begun, quoting)
        """The names of columns."""

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows below the header, which may have other numbers of fields than it has."""
        return self._rows

    def _read(self, text: str, line: int) -> Iterator[tuple[int, list[str]]]:
        stream = io.StringIO(text, newline="")
        reader = csv.reader(stream, delimiter=self.separator, strict=True)
        ended, fields_read = line - 1, 0
        try:
            for number, fields in enumerate(reader):
                begun, ended = ended + 1, line - 1 + reader.line_num
                row = [field.strip() for field in fields]
                if row in ([], [""]):
                    continue
                fields_read += len(row)
                if number > MOST_ROWS or fields_read > MOST_FIELDS:
                    raise Bad(
                        f"it has more than {MOST_ROWS:,} rows or {MOST_FIELDS:,} fields, which are"
                        " the most: cut it into several files"
                    )
                yield begun, row
        except csv.Error as error:
            raise Bad(f"line {ended + 1}: it is no CSV from here on: {error}") from None


def read_table(path: Path, quoting: bool = True) -> CsvTable:
    """Return a CSV file: a header, and rows of text.

    It is read as :class:`CsvRows` reads it. A column that has neither name nor value, such as a
    separator at the end of each line makes, does not count.

    Args:
        path: of the file.
        quoting: whether problems may quote the header.

    Raises:
        Bad: it is no such file, or too large.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Bad(f"it has {size:,} bytes, more than {MOST_BYTES:,}: cut it into several files")
    read = CsvRows(path.read_bytes(), quoting)
    header = read.header
    rows, lines, ragged = [], [], []
    for line, row in read:
        if len(row) != len(header):
            ragged.append((line, row))
        else:
            rows.append(row)
            lines.append(line)
    if not rows and not ragged:
        raise Bad("it has no rows below its header")
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    while len(header) > 1 and not header[-1] and not any(columns[-1]):
        header, columns = header[:-1], columns[:-1]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        names = f": {', '.join(name or 'one without a name' for name in twice[:5])}"
        raise Bad(f"its header names a column twice{names if quoting else ''}")
    return CsvTable(dict(zip(header, columns, strict=True)), lines, read.separator, ragged)


def numbers(
    fields: Sequence[str], decimal_comma: bool = False
) -> tuple[NDArray[np.float64], list[int]]:
    """Return numbers, NaN where a field is missing or none; and the rows of those that are none.

    Args:
        fields: one or more, as text.
        decimal_comma: whether numbers may have one instead of a point.
    """
    try:
        return np.array(list(map(float, fields)), dtype=np.float64), []
    except ValueError:
        pass
    values = np.full(len(fields), np.nan)
    wrong = []
    for row, field in enumerate(fields):
        if field.lower() in MISSING:
            continue
        if decimal_comma:
            field = with_point(field)
        try:
            values[row] = float(field)
        except ValueError:
            wrong.append(row)
    return values, wrong


def with_point(field: str) -> str:
    """Return a number that is written with a decimal comma with a point; others as they are."""
    return field.replace(",", ".") if _DECIMAL_COMMA.fullmatch(field) else field


def has_decimal_commas(table: CsvTable, columns: Sequence[str]) -> bool:
    """Return whether a comma in these columns' numbers can only be a decimal one.

    So it is where columns are separated by something else, and no number has a point.
    """
    if table.separator == ",":
        return False
    fields = {field for name in columns for field in table.columns[name] if not field.isdigit()}
    return any(map(_DECIMAL_COMMA.fullmatch, fields)) and not any(
        "." in field and _DATUM.fullmatch(field) for field in fields
    )


def number_advice(field: str) -> str:
    """Return what to do about a field that is no number, for a message; empty if nobody knows."""
    if _GROUPED.fullmatch(field):
        return "; write numbers without separators of thousands, and with a decimal point"
    if _DECIMAL_COMMA.fullmatch(field):
        return (
            "; write numbers with a decimal point (commas are read where semicolons or tabs"
            " separate columns, and no number has a point)"
        )
    return "; write numbers without units" if _MEASURED.fullmatch(field) else ""


def _text_of(data: bytes) -> str:
    for mark, problem in _OTHER_FORMS:
        if data.lstrip()[: len(mark)].lower() == mark.lower():
            raise Bad(problem)
    mark, encoding = next((each for each in _MARKS if data.startswith(each[0])), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding + _order(mark))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        raise Bad(
            f"line {line}: byte {len(mark) + error.start + 1:,} of the file is not"
            f" {encoding.upper()} text; save it as UTF-8"
        ) from None
    check_text(text)
    return text


def check_text(text: str) -> None:
    """Refuse a text with a control character: the file is damaged, or is none.

    Raises:
        Bad: there is one.
    """
    found = _CONTROL.search(text)
    if found is None:
        return
    line = text.count("\n", 0, found.start()) + 1
    if found[0] == "\0":
        raise Bad(f"line {line}: there is a zero byte, so it is no UTF-8 text; save it as UTF-8")
    raise Bad(f"line {line}: there is the control character {ord(found[0])}; the file is damaged")


def _order(mark: bytes) -> str:
    """Return the order of bytes that a mark tells, as the names of encodings end."""
    if mark in (b"", codecs.BOM_UTF8):
        return ""
    return "-le" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE) else "-be"


def _separator(text: str) -> str:
    """Return what separates the columns of the first line that is not blank."""
    start = text.lstrip("\r\n \ufeff")[: MOST_COLUMNS * 100]
    counts = {}
    for separator in SEPARATORS:
        try:
            row = next(csv.reader(io.StringIO(start, newline=""), delimiter=separator), [])
        except csv.Error:
            row = []
        counts[separator] = len(row)
    return max(SEPARATORS, key=counts.__getitem__)


def _header(row: list[str], line: int, quoting: bool) -> list[str]:
    names = [" ".join(name.split()) for name in row]
    if len(names) > MOST_COLUMNS:
        raise Bad(f"line {line}: {len(names):,} columns, more than {MOST_COLUMNS:,}")
    counted = [str(number) for number in range(len(names))]  # as pandas names them
    if quoting and all(map(_is_datum, names)) and any(names) and names != counted:
        raise Bad(f"line {line}: it has numbers where the header must name the columns; add one")
    return names


def _is_datum(field: str) -> bool:
    """Return whether a field is a value, a time, or stands for a missing one."""
    return bool(_DATUM.fullmatch(field)) or not numbers([field])[1]
