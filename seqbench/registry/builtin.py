"""The plugin of the built-in models and tasks: it lists their folders and imports none of them.

A module ``peephole.py`` holds the class whose name, in lower case, is the module's without
underscores: ``Peephole``. Names that start with ``_`` are helpers. A module that needs more than
seqbench's own dependencies says so in a literal constant, ``requires = ("package",)``.

A folder may hold subtasks: a module ``anomaly/watch.py`` with a configuration of the same name is
``anomaly/watch``, and its class is ``Watch``. ``anomaly`` is the class ``Anomaly`` of the folder
itself, or the subtask that its ``__init__.py`` names in a literal constant, ``default = "watch"``.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import replace
from pathlib import Path

from seqbench.registry.hookspecs import Entry, hookimpl
from seqbench.registry.modules import package_folders


@hookimpl
def seqbench_models() -> list[Entry]:
    """Return the models in ``plugins/``."""
    return _entries("seqbench.plugins", "model")


@hookimpl
def seqbench_tasks() -> list[Entry]:
    """Return the tasks in ``tasks/``."""
    return _entries("seqbench.tasks", "task")


def class_named_like(stem: str, text: str) -> str | None:
    """Return the class that a file's stem names, or None: ``my_cell`` names ``MyCell``."""
    wanted = stem.replace("_", "").lower()
    names: list[str] = re.findall(r"^class (\w+)", text, flags=re.MULTILINE)
    return next((name for name in names if name.lower() == wanted), None)


def valid_stem(stem: str, text: str) -> str:
    """Return a name for a file that can name a class of it: like its own, or else of the last one.

    It is empty where there is neither.
    """
    name = re.sub(r"\W+", "_", stem).strip("_").lower()
    classes: list[str] = re.findall(r"^class (\w+)", text, flags=re.MULTILINE)
    if classes and class_named_like(name, text) is None:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", classes[-1]).lower()
    usable = name.isidentifier() and not keyword.iskeyword(name)
    return name if usable or not name else f"my_{name}"


def _entries(package: str, kind: str) -> list[Entry]:
    found = []
    files = (path for folder in package_folders(package) for path in folder.iterdir())
    for path in sorted(files):
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith(("_", ".")) or file.suffix != ".py" or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        name = class_named_like(path.stem, text)
        subtasks = _subtasks(path, f"{package}.{path.stem}", kind) if path.is_dir() else {}
        default = re.search(r'^default = "(\w+)"$', text, re.MULTILINE)
        if name is None and default and default.group(1) in subtasks:
            found.append(replace(subtasks[default.group(1)], name=path.stem))
        else:
            target = f"{package}.{path.stem}:{name or path.stem}"
            found.append(Entry(path.stem, target, requires_of(text)))
        found += subtasks.values()
    return found


def _subtasks(folder: Path, package: str, kind: str) -> dict[str, Entry]:
    """Return the subtasks in a folder, by their module's stem."""
    found = {}
    configurations = [path / kind / folder.name for path in package_folders("seqbench.conf")]
    for path in sorted(folder.glob("[!_.]*.py")):
        if any((known / f"{path.stem}.yaml").is_file() for known in configurations):
            text = path.read_text(encoding="utf-8", errors="replace")
            target = f"{package}.{path.stem}:{class_named_like(path.stem, text) or path.stem}"
            found[path.stem] = Entry(f"{folder.name}/{path.stem}", target, requires_of(text))
    return found


def requires_of(text: str) -> tuple[str, ...]:
    """Return the modules that a file needs beyond seqbench's own dependencies."""
    match = re.search(r"^ *requires *(?:: *[^=\n]+)?= *(\([^)]*\)|\[[^]]*\])", text, re.MULTILINE)
    try:
        return tuple(ast.literal_eval(match.group(1))) if match else ()
    except (ValueError, SyntaxError):  # not literal: importing the module says what is missing
        return ()
