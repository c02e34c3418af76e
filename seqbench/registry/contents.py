"""What stands at the top level of a module: statements in order, and what binds each name."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from seqbench.registry.freenames import (
    Chain,
    altered,
    at_once,
    free_names,
    imported_names,
    inner_imports,
    rebound_imports,
)
from seqbench.registry.modules import ModuleSource
from seqbench.registry.normalform import FUNCTIONS, bound_names, digest, executed, is_for_typing


@dataclass(frozen=True)
class Binding:
    """One of the statements that give a name its value.

    Args:
        step: number of the statement.
        imported: what it imports, dotted; empty if it defines the name.
        is_part: whether it is a part of the statement, as an assignment under ``if`` is.
        is_star: whether it imports whatever the module offers.
    """

    step: int
    imported: str = ""
    is_part: bool = False
    is_star: bool = False


@dataclass
class Contents:
    """What a module executes when it is imported, statement by statement."""

    steps: list[ast.stmt] = field(default_factory=list)
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    """Of each name, in order; what is imported for type checking counts where nothing else does."""
    effects: list[int] = field(default_factory=list)
    """Steps that do more than to define a name or to import."""
    imports: dict[int, list[str]] = field(default_factory=dict)
    """Modules that a step imports, and names of theirs, dotted."""
    stars: list[Binding] = field(default_factory=list)
    """Of ``from module import *``, in order."""


@dataclass(frozen=True)
class Uses:
    """What a statement takes from its module and from imports inside it.

    Args:
        chains: names; with each what imports inside the statement make of it, in order.
        at_once: those that are read when the statement is executed.
        modules: imported inside the statement.
        whole: modules inside the statement that are imported by a call.
        altered: names of objects that the code may change.
    """

    chains: tuple[tuple[Chain, tuple[str, ...]], ...]
    at_once: frozenset[Chain]
    modules: tuple[str, ...]
    whole: tuple[str, ...]
    altered: tuple[Chain, ...]


@lru_cache(maxsize=512)
def contents(module: ModuleSource) -> Contents:
    """Return what stands at the top level of a module."""
    found = Contents()
    for node in executed(module.tree.body):
        step = len(found.steps)
        if not isinstance(node, ast.stmt) or _does_nothing(node):
            continue
        found.steps.append(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            _add_import(module, node, step, found)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.bindings.setdefault(node.name, []).append(Binding(step))
        elif names := _assigned(node):
            for name in names:
                found.bindings.setdefault(name, []).append(Binding(step))
        else:
            found.effects.append(step)
            _add_parts(module, ast.iter_child_nodes(node), step, found)
    typing = Contents()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and is_for_typing(node):
            for inner in (inner for statement in node.body for inner in ast.walk(statement)):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    _add_import(module, inner, 0, typing)
    for name, bindings in typing.bindings.items():
        found.bindings.setdefault(name, bindings)
    return found


def _add_parts(module: ModuleSource, nodes: Iterable[ast.AST], step: int, found: Contents) -> None:
    """Add the names that parts of a statement bind."""
    for node in executed(nodes):
        names: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            _add_import(module, node, step, found)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [node.id]
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names = [node.name]
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            _add_parts(module, ast.iter_child_nodes(node), step, found)
        for name in names:
            bindings = found.bindings.setdefault(name, [])
            if Binding(step, is_part=True) not in bindings:
                bindings.append(Binding(step, is_part=True))


def _add_import(
    module: ModuleSource, node: ast.Import | ast.ImportFrom, step: int, found: Contents
) -> None:
    origin = module.import_origin(node) if isinstance(node, ast.ImportFrom) else ""
    for name, dotted in imported_names(node, origin):
        if name == "*":
            found.stars.append(Binding(step, origin))
            continue
        bindings = found.bindings.setdefault(name, [])
        if not bindings or bindings[-1].imported != dotted:  # ``import a.b, a.c`` bind one module
            bindings.append(Binding(step, dotted))
    found.imports.setdefault(step, []).extend(_modules(node, origin))


def _modules(node: ast.Import | ast.ImportFrom, origin: str) -> list[str]:
    return [f"{origin}.{item.name}" if origin else item.name for item in node.names]


def _does_nothing(node: ast.AST) -> bool:
    """Return whether a statement does nothing on import: a text, or an annotation."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    value = node.value if isinstance(node, ast.Expr) else node
    return isinstance(value, ast.Constant | ast.Pass)


def _assigned(node: ast.AST) -> list[str]:
    """Return the names that an assignment binds; none where it reaches into an object."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    elif type(node).__name__ == "TypeAlias":  # from Python 3.12 on
        targets = [node.name]  # type: ignore[attr-defined]
    else:
        return []
    flat: list[ast.expr] = []
    while targets:
        target, *targets = targets
        if isinstance(target, ast.Tuple | ast.List):
            targets = [*target.elts, *targets]
        else:
            flat.append(target.value if isinstance(target, ast.Starred) else target)
    names = [target.id for target in flat if isinstance(target, ast.Name)]
    return names if len(names) == len(flat) else []


@lru_cache(maxsize=8192)
def text_of(module: ModuleSource, step: int, without: frozenset[str] = frozenset()) -> str:
    """Return the hash of a statement's normal form; empty if nothing is left of it.

    Args:
        module: that it stands in.
        step: its number.
        without: see :func:`statement`.
    """
    node = statement(module, step, without)
    is_definition = step not in contents(module).effects
    names = rebound_imports(node)
    if not is_definition:  # which branch imports a name counts
        inner = inner_imports(node)
        names |= {name for item in inner if not isinstance(item, str) for name in bound_names(item)}
    return digest([node], names)


@lru_cache(maxsize=8192)
def uses_of(module: ModuleSource, step: int, without: frozenset[str] = frozenset()) -> Uses:
    """Return what a statement uses; the arguments are as of :func:`text_of`."""
    node = statement(module, step, without)
    inner: dict[str, list[str]] = {}
    modules: list[str] = []
    whole: list[str] = []
    for item in inner_imports(node):
        if isinstance(item, str):
            level = len(item) - len(item.lstrip("."))
            named = ast.ImportFrom(module=item[level:] or None, names=[], level=level)
            whole.append(module.import_origin(named))
            continue
        origin = module.import_origin(item) if isinstance(item, ast.ImportFrom) else ""
        modules += _modules(item, origin)
        for bound, dotted in imported_names(item, origin):
            inner.setdefault(bound, []).append(dotted)
    chains = sorted(free_names(node))
    heads = {chain[0] for chain in chains}
    return Uses(
        tuple((chain, tuple(inner.get(chain[0], ()))) for chain in chains),
        frozenset(free_names(at_once(node))),
        tuple(modules),
        tuple(whole),
        tuple(sorted({chain for chain in altered(node) if chain and chain[0] in heads})),
    )


def statement(module: ModuleSource, step: int, without: frozenset[str] = frozenset()) -> ast.stmt:
    """Return a statement.

    Args:
        module: that it stands in.
        step: its number.
        without: names whose assignments in the body of a class are left out.
    """
    node = contents(module).steps[step]
    if not without or not isinstance(node, ast.ClassDef):
        return node
    body = [item for item in node.body if not without.intersection(_assigned(item))]
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    return ast.ClassDef(**{**fields, "body": body})
