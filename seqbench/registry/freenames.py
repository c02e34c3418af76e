"""Which names of its module a piece of code uses."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from seqbench.registry.normalform import FUNCTIONS, bound_names, counts_annotations, executed

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


def at_once(node: ast.stmt) -> ast.stmt:
    """Return what of a top-level statement is executed with it: not the bodies of functions.

    A decorated function or class may be called at once, so all of it is.
    """
    if isinstance(node, FUNCTIONS) and not node.decorator_list:
        return _with_body(node, [])
    if isinstance(node, ast.ClassDef) and not node.decorator_list:
        return _with_body(node, [at_once(statement) for statement in node.body])
    return node


def _with_body(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, body: list[ast.stmt]
) -> ast.stmt:
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    return type(node)(**{**fields, "body": body})


def called(node: ast.stmt) -> Iterator[Chain]:
    """Yield what is called when a top-level statement is executed: its decorators are, too."""
    for inner in ast.walk(at_once(node)):
        if isinstance(inner, ast.Call):
            yield chain_of(inner.func)
        for decorator in getattr(inner, "decorator_list", ()):
            yield chain_of(decorator)


def altered(node: ast.stmt) -> Iterator[Chain]:
    """Yield what code of a statement may change: objects whose methods it calls, or stores into."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Global):
            yield from ((name,) for name in inner.names)
        elif isinstance(inner, ast.Attribute | ast.Subscript):
            if not isinstance(inner.ctx, ast.Load):
                yield chain_of(inner.value)
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            yield chain_of(inner.func.value)


def inner_imports(node: ast.stmt) -> Iterator[ast.Import | ast.ImportFrom | str]:
    """Yield the imports inside a statement, in order; of ``import_module("a.b")`` the name."""
    for inner in _in_order(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            yield inner
        elif isinstance(inner, ast.Call) and inner.args:
            function = getattr(inner.func, "attr", getattr(inner.func, "id", ""))
            name = getattr(inner.args[0], "value", None)
            if function in ("import_module", "__import__") and isinstance(name, str):
                yield name


def rebound_imports(node: ast.stmt) -> frozenset[str]:
    """Return the names inside a statement that an import binds, and something else does too."""
    imported: list[str] = []
    others: set[str] = set()
    for inner in _in_order(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            imported += bound_names(inner)
        else:
            others.update(_binds(inner))
    return frozenset(
        name for name in imported if name in others or name == "*" or imported.count(name) > 1
    )


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all that is executed below it, as the text has it."""
    yield node
    if isinstance(node, ast.If):
        chosen = list(executed([node]))
        if chosen != [node]:
            for branch in chosen:
                yield from _in_order(branch)
            return
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _names(node: ast.AST, scope: str, local: frozenset[str]) -> Iterator[Chain]:
    if isinstance(node, ast.Name):
        # What a function stores and is not local is declared ``global``.
        is_stored = isinstance(node.ctx, ast.Store) and scope != "function"
        if node.id not in local and not is_stored:
            yield (node.id,)
    elif isinstance(node, ast.Attribute):
        chain = chain_of(node)
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
    elif isinstance(node, ast.If):
        for branch in executed([node]):
            parts = ast.iter_child_nodes(node) if branch is node else [branch]
            for child in parts:
                yield from _names(child, scope, local)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        if scope == "class":  # they are attributes
            yield from ((name,) for name in bound_names(node))
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
            outer += [*(item.annotation for item in every), node.returns]
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


def chain_of(node: ast.expr) -> Chain:
    """Return a name with its attributes, what is in brackets left out; empty for others."""
    if isinstance(node, ast.Subscript):
        return chain_of(node.value)
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        head = chain_of(node.value)
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
