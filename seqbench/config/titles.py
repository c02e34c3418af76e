"""What a task's data are called in tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from seqbench.registry.plugins import registry


def called(task: str, parameters: Mapping[str, object], title: str = "") -> str:
    """Return what tables call a task's data: built-in ones as the task, a user's as their file.

    Args:
        task: registered name.
        parameters: of the task; ``source`` is where the user's own data lie.
        title: what the user calls the data; empty where the user says nothing.
    """
    source = parameters.get("source")
    if title or source is None:
        return title or task
    path = Path(str(source)).expanduser()
    if not path.name or path.name == "..":
        path = path.resolve()
    name = (path.name if path.is_dir() else path.stem) or str(source)
    return " ".join([f"{task.partition('/')[0]}: {name}", *part(task, parameters).values()])


def part(task: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """Return which part of a user's own data is used, as a name of its own: a problem, a file.

    A task says by :attr:`seqbench.api.Task.title_parameters` which of its parameters say that. A
    number is no name.

    Args:
        task: registered name; one that is not registered says nothing.
        parameters: of the task.

    Returns:
        The names by parameter, of those that are not left at their defaults.
    """
    if parameters.get("source") is None or task not in registry().names("task"):
        return {}
    item = registry().get("task", task)
    if item.unusable():
        return {}
    source = item.source()
    usual = {parameter.name: parameter.default for parameter in source.parameters}
    names = source.constants.get("title_parameters", ())
    found = {key: parameters.get(key) for key in ([names] if isinstance(names, str) else names)}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and value and value != usual.get(key)
    }


def said_by(title: str, task: str, parameters: Mapping[str, object]) -> Sequence[str]:
    """Return the parameters that a title says, so that nothing else needs to say them.

    Args:
        title: that the data have.
        task: registered name.
        parameters: of the task.
    """
    found = part(task, parameters)
    return list(found) if found and title.endswith(" ".join(["", *found.values()])) else []
