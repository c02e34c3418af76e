"""Which models and tasks there are, by name: built-ins and plugins, through the same hooks.

A plugin that fails to import, or whose hook returns something else than entries, is left out and
recorded in :attr:`Registry.problems`; everything else keeps working. Two plugins may not offer one
name: selecting that name is refused, other names work.
"""

from __future__ import annotations

import ast
import keyword
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pluggy

from seqbench.errors import Refused, did_you_mean, unknown
from seqbench.registry import builtin, hookspecs, source
from seqbench.registry.codehash import ALONE
from seqbench.registry.distributions import origin_of, outside_range, own_code
from seqbench.registry.hookspecs import Entry
from seqbench.registry.imported import note
from seqbench.registry.modules import ModuleSource, package_folders, read_module
from seqbench.registry.reach import Own
from seqbench.registry.registration import (
    BASES,
    BUILT_IN,
    EXTRAS,
    HOOK_OF,
    KINDS,
    Kind,
    Registration,
    fault_of,
    import_module,
    one_line,
    unreadable,
)

HOOKS = "seqbench"
"""Entry-point group of modules with hooks."""
CONFIGS = "seqbench.conf"
"""Entry-point group of packages with configurations; also the package of our own."""

PLUGIN_FILES = "SEQBENCH_PLUGIN_FILES"
"""Environment variable: files given as ``+plugin=PATH``, one a line; worker processes read it."""
DISABLED = "SEQBENCH_DISABLE_PLUGINS"
"""Environment variable: entry-point or distribution names that are left out, comma-separated."""
ALL = "*"
"""In :data:`DISABLED`: every plugin that is installed."""

BUILT_IN_PLUGINS = ("seqbench.registry.builtin", "seqbench.reporting.curves")
"""Modules with hooks that come with seqbench; by name, as those of other distributions are."""


