"""What can be selected by name: a model, a task, a metric or a callback, and where its code is."""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from seqbench.errors import Refused
from seqbench.registry import codehash, imported, source
from seqbench.registry.hookspecs import Entry
from seqbench.registry.modules import find_spec
from seqbench.registry.reach import Own

Kind = Literal["model", "task", "metric", "callback"]
KINDS: tuple[Kind, Kind] = ("model", "task")
"""What is selected by name, and has a configuration."""
EXTRAS: tuple[Kind, Kind] = ("metric", "callback")
"""What takes part in every trial while its plugin is installed."""

BUILT_IN = "built-in"
"""Origin of what comes with seqbench."""

BASES = {
    "model": "seqbench.api.model.Model",
    "task": "seqbench.api.task.Task",
    "metric": "seqbench.api.task.TaskMetrics",
    "callback": "lightning.pytorch.callbacks.callback.Callback",
}
_PUBLIC = {
    "model": "seqbench.api.Model",
    "task": "seqbench.api.Task",
    "metric": "seqbench.api.TaskMetrics",
    "callback": "lightning.pytorch.Callback",
}
HOOK_OF: dict[Kind, str] = {
    "model": "seqbench_models",
    "task": "seqbench_tasks",
    "metric": "seqbench_metrics",
    "callback": "seqbench_callbacks",
}
_NAME = re.compile(r"[a-z][a-z0-9_]*(/[a-z0-9_]+)?")
_TARGET = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True)
class Registration:
    """A model or task that can be selected by name, or a metric or callback of a plugin.

    Args:
        kind: which of them.
        name: what the user selects, or what scores are named by.
        target: ``module:Class`` or ``path/to/file.py:Class``.
        origin: ``built-in``, a distribution and its version, or a file.
        requires: top-level modules it needs beyond seqbench's own dependencies.
        own: which modules are the plugin's own code.
    """

    kind: Kind
    name: str
    target: str
    origin: str
    requires: tuple[str, ...] = ()
    own: Own = field(default=codehash.ALONE, compare=False)

    def source(self) -> source.ClassSource:
        """Return what the class's source says, without importing it.

        Raises:
            Refused: there is no such source.
        """
        try:
            return source.read_class(self.target)
        except Exception as error:
            raise unreadable(error) from error

    @property
    def code_hash(self) -> str:
        """The hash of its code, see :mod:`seqbench.registry.codehash`.

        Raises:
            Refused: there is no such source.
        """
        return codehash.code_hash(self.target, self.own)

    def code(self) -> codehash.ReachedCode:
        """Return the code that :attr:`code_hash` is of.

        Raises:
            Refused: there is no such source.
        """
        return codehash.code(self.target, self.own)

    def check_code(self) -> None:
        """Refuse code that is no longer what this process has imported.

        Raises:
            Refused: it was changed.
        """
        imported.check(self.code())

    @property
    def required_versions(self) -> str:
        """Versions of the distributions that offer what it requires: ``mido 1.3.3, numba 0.61``."""
        found = {name for module in self.requires for name in _distributions(module)}
        return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(found))

    @property
    def smallest_difference(self) -> tuple[float, str] | None:
        """The smallest difference that is worth having, and why, as a task's class says it.

        None where it says nothing that is a positive number and a text. See
        :attr:`seqbench.api.Task.smallest_difference`.
        """
        match self.source().constants.get("smallest_difference"):
            case (int() | float() as amount, str(reason)) if 0 < amount < math.inf:
                return float(amount), reason
        return None

    def unusable(self) -> str | None:
        """Return why it cannot be used here, in one line, or None if nothing speaks against it."""
        try:
            return self._fault()
        except Exception as error:
            return str(unreadable(error))

    def _fault(self) -> str | None:
        missing = [name for name in self.requires if find_spec(name) is None]
        if missing:
            return f"needs {', '.join(missing)}, which is not installed"
        found = self.source()
        name = found.node.name
        if BASES[self.kind] not in found.ancestors:
            return f"class {name} does not subclass {_PUBLIC[self.kind]}"
        if self.kind in EXTRAS:
            return None
        if found.misplaced:
            names = ", ".join(found.misplaced)
            return f"constructor parameters must be keyword-only (after *): {names}"
        if "name" in (parameter.name for parameter in found.parameters):
            return f"constructor parameter 'name' needs another name: {self.kind}.name is taken"
        return None

    def load(self) -> type[Any]:
        """Import the class.

        Raises:
            Refused: it cannot be imported, or is not a class of its kind; names the plugin. Or its
                code was changed after it was imported.
        """
        reason = self.unusable()
        if reason is not None:
            raise Refused(f"{self.kind} '{self.name}' ({self.origin}) cannot be used: {reason}")
        module_name, _, class_name = self.target.rpartition(":")
        code = self.code()
        imported.check(code)
        try:
            loaded = getattr(import_module(module_name), class_name)
        except (Exception, SystemExit) as error:
            raise Refused(
                f"{self.kind} '{self.name}' ({self.origin}) cannot be imported: {one_line(error)}"
            ) from error
        imported.note_code(code)
        missing = sorted(getattr(loaded, "__abstractmethods__", ()))
        if missing:
            raise Refused(
                f"{self.kind} '{self.name}' ({self.origin}) cannot be used: "
                f"{class_name} does not implement {', '.join(missing)}"
            )
        assert isinstance(loaded, type)
        return loaded


@lru_cache
def _distributions(module: str) -> list[str]:
    """Return the distributions that offer a top-level module; none if it is not installed."""
    return metadata.packages_distributions().get(module.partition(".")[0], [])


def import_module(module: str) -> ModuleType:
    """Import a dotted module, or a file under a name of its own."""
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module)
    name = f"seqbench_plugin_file_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    created = importlib.util.module_from_spec(spec)
    sys.modules[name] = created
    try:
        spec.loader.exec_module(created)
    except BaseException:
        del sys.modules[name]
        raise
    return created


def fault_of(entry: object) -> str:
    """Return what is wrong with something that a hook returned, or an empty string."""
    if not isinstance(entry, Entry):
        return f"{entry!r}, which is not a seqbench.Entry"
    if not isinstance(entry.name, str) or not _NAME.fullmatch(entry.name):
        return f"the name {entry.name!r}; a name is lower-case letters, digits and _"
    if not isinstance(entry.target, str) or not _TARGET.fullmatch(entry.target):
        return f"the target {entry.target!r} of '{entry.name}'; a target is 'package.module:Class'"
    needed = entry.requires
    if not isinstance(needed, list | tuple) or not all(isinstance(n, str) and n for n in needed):
        return f"requires={needed!r} of '{entry.name}'; it is a tuple of module names"
    return ""


def unreadable(error: Exception) -> Refused:
    """Return what stops a plugin's source from being read, whatever it is, in one line."""
    return error if isinstance(error, Refused) else Refused(f"cannot be read: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """Return an exception's type and message in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
