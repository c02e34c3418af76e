r"""The ``.arff`` files of the UEA and UCR archives: Weka's form.

Flat: a numeric attribute for each step of one dimension, the label last. Relational: an attribute
``relational`` whose attributes are the steps, a line for each dimension between ``\n``, quoted.
Steps that are missing in every dimension at the end of a sequence are how the archives write
shorter sequences, and are dropped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from seqbench.config.userdata import Bad
from seqbench.errors import did_you_mean, listed
from seqbench.tasks.data.collection import (
    Collection,
    Floats,
    Problems,
    ReadSequence,
    number,
    read_text,
    shown,
)

TARGETS = ("class", "target", "label", "y")
"""Names of a last numeric attribute that is a label."""
_NAME = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{},%'"]+)"""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_NAME})\s+(.+)", re.IGNORECASE | re.DOTALL)
_NUMERIC = ("numeric", "real", "integer")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class _Attribute(NamedTuple):
    name: str
    kind: str  # numeric, nominal, relational
    choices: tuple[str, ...] = ()


class _Header:
    """What stands above ``@data``."""

    def __init__(self) -> None:
        self.attributes: list[_Attribute] = []
        self.inner: list[_Attribute] = []
        self.open = ""
        self.ended = False

    def take(self, line: str) -> None:
        """Read a line.

        Raises:
            ValueError: it is none that is known.
        """
        word = line.split()[0].lower()
        if word == "@relation":
            return
        if word == "@data":
            if self.open:
                raise ValueError(f"the relational attribute {shown(self.open)} has no @end")
            self.ended = True
        elif word == "@end":
            if not self.open:
                raise ValueError("@end without a relational attribute")
            self.open = ""
        elif word == "@attribute":
            self._attribute(line)
        else:
            known = ("@relation", "@attribute", "@end", "@data")
            raise ValueError(f"{shown(word)} is unknown{did_you_mean(word, known)}")

    def _attribute(self, line: str) -> None:
        found = _ATTRIBUTE.fullmatch(line)
        if found is None:
            raise ValueError("an @attribute has a name and a type")
        name, kind = _unquoted(found[1]), found[2].strip()
        below = self.inner if self.open else self.attributes
        if any(other.name == name for other in below):
            raise ValueError(f"a second attribute {shown(name)}")
        if kind.startswith("{"):
            if not kind.endswith("}"):
                raise ValueError(f"the classes of {shown(name)} do not end with }}")
            choices = tuple(_fields(kind[1:-1]))
            if len(set(choices)) < len(choices):
                raise ValueError(f"{shown(name)} names a class twice")
            below.append(_Attribute(name, "nominal", choices))
        elif kind.lower() in _NUMERIC:
            below.append(_Attribute(name, "numeric"))
        elif kind.lower() == "relational":
            if self.open or any(other.kind == "relational" for other in self.attributes):
                raise ValueError("a second relational attribute")
            below.append(_Attribute(name, "relational"))
            self.open = name
        else:
            raise ValueError(
                f"attribute {shown(name)} is {shown(kind)}; numeric, {{...}} and relational are"
                " what is read"
            )


def read_arff(data: bytes, part: str = "") -> Collection:
    """Return the sequences of a file.

    Args:
        data: its bytes.
        part: of the split, where the file's name says it.

    Raises:
        Bad: something is wrong with it; all that is, with its lines.
    """
    header, problems = _Header(), Problems()
    series: list[ReadSequence] = []
    for row, text in enumerate(read_text(data).split("\n"), start=1):
        line = text.strip()
        if not line or line.startswith("%"):
            continue
        try:
            if header.ended:
                series.append(_sequence(line, header, f"line {row}", part))
                continue
            header.take(line)
            if header.ended:
                _check_attributes(header)
        except ValueError as error:
            problems.add(f"line {row}: {error}")
            if not series and header.ended:
                break  # nothing below can be read without its header
    if not header.ended:
        problems.add("it has no line @data: it is no .arff file, or was cut short")
    problems.refuse()
    if not series:
        raise Bad("there is no sequence below @data")
    width = series[0].values.shape[1]
    for item in series:
        if item.values.shape[1] != width:
            problems.add(f"{item.name}: {item.values.shape[1]} dimensions; others have {width}")
    problems.refuse()
    columns = tuple(f"dimension {place + 1}" for place in range(width))
    label = _label_of(header)
    return Collection(columns, series, label.choices if label else ())


