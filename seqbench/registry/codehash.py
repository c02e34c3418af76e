"""The code that a model's or a task's results depend on, as a hash.

Everything is read, nothing is imported; standard library only, and the same hash on every Python.

The hash covers **definitions**: the class, and every class, function and constant at the top level
of a module that it reaches by name. Followed are definitions of the same package (of a file: of
its folder), of built-in models and tasks, and the components that models are made of,
:data:`COMPONENTS`. What else stands in seqbench is the harness, which a person versions, see
:data:`seqbench.identity.PROTOCOL`; of other packages the names count that are taken from them.
Where a definition stands does not count, so that code can be moved.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from seqbench.errors import Refused
from seqbench.registry.freenames import Chain, free_names, imported_names
from seqbench.registry.modules import ModuleSource, package_folders, read_module
from seqbench.registry.normalform import digest, is_for_typing

COMPONENTS = (
    "seqbench.plugins",
    "seqbench.tasks",
    "seqbench.nn.cells",
    "seqbench.nn.attention",
)
"""What of seqbench is code of models and tasks, whoever uses it."""

HARNESS = ("api", "nn", "training", "trials")
"""The packages of seqbench that decide how every model is trained and scored."""

_MAX_HOPS = 20
_ON_IMPORT = ""  # names what a module does when it is imported
_DIGITS = 8

Place = tuple[str, str]
"""A module and a name at its top level."""


@lru_cache(maxsize=256)
def code_hash(target: str) -> str:
    """Return the hash of a class and of the definitions that it reaches, 16 hexadecimal digits.

    Args:
        target: ``module:Class``, or ``path/to/file.py:Class``.

    Raises:
        Refused: there is no such module or class, or code that it reaches cannot be read.
    """
    module_name, _, class_name = target.rpartition(":")
    start = read_module(module_name)
    if start is None:
        raise Refused(f"module '{module_name}' is not found")
    if class_name not in _contents(start).definitions:
        raise Refused(f"module '{module_name}' has no class '{class_name}'")
    try:
        return _Walk(start).run(class_name)
    except RecursionError as error:
        raise Refused(f"{start.path} is nested too deeply to be read") from error


@lru_cache(maxsize=1)
def harness_hashes() -> dict[str, str]:
    """Return the hash of each module of the harness, by its file, such as ``training/fit.py``.

    They say what has been changed, by the modules' normal form; an identity does not hold them.
    """
    found = {}
    for package in HARNESS:
        for folder in package_folders(f"seqbench.{package}"):
            for path in sorted(folder.rglob("*.py")):
                module = read_module(str(path))
                name = f"{package}/{path.relative_to(folder).as_posix()}"
                dotted = f"seqbench.{name.removesuffix('.py').replace('/', '.')}"
                if module is not None and not _is_component(dotted):
                    found[name] = _whole(module)[:_DIGITS]
    return found


@lru_cache(maxsize=512)
def _whole(module: ModuleSource) -> str:
    return digest(module.tree.body, imports=True)


@dataclass
class _Contents:
    """What stands at the top level of a module."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    executed: set[str] = field(default_factory=set)  # what is imported when it is
    starred: set[str] = field(default_factory=set)

    def add(self, name: str, statement: ast.stmt | None = None) -> None:
        """Add a definition; without a statement of its own it is one of the effects."""
        self.definitions.setdefault(name, []).extend([statement] if statement else [])


@lru_cache(maxsize=512)
def _contents(module: ModuleSource) -> _Contents:
    found = _Contents()
    _sort(module, module.tree.body, found, is_whole=True)
    return found


def _sort(
    module: ModuleSource, body: Iterable[ast.AST], found: _Contents, *, is_whole: bool
) -> None:
    """Tell definitions from imports and from what a module does when it is imported.

    Args:
        module: that they stand in.
        body: its statements; or parts of one with a body of its own, which counts as a whole.
        found: takes them.
        is_whole: whether they stand at the top level themselves.
    """
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _add_import(module, node, found, is_executed=True)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name, node if is_whole else None)
        elif is_for_typing(node):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    _add_import(module, inner, found, is_executed=False)
        elif _does_nothing(node):
            continue
        elif names := _assigned(node):
            for name in names:
                found.add(name, node if is_whole and isinstance(node, ast.stmt) else None)
        elif isinstance(node, ast.expr | ast.withitem):
            for item in ast.walk(node):
                if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
                    found.add(item.id)
        else:
            if is_whole and isinstance(node, ast.stmt):
                found.effects.append(node)
            _sort(module, ast.iter_child_nodes(node), found, is_whole=False)


def _add_import(
    module: ModuleSource,
    node: ast.Import | ast.ImportFrom,
    found: _Contents,
    *,
    is_executed: bool,
) -> None:
    origin = module.import_origin(node) if isinstance(node, ast.ImportFrom) else ""
    for name, dotted in imported_names(node, origin):
        if name == "*":
            found.starred.add(origin)
        else:
            found.imports.setdefault(name, set()).add(dotted)
    if is_executed:
        found.executed.update(
            f"{origin}.{alias.name}" if origin else alias.name for alias in node.names
        )


def _does_nothing(node: ast.AST) -> bool:
    """Return whether a statement does nothing on import: a text, or what is for scripts only."""
    if isinstance(node, ast.If):
        test = node.test
        return isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"
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


def _statements(module: ModuleSource, name: str) -> list[ast.stmt]:
    contents = _contents(module)
    return contents.definitions[name] if name else contents.effects


@lru_cache(maxsize=4096)
def _text(module: ModuleSource, name: str) -> str:
    """Return the hash of a definition's own text; empty if it has none."""
    return digest(_statements(module, name))


