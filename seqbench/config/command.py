"""The words of a command that does to the same data, in the same store, what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from seqbench.config import composition, searchpath
from seqbench.config.overrides import override_text
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import SeqbenchError
from seqbench.registry.plugins import plugin_files


def kept_words(settings: Settings, tracking: TrackingSettings | None = None) -> list[str]:
    """Return what of a trial's command another one needs too: plugins, the task, the store.

    Args:
        settings: of the trial.
        tracking: another store than the trial's.
    """
    words = [*plugin_words(), f"task={settings.task}"]
    normal = _defaults(settings.task)
    words += [
        f"task.{key}={override_text(value)}"
        for key, value in settings.task_parameters.items()
        if key not in normal or normal[key] != value
    ]
    if settings.title:
        words.append(f"task.title={override_text(settings.title)}")
    return [*words, *store_words(tracking or settings.tracking)]


def plugin_words() -> list[str]:
    """Return the words by which this process has its plugin files and configuration folders."""
    folders = [f"--config-dir={folder}" for folder in searchpath.own_folders()]
    return [*folders, *(f"+plugin={path}" for path in plugin_files())]


def store_words(tracking: TrackingSettings) -> list[str]:
    """Return the words that name a tracking store; none for the one that is used anyway."""
    if not tracking.enabled:
        return ["tracking=none"]
    normal = {field.name: field.default for field in fields(TrackingSettings)}
    given = {"uri": tracking.uri, "experiment": tracking.experiment}
    return [
        f"tracking.{key}={override_text(value)}"
        for key, value in given.items()
        if value != normal[key]
    ]


def command(*words: str | Sequence[str]) -> str:
    """Return a command of seqbench as a shell takes it; its words, or lists of them."""
    every = [word for part in words for word in ([part] if isinstance(part, str) else part)]
    return " ".join(map(quoted, ["seqbench", *every]))


def quoted(word: str) -> str:
    """Return a word as a shell takes it; in double quotes where it holds single ones alone."""
    if "'" in word and not set('"$`\\!') & set(word):
        return f'"{word}"'
    return shlex.quote(word)


@lru_cache
def _composed(task: str, plugins: tuple[str, ...]) -> Mapping[str, Any]:
    try:
        config = composition.compose([f"task={task}"])
        return composition.settings(config).task_parameters
    except SeqbenchError:  # a parameter without a default: every one is said
        return {}


def _defaults(task: str) -> Mapping[str, Any]:
    """Return the parameters that a task has if nothing is said of them."""
    return _composed(task, tuple(plugin_files()))
