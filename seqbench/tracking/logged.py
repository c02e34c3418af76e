"""The trials of a store as a report reads them: records, configurations, and what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

from seqbench.errors import Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.settings import TrackingSettings
from seqbench.tracking.address import locate
from seqbench.tracking.mlflow_client import LateClient, first_line
from seqbench.tracking.spool import RECORD
from seqbench.tracking.store import CONFIGURATION, MONITOR, PARENT, PRIMARY
from seqbench.tracking.stored import RunFiles
from seqbench.tracking.tracked import CONFIG
from seqbench.tracking.trials import RawRun, raw_runs, status_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_AT_ONCE = 8  # downloads from a server


@dataclass(frozen=True)
class LoggedTrial:
    """A run of a trial.

    Args:
        run_id: of the run.
        status: as in :data:`seqbench.records.Status`, or ``RUNNING``.
        reason: why it has no result, in one line.
        began: in seconds since 1970.
        record: what it found; made of the run's tags and metrics where its file is missing.
        config: its resolved configuration; empty where that is missing.
        tags: where its code and data come from, see :func:`seqbench.trial.provenance`.
        parent: run of the sweep that it belongs to; empty without.
        gap: what of it cannot be read, in one line; empty if nothing.
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
    """Yield what runs tell, in their order; one whose files cannot be read says so.

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
            record = TrialRecord.from_json(files.path(RECORD).read_text(encoding="utf-8"))
            _check(record)
        except (Refused, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            record = None
            if status == "FINISHED":  # one that was killed had no time to write it
                gaps.append(f"{RECORD}: {first_line(error)}")
    config: Any = {}
    try:
        config = json.loads(files.path(CONFIG).read_text(encoding="utf-8"))
    except (Refused, OSError, ValueError) as error:
        gaps.append(f"{CONFIG}: {first_line(error)}")
    if not _is_config(config):
        gaps.append(f"{CONFIG} is no configuration")
        config = {}
    if record is None:
        record = _from_tags(run, status, reason)
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


def _check(record: TrialRecord) -> None:
    """Refuse a record whose fields are not of their types, which would fail much later.

    Raises:
        TypeError: one is not.
    """
    normal = TrialRecord("", "", "", 0)
    for field in fields(record):
        value, usual = getattr(record, field.name), getattr(normal, field.name)
        wanted = (int, type(None)) if usual is None else type(usual)
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise TypeError(f"its {field.name} is {value!r}")
    numbers = [
        *record.metrics.items(),
        *record.costs.items(),
        *(item for scores in record.baselines.values() for item in scores.items()),
        *(("replicates", value) for value in record.replicates),
    ]
    for name, value in numbers:
        if not isinstance(value, int | float):
            raise TypeError(f"its {name} is {value!r}")


def _is_config(config: Any) -> bool:
    sections: Iterable[str] = ("task", "model", "recipe", "trainer")
    return isinstance(config, dict) and all(
        isinstance(config.get(section, {}), dict) for section in sections
    )


def _from_tags(run: RawRun, status: str, reason: str) -> TrialRecord:
    """Return what tags and metrics alone tell of a run."""
    tags, metrics = run.tags, dict(run.metrics)
    seed = tags.get("seqbench.seed", "0")
    seconds = (run.end - run.start) / 1000 if run.end else math.nan
    record = TrialRecord(
        key=tags.get("seqbench.key", ""),
        task=tags.get("seqbench.task", "?"),
        model=tags.get("seqbench.model", "?"),
        seed=int(seed) if seed.isdigit() else 0,
        status=cast(Any, status),
        reason=reason,
        context=tags.get("seqbench.context", ""),
        metrics={
            name.removeprefix("best/"): value
            for name, value in metrics.items()
            if name.startswith(("test/", "best/valid/"))
        },
        parameters=int(metrics.get("cost/parameters", 0)),
        seconds=metrics.get("cost/seconds", seconds),
        epochs=run.epochs,
    )
    for tag, field in ((PRIMARY, "primary"), (MONITOR, "monitor")):
        if tag in tags:
            setattr(record, field, MetricInfo(**json.loads(tags[tag])))
    return record
