"""A stored run as a trial again: its settings, its data, its weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqbench.config.overrides import override_text
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.records import SCHEMA
from seqbench.tracking.tags import PARTS, mapping_in, schema_in
from seqbench.trials.trial import Trial, load

if TYPE_CHECKING:
    from seqbench.tracking.stored import StoredRun
    from seqbench.training.data import TrialData
    from seqbench.training.predictor import Predictor

_CHANGES = {"protocol": "the protocol", "task": "the task's code", "model": "the model's code"}
"""What of a run's identity can have changed since, by its part, so that scores may differ."""

AUTO = "auto"
ACCELERATORS = (AUTO, "cpu", "gpu")
"""Where a stored model can be asked to compute; ``auto``: where it was trained, if that is here."""

Note = Callable[[str], None]
"""Hears, in a line, why a result may not be what was expected."""


@dataclass(frozen=True)
class Reloaded:
    """A finished run whose task and model are at hand.

    Args:
        stored: the run as it is kept.
        name: what a person calls it, for example ``run 1a2b3c4d``.
        trial: with the run's settings, changed to use all data.
        overrides: what else was changed.
        uri: of the tracking store, as it was given.
        accelerator: where it was asked to compute, one of :data:`ACCELERATORS`.
    """

    stored: StoredRun
    name: str
    trial: Trial
    overrides: list[str]
    uri: str | None
    accelerator: str = AUTO

    def data(self, note: Note) -> list[TrialData]:
        """Return the data of each fold.

        Args:
            note: hears what has changed since the run, a line for each thing.

        Raises:
            Refused: the data cannot be had, or the run has no model for a fold.
        """
        kept = self.stored.record.folds
        for fold in self.trial.task.folds():
            if fold not in kept:
                numbers = ", ".join(map(str, kept))
                raise Refused(f"{self.name} has no model for fold {fold}; it has: {numbers}")
        folds = self.trial.data()
        tags = self.stored.tags
        then = mapping_in(tags.get(PARTS, ""))
        changed = [
            what for part, what in _CHANGES.items() if part in self.trial.identity.changed(then)
        ]
        if schema_in(tags) < SCHEMA:
            note(f"{self.name} was kept by an older seqbench: which code has changed is not known")
            changed = []
        fingerprint = self.trial.fingerprint
        if tags.get("seqbench.data", fingerprint) != fingerprint and not self.overrides:
            changed.append("the task's data")
        if changed:
            note(f"{', '.join(changed)} changed since {self.name} was trained: it may differ")
        trained_on = (self.stored.config.get("trainer") or {}).get("accelerator")
        if trained_on == "gpu" and self.trial.device == "cpu" and self.accelerator == AUTO:
            note(f"{self.name} was trained on a GPU; torch finds none here, so a CPU runs it")
        return folds

    def predictor(self, data: TrialData) -> Predictor:
        """Return the model of a fold with the weights of its selected epoch.

        Raises:
            Refused: the weights are damaged, or do not fit the data.
        """
        from seqbench.training.fit import selected_weights

        predictor = self.trial.predictor(data)
        path = self.stored.checkpoint_path(data.fold)
        try:
            weights = selected_weights(path)
        except Exception as error:  # zip, pickle and torch each have errors of their own
            raise Refused(f"{self.name}: its checkpoint {path} is damaged") from error
        try:
            predictor.load_state_dict(weights)
        except RuntimeError as error:
            model = self.stored.record.model
            raise Refused(
                f"{self.name}: its weights do not fit model={model} on these data"
            ) from error
        return predictor


def reload(
    run: str,
    uri: str | None = None,
    overrides: Sequence[str] = (),
    parameters: Mapping[str, object] | None = None,
    accelerator: str = AUTO,
) -> Reloaded:
    """Find a finished run and load its task and model.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store, see :func:`seqbench.tracking.address.locate`.
        overrides: ``task.<parameter>=VALUE`` to change.
        parameters: of the task to change, by name.
        accelerator: where to compute: ``cpu``, ``gpu``, or ``auto``: where it was trained, or on a
            CPU where torch finds no GPU.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or its task or model cannot be used, or
            there is no such device.
    """
    import torch

    from seqbench.tracking.address import SHORT
    from seqbench.tracking.store import open_store

    if accelerator not in ACCELERATORS:
        known = ", ".join(ACCELERATORS)
        raise Refused(f"accelerator must be one of {known}, not {accelerator!r}")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise Refused("trainer.accelerator=gpu: torch finds no CUDA GPU here; leave it out")
    stored = open_store(TrackingSettings(uri=uri), create=False).find(run)
    name = f"run {stored.run_id[:SHORT]}"
    given = {key: _plain(value) for key, value in (parameters or {}).items()}
    try:
        trial = load(_settings(stored, overrides, given, accelerator))
    except Refused as refusal:
        raise refusal.within(name) from refusal
    changed = [f"task.{key}={override_text(value)}" for key, value in given.items()]
    return Reloaded(stored, name, trial, [*overrides, *changed], uri, accelerator)


def _plain(value: object) -> object:
    """Return a value as a configuration can hold it."""
    return str(value) if isinstance(value, os.PathLike) else value


def _settings(
    stored: StoredRun,
    overrides: Sequence[str],
    parameters: Mapping[str, object],
    accelerator: str,
) -> Settings:
    """Return a run's settings, changed to score all data in float32 on a device that exists."""
    import torch
    from omegaconf import DictConfig, OmegaConf

    from seqbench.config.composition import settings

    changes: dict[str, Any] = {
        "recipe": {"max_examples": None},
        "trainer": {"precision": "32", "devices": 1},
    }
    if accelerator != AUTO:
        changes["trainer"]["accelerator"] = accelerator
    elif not torch.cuda.is_available():
        changes["trainer"]["accelerator"] = "cpu"
    try:
        config = OmegaConf.merge(OmegaConf.create(stored.config), OmegaConf.create(changes))
    except Exception as error:  # YAML's and OmegaConf's errors have no common base
        raise Refused("its configuration is damaged") from error
    if parameters:
        try:
            config = OmegaConf.merge(config, OmegaConf.create({"task": dict(parameters)}))
        except Exception as error:
            names = ", ".join(parameters)
            raise Refused(f"a value of {names} is of no type that a configuration holds") from error
    for override in overrides:
        try:
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
        except Exception as error:
            raise Refused(
                f"cannot read '{override}': quote a value that holds [ ] {{ }} : # or quotes"
            ) from error
    assert isinstance(config, DictConfig)
    return settings(config)
