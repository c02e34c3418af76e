"""The normal form of code: what of its text can change a result, alike on every Python.

Left out are comments, formatting and docstrings, and annotations but for those that are settings
(in the body of a class, and of the arguments of a constructor) and those of a decorated function.
The form is written from :mod:`ast` by rules of its own, because ``ast.dump`` and ``ast.unparse``
differ between versions of Python.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

_SKIPPED = {"ctx", "type_comment", "type_ignores", "kind", "lineno", "col_offset"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def digest(statements: Iterable[ast.stmt], imports: frozenset[str] | None = frozenset()) -> str:
    """Return the hash of statements' normal form, 16 hexadecimal digits; empty if nothing is left.

    Args:
        statements: of a module's top level.
        imports: names whose imports count by their place, not by what they import from; in the
            body of a class every name's does. None: import statements count as they are.
    """
    out: list[str] = []
    _body(statements, "module", imports, out)
    return hashlib.sha256("".join(out).encode()).hexdigest()[:16] if out else ""


def executed(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements that are executed where a module is imported, of decided branches one.

    ``TYPE_CHECKING`` is false, and ``__name__`` is not ``"__main__"``.
    """
    for node in body:
        chosen = _chosen(node) if isinstance(node, ast.If) else None
        if chosen is None:
            yield node
        else:
            yield from executed(chosen)


def is_for_typing(node: ast.AST) -> bool:
    """Return whether a statement is ``if TYPE_CHECKING:``, whose body is never executed."""
    return isinstance(node, ast.If) and _is_flag(node.test)


def _is_flag(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _chosen(node: ast.If) -> list[ast.stmt] | None:
    """Return the branch that is executed; None if that is not known."""
    test = node.test
    if _is_flag(test):
        return node.orelse
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and _is_flag(test.operand):
        return node.body
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        sides = [test.left, test.comparators[0]]
        names = {item.id for item in sides if isinstance(item, ast.Name)}
        texts = {item.value for item in sides if isinstance(item, ast.Constant)}
        if names == {"__name__"} and texts == {"__main__"}:
            if isinstance(test.ops[0], ast.Eq):
                return node.orelse
            if isinstance(test.ops[0], ast.NotEq):
                return node.body
    return None


_PLAIN = {"abstractmethod", "cache", "cached_property", "classmethod", "contextmanager", "deleter"}
_PLAIN |= {"hookimpl", "lru_cache", "no_grad", "override", "property", "setter", "staticmethod"}


def counts_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef, scope: str) -> bool:
    """Return whether the annotations of a function decide anything.

    A constructor's are settings, and a decorator may read them, as ``functools.singledispatch``
    does; those that are known not to are left out.

    Args:
        function: whose they are.
        scope: what it stands in: ``module``, ``class`` or ``function``.
    """
    if function.name == "__init__" and scope == "class":
        return True
    called = (node.func if isinstance(node, ast.Call) else node for node in function.decorator_list)
    names = (getattr(node, "attr", getattr(node, "id", "")) for node in called)
    return not _PLAIN.issuperset(names)


def _counts_return(function: ast.FunctionDef | ast.AsyncFunctionDef, scope: str) -> bool:
    return function.name != "__init__" and counts_annotations(function, scope)


def _body(
    statements: Iterable[ast.AST], scope: str, imports: frozenset[str] | None, out: list[str]
) -> None:
    for node in executed(statements):
        if isinstance(node, ast.Pass):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or a text that serves as one
        if isinstance(node, ast.Import | ast.ImportFrom) and imports is not None:
            bound = [name for name in bound_names(node) if scope == "class" or name in imports]
            out += [f"(Import {name})" for name in bound]
            continue
        if isinstance(node, ast.AnnAssign) and scope != "class":
            if node.value is not None:
                _node(ast.Assign([node.target], node.value), scope, imports, out)
            continue
        _node(node, scope, imports, out)


def bound_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names that an import binds."""
    whole = isinstance(node, ast.Import)
    return [
        item.asname or (item.name.partition(".")[0] if whole else item.name) for item in node.names
    ]


def _node(node: ast.AST, scope: str, imports: frozenset[str] | None, out: list[str]) -> None:
    if isinstance(node, ast.Constant):
        out.append(f"<{_constant(node.value)}>")
        return
    bare = isinstance(node, FUNCTIONS) and not counts_annotations(node, scope)
    out.append(f"({type(node).__name__}")
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if value is None or name in _SKIPPED:
            continue
        if name == "returns" and isinstance(node, FUNCTIONS) and not _counts_return(node, scope):
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


def _value(value: Any, scope: str, imports: frozenset[str] | None, out: list[str]) -> None:
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
