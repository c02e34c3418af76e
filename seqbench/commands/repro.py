"""``seqbench repro RUN``: a finished run's trial once more, and whether the bits agree."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import EXIT_DONE, EXIT_FAILED, Refused

if TYPE_CHECKING:
    from seqbench.records import TrialRecord

_TRACKING = "tracking.uri"


def command(args: list[str]) -> int:
    """Train the trial again, without logging it, and compare every score with the run's.

    Args:
        args: the run, as ``RUN`` or ``run=RUN``; ``tracking.uri=URI``.

    Returns:
        0 if every bit agrees, otherwise 1.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or cannot be trained here.
        TrialFailed: training failed.
    """
    run, uri = _parse(args)
    from omegaconf import OmegaConf

    from seqbench.config import composition, searchpath
    from seqbench.identity import identity
    from seqbench.records import SCHEMA
    from seqbench.tracking.address import SHORT
    from seqbench.tracking.store import open_store
    from seqbench.tracking.tags import PARTS, mapping_in, schema_in
    from seqbench.trials.run import run as run_trial

    searchpath.enable()
    stored = open_store(TrackingSettings(uri=uri), create=False).find(run)
    name = f"run {stored.run_id[:SHORT]}"
    known: Any = OmegaConf.create(dict(stored.config))
    try:
        settings: Settings = composition.settings(known)
    except Refused as refusal:
        raise Refused(f"{name}: {refusal}") from refusal
    settings = replace(settings, tracking=TrackingSettings(enabled=False))
    changed = identity(settings).changed(mapping_in(stored.tags.get(PARTS, "")))
    if schema_in(stored.tags) < SCHEMA:
        sys.stderr.write(
            f"seqbench: {name} was kept by an older seqbench: which code has changed is not known\n"
        )
    elif changed:
        sys.stderr.write(
            f"seqbench: changed since {name} was trained: {', '.join(changed)}; it may differ\n"
        )
    again = run_trial(settings)
    differences = compare(stored.record, again)
    total = len(_scores(stored.record))
    if not differences:
        sys.stdout.write(f"{name}: every bit agrees ({total} scores, all epochs included)\n")
        return EXIT_DONE
    sys.stdout.write(f"{name}: {len(differences)} of {total} scores differ\n")
    for key, (then, here) in list(differences.items())[:_SHOWN]:
        sys.stdout.write(f"  {key}: {then!r} then, {here!r} now\n")
    if len(differences) > _SHOWN:
        sys.stdout.write(f"  and {len(differences) - _SHOWN} more\n")
    for key, (before, after) in _machine(stored.record, again).items():
        sys.stdout.write(f"  {key} was {before}, and is {after}\n")
    return EXIT_FAILED


_SHOWN = 8


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


def _machine(then: TrialRecord, now: TrialRecord) -> Mapping[str, tuple[str, str]]:
    before, after = then.environment, now.environment
    return {
        key: (before[key], after[key])
        for key in before
        if key != "git" and key in after and before[key] != after[key]
    }


def _parse(args: list[str]) -> tuple[str, str | None]:
    run, uri = None, None
    for arg in args:
        key, equals, value = arg.partition("=")
        if key == _TRACKING and value:
            uri = value
        elif key == "run" and value:
            run = value
        elif not equals and run is None and not arg.startswith("-"):
            run = arg
        else:
            raise Refused(f"seqbench repro: '{arg}' is of no use here; it takes RUN, {_TRACKING}=")
    if run is None:
        raise Refused("seqbench repro: which RUN? `seqbench report` and `seqbench ui` show them")
    return run, uri
