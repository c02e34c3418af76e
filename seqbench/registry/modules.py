"""Where modules are and what their text says, found as import would; nothing is executed."""

from __future__ import annotations

import ast
import sys
import time
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from seqbench.errors import Refused


def find_spec(module: str) -> ModuleSpec | None:
    """Locate a module as import would, without executing its parents."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        if depth > 1 and path is None:
            return None
        spec = _find_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        # Iterating over a nested namespace package's locations needs its parent imported.
        path = None if locations is None else list(getattr(locations, "_path", locations))
    return spec


def package_folders(package: str) -> list[Path]:
    """Return where a package's files are, without importing it; nowhere if there is none."""
    spec = find_spec(package)
    locations = [] if spec is None else spec.submodule_search_locations or []
    return [Path(folder) for folder in getattr(locations, "_path", locations)]


def _find_spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


@dataclass(frozen=True)
class ModuleSource:
    """A module's source, parsed; ``name`` is dotted, or the path of a file outside any package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @cached_property
    def names(self) -> dict[str, ast.expr | ast.ClassDef | str]:
        """Top-level names: a class, an assigned expression, or the dotted name of an import."""
        return self.names_before(None)

    def names_before(self, stop: ast.ClassDef | None) -> dict[str, ast.expr | ast.ClassDef | str]:
        """Return the top-level names that stand before a class."""
        found: dict[str, ast.expr | ast.ClassDef | str] = {}
        for node in statements(self.tree.body):
            if node is stop:
                break
            if isinstance(node, ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    head = alias.name.partition(".")[0]
                    found[alias.asname or head] = alias.name if alias.asname else head
            elif isinstance(node, ast.ImportFrom):
                origin = self.import_origin(node)
                found.update((a.asname or a.name, f"{origin}.{a.name}") for a in node.names)
            else:
                found.update(assignments(node))
        return found

    @cached_property
    def star_imports(self) -> list[str]:
        """The modules of ``from module import *``, the last first."""
        imports = [node for node in statements(self.tree.body) if isinstance(node, ast.ImportFrom)]
        stars = (node for node in imports if node.names[0].name == "*")
        return [self.import_origin(node) for node in stars][::-1]

    def import_origin(self, node: ast.ImportFrom) -> str:
        """Return the dotted name of the module after ``from``, relative ones resolved."""
        if not node.level:
            return node.module or ""
        up = node.level - (self.path.name == "__init__.py")
        package = self.name.split(".")
        package = package[: len(package) - up]
        return ".".join([*package, *([node.module] if node.module else [])])


def read_module(name: str) -> ModuleSource | None:
    """Parse a module named ``a.b.c``, or a file named ``path/to/it.py``; None if there is none.

    A file that was changed is read again.

    Raises:
        Refused: it cannot be read or is not Python.
    """
    path = Path(name) if name.endswith(".py") else locate(name)
    if path is None or not path.is_file():
        return None
    try:
        return _parsed(name, path, source_text(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is not valid Python: {_fault(path, error)}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"cannot read {path}: {error}") from error


def _fault(path: Path, error: SyntaxError | UnicodeDecodeError) -> str:
    if b"\0" in path.read_bytes():
        return "it has zero bytes, as text in UTF-16 has; save it as UTF-8"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no text in {error.encoding}; save it as UTF-8"
    if error.lineno is None:  # of the encoding that the file names
        return str(error.msg).replace(f" for '{path}'", "")
    return f"line {error.lineno}: {error.msg}"


def locate(name: str) -> Path | None:
    """Return the source file of a dotted module, found as import would; None if it has none."""
    return _located(name, tuple(sys.path))


def top_level(name: str) -> Path | None:
    """Return where a module without a dot is, resolved: its file, or a package's folder."""
    spec = find_spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    found = folders[0] if folders else spec.origin if spec.has_location else None
    return None if found is None else Path(str(found)).resolve()


@lru_cache(maxsize=4096)
def _located(name: str, _: tuple[str, ...]) -> Path | None:
    spec = find_spec(name)
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    return Path(str(spec.origin))


def source_text(path: Path) -> str:
    """Return a source file's text as it is now; it is read only where it may have been changed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not in the encoding that it says, or else UTF-8.
    """
    about = path.stat()
    stamp = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    known = _texts.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    with tokenize.open(path) as stream:  # in the encoding in which Python reads it
        text = stream.read()
    if known is not None and known[1] == text:
        text = known[1]
    # What was changed just now may be changed once more without a change of its times.
    is_settled = time.time_ns() - max(stamp[2:]) > _SETTLED
    _texts[path] = (stamp if is_settled else (), text)
    return text


_texts: dict[Path, tuple[tuple[int, ...], str]] = {}
_SETTLED = 2 * 10**9  # nanoseconds


@lru_cache(maxsize=1024)
def _parsed(name: str, path: Path, text: str) -> ModuleSource:
    return ModuleSource(name, path, text, ast.parse(text))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk top-level statements, those under ``if`` and ``try`` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from statements(node.body)
            yield from statements(node.orelse)


def assignments(node: ast.stmt) -> dict[str, ast.expr]:
    """Return what a statement assigns to plain names."""
    if isinstance(node, ast.Assign):
        return {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return {node.target.id: node.value}
    return {}
