"""Which trial is asked for: one definition, for plans, records, tunings, reports and repetitions.

A trial is known without its data being loaded, and without torch: a sweep tells in no time what it
has done, and a run keeps what it was for reports.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

from seqbench.config.settings import Settings, deciding
from seqbench.config.sources import Reading, content_hash
from seqbench.records import SCHEMA
from seqbench.registry.plugins import registry
from seqbench.registry.registration import Registration

PROTOCOL = 3
"""The version of the harness: everything of seqbench that every trial shares, from the scaling of
inputs to the optimiser's steps and the scores.

A person raises it, in the commit that makes a trial's numbers others than they were: results of
before cannot stand beside results of after. ``make golden`` says when that is so, and when not;
plumbing never raises it. 2: each epoch has an order of batches and an augmentation of its own.
3: each target weighs alike in the loss, whatever the lengths of its batch's sequences.
"""

BUDGET = ("recipe.max_epochs", "recipe.patience", "recipe.max_examples")
"""Of a recipe, what all variants must share: how long training may take, on how much."""

SPLIT_SEED = "task.split_seed"
"""The key of the split, where a task deals one by chance."""

_OF_VARIANT = ("model", "model_requires")
_VERSIONS = ("torch", "lightning")
_NAMES = ("seed", "task.name", "model.name")
_SHORT = 8  # digits of what a person reads

_version = lru_cache(version)


@dataclass(frozen=True)
class Identity:
    """A trial as it is asked for.

    Args:
        config: what of the configuration decides the result, see
            :func:`seqbench.config.settings.deciding`.
        parts: version or hash of what else does, by name: ``task`` and ``model``, their code;
            ``task_requires`` and ``model_requires``, the versions of what plugins say that they
            need; ``callbacks``, where plugins have any; ``source``, the content of the user's own
            data; ``protocol``, ``torch``, ``lightning``.
    """

    config: Mapping[str, Any]
    parts: Mapping[str, str]

    @cached_property
    def configuration(self) -> str:
        """Hash of the configuration."""
        return digest(self.config)

    @property
    def key(self) -> str:
        """Hash of all of it, which names the trial."""
        return digest([self.config, self.parts])

    @property
    def study(self) -> str:
        """Hash of all of it but for the seed."""
        return digest([{**self.config, "seed": None}, self.parts])

    def changed(self, then: Mapping[str, str]) -> list[str]:
        """Return the names of the parts that were others then."""
        return sorted(
            name for name in {*self.parts, *then} if self.parts.get(name) != then.get(name)
        )


def identity(settings: Settings, known: dict[str, str] | None = None) -> Identity:
    """Return what settings ask for.

    Args:
        settings: of the trial.
        known: hashes of sources, which are added; those that are there are not looked at again.

    Raises:
        Refused: the code of the task or model, or a source, cannot be read.
    """
    task = registry().get("task", settings.task)
    model = registry().get("model", settings.model)
    parts = {
        "task": task.code_hash,
        "task_requires": task.required_versions,
        "model": model.code_hash,
        "model_requires": model.required_versions,
        "callbacks": "",
        "source": "",
        "protocol": str(PROTOCOL),
        **{name: _version(name) for name in _VERSIONS},
    }
    callbacks = {item.name: item.code_hash for item in registry().all("callback")}
    if callbacks:
        parts["callbacks"] = digest(callbacks)
    source = settings.task_parameters.get("source")
    if source is not None:
        known = {} if known is None else known
        key = f"{settings.task} {source}"
        if key not in known:
            known[key] = content_hash(str(source), reading_of(task))
        parts["source"] = known[key]
    config = deciding(settings.to_dict())
    return Identity(config, {name: text for name, text in parts.items() if text})


def reading_of(task: Registration) -> Reading:
    """Return what a task says that it reads of its ``source``; its class is read, not imported."""
    constants = task.source().constants
    beside = constants.get("beside_source", ())
    names = [beside] if isinstance(beside, str) else beside
    return Reading(tuple(map(str, names)), constants.get("source_name_counts") is True)


def conditions_and_variant(
    task: str,
    model: str,
    config: Mapping[str, Any],
    parts: Mapping[str, str],
    fingerprint: str,
    schema: int = SCHEMA,
) -> tuple[str, str]:
    """Return two hashes: of what a fair comparison shares, and of what is compared.

    The conditions are the task with its parameters, code and data, the harness, the versions, the
    device, and how long training may take. The variant is a model with its parameters, its code and
    the rest of its recipe. A seed belongs to neither.

    Args:
        task: registered name.
        model: registered name.
        config: resolved configuration of the trial, as it was logged.
        parts: of its identity.
        fingerprint: of the data that were loaded.
        schema: that the parts were kept under.
    """
    shared, own = _shared_and_own(config)
    code = {name: parts.get(name, "") for name in _OF_VARIANT}
    return (
        digest([task, shared, _rest(parts, schema), fingerprint])[:_SHORT],
        digest([model, own, code])[:_SHORT],
    )


def conditions_over_splits(
    task: str, config: Mapping[str, Any], parts: Mapping[str, str], schema: int = SCHEMA
) -> str:
    """Return the hash of conditions that may differ in ``task.split_seed``, and in nothing else.

    Trials of one variant under these conditions are replicates of one protocol, on other splits of
    the same data (see :class:`seqbench.records.Deal`). The data's fingerprint is left out, for it
    covers the split; which data they are the configuration and the hashes of code and source say.

    Args:
        task: registered name.
        config: resolved configuration of the trial, as it was logged.
        parts: of its identity.
        schema: that the parts were kept under.
    """
    shared, _ = _shared_and_own(config)
    shared.pop(SPLIT_SEED, None)
    return digest([task, shared, _rest(parts, schema)])[:_SHORT]


def _shared_and_own(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a configuration belongs to the conditions, and what to the variant."""
    known = flat(deciding(config))
    for name in _NAMES:
        known.pop(name, None)
    shared = {key: value for key, value in known.items() if is_shared(key)}
    return shared, {key: value for key, value in known.items() if key not in shared}


def _rest(parts: Mapping[str, str], schema: int) -> dict[str, str]:
    """Return the parts of an identity that belong to the conditions."""
    rest = {name: text for name, text in parts.items() if name not in _OF_VARIANT}
    if schema < SCHEMA:
        rest.pop("source", None)  # said when files were changed, and not what is in them
    return rest


def is_shared(key: str) -> bool:
    """Return whether a key of a flat configuration belongs to the conditions."""
    return key.startswith(("task.", "trainer.")) or key in BUDGET


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration as ``{"model.hidden_size": 64}``."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def digest(value: object) -> str:
    """Return the hash of JSON types, 16 hexadecimal digits; the order of keys does not matter."""

    def plain(other: object) -> object:
        return dict(other) if isinstance(other, Mapping) else str(other)

    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
