"""From a class to every definition that it reaches, and to what is executed with it."""

from __future__ import annotations

import ast
import builtins
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from seqbench.errors import Refused
from seqbench.registry import contents as of_modules
from seqbench.registry.contents import Binding, contents
from seqbench.registry.freenames import Chain, called, chain_of
from seqbench.registry.modules import ModuleSource, read_module, top_level
from seqbench.registry.normalform import FUNCTIONS

COMPONENTS = (
    "seqbench.plugins",
    "seqbench.tasks",
    "seqbench.nn.cells",
    "seqbench.nn.attention",
)
"""What of seqbench is code of models and tasks, whoever uses it."""

_MAX_HOPS = 20
_INSTALLED = {"site-packages", "dist-packages"}

Place = tuple[str, str | int]
"""A module and a name at its top level, ``*`` for all of them, or the number of a statement."""


@dataclass(frozen=True)
class Own:
    """Which modules are a plugin's own code, beside those of the package that a class stands in.

    Args:
        names: modules or packages at the top level.
        folder: what lies in it is; empty for none.
        hooks: the module with the plugin's hooks, which is imported first; empty for none.
    """

    names: tuple[str, ...] = ()
    folder: str = ""
    hooks: str = ""


@dataclass
class Node:
    """A definition or an effect: its own text, and what it uses, each by the name it uses it by."""

    text: str
    uses: list[tuple[str, Place | str]]
    at_once: set[Place] = field(default_factory=set)