class Registry:
    """Every plugin of this environment, and what each offers."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """One line for each plugin that is left out, or whose offer is."""
        self._manager = pluggy.PluginManager("seqbench")
        self._manager.add_hookspecs(hookspecs)
        self._origins: dict[str, str] = {}
        self._own: dict[str, Own] = {}
        self._found: dict[tuple[Kind, str], list[Registration]] = {}
        for name in BUILT_IN_PLUGINS:
            self._register(import_module(name), name, BUILT_IN)
        for point in installed(HOOKS):
            self._register_entry_point(point)
        for path in plugin_files():
            self._register_file(path)
        for kind in (*KINDS, *EXTRAS):
            self._ask(kind)
        for point in installed(CONFIGS):
            if not package_folders(point.value):
                message = f"its configurations, {point.value}, are not found"
                self._problem(point.name, origin_of(point), message)

    def names(self, kind: Kind) -> list[str]:
        """Return the names of a kind, sorted."""
        return sorted(name for known, name in self._found if known == kind)

    def all(self, kind: Kind) -> list[Registration]:
        """Return every registration of a kind; a name that two plugins offer stands twice."""
        return [item for name in self.names(kind) for item in self._found[kind, name]]

    def stands_for(self, kind: Kind, name: str) -> str:
        """Return the subtask that a task's bare name stands for; a name of its own as it is."""
        targets = {item.target for item in self._found.get((kind, name), [])}
        others = (item.name for item in self.all(kind) if item.target in targets)
        return next((other for other in others if other.startswith(f"{name}/")), name)

    def get(self, kind: Kind, name: str) -> Registration:
        """Return what a name stands for.

        Raises:
            Refused: nobody knows the name, or two plugins offer it.
        """
        found = self._found.get((kind, name), [])
        if len(found) == 1:
            return found[0]
        if found:
            origins = " and ".join(item.origin for item in found)
            files = [item.origin for item in found if item.origin in plugin_files()]
            way = f"leave one out with {DISABLED}=<plugin>"
            if files:
                way = f"leave out +plugin={files[-1]}, or give what it offers another name"
            raise Refused(f"{kind} '{name}' is offered by {origins}; {way}")
        refusal = Refused(f"{unknown(kind, name, self.names(kind))}{left_out()}")
        if self.problems:
            raise Refused(f"{refusal}; not loaded: {'; '.join(self.problems)}")
        raise refusal

    def implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., object]]]:
        """Yield each plugin's implementation of a hook, and where it comes from.

        It takes the hook's arguments by keyword, and leaves out those that the plugin does not ask
        for. Built-in ones come first, then plugins in the order in which they were found.
        """
        for found in getattr(self._manager.hook, hook).get_hookimpls():
            yield self._origins[found.plugin_name], partial(_call, found.function, found.argnames)

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a lifecycle hook of every plugin; one that raises costs a line on stderr, no more.

        Args:
            hook: ``seqbench_run_started``, ``seqbench_epoch_ended`` or ``seqbench_run_ended``.
            arguments: the hook's arguments.
        """
        for origin, implementation in self.implementations(hook):
            try:
                implementation(**arguments)
            except Exception as error:
                sys.stderr.write(f"seqbench: {hook} of {origin} failed: {one_line(error)}\n")

    def _register_entry_point(self, point: EntryPoint) -> None:
        origin = origin_of(point)
        fault = outside_range(point)
        if fault:
            self._problem(point.name, origin, fault)
            return
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            self._problem(point.name, origin, f"import failed: {one_line(error)}")
            return
        self._register(plugin, point.name, origin, own_code(point))

    def _register_file(self, path: str) -> None:
        """Register a file that the user named: a plugin module, or a class named like it."""
        module = _plugin_file(path)
        if not _has_hooks(module):
            self._add(_file_registration(module))
            return
        try:
            plugin = import_module(path)
        except (Exception, SystemExit) as error:
            raise Refused(f"+plugin={path} cannot be imported: {one_line(error)}") from error
        self._register(plugin, path, path, Own(folder=str(module.path.parent), hooks=path))

    def _register(self, plugin: object, name: str, origin: str, own: Own = ALONE) -> None:
        unique = name
        while self._manager.has_plugin(unique):
            unique += "'"
        if self._manager.is_registered(plugin):
            return
        self._origins[unique], self._own[unique] = origin, own
        note(own)
        try:
            self._manager.register(plugin, unique)
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(plugin):  # pluggy before 1.7 keeps it half registered
                self._manager.unregister(plugin)
            self._problem(name, origin, one_line(error))
            return
        for caller in self._manager.get_hookcallers(plugin) or []:
            if caller.spec is None:
                known = [n for n in vars(hookspecs) if n.startswith("seqbench_")]
                hint = did_you_mean(caller.name, known)
                self._problem(name, origin, f"there is no hook '{caller.name}'{hint}")

    def _ask(self, kind: Kind) -> None:
        """Collect what every plugin offers of a kind."""
        for implementation in getattr(self._manager.hook, HOOK_OF[kind]).get_hookimpls():
            plugin = implementation.plugin_name
            origin = self._origins[plugin]
            try:
                offered = list(implementation.function())
            except (Exception, SystemExit) as error:
                self._problem(plugin, origin, f"{HOOK_OF[kind]} failed: {one_line(error)}")
                continue
            for entry in offered:
                fault = fault_of(entry)
                if fault:
                    self._problem(plugin, origin, f"{HOOK_OF[kind]} returned {fault}")
                else:
                    requires = tuple(entry.requires)
                    own = self._own[plugin]
                    self._add(Registration(kind, entry.name, entry.target, origin, requires, own))

    def _add(self, item: Registration) -> None:
        self._found.setdefault((item.kind, item.name), []).append(item)

    def _problem(self, plugin: str, origin: str, message: str) -> None:
        self.problems.append(f"plugin '{plugin}' ({origin}): {message}")


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Return this process's registry, built at the first call.

    Raises:
        Refused: a file given as ``+plugin=`` cannot be used.
    """
    return Registry()


def add_plugin_file(path: str) -> None:
    """Register a file given as ``+plugin=PATH``, here and in worker processes started from here.

    Raises:
        Refused: there is no such file, or it is none of Python's.
    """
    try:
        file = Path(path).expanduser()
        is_file = "\n" not in path and file.is_file()
        is_folder = bool(path) and not is_file and file.is_dir()
    except (RuntimeError, ValueError, OSError):  # no such user, or no path at all
        is_file = is_folder = False
    if is_folder:
        raise Refused(f"+plugin={path} is a folder; name a file in it: +plugin={path}/NAME.py")
    if not is_file:
        raise Refused(f"+plugin={path}: there is no such Python file{_nearest(path)}")
    if file.suffix != ".py":
        raise Refused(f"+plugin={path}: a plugin is a Python file, whose name ends in .py")
    known = plugin_files()
    if str(file.resolve()) not in known:
        os.environ[PLUGIN_FILES] = "\n".join([*known, str(file.resolve())])
        registry.cache_clear()


def plugin_files() -> list[str]:
    """Return the files given as ``+plugin=PATH``."""
    return [path for path in os.environ.get(PLUGIN_FILES, "").split("\n") if path]


