"""The code that a model's or a task's results depend on, as a hash.

Everything is read, nothing is imported; standard library only, and the same hash on every Python.

The hash covers **definitions**: the class, and every class, function and constant at the top level
of a module that it reaches by name. Followed are definitions of its own code, of built-in models
and tasks, and the components that models are made of, see :mod:`seqbench.registry.reach`. What else
stands in seqbench is the harness, which a person versions, see
:data:`seqbench.identity.PROTOCOL`; of other packages the names count that are taken from them.
Where a definition stands does not count, so that code can be moved. What modules do when they are
imported counts too, in the order of execution.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seqbench.errors import Refused
from seqbench.registry.contents import contents
from seqbench.registry.modules import ModuleSource, package_folders, read_module, source_text
from seqbench.registry.normalform import digest
from seqbench.registry.reach import Own, Place, Walk, is_component

HARNESS = ("api", "nn", "training", "trials")
"""The packages of seqbench that decide how every model is trained and scored."""

DOCUMENTATION = frozenset(
    {
        "baseline_scores",
        "citation",
        "licence",
        "metric_help",
        "sizes",
        "smallest_difference",
        "title_parameters",
    }
)
"""Attributes of a model or task that do not count, unless the code that is reached reads them."""

ALONE = Own()
"""Of a class without a plugin: the package or file that it stands in is its own code."""

_DIGITS = 8


@dataclass(frozen=True)
class ReachedCode:
    """The code that a class reaches.

    Args:
        hash: 16 hexadecimal digits.
        files: the text of each file that was read for it.
    """

    hash: str
    files: Mapping[Path, str]

    def is_unchanged(self) -> bool:
        """Return whether the files are as they were."""
        try:
            return all(source_text(path) == text for path, text in self.files.items())
        except (OSError, ValueError):
            return False


def code_hash(target: str, own: Own = ALONE) -> str:
    """Return the hash of :func:`code`."""
    return code(target, own).hash


def code(target: str, own: Own = ALONE) -> ReachedCode:
    """Return the code of a class and of the definitions that it reaches, as it stands now.

    Args:
        target: ``module:Class``, or ``path/to/file.py:Class``.
        own: the plugin's own code.

    Raises:
        Refused: there is no such module or class, or code that it reaches cannot be read.
    """
    key = (target, own, tuple(sys.path))
    known = _known.get(key)
    if known is None or not known.is_unchanged():
        _known[key] = known = _read(target, own)
    return known


_known: dict[tuple[str, Own, tuple[str, ...]], ReachedCode] = {}


def _read(target: str, own: Own) -> ReachedCode:
    module_name, _, class_name = target.rpartition(":")
    start = read_module(module_name)
    if start is None:
        raise Refused(f"module '{module_name}' is not found")
    if class_name not in contents(start).bindings and not contents(start).stars:
        raise Refused(f"module '{module_name}' has no class '{class_name}'")
    try:
        walk = Walk(start, own, DOCUMENTATION)
        root = walk.run(class_name)
        if read := DOCUMENTATION & walk.attributes_read():
            walk = Walk(start, own, DOCUMENTATION - read)
            root = walk.run(class_name)
        found = _hash_of(walk, root)
    except RecursionError as error:
        raise Refused(f"{start.path} is nested too deeply to be read") from error
    return ReachedCode(found, {module.path: module.text for module in walk.modules.values()})


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
                if module is not None and not is_component(dotted):
                    found[name] = _whole(module)[:_DIGITS]
    return found


@lru_cache(maxsize=512)
def _whole(module: ModuleSource) -> str:
    return digest(module.tree.body, imports=None)


def _hash_of(walk: Walk, root: Place) -> str:
    """Return the hash of a graph, in which no place is named.

    Each node's hash is made from its text and the hashes of what it uses, again and again, until
    no more nodes can be told apart.
    """
    nodes = walk.nodes
    hashes = {place: _sha(node.text) for place, node in nodes.items()}
    count = 0
    while count < len(set(hashes.values())):
        count = len(set(hashes.values()))
        before = hashes
        hashes = {
            place: _sha(
                node.text,
                *sorted({
                    f"{name} {used if isinstance(used, str) else before[used]}"
                    for name, used in node.uses
                }),
            )
            for place, node in nodes.items()
        }  # fmt: skip
    steps = [f"{hashes[place]} {number}" for place, number in _in_order(walk)]
    return _sha(hashes[root], *sorted(set(hashes.values())), "in order", *steps)


def _in_order(walk: Walk) -> list[tuple[Place, int]]:
    """Return the steps whose order counts: effects, and what they or a second value may alter.

    Of a definition its place is given, and which of its values the step is.
    """
    of_step: dict[tuple[str, int], list[tuple[Place, int]]] = {}
    altered = _reached(walk, [place for place in walk.nodes if isinstance(place[1], int)])
    rebound = set()
    for place in sorted(walk.nodes, key=str):
        name, key = place
        if isinstance(key, int):
            of_step[name, key] = [(place, 0)]
        elif key != "*":
            bindings = walk.bindings(walk.modules[name], key)
            for number, binding in enumerate(bindings):
                of_step.setdefault((name, binding.step), []).append((place, number))
            if len(bindings) > 1:
                rebound.add(place)
    altered = _reaching(walk, altered | rebound)
    return [
        (place, number)
        for step in walk.executed
        for place, number in of_step.get(step, ())
        if isinstance(place[1], int)
        or place in rebound
        or not altered.isdisjoint(walk.nodes[place].at_once)
    ]


def _reached(walk: Walk, places: list[Place]) -> set[Place]:
    """Return what places use, and what that uses."""
    found: set[Place] = set()
    waiting = list(places)
    while waiting:
        for _, used in walk.nodes[waiting.pop()].uses:
            if not isinstance(used, str) and used not in found:
                found.add(used)
                waiting.append(used)
    return found


def _reaching(walk: Walk, places: set[Place]) -> set[Place]:
    """Return places, and what uses them, however indirectly."""
    users: dict[Place | str, list[Place]] = {}
    for place, node in walk.nodes.items():
        for _, used in node.uses:
            users.setdefault(used, []).append(place)
    found, waiting = set(places), list(places)
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def _sha(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
