"""The normal form of code: what of its text can change a result, alike on every Python.

Left out are comments, formatting and docstrings, and annotations but for those that are settings:
in the body of a class, and of the arguments of a constructor. The form is written from
:mod:`ast` by rules of its own, because ``ast.dump`` and ``ast.unparse`` differ between versions of
Python.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from typing import Any

_SKIPPED = {"ctx", "type_comment", "type_ignores", "kind", "lineno", "col_offset"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def digest(statements: Iterable[ast.stmt], imports: bool = False) -> str:
    """Return the hash of statements' normal form, 16 hexadecimal digits; empty if nothing is left.

    Args:
        statements: of a module's top level.
        imports: whether import statements belong to it.
    """
    out: list[str] = []
    _body(statements, "module", imports, out)
    return hashlib.sha256("".join(out).encode()).hexdigest()[:16] if out else ""


def is_for_typing(node: ast.AST) -> bool:
    """Return whether a statement is ``if TYPE_CHECKING:``, which is never executed."""
    test = node.test if isinstance(node, ast.If) else None
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def counts_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef, scope: str) -> bool:
    """Return whether the annotations of a function's arguments decide anything.

    A constructor's are settings; ``functools.singledispatch`` registers by them.

    Args:
        function: whose they are.
        scope: what it stands in: ``module``, ``class`` or ``function``.
    """
    if function.name == "__init__" and scope == "class":
        return True
    decorators = (node for node in function.decorator_list if isinstance(node, ast.Attribute))
    return any(node.attr == "register" for node in decorators)


def _body(statements: Iterable[ast.AST], scope: str, imports: bool, out: list[str]) -> None:
    for node in statements:
        if isinstance(node, ast.Pass) or is_for_typing(node):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or a text that serves as one
        if isinstance(node, ast.Import | ast.ImportFrom) and not imports:
            continue
        if isinstance(node, ast.AnnAssign) and scope != "class":
            if node.value is not None:
                _node(ast.Assign([node.target], node.value), scope, imports, out)
            continue
        _node(node, scope, imports, out)


def _node(node: ast.AST, scope: str, imports: bool, out: list[str]) -> None:
    if isinstance(node, ast.Constant):
        out.append(f"<{_constant(node.value)}>")
        return
    bare = isinstance(node, FUNCTIONS) and not counts_annotations(node, scope)
    out.append(f"({type(node).__name__}")
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if value is None or name in _SKIPPED or (name == "returns" and isinstance(node, FUNCTIONS)):
            continue
        inner = scope
        if name == "body" and isinstance(node, ast.ClassDef):
            inner = "class"
        elif name == "body" and isinstance(node, FUNCTIONS):
            inner = "function"
        elif name == "values" and isinstance(node, ast.JoinedStr):
            value = _merged(node.values)
        elif name == "args" and bare:
            inner = "bare"
        elif name == "annotation" and scope == "bare":
            continue
        length = len(out)
        out.append(f" {name}=")
        _value(value, inner, imports, out)
        if len(out) == length + 1:
            out.pop()
    out.append(")")


def _value(value: Any, scope: str, imports: bool, out: list[str]) -> None:
    if isinstance(value, ast.AST):
        _node(value, scope, imports, out)
    elif not isinstance(value, list):
        out.append(_constant(value))
    elif value:
        out.append("[")
        if isinstance(value[0], ast.stmt):
            _body(value, scope, imports, out)
        else:
            for item in value:
                # None stands in such a list where a default or a key is missing.
                out.append("," if item is not None else ",-")
                if item is not None:
                    _value(item, scope, imports, out)
        if out[-1] == "[":
            out.pop()
        else:
            out.append("]")


def _constant(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bytes):
        return f"b{value.hex()}"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return repr(value)


def _merged(values: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string; how its text is split differs between versions of Python."""
    found: list[ast.expr] = []
    for value in values:
        if not isinstance(value, ast.Constant):
            found.append(value)
        elif value.value != "":
            before = found[-1] if found else None
            if isinstance(before, ast.Constant):
                found[-1] = ast.Constant(str(before.value) + str(value.value))
            else:
                found.append(value)
    return found
