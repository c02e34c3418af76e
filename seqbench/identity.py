"""Which trial is asked for, as far as it is known before data and torch are loaded.

A trial's key needs the data; this does not, so that a sweep can tell in no time what it has done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from seqbench import __version__
from seqbench.config.settings import Settings
from seqbench.records import PROTOCOL_VERSION
from seqbench.registry.codehash import harness_hash
from seqbench.registry.plugins import registry

_version = lru_cache(version)


@dataclass(frozen=True)
class Identity:
    """A trial as it is asked for.

    Args:
        configuration: hash of task, model, their parameters, recipe, trainer and seed.
        parts: version or hash of what else decides the result, by name: ``task``, ``model``,
            ``harness``, ``protocol``, ``seqbench``, ``torch``, ``lightning``; ``callbacks``, where
            plugins have any; and ``source``, the user's own data.
    """

    configuration: str
    parts: Mapping[str, str]

    def changed(self, then: Mapping[str, str]) -> list[str]:
        """Return the names of the parts that were others then."""
        return sorted(
            name for name in {*self.parts, *then} if self.parts.get(name) != then.get(name)
        )


def identity(settings: Settings) -> Identity:
    """Return what settings ask for.

    See :meth:`seqbench.config.settings.Settings.deciding`; of a task's ``source`` its files' names,
    sizes and times belong to it.

    Raises:
        Refused: the code of the task or model cannot be read.
    """
    source = settings.task_parameters.get("source")
    parts = {
        "task": registry().get("task", settings.task).code_hash,
        "model": registry().get("model", settings.model).code_hash,
        "harness": harness_hash(),
        "protocol": PROTOCOL_VERSION,
        "seqbench": __version__,
        "torch": _version("torch"),
        "lightning": _version("lightning"),
    }
    callbacks = {item.name: item.code_hash for item in registry().all("callback")}
    if callbacks:
        parts["callbacks"] = _digest(callbacks)
    if source is not None:
        parts["source"] = _digest(list(_files(Path(str(source)).expanduser())))
    return Identity(_digest(settings.deciding()), parts)


def _files(source: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of change of a file, or of every file in a folder."""
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    for path in found:
        if path.is_file():
            about = path.stat()
            yield path.relative_to(source.parent).as_posix(), about.st_size, about.st_mtime_ns


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
