"""Which code a result depends on, as a hash: a plugin's modules, and the harness's own.

Everything is read, nothing is imported. A hash covers the whole text of a module, comments
included, and every module of the same package or of seqbench that it imports, anywhere in it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from seqbench.errors import Refused
from seqbench.registry.source import ModuleSource, read_module

HARNESS = (
    "seqbench.training.data",
    "seqbench.training.fit",
    "seqbench.training.module",
    "seqbench.training.predictor",
)
"""The modules that decide how every model is trained and scored."""


@lru_cache(maxsize=256)
def code_hash(target: str) -> str:
    """Return the hash of a class's module and of what it imports, 16 hexadecimal digits.

    Args:
        target: ``module:Class``, or ``path/to/file.py:Class``; a file's own modules are those in
            its folder.

    Raises:
        Refused: there is no such module, or one of them cannot be read.
    """
    return _hash([target.rpartition(":")[0]])


@lru_cache(maxsize=1)
def harness_hash() -> str:
    """Return the hash of the code that trains and scores every model, 16 hexadecimal digits."""
    return _hash(HARNESS)


def _hash(roots: Sequence[str]) -> str:
    found: dict[str, ModuleSource] = {}
    for root in roots:
        start = read_module(root)
        if start is None:
            raise Refused(f"module '{root}' is not found")
        waiting = [root]
        while waiting:
            name = waiting.pop()
            module = read_module(name) if name not in found else None
            if module is not None:
                found[name] = module
                waiting += [item for item in _imported(module) if _belongs(item, start)]
    digest = hashlib.sha256()
    for name, module in sorted(found.items(), key=lambda item: _label(item[0])):
        digest.update(f"{_label(name)}\0{len(module.text)}\0{module.text}".encode())
    return digest.hexdigest()[:16]


def _belongs(name: str, start: ModuleSource) -> bool:
    """Whether an imported module is the plugin's own, or seqbench's."""
    top = name.partition(".")[0]
    if top == "seqbench":
        return name != "seqbench"  # a version, no code
    if not start.name.endswith(".py"):
        return top == start.name.partition(".")[0]
    folder = start.path.resolve().parent
    if not ((folder / f"{top}.py").is_file() or (folder / top).is_dir()):
        return False
    module = read_module(name)  # an installed module of the same name comes first
    return module is not None and folder in module.path.resolve().parents


def _label(name: str) -> str:
    """Return a name that does not depend on where a file lies."""
    return Path(name).name if name.endswith(".py") else name


def _imported(module: ModuleSource) -> Iterator[str]:
    """Return every name that may be a module which a module imports, their packages included."""
    names = [] if module.name.endswith(".py") else [module.name]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = module.import_origin(node)
            names += [f"{origin}.{alias.name}" for alias in node.names]
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