class Walk:
    """From a class to everything it reaches.

    Args:
        start: the module of the class.
        own: the plugin's own code.
        without: attributes of the class and its base classes that do not count.
    """

    def __init__(self, start: ModuleSource, own: Own, without: frozenset[str]) -> None:
        self.start = start
        self.own = own
        self.without = without
        file = next((name for name in (own.hooks, start.name) if name.endswith(".py")), "")
        self._file = file
        folder = own.folder or (str(Path(file).parent) if file else "")
        self._folder = Path(folder).resolve() if folder else None
        self.modules: dict[str, ModuleSource] = {}
        self.nodes: dict[Place, Node] = {}
        self.executed: list[tuple[str, int]] = []  # steps, in order
        self._waiting: deque[Place] = deque()
        self._classes: set[Place] = set()

    def run(self, name: str) -> Place:
        """Follow a definition of the first module, and return its place."""
        hooks = read_module(self.own.hooks) if self.own.hooks else None
        if hooks is not None:
            self._execute(hooks)
        self._execute(self.start)
        places = (found for found in self._resolve(self.start, (name,)))
        root = next((found for found in places if not isinstance(found, str)), None)
        root = root or (self.start.name, name)
        self._find_classes(root)
        self._waiting.append(root)
        while self._waiting:
            place = self._waiting.popleft()
            if place not in self.nodes:
                self.nodes[place] = self._node(place)
        return root

    def attributes_read(self) -> set[str]:
        """Return the names of attributes that the code reads, and texts that may be such names."""
        found: set[object] = set()
        for name, key in self.nodes:
            module = self.modules[name]
            bound = contents(module).bindings.get(str(key), [])
            for step in [key] if isinstance(key, int) else [binding.step for binding in bound]:
                node = of_modules.statement(module, step, self._without((name, key)))
                for inner in ast.walk(node):
                    found |= {getattr(inner, name, None) for name in ("attr", "id", "value")}
        return {name for name in found if isinstance(name, str)}

    def _find_classes(self, place: Place) -> None:
        """Note a class and its base classes: attributes that document them do not count."""
        self._classes.add(place)
        module = self.modules[place[0]]
        for binding in contents(module).bindings.get(str(place[1]), []):
            node = contents(module).steps[binding.step]
            for base in node.bases if isinstance(node, ast.ClassDef) else []:
                for found in self._objects(module, chain_of(base)):
                    if found not in self._classes:
                        self._find_classes(found)

    def _without(self, place: Place) -> frozenset[str]:
        return self.without if place in self._classes else frozenset()

    def _execute(self, module: ModuleSource) -> None:
        """Note the steps of a module in the order of execution, those that it imports first."""
        if module.name in self.modules:
            return
        self.modules[module.name] = module
        self._execute_named([] if module.name.endswith(".py") else [module.name])
        for step in range(len(contents(module).steps)):
            self._execute_named(contents(module).imports.get(step, []))
            self.executed.append((module.name, step))
            if step in contents(module).effects or self._acts(module, step):
                self._waiting.append((module.name, step))

    def _execute_named(self, names: list[str]) -> None:
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                other = self._module(parts[:length])
                if other is not None and self._is_own(other):
                    self._execute(other)

    def _acts(self, module: ModuleSource, step: int) -> bool:
        """Return whether a definition may change others of its own code when it is executed.

        It does where it calls what does, as the decorator of a registry, or where a base class
        hears of it.
        """
        node = contents(module).steps[step]
        if isinstance(node, ast.ClassDef) and self._is_told(module, node, 0):
            return True
        for chain in sorted(set(called(node))):
            for name, key in self._objects(module, chain[:-1]):
                if not self._defines(name, key, ast.ClassDef):
                    return True  # the method of an object
            for name, key in self._objects(module, chain):
                if not self._defines(name, key, (ast.ClassDef, *FUNCTIONS)):
                    return True  # whatever was assigned
                if self._alters((name, key), set()):
                    return True
        return False

    def _is_told(self, module: ModuleSource, node: ast.ClassDef, hops: int) -> bool:
        """Return whether a base class, or its class, runs code of its own for each subclass."""
        names = {getattr(item, "name", "") for item in node.body} if hops else set()
        if "__init_subclass__" in names or hops > _MAX_HOPS:
            return True
        for base in (*node.bases, *(item.value for item in node.keywords)):
            for name, key in self._objects(module, chain_of(base)):
                other = self.modules[name]
                for binding in contents(other).bindings.get(str(key), []):
                    found = contents(other).steps[binding.step]
                    if isinstance(found, ast.ClassDef) and self._is_told(other, found, hops + 1):
                        return True
        return False

    def _alters(self, place: Place, seen: set[Place]) -> bool:
        """Return whether code that is called may change an object of its own code."""
        seen.add(place)
        module = self.modules[place[0]]
        for binding in contents(module).bindings.get(str(place[1]), []):
            uses = of_modules.uses_of(module, binding.step)
            if any(self._objects(module, chain) for chain in uses.altered):
                return True
            for chain, _ in uses.chains:
                for found in self._objects(module, chain):
                    if found not in seen and self._alters(found, seen):
                        return True
        return False

    def _objects(self, module: ModuleSource, chain: Chain) -> list[Place]:
        """Return what a name stands for in its own code, modules left out."""
        found = self._resolve(module, chain) if chain else ()
        return [item for item in found if not isinstance(item, str) and item[1] != "*"]

    def _defines(self, name: str, key: str | int, kinds: type | tuple[type, ...]) -> bool:
        """Return whether a name is defined by statements of a kind."""
        known = contents(self.modules[name])
        bindings = known.bindings.get(str(key), [])
        return all(isinstance(known.steps[binding.step], kinds) for binding in bindings)

    def _node(self, place: Place) -> Node:
        """Return a definition or an effect, and have what it uses looked at."""
        module, key = self.modules[place[0]], place[1]
        if isinstance(key, int):
            node = Node(of_modules.text_of(module, key), [])
            self._use(module, key, node, frozenset())
        elif key == "*":
            node = Node("*", [])
            for name in contents(module).bindings:
                node.uses += [(name, found) for found in self._resolve(module, (name,))]
        else:
            node = Node(key, [])
            for number, binding in enumerate(self.bindings(module, key)):
                if binding.imported:
                    node.text += f" import {number}"
                    node.uses += [(f"={number}", item) for item in self._imported(binding)]
                elif binding.is_part:
                    node.text += f" part {number}"
                    node.uses.append((f"={number}", (module.name, binding.step)))
                else:
                    without = self._without(place)
                    node.text += f" {of_modules.text_of(module, binding.step, without)}"
                    self._use(module, binding.step, node, without)
        self._waiting += [found for _, found in node.uses if not isinstance(found, str)]
        return node

    def _use(self, module: ModuleSource, step: int, node: Node, without: frozenset[str]) -> None:
        """Add what a statement uses to its node."""
        uses = of_modules.uses_of(module, step, without)
        for chain, imported in uses.chains:
            used = ".".join(chain)
            found = list(self._resolve(module, chain))
            for number, dotted in enumerate(imported):
                label = f"{used}={number}" if len(imported) > 1 else used
                inner = list(self._absolute(dotted, chain[1:]))
                node.uses += [(label, item) for item in inner]
                found += inner
            node.uses += [(used, item) for item in found if (used, item) not in node.uses]
            if chain in uses.at_once:
                node.at_once.update(item for item in found if not isinstance(item, str))
        for dotted in uses.whole:
            node.uses += [(dotted, item) for item in self._absolute(dotted, ())]
        self._execute_named([*uses.modules, *uses.whole])

    def bindings(self, module: ModuleSource, name: str, hops: int = 0) -> list[Binding]:
        """Return what gives a name its value, in order; what a star may import is imported."""
        found = list(contents(module).bindings.get(name, []))
        stars = contents(module).stars if hops <= _MAX_HOPS else []
        for star in stars:
            other = self._module(star.imported.split("."))
            if other is None:
                provides = not hasattr(builtins, name)
            else:
                provides = bool(self.bindings(other, name, hops + 1))
            if provides:
                found.append(Binding(star.step, f"{star.imported}.{name}", is_star=True))
        return sorted(found, key=lambda binding: binding.step) if stars else found

    def _imported(self, binding: Binding) -> Iterator[Place | str]:
        """Yield what one of several bindings imports; of a star, which names it stands for too."""
        yield from self._absolute(binding.imported, ())
        other = self._module(binding.imported.split(".")[:-1]) if binding.is_star else None
        if other is not None and self._is_own(other) and "__all__" in contents(other).bindings:
            self._execute(other)
            yield other.name, "__all__"

    def _resolve(self, module: ModuleSource, chain: Chain, hops: int = 0) -> Iterator[Place | str]:
        """Yield what a name of a module stands for; nothing for a built-in of Python."""
        if hops > _MAX_HOPS:
            return
        name = chain[0]
        bindings = self.bindings(module, name)
        if not bindings and hops > 0 and "__getattr__" in contents(module).bindings:
            name, bindings = "__getattr__", self.bindings(module, "__getattr__")
        if len(bindings) == 1 and bindings[0].imported:
            yield from self._absolute(bindings[0].imported, chain[1:], hops + 1)
        elif bindings and self._is_own(module):
            self._execute(module)
            yield module.name, name
        elif bindings:
            yield f"seqbench:{name}"

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
                self._execute(module)
                yield module.name, "*"
            else:
                yield f"seqbench:{parts[-1]}"
            return
        yield dotted

    def _module(self, parts: list[str]) -> ModuleSource | None:
        """Return a module of seqbench or of the plugin's own code; None for any other.

        Raises:
            Refused: a module that lies beside a plugin's file is hidden by another of its name.
        """
        top = parts[0]
        start = self.start.name.partition(".")[0]
        is_own = top in ("seqbench", *self.own.names) or top == start
        if self._folder and top not in sys.stdlib_module_names and top != "seqbench":
            is_own |= _is_inside(self._folder, top, self._file, tuple(sys.path))
        return read_module(".".join(parts)) if is_own else None

    def _is_own(self, module: ModuleSource) -> bool:
        """Whether a module that :meth:`_module` found is code of models and tasks."""
        is_seqbench = module.name.partition(".")[0] == "seqbench"
        return not is_seqbench or module.name == self.start.name or is_component(module.name)


def lies_in(folder: Path, path: Path) -> bool:
    """Return whether a module's file lies in a folder, and not in an environment inside it."""
    return folder in path.parents and _INSTALLED.isdisjoint(path.relative_to(folder).parts)


@lru_cache(maxsize=4096)
def _is_inside(folder: Path, top: str, file: str, _: tuple[str, ...]) -> bool:
    """Return whether a module lies in a folder.

    Args:
        folder: resolved.
        top: the module's name.
        file: a plugin's, in the folder: what lies beside it must not be hidden; or empty.

    Raises:
        Refused: it is.
    """
    path = top_level(top)
    if path is None:
        return False
    if lies_in(folder, path):
        return True
    if file and ((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()):
        raise Refused(f"{top}, which {file} imports, is hidden by {path}: rename one of them")
    return False


def is_component(name: str) -> bool:
    """Return whether a module of seqbench is code of models and tasks."""
    return any(name == item or name.startswith(f"{item}.") for item in COMPONENTS)
