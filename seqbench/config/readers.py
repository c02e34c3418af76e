"""Which task reads a user's files, where they were given to another one.

Each task says it in ``Task.source_files``, those of plugins too; no task is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seqbench.errors import Refused
from seqbench.registry.plugins import registry


class _Reads(NamedTuple):
    """What a task says of its ``source``."""

    task: str
    ends: Sequence[str]
    beside: Sequence[str]
    parameters: set[str]


def other_tasks(
    source: Path,
    files: Sequence[Path],
    own: Sequence[str],
    options: Mapping[str, str],
    shared: bool = False,
) -> list[str]:
    """Return lines that name the tasks which read files, with the words of a command.

    Args:
        source: the file or folder that was given.
        files: of the source.
        own: the ends of the names of files that the task reads to which they were given.
        options: parameters that such a task must have, and their values.
        shared: whether tasks count that read files of ``own`` too, in another form.

    Returns:
        A line for each set of tasks that read files which this one does not. Files that are told by
        more than a suffix come first.
    """
    names = {f"/{path.as_posix().lower()}" for path in files}
    found: dict[str, list[str]] = {}
    families: set[str] = set()
    for reads in _declared():
        family = reads.task.partition("/")[0]
        is_own = [*reads.ends] == [*own]
        if is_own or family in families or not {"source", *options} <= reads.parameters:
            continue
        beside = (Path(os.path.normpath(source.absolute().parent / name)) for name in reads.beside)
        there = names | {path.as_posix().lower() for path in beside if path.is_file()}
        for end in reads.ends:
            if (shared or end not in own) and any(map(_form(end), there)):
                found.setdefault(end, []).append(reads.task)
                families.add(family)
    lines: dict[tuple[str, ...], str] = {}
    for end in sorted(found, key=lambda end: (end.startswith("."), end)):
        tasks = tuple(found[end])
        commands = " or ".join(_command(task, source, options) for task in tasks)
        which = " and ".join(f"task={task}" for task in tasks)
        verb = "reads" if len(tasks) == 1 else "read"
        lines.setdefault(tasks, f"  {which} {verb} {end} files: {commands}")
    return list(lines.values())


def _form(end: str) -> Callable[[str], bool]:
    """Return what tells whether a path ends so: with a suffix, or with a whole name."""
    whole = end if end.startswith(".") else f"/{end}"
    return lambda name: name.endswith(whole)


def _declared() -> list[_Reads]:
    """Return what tasks declare; a folder's own name comes before its subtasks'."""
    found = []
    for item in registry().all("task"):
        try:
            source = item.source()
        except Refused:  # a plugin whose source cannot be read
            continue
        ends, beside = (
            [texts] if isinstance(texts, str) else list(map(str, texts))
            for texts in (source.constants.get(name, ()) for name in _NAMES)
        )
        parameters = {parameter.name for parameter in source.parameters}
        found.append(_Reads(item.name, ends, beside, parameters))
    return found


def _command(task: str, source: Path, options: Mapping[str, str]) -> str:
    from seqbench.config.command import quoted  # which needs Hydra
    from seqbench.config.overrides import override_text

    values = {"source": str(source), **options}
    words = [f"task.{name}={override_text(text)}" for name, text in values.items()]
    return " ".join([f"task={task}", *map(quoted, words)])


_NAMES = ("source_files", "beside_source")