@lru_cache(maxsize=4096)
def _chains(module: ModuleSource, name: str) -> list[tuple[Chain, list[str]]]:
    """Return the names that a definition uses, each with what imports inside it make of it."""
    found = []
    for statement in _statements(module, name):
        inner: dict[str, set[str]] = {}
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                origin = module.import_origin(node) if isinstance(node, ast.ImportFrom) else ""
                for bound, dotted in imported_names(node, origin):
                    inner.setdefault(bound, set()).add(dotted)
        names = sorted(free_names(statement))
        found += [(chain, sorted(inner.get(chain[0], ()))) for chain in names]
    return found


class _Walk:
    """From a class to everything it reaches."""

    def __init__(self, start: ModuleSource) -> None:
        self.start = start
        self.modules = {start.name: start}

    def run(self, name: str) -> str:
        """Return the hash of a definition of the first module and of what it reaches."""
        root = (self.start.name, name)
        waiting, entries = [root, (self.start.name, _ON_IMPORT)], {}
        while waiting:
            place = waiting.pop()
            if place in entries:
                continue
            uses: set[tuple[str, str]] = set()
            for used, found in self._uses(place):
                if isinstance(found, str):
                    uses.add((used, found))
                    continue
                waiting += [found, (found[0], _ON_IMPORT)]
                if text := self._text(found):
                    uses.add((used, text))
            text = self._text(place)
            entries[place] = f"{text} {sorted(uses)}" if text or uses else ""
        whole = [self._text(root), *sorted({entry for entry in entries.values() if entry})]
        return hashlib.sha256("\n".join(whole).encode()).hexdigest()[:16]

    def _text(self, place: Place) -> str:
        return _text(self.modules[place[0]], place[1])

    def _uses(self, place: Place) -> Iterator[tuple[str, Place | str]]:
        """Yield the names that a definition uses, each with the place or package it comes from."""
        module = self.modules[place[0]]
        for chain, imported in _chains(module, place[1]):
            used = ".".join(chain)
            for found in self._resolve(module, chain):
                yield used, found
            for dotted in imported:
                for found in self._absolute(dotted, chain[1:]):
                    yield used, found
        if place[1] == _ON_IMPORT:
            yield from self._on_import(module)

    def _on_import(self, module: ModuleSource) -> Iterator[tuple[str, Place | str]]:
        """Yield what is executed with a module: others that it imports, and their packages."""
        contents = _contents(module)
        names = set(contents.executed)
        if not module.name.endswith(".py"):
            names.add(module.name)
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                other = self._module(parts[:length])
                if other is not None and other is not module and self._is_own(other):
                    self.modules[other.name] = other
                    yield "import", (other.name, _ON_IMPORT)
        for origin in contents.starred:
            other = self._module(origin.split("."))
            if other is not None and self._is_own(other):
                yield from (("*", found) for found in self._whole(other))
            else:
                yield "*", origin

    def _resolve(self, module: ModuleSource, chain: Chain, hops: int = 0) -> Iterator[Place | str]:
        """Yield what a name of a module stands for; nothing for a built-in of Python."""
        if hops > _MAX_HOPS:
            return
        contents, name = _contents(module), chain[0]
        dynamic = hops > 0 and "__getattr__" in contents.definitions
        for dotted in sorted(contents.imports.get(name, ())):
            yield from self._absolute(dotted, chain[1:], hops + 1)
        if name in contents.definitions or (dynamic and name not in contents.imports):
            if self._is_own(module):
                self.modules[module.name] = module
                yield module.name, name if name in contents.definitions else "__getattr__"
            else:
                yield f"seqbench:{name}"
        elif name not in contents.imports:
            for origin in contents.starred:
                other = self._module(origin.split("."))
                if other is not None and not self._is_own(other):
                    yield from self._resolve(other, chain, hops + 1)

    def _absolute(self, dotted: str, rest: Chain, hops: int = 0) -> Iterator[Place | str]:
        """Yield what a dotted name stands for that was imported, and attributes read of it."""
        parts = [*dotted.split("."), *rest]
        for length in range(len(parts), 0, -1):
            module = self._module(parts[:length])
            if module is None:
                continue
            if length < len(parts):
                yield from self._resolve(module, tuple(parts[length:]), hops + 1)
            elif self._is_own(module):
                yield from self._whole(module)
            else:
                yield f"seqbench:{parts[-1]}"
            return
        yield dotted

    def _whole(self, module: ModuleSource) -> Iterator[Place]:
        self.modules[module.name] = module
        return ((module.name, name) for name in [*_contents(module).definitions, _ON_IMPORT])

    def _module(self, parts: list[str]) -> ModuleSource | None:
        """Return a module of seqbench or of the start's own code; None for any other."""
        name = ".".join(parts)
        if parts[0] == "seqbench":
            return read_module(name)
        if not self.start.name.endswith(".py"):
            return read_module(name) if parts[0] == self.start.name.partition(".")[0] else None
        folder = self.start.path.resolve().parent
        if not ((folder / f"{parts[0]}.py").is_file() or (folder / parts[0]).is_dir()):
            return None
        module = read_module(name)  # an installed module of the same name comes first
        return module if module and folder in module.path.resolve().parents else None

    def _is_own(self, module: ModuleSource) -> bool:
        """Whether a module that :meth:`_module` found is code of models and tasks."""
        is_seqbench = module.name.partition(".")[0] == "seqbench"
        return not is_seqbench or module is self.start or _is_component(module.name)


def _is_component(name: str) -> bool:
    return any(name == item or name.startswith(f"{item}.") for item in COMPONENTS)
