"""A stored run as a trial again: its settings, its data, its weights."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.config.overrides import override_text
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.config.sources import whole_path
from seqbench.errors import Refused
from seqbench.records import SCHEMA, DataNames, some
from seqbench.registry.plugins import registry
from seqbench.registry.registration import KINDS
from seqbench.tracking.tags import PARTS, SOURCE, mapping_in, schema_in
from seqbench.trials import names
from seqbench.trials.trial import Trial, blame, load

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


_TABLES = {".csv", ".tsv", ".parquet", ".pq"}
_OTHER_FORMS = {".ts", ".arff", ".npz", ".npy"}  # whose columns cannot be left out


def _is_of_tables(source: Path) -> bool:
    """Return whether a user's file or folder holds tables, from which columns can be dropped."""
    path = source.expanduser()
    files = path.rglob("*") if path.is_dir() else [path]
    suffixes = {file.suffix.lower() for file in files}
    return bool(suffixes & _TABLES) and not suffixes & _OTHER_FORMS


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

    @property
    def _dropped(self) -> Sequence[str] | None:
        """The columns of a source that its task is told to leave out; None if it takes no such."""
        parameters = self.trial.settings.task_parameters
        source = self.trial.settings.source
        if source is None or "drop" not in parameters or not _is_of_tables(Path(source)):
            return None
        found = parameters["drop"] or ()
        return [found] if isinstance(found, str) else list(found)

    def data(self, note: Note) -> list[TrialData]:
        """Return the data of each fold, which have the names that the run's models know.

        Args:
            note: hears what has changed since the run, a line for each thing.

        Raises:
            Refused: the data cannot be had, the run has no model for a fold, or names of columns or
                classes are missing or new.
        """
        trial, record, tags = self.trial, self.stored.record, self.stored.tags
        with blame(trial.task_registration, "expect"):
            trial.task.expect(dict(record.names))
        trial.prepare()
        names.compare(self.name, record, trial.names, self.matched, self._dropped)
        folds = trial.data()
        then = mapping_in(tags.get(PARTS, ""))
        changed = [what for part, what in _CHANGES.items() if part in trial.identity.changed(then)]
        if schema_in(tags) < SCHEMA:
            note(f"{self.name} was kept by an older seqbench: which code has changed is not known")
            changed = []
        if self._has_other_data and not self.overrides:
            changed.append("the task's data")
        if changed:
            note(f"{', '.join(changed)} changed since {self.name} was trained: it may differ")
        if self._are_names_unknown:
            note(f"{self.name}: {names.UNKNOWN}")
        absent = [fold for fold in record.folds if fold not in self.matched.values()]
        if absent:
            shown = ", ".join(
                some([record.fold_name(fold) for fold in absent], 5, "... and {} more")
            )
            note(
                f"{self.name}: scored on {len(folds)} of its {len(record.folds)} folds; these data"
                f" lack {shown}"
            )
        trained_on = (self.stored.config.get("trainer") or {}).get("accelerator")
        if trained_on == "gpu" and trial.device == "cpu" and self.accelerator == AUTO:
            note(f"{self.name} was trained on a GPU; torch finds none here, so a CPU runs it")
        return folds

    @cached_property
    def matched(self) -> dict[int, int]:
        """Which fold of the run each fold of the data is, by number; the data are prepared.

        Raises:
            Refused: the run has no model for a fold.
        """
        return names.match_folds(self.name, self.stored.record, self.trial.names)

    @property
    def _has_other_data(self) -> bool:
        fingerprint = self.trial.fingerprint
        return self.stored.tags.get("seqbench.data", fingerprint) != fingerprint

    @property
    def _are_names_unknown(self) -> bool:
        """Whether nobody knows what the model's columns were called, and others may be given."""
        kept = self.stored.record.names
        if not kept:  # built-in data are always the same
            return self.trial.settings.source is not None or self._has_other_data
        nothing = DataNames()
        return any(
            (replace(kept.get(fold, nothing), fold="") == nothing)
            != (replace(self.trial.names[now], fold="") == nothing)
            for now, fold in self.matched.items()
        )

    def predictor(self, data: TrialData) -> Predictor:
        """Return the model of a fold with the weights of its selected epoch.

        Args:
            data: of :meth:`data`.

        Raises:
            Refused: the weights are damaged, or do not fit the data.
        """
        from seqbench.training.fit import selected_weights

        predictor = self.trial.predictor(data)
        path = self.stored.checkpoint_path(self.matched[data.fold])
        try:
            weights = selected_weights(path)
        except Exception as error:  # zip, pickle and torch each have errors of their own
            raise Refused(f"{self.name}: its checkpoint {path} is damaged") from error
        try:
            predictor.load_state_dict(weights)
        except RuntimeError as error:
            raise self._misfit(predictor, weights) from error
        return predictor

    def _misfit(self, predictor: Predictor, weights: Mapping[str, Any]) -> Refused:
        """Return why weights do not fit: the data have more or fewer columns, or it is the run."""
        own = predictor.state_dict()
        for key, what in (("input_mean", "features a step"), ("head.bias", "outputs")):
            if key in weights and weights[key].shape != own[key].shape:
                then, now = len(weights[key]), len(own[key])
                return Refused(
                    f"{self.name}: its model was trained with {then} {what}, and these data have"
                    f" {now}; which ones is not known, for they have no names"
                )
        if self.overrides or self._has_other_data:
            return Refused(
                f"{self.name}: its model was trained on data with other features than these"
                " (static features, or flags of missing values); task.source must have the same"
            )
        model = self.stored.record.model
        return Refused(f"{self.name}: its weights do not fit model={model} on these data")


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
    check_code(stored, name)
    try:
        trial = load(_settings(stored, overrides, given, accelerator))
    except Refused as refusal:
        raise refusal.within(name) from refusal
    changed = [f"task.{key}={override_text(value)}" for key, value in given.items()]
    return Reloaded(stored, name, trial, [*overrides, *changed], uri, accelerator)


def check_code(stored: StoredRun, name: str) -> None:
    """Refuse a run whose task or model this process does not have, and say where it was.

    Args:
        stored: the run.
        name: what a person calls it.

    Raises:
        Refused: a plugin is missing.
    """
    for kind in KINDS:
        section = stored.config.get(kind)
        wanted = section.get("name") if isinstance(section, dict) else None
        origin = stored.tags.get(f"seqbench.{kind}_origin", "")
        if not isinstance(wanted, str) or not origin or wanted in registry().names(kind):
            continue
        if not origin.endswith(".py"):
            advice = f"is not installed here; it came from {origin}"
        elif Path(origin).is_file():
            advice = f"is in a file; add {shlex.quote(f'+plugin={origin}')}"
        else:
            advice = f"was in {origin}, which is no longer there; add +plugin=FILE, where it is now"
        raise Refused(f"{name}: its {kind} {wanted} {advice}")


def with_source(stored: StoredRun) -> dict[str, Any]:
    """Return a run's configuration, with its source where it lies seen from here."""
    config, whole = dict(stored.config), stored.tags.get(SOURCE, "")
    task = config.get("task")
    given = task.get("source") if isinstance(task, dict) else None
    if isinstance(task, dict) and isinstance(given, str) and whole and Path(whole).exists():
        config["task"] = {**task, "source": given if whole_path(given) == whole else whole}
    return config


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
        config = OmegaConf.merge(OmegaConf.create(with_source(stored)), OmegaConf.create(changes))
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