def _nearest(path: str) -> str:
    """Return a hint at the file that was meant."""
    try:
        every = Path(path).expanduser().parent.glob("*.py")
        beside = [found.name for found in every if found.is_file()]
    except (RuntimeError, ValueError, OSError):
        return ""
    return did_you_mean(Path(path).name, beside)


def readable() -> list[Registration]:
    """Return what can be known of all names without importing any plugin, for help and TAB.

    Plugins' hooks are read, not called: one that returns a literal list of entries is understood,
    another's names are missing here and there only.
    """
    found = [
        Registration(kind, entry.name, entry.target, BUILT_IN, entry.requires)
        for kind, entries in zip(
            KINDS, (builtin.seqbench_models(), builtin.seqbench_tasks()), strict=True
        )
        for entry in entries
    ]
    for point in installed(HOOKS):
        try:
            module = read_module(point.module)
        except Exception:  # the registry says what is wrong with it, where it matters
            continue
        if module is not None:
            found += _literal_entries(module, origin_of(point))
    for path in plugin_files():
        module = _plugin_file(path)
        if _has_hooks(module):
            found += _literal_entries(module, path)
        else:
            found.append(_file_registration(module))
    return found


def _plugin_file(path: str) -> ModuleSource:
    """Read a file that the user named; what lies beside it can be imported from now on."""
    module = read_module(path)
    if module is None:
        raise Refused(f"+plugin={path}: there is no such Python file")
    folder = str(module.path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last: nothing installed is hidden
    return module


def _file_registration(module: ModuleSource) -> Registration:
    """Return the model or task of a file without hooks: its class named like the file."""
    stem = module.path.stem
    if not stem.isidentifier() or keyword.iskeyword(stem):
        raise Refused(
            f"+plugin={module.path}: '{stem}' cannot name a model or task; rename the file, for "
            f"example {builtin.valid_stem(stem, module.text)}.py"
        )
    name = builtin.class_named_like(stem, module.text)
    if name is None:
        right = builtin.valid_stem("", module.text)
        hint = f"; rename it {right}.py, after its class" if right else ""
        raise Refused(
            f"+plugin={module.path}: it has no hooks, and no class named like the file{hint}"
        )
    target = f"{module.name}:{name}"
    try:
        ancestors = source.read_class(target).ancestors
    except Exception as error:
        raise Refused(f"+plugin={module.path}: {unreadable(error)}") from error
    for kind in KINDS:
        if BASES[kind] in ancestors:
            requires = builtin.requires_of(module.text)
            own = Own(folder=str(module.path.parent))
            return Registration(kind, module.path.stem, target, str(module.path), requires, own)
    raise Refused(
        f"+plugin={module.path}: {name} subclasses neither seqbench.api.Model nor seqbench.api.Task"
    )


def _literal_entries(module: ModuleSource, origin: str) -> list[Registration]:
    found = []
    for kind in KINDS:
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == HOOK_OF[kind]:
                returned = node.body[-1]
                if not isinstance(returned, ast.Return) or returned.value is None:
                    continue
                try:
                    calls = source.evaluate(module, returned.value)
                    entries = [Entry(*call.arguments, **dict(call.keywords)) for call in calls]
                except (ValueError, TypeError, AttributeError):
                    continue
                found += [
                    Registration(kind, entry.name, entry.target, origin, tuple(entry.requires))
                    for entry in entries
                    if not fault_of(entry)
                ]
    return found


def disable_plugins() -> None:
    """Leave out every installed plugin, here and in worker processes started from here."""
    os.environ[DISABLED] = ALL
    registry.cache_clear()


def left_out() -> str:
    """Return, to end a refusal with, that plugins are left out; empty where none is."""
    names = os.environ.get(DISABLED, "")
    return f"; {DISABLED}={names} leaves plugins out" if names else ""


def installed(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, those that :data:`DISABLED` names left out."""
    disabled = {name.strip() for name in os.environ.get(DISABLED, "").split(",")}
    if ALL in disabled:
        return []
    found = []
    for point in entry_points(group=group):
        names = {point.name, point.dist.name if point.dist else point.name}
        if not names & disabled:
            found.append(point)
    return found


def _call(function: Callable[..., object], names: Sequence[str], **arguments: object) -> object:
    return function(*(arguments[name] for name in names))


def _has_hooks(module: ModuleSource) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and node.name.startswith("seqbench_")
        for node in module.tree.body
    )
