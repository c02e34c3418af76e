"""Configured values against type annotations given as text. Standard library only.

One mechanism checks the sections of the configuration (dataclasses) and the parameters of models
and tasks (signatures read without import).
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

from seqbench.errors import did_you_mean, shortened

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "null",
}
_PLURALS = {"int": "whole numbers", "float": "numbers", "bool": "true or false", "str": "texts"}
_LISTS = {"list", "List", "tuple", "Tuple", "Sequence", "Iterable"}
_MAPPINGS = {"dict", "Dict", "Mapping"}
_EXACT: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}


def fit(annotation: str, value: object) -> object:
    """Return a configured value as its annotation's type.

    A whole number is also a float, and also text where text is asked for (``precision=32``).
    Understood are int, float, bool, str, None, ``X | Y``, ``Optional``, ``Literal[...]``, lists,
    tuples, mappings, and bounds as the package annotated-types says them, ``Annotated[float, Ge(0),
    Lt(1)]`` or ``Interval(ge=0, lt=1)``; any other annotation takes every value.

    Raises:
        ValueError: the value does not fit; the message reads ``must be ..., not ...``.
    """
    node = _parse(annotation)
    for convert in (False, True):
        try:
            return _fit(node, value, convert)
        except _Misfit:
            continue
    hint = ""
    if isinstance(value, str):
        if value in ("None", "none") and _allows_null(node):
            hint = " (write null)"
        else:
            hint = did_you_mean(value, [item for item in _options(node) if isinstance(item, str)])
    raise ValueError(f"must be {describe(annotation)}, not {shortened(show(value))}{hint}")


def describe(annotation: str) -> str:
    """Return an annotation in words, for example ``a whole number or null``."""
    return _words(_parse(annotation))


def show(value: object) -> str:
    """Return a value as a person would write it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def amount_or_share(text: str) -> tuple[float, bool]:
    """Return the number of ``0.05`` or ``1%``, and whether it is a share: 1% is 0.01.

    Raises:
        ValueError: it is neither, or not above 0 and finite.
    """
    number = float(text.removesuffix("%"))
    if not 0 < number < math.inf:
        raise ValueError
    return (number / 100, True) if text.endswith("%") else (number, False)


class _Misfit(Exception):  # noqa: N818 - never leaves this module
    pass


@lru_cache(maxsize=256)
def _parse(annotation: str) -> ast.expr | None:
    try:
        return ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return None


def _fit(node: ast.expr | None, value: object, convert: bool) -> object:
    if isinstance(node, ast.Constant) and node.value is None:
        return _require(value is None, value)
    if isinstance(node, ast.Name) and node.id in _EXACT:
        return _fit_scalar(node.id, value, convert)
    if alternatives := _alternatives(node):
        for alternative in alternatives:
            try:
                return _fit(alternative, value, convert)
            except _Misfit:
                continue
        raise _Misfit
    name, items = _generic(node)
    if name == "Annotated" and items:
        fitted_item = _fit(items[0], value, convert)
        _require(all(holds(fitted_item) for holds, _ in _bounds(items[1:])), value)
        return fitted_item
    if name == "Literal":
        return _fit_literal(_options(node), value, convert)
    if name in _LISTS:
        if not isinstance(value, list | tuple):
            raise _Misfit
        item = items[0] if items else None
        fixed = name in ("tuple", "Tuple") and not _is_ellipsis(items[-1:])
        if fixed and items:
            _require(len(value) == len(items), value)
            return tuple(_fit(i, v, convert) for i, v in zip(items, value, strict=True))
        fitted = [_fit(item, v, convert) for v in value]
        return tuple(fitted) if name in ("tuple", "Tuple") else fitted
    if name in _MAPPINGS:
        if not isinstance(value, dict):
            raise _Misfit
        item = items[1] if len(items) == 2 else None
        return {key: _fit(item, v, convert) for key, v in value.items()}
    return value


def _fit_scalar(name: str, value: object, convert: bool) -> object:
    if type(value) is _EXACT[name]:
        return value
    if convert and type(value) is int:
        if name == "float":
            return float(value)
        if name == "str":
            return str(value)
    raise _Misfit


def _fit_literal(options: list[object], value: object, convert: bool) -> object:
    for option in options:
        if option == value and type(option) is type(value):
            return option
        if convert and type(value) is int and (option == str(value) or option == value):
            return option
    raise _Misfit


def _require(condition: bool, value: object) -> object:
    if not condition:
        raise _Misfit
    return value


def _alternatives(node: ast.expr | None) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [
            *(_alternatives(node.left) or [node.left]),
            *(_alternatives(node.right) or [node.right]),
        ]
    name, items = _generic(node)
    if name == "Union":
        return items
    if name == "Optional":
        return [*items, ast.Constant(None)]
    return []


def _generic(node: ast.expr | None) -> tuple[str, list[ast.expr]]:
    """Split ``list[int]`` into its name and its items; a bare name has no items."""
    items: list[ast.expr] = []
    if isinstance(node, ast.Subscript):
        items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr, items
    return (node.id, items) if isinstance(node, ast.Name) else ("", [])


_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "above"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "below"),
}


def _bounds(nodes: list[ast.expr]) -> Iterator[tuple[Callable[[object], bool], str]]:
    """Yield what ``Ge(0)`` or ``Interval(ge=0, lt=1)`` ask of a value, and how a person says it.

    None, which an annotation may allow beside numbers, is within all bounds.
    """
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = [(name.lower(), item) for item in node.args[:1]]
        given += [(item.arg or "", item.value) for item in node.keywords]
        for kind, limit_node in given:
            try:
                limit = ast.literal_eval(limit_node)
            except ValueError:
                continue
            if kind in _BOUNDS and isinstance(limit, int | float):
                compare, words = _BOUNDS[kind]
                yield partial(_within, compare, limit), f"{words} {limit}"


def _within(compare: Callable[[Any, Any], bool], limit: float, value: object) -> bool:
    return not isinstance(value, int | float) or compare(value, limit)


def _options(node: ast.expr | None) -> list[object]:
    name, items = _generic(node)
    if name == "Literal":
        return [item.value for item in items if isinstance(item, ast.Constant)]
    return [option for part in _alternatives(node) for option in _options(part)]


def _allows_null(node: ast.expr | None) -> bool:
    parts = _alternatives(node)
    return any(isinstance(part, ast.Constant) and part.value is None for part in parts)


def _is_ellipsis(items: list[ast.expr]) -> bool:
    return any(isinstance(item, ast.Constant) and item.value is ... for item in items)


def _words(node: ast.expr | None) -> str:
    if node is None:
        return "any value"
    if alternatives := _alternatives(node):
        return " or ".join(_words(part) for part in alternatives)
    name, items = _generic(node)
    if name == "Annotated" and items:
        return ", ".join([_words(items[0]), *(text for _, text in _bounds(items[1:]))])
    if name == "Literal":
        options = [str(option) for option in _options(node)]
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    if name in _LISTS:
        if not items:
            return "a list"
        texts = [ast.unparse(item) for item in items]
        fixed = name in ("tuple", "Tuple") and not _is_ellipsis(items[-1:])
        if fixed and len(set(texts)) > 1:
            return f"a list of {', '.join(map(_words, items))}"
        number = f"{len(items)} " if fixed else ""
        return f"a list of {number}{_PLURALS.get(texts[0], texts[0])}"
    if name in _MAPPINGS:
        return "a mapping"
    text = ast.unparse(node)
    return _WORDS.get(text, text)
