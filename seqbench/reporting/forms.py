"""What a column of a table is, and a table laid out for one form of the report."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from seqbench.reporting.numbers import NONE, finite


class Form(enum.Flag):
    """The forms of a report that have columns."""

    PAGE = enum.auto()
    DIALOG = enum.auto()  # what the page tells of a run that is opened
    MARKDOWN = enum.auto()
    LATEX = enum.auto()
    TERMINAL = enum.auto()
    JSON = enum.auto()
    CSV = enum.auto()  # and Parquet


EVERY_FORM = ~Form(0)

Subject = TypeVar("Subject", contravariant=True)
"""What a row of a table is about: a variant, a pair of variants, a trial, ..."""


def plain(value: Any, _: object) -> str:
    """Return a value as text: a number with four significant digits, nothing as a dash."""
    if value is None or value == "":
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Column(Generic[Subject]):
    """A column, for every form that has it.

    ::

        Column("epochs", "epochs", "mean over seeds", lambda row: row.variant.cost("epochs"))

    Args:
        key: its name in JSON, CSV and Parquet.
        heading: its name for people; a function of the rows where it depends on them.
        meaning: what it says, in words.
        value: what a row has there: a number, a text, an interval ``(low, high)``, or None. It is
            what JSON, CSV and Parquet hold, and what the page sorts by.
        text: the value as people read it, from the value and the row.
        forms: which forms have it.
        align: to which side of the column people read it.
        shown: whether these rows need it, in a form that people read; JSON, CSV and Parquet have
            the same keys always.
        is_score: whether it is the score itself, which simple predictors have too.
    """

    key: str
    heading: str | Callable[[Sequence[Subject]], str]
    meaning: str
    value: Callable[[Subject], object]
    text: Callable[[Any, Subject], str] = plain
    forms: Form = EVERY_FORM
    align: Literal["left", "right"] = "right"
    shown: Callable[[Sequence[Subject]], bool] = lambda _: True
    is_score: bool = False


class Head(NamedTuple):
    """The head of a column, in a table that is laid out."""

    text: str
    meaning: str
    align: Literal["left", "right"]
    is_score: bool


class Item(NamedTuple):
    """What stands in a row, in one column: what is read, and the number to sort by."""

    text: str
    number: float | None = None


class Line(NamedTuple):
    """A row; ``mark`` says how it looks: ``best``, ``failed``, ... or empty."""

    items: list[Item]
    mark: str = ""


class Layout(NamedTuple):
    """A table that is laid out; the first column names the rows."""

    heads: list[Head]
    lines: list[Line]


def _chosen(
    columns: Iterable[Column[Subject]], rows: Sequence[Subject], form: Form
) -> list[Column[Subject]]:
    """Return the columns that these rows have in a form that people read."""
    return [column for column in columns if form in column.forms and column.shown(rows)]


def heads(columns: Iterable[Column[Subject]], rows: Sequence[Subject], form: Form) -> list[Head]:
    """Return the heads of the columns that these rows have in a form that people read."""
    return [
        Head(
            column.heading if isinstance(column.heading, str) else column.heading(rows),
            column.meaning,
            column.align,
            column.is_score,
        )
        for column in _chosen(columns, rows, form)
    ]


def layout(
    columns: Iterable[Column[Subject]],
    rows: Sequence[Subject],
    form: Form,
    mark: Callable[[Subject], str] = lambda _: "",
) -> Layout:
    """Return a table laid out for a form that people read.

    Args:
        columns: of the table, in their order.
        rows: what the rows are about.
        form: which of the columns stand in it.
        mark: of a row.
    """
    chosen = _chosen(columns, rows, form)
    lines = [Line([_item(column, row) for column in chosen], mark(row)) for row in rows]
    return Layout(heads(columns, rows, form), lines)


def _item(column: Column[Subject], row: Subject) -> Item:
    value = column.value(row)
    return Item(column.text(value, row), _number(value))


def _number(value: object) -> float | None:
    """Return what a value is sorted by; of an interval its lower end, None of what is unknown."""
    if isinstance(value, tuple):
        return value[0] if all(finite(end) is not None for end in value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return finite(value)


def values(
    columns: Iterable[Column[Subject]], row: Subject, form: Literal[Form.JSON, Form.CSV]
) -> dict[str, object]:
    """Return a row's values by the columns' keys, for a program to read."""
    return {column.key: column.value(row) for column in columns if form in column.forms}
