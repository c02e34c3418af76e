"""A finished run's trial trained again: do the bits agree?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import OmegaConf

from seqbench.config import composition, searchpath
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.records import SCHEMA, TrialRecord
from seqbench.tracking.address import SHORT
from seqbench.tracking.environment import environment_changes
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import PARTS, mapping_in, schema_in
from seqbench.trials import names
from seqbench.trials.reload import Note, check_code, refuse_candidate, with_source
from seqbench.trials.run import run as run_trial


@dataclass(frozen=True)
class Repeated:
    """A trial that was trained twice.

    Args:
        name: what a person calls the run.
        scores: how many were compared.
        differences: those that are not the same bits, then and now, by name.
        machine: what of the environment was different, then and now, by name.
    """

    name: str
    scores: int
    differences: dict[str, tuple[float, float]]
    machine: Mapping[str, tuple[str, str]]


def repeat(run: str, uri: str | None = None, *, note: Note) -> Repeated:
    """Train a run's trial again, without logging it, and compare every score with the run's.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store.
        note: hears what has changed since the run was trained.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or cannot be trained here.
        TrialFailed: training failed.
    """
    searchpath.enable()
    stored = open_store(TrackingSettings(uri=uri), create=False).find(run)
    name = f"run {stored.run_id[:SHORT]}"
    refuse_candidate(stored, name)
    check_code(stored, name)
    known: Any = OmegaConf.create(with_source(stored))
    try:
        settings: Settings = composition.settings(known)
    except Refused as refusal:
        raise refusal.within(name) from refusal
    settings = replace(settings, tracking=TrackingSettings(enabled=False))
    changed = identity(settings).changed(mapping_in(stored.tags.get(PARTS, "")))
    if schema_in(stored.tags) < SCHEMA:
        note(f"{name} was kept by an older seqbench: which code has changed is not known")
    elif changed:
        note(f"changed since {name} was trained: {', '.join(changed)}; it may differ")
    again = run_trial(settings)
    for fold, kept in stored.record.names.items():
        if fold in again.names and (said := names.differences(kept, again.names[fold])):
            note(f"{name}, fold {stored.record.fold_name(fold)}: {'; '.join(said)}")
            break
    differences = compare(stored.record, again)
    machine = environment_changes(stored.record.environment, again.environment)
    return Repeated(name, len(_scores(stored.record)), differences, machine)


def compare(then: TrialRecord, now: TrialRecord) -> dict[str, tuple[float, float]]:
    """Return the scores that are not the same bits in two records of one trial, by name."""
    before, after = _scores(then), _scores(now)
    return {
        key: (before.get(key, math.nan), after.get(key, math.nan))
        for key in {**before, **after}
        if (key in before) != (key in after) or not _same(before[key], after[key])
    }


def _same(one: float, other: float) -> bool:
    both = math.isnan(one) and math.isnan(other)
    return both or (one == other and math.copysign(1, one) == math.copysign(1, other))


def _scores(record: TrialRecord) -> dict[str, float]:
    """Return every score: at the end, of each epoch, and of the baselines; times are none."""
    found = dict(record.metrics)
    for number, epoch in enumerate(record.history, start=1):
        found |= {
            f"epoch {number} {name}": value for name, value in epoch.items() if name != "seconds"
        }
    for baseline, scores in record.baselines.items():
        found |= {f"baseline {baseline} {name}": value for name, value in scores.items()}
    return found
