"""The plugin of the built-in models and tasks: it lists their folders and imports none of them.

A module ``peephole.py`` holds the class whose name, in lower case, is the module's without
underscores: ``Peephole``. Names that start with ``_`` are helpers. A module that needs more than
seqbench's own dependencies says so in a literal constant, ``requires = ("package",)``.
"""

from __future__ import annotations

import ast
import re

from seqbench.hookspecs import Entry, hookimpl
from seqbench.modules import package_folders


@hookimpl
def seqbench_models() -> list[Entry]:
    """Return the models in ``plugins/``."""
    return _entries("seqbench.plugins")


@hookimpl
def seqbench_tasks() -> list[Entry]:
    """Return the tasks in ``tasks/``."""
    return _entries("seqbench.tasks")


def class_named_like(stem: str, text: str) -> str | None:
    """Return the class that a file's stem names, or None: ``my_cell`` names ``MyCell``."""
    wanted = stem.replace("_", "").lower()
    names: list[str] = re.findall(r"^class (\w+)", text, flags=re.MULTILINE)
    return next((name for name in names if name.lower() == wanted), None)


def _entries(package: str) -> list[Entry]:
    found = []
    files = (path for folder in package_folders(package) for path in folder.iterdir())
    for path in sorted(files):
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith(("_", ".")) or file.suffix != ".py" or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        name = class_named_like(path.stem, text) or path.stem
        found.append(Entry(path.stem, f"{package}.{path.stem}:{name}", _requires(text)))
    return found


def _requires(text: str) -> tuple[str, ...]:
    match = re.search(r"^ *requires *(?:: *[^=\n]+)?= *(\([^)]*\)|\[[^]]*\])", text, re.MULTILINE)
    try:
        return tuple(ast.literal_eval(match.group(1))) if match else ()
    except (ValueError, SyntaxError):  # not literal: importing the module says what is missing
        return ()
