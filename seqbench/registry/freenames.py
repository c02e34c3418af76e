"""Which names of its module a piece of code uses."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from seqbench.registry.normalform import FUNCTIONS, counts_annotations

Chain = tuple[str, ...]
"""A name and the attributes that are read of it: ``voices.split`` is ``("voices", "split")``."""

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMED = (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)


def free_names(node: ast.stmt) -> set[Chain]:
    """Return the names that a top-level statement takes from its module or from an import.

    Local variables are left out, and so are annotations that do not count; see
    :mod:`seqbench.registry.normalform`. What an import inside a function binds is a name too.
    """
    return set(_names(node, "module", frozenset()))


def _names(node: ast.AST, scope: str, local: frozenset[str]) -> Iterator[Chain]:
    if isinstance(node, ast.Name):
        if node.id not in local and isinstance(node.ctx, ast.Load):
            yield (node.id,)
    elif isinstance(node, ast.Attribute):
        chain = _chain(node)
        if not chain:
            yield from _names(node.value, scope, local)
        elif chain[0] not in local:
            yield chain
    elif isinstance(node, (*FUNCTIONS, ast.Lambda)):
        yield from _function(node, scope, local)
    elif isinstance(node, ast.ClassDef):
        for outer in (*node.decorator_list, *node.bases, *node.keywords):
            yield from _names(outer, scope, local)
        for statement in node.body:
            yield from _names(statement, "class", local)
    elif isinstance(node, _COMPREHENSIONS):
        yield from _names(node.generators[0].iter, scope, local)
        targets = {name for item in node.generators for name in _stored(item.target)}
        for child in ast.iter_child_nodes(node):
            yield from _names(child, scope, local | targets)
    elif isinstance(node, ast.AnnAssign) and scope != "class":
        yield from _names(node.target, scope, local)
        if node.value is not None:
            yield from _names(node.value, scope, local)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child, scope, local)


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: str, local: frozenset[str]
) -> Iterator[Chain]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
    outer: list[ast.expr | None] = [*arguments.defaults, *arguments.kw_defaults]
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    if not isinstance(node, ast.Lambda):
        outer += node.decorator_list
        if counts_annotations(node, scope):
            outer += [item.annotation for item in every]
    for expression in outer:
        if expression is not None:
            yield from _names(expression, scope, local)
    bound = {item.arg for item in every} | set(_in_scope(body, _binds))
    inner = (local | bound) - set(_in_scope(body, _of_elsewhere))
    for child in body:
        yield from _names(child, "function", frozenset(inner))


def imported_names(node: ast.Import | ast.ImportFrom, origin: str) -> Iterator[tuple[str, str]]:
    """Yield the names that an import binds, each with what it stands for, dotted.

    Args:
        node: the statement; of ``from module import *`` the name is ``*``.
        origin: the module that it imports from, if it is ``from ... import``.
    """
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{origin}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            head = alias.name.partition(".")[0]
            yield head, head


def _chain(node: ast.expr) -> Chain:
    """Return a name with its attributes; empty for an attribute of something else."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        head = _chain(node.value)
        return (*head, node.attr) if head else ()
    return ()


def _in_scope(body: Iterable[ast.AST], read: Callable[[ast.AST], Iterable[str]]) -> Iterator[str]:
    """Read every node of a function's body that is not in a scope of its own."""
    for node in body:
        yield from read(node)
        if isinstance(node, _COMPREHENSIONS):  # its targets are its own, := in it is not
            walrus = (item for item in ast.walk(node) if isinstance(item, ast.NamedExpr))
            yield from (name for item in walrus for name in read(item.target))
        elif not isinstance(node, _SCOPES):
            yield from _in_scope(ast.iter_child_nodes(node), read)


def _binds(node: ast.AST) -> Iterator[str]:
    """Yield what a node makes a local variable."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, _NAMED):
        yield node.name or ""
    elif isinstance(node, ast.MatchMapping):
        yield node.rest or ""


def _of_elsewhere(node: ast.AST) -> Iterator[str]:
    """Yield what is of the module although it is bound here; what is imported is followed."""
    if isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (bound for bound, _ in imported_names(node, ""))


def _stored(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
