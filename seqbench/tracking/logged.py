"""The trials of a store, as a report reads them: records, configurations, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking.address import locate
from seqbench.tracking.mlflow_client import LateClient, first_line
from seqbench.tracking.stored import RunFiles, read_config, read_record
from seqbench.tracking.tags import CONFIGURATION, MONITOR, PARENT, PRIMARY, metric_in
from seqbench.tracking.tracked import CONFIG
from seqbench.tracking.trials import RawRun, raw_runs, status_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_AT_ONCE = 8  # downloads from a server


@dataclass(frozen=True)
class LoggedTrial:
    """A run of a trial.

    Args:
        run_id: identifier of the run.
        status: as in :data:`seqbench.records.Status`, or ``RUNNING``.
        reason: why it has no result, in one line.
        began: in seconds since 1970.
        record: its record, or one made from the run's tags and metrics if its file is missing.
        config: its resolved configuration; empty if that is missing.
        tags: the origin of its code and data, see :func:`seqbench.trials.trial.provenance`.
        parent: run of the sweep that it belongs to; empty if there is none.
        gap: what cannot be read, in one line; empty if everything can.
    """

    run_id: str
    status: str
    reason: str
    began: float
    record: TrialRecord
    config: Mapping[str, Any]
    tags: Mapping[str, str]
    parent: str
    gap: str = ""


def trial_runs(settings: TrackingSettings) -> list[RawRun]:
    """Return the runs of trials of an experiment, the latest first.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    return raw_runs(settings, CONFIGURATION)


def logged_trials(settings: TrackingSettings, runs: Sequence[RawRun]) -> Iterator[LoggedTrial]:
    """Yield runs in order; if the files of a run cannot be read, its ``gap`` says so.

    Args:
        settings: which store.
        runs: of :func:`trial_runs`.
    """
    address = locate(settings.uri)
    client = cast("MlflowClient", LateClient(address))

    def read(run: RawRun) -> LoggedTrial:
        return _logged(run, RunFiles(client, run.run_id, run.artifact_uri, address))

    if address.database is not None:
        yield from map(read, runs)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(read, runs)


def _logged(run: RawRun, files: RunFiles) -> LoggedTrial:
    status, reason = status_of(run)
    gaps = []
    record = None
    if status != "RUNNING":
        try:
            record = read_record(files)
        except Refused as refusal:
            if status == "FINISHED":  # one that was killed had no time to write it
                gaps.append(first_line(refusal))
    config: dict[str, Any] = {}
    try:
        config = read_config(files)
    except Refused as refusal:
        gaps.append(first_line(refusal))
    if not _is_config(config):
        gaps.append(f"{CONFIG} is no configuration")
        config = {}
    if record is None:
        record = _from_tags(run, status, reason)
        record.tuning = str(config.get("tracking", {}).get("tuning") or "")
    elif record.status != status:  # said by another process, which saw it die
        record.status, record.reason = cast(Any, status), reason
    return LoggedTrial(
        run_id=run.run_id,
        status=status,
        reason=reason or record.reason,
        began=run.start / 1000,
        record=record,
        config=config,
        tags=run.tags,
        parent=run.tags.get(PARENT, ""),
        gap="; ".join(gaps),
    )


def _is_config(config: Mapping[str, Any]) -> bool:
    sections = ("task", "model", "recipe", "trainer", "tracking")
    return all(
        isinstance(config.get(section, {}), dict) and _is_shallow(config.get(section), _DEEPEST)
        for section in sections
    )


_DEEPEST = 20


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or (
        depth > 0 and all(_is_shallow(item, depth - 1) for item in value)
    )


def _from_tags(run: RawRun, status: str, reason: str) -> TrialRecord:
    """Return what tags and metrics alone tell of a run."""
    tags, metrics = run.tags, dict(run.metrics)
    seed = tags.get("seqbench.seed", "")
    parameters = metrics.get("cost/parameters", 0.0)
    seconds = (run.end - run.start) / 1000 if run.end else math.nan
    record = TrialRecord(
        key=tags.get("seqbench.key", ""),
        task=tags.get("seqbench.task", "?"),
        model=tags.get("seqbench.model", "?"),
        seed=int(seed) if seed.isascii() and seed.isdigit() and len(seed) < 19 else 0,
        status=cast(Any, status),
        reason=reason,
        context=tags.get("seqbench.context", ""),
        metrics={
            name.removeprefix("best/"): value
            for name, value in metrics.items()
            if name.startswith(("test/", "best/valid/"))
        },
        parameters=int(parameters) if math.isfinite(parameters) else 0,
        seconds=metrics.get("cost/seconds", seconds),
        epochs=run.epochs,
    )
    for tag, field in ((PRIMARY, "primary"), (MONITOR, "monitor")):
        metric = metric_in(tags.get(tag, ""))
        if metric is not None:
            setattr(record, field, metric)
    return record