def _check_attributes(header: _Header) -> None:
    relational = [item for item in header.attributes if item.kind == "relational"]
    steps = header.inner if relational else header.attributes[: -1 if _label_of(header) else None]
    if not steps:
        raise ValueError("there is no attribute for the values")
    odd = [item.name for item in steps if item.kind != "numeric"]
    others = header.attributes[1:] if relational else []
    if relational and (header.attributes[0].kind != "relational" or len(others) > 1):
        raise ValueError("beside a relational attribute, which is first, there may be one label")
    if odd:
        raise ValueError(f"attributes of steps must be numeric, not {listed(odd)}")


def _label_of(header: _Header) -> _Attribute | None:
    """Return the attribute of the label, the last one."""
    last = header.attributes[-1] if header.attributes else None
    if last is None or last.kind == "relational":
        return None
    beside = header.attributes[0].kind == "relational"
    named = last.name.lower() in TARGETS or last.name.lower().startswith(("target", "class"))
    return last if last.kind == "nominal" or beside or named else None


def _sequence(line: str, header: _Header, name: str, part: str) -> ReadSequence:
    """Read a line of data.

    Raises:
        ValueError: it is wrong; the message says where.
    """
    if line.startswith("{"):
        raise ValueError("sparse lines {index value, ...} are not read")
    fields = _fields(line)
    attributes = header.attributes
    if len(fields) != len(attributes):
        raise ValueError(f"{len(fields)} fields; the header has {len(attributes)} attributes")
    label = _label_of(header)
    text = ""
    if label is not None:
        text = fields.pop()
        if text in ("", "?"):
            raise ValueError("its label is missing")
        if label.kind == "nominal" and text not in label.choices:
            raise ValueError(
                f"its class {shown(text)} is not among {listed(label.choices)}"
                f"{did_you_mean(text, label.choices)}"
            )
    if attributes[0].kind == "relational":
        rows = [row.split(",") for row in re.split(r"\n", fields[0].strip("\n"))]
    else:
        rows = [fields]
    steps = len(header.inner) if header.inner else len(fields)
    values = np.empty((steps, len(rows)))
    for place, row in enumerate(rows):
        if len(row) != steps:
            raise ValueError(
                f"dimension {place + 1} has {len(row)} values; the header has {steps} steps"
            )
        for step, field in enumerate(row):
            try:
                if not field.strip():
                    raise ValueError("a value is empty (a missing one is ?)")
                values[step, place] = number(field)
            except ValueError as error:
                raise ValueError(f"dimension {place + 1}, step {step + 1}: {error}") from None
    return ReadSequence(name, _without_end(values), (text,) if label else (), part=part)


def _without_end(values: Floats) -> Floats:
    """Return values up to the last step at which one is there.

    Raises:
        ValueError: all are missing.
    """
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not len(known):
        raise ValueError("all its values are missing")
    return values[: known[-1] + 1]


def _fields(line: str) -> list[str]:
    """Return what stands between commas; quotes are taken off, and what they escape.

    Raises:
        ValueError: a quote has no end, or something stands behind it.
    """
    fields: list[str] = []
    place = 0
    while True:
        while place < len(line) and line[place] in " \t":
            place += 1
        if place < len(line) and line[place] in "'\"":
            found = re.compile(_NAME).match(line, place)
            if found is None:
                raise ValueError("a quote has no end")
            fields.append(_unquoted(found[0]))
            place = found.end()
            end = line.find(",", place)
            between = line[place:] if end < 0 else line[place:end]
            if between.strip():
                raise ValueError(f"{shown(between)} stands behind a quote")
        else:
            end = line.find(",", place)
            fields.append((line[place:] if end < 0 else line[place:end]).strip())
        if end < 0:
            return fields
        place = end + 1


def _unquoted(text: str) -> str:
    if text[:1] not in ("'", '"'):
        return text
    return re.sub(
        r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.DOTALL
    )
