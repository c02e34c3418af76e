"""What a store's runs tell of trials: which ones there are, and how each ended."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from seqbench.records import MetricInfo
from seqbench.settings import TrackingSettings
from seqbench.tracking import mlflow_client, processes
from seqbench.tracking.address import is_ready, locate
from seqbench.tracking.store import CONFIGURATION, MONITOR, PARTS, PRIMARY, unusable
from seqbench.tracking.tracked import STATUS

_RUNS_PER_PAGE = 1000


@dataclass(frozen=True)
class StoredTrial:
    """What a run tells of its trial.

    Args:
        run_id: of the run.
        status: ``FINISHED``, ``FAILED``, ``KILLED`` or ``RUNNING``.
        task: registered name.
        model: registered name.
        seed: as text.
        configuration: see :class:`seqbench.identity.Identity`.
        parts: see there.
        reason: why it did not finish.
        seconds: from its start to its end; None while it runs.
        metric: the primary one; None if the run does not say.
        score: its value on test; NaN without.
        monitor: value of the metric that selected the epoch, on validation; NaN without.
    """

    run_id: str
    status: str
    task: str
    model: str
    seed: str
    configuration: str
    parts: Mapping[str, str]
    reason: str
    seconds: float | None
    metric: MetricInfo | None = None
    score: float = math.nan
    monitor: float = math.nan


def stored_trials(settings: TrackingSettings, configuration: str = "") -> list[StoredTrial]:
    """Return what the runs of an experiment tell of their trials, the latest first.

    Nothing is made or changed. A run whose process is gone counts as killed.

    Args:
        settings: which store and which experiment.
        configuration: of the trials that are asked for; empty for all.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    if not settings.enabled:
        return []
    address = locate(settings.uri)
    if address.database is not None:
        if not is_ready(address.database):
            return []
        try:
            return list(_read_database(address.database, settings.experiment, configuration))
        except sqlite3.Error:
            pass  # another version of MLflow, with other tables: it reads them itself
    with mlflow_client.quiet():
        try:
            client = mlflow_client.connect(address)
            experiment = client.get_experiment_by_name(settings.experiment)
            if experiment is None:
                return []
            found: list[StoredTrial] = []
            token: str | None = None
            while True:
                page = client.search_runs(
                    [experiment.experiment_id],
                    f"tags.`{CONFIGURATION}` {'=' if configuration else '!='} '{configuration}'",
                    max_results=_RUNS_PER_PAGE,
                    page_token=token,
                )
                for run in page:
                    info = run.info
                    found.append(
                        _trial(
                            info.run_id,
                            info.status,
                            info.start_time,
                            info.end_time,
                            run.data.tags,
                            run.data.metrics,
                        )
                    )
                token = page.token
                if not token:
                    return found
        except Exception as error:
            raise unusable(address, error) from error


def _read_database(database: Path, experiment: str, configuration: str) -> Iterator[StoredTrial]:
    """Read MLflow's tables: its own client takes seconds to import."""
    only = (
        " AND runs.run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"
        if configuration
        else ""
    )
    runs: dict[str, tuple[str, int, int | None]] = {}
    tags: dict[str, dict[str, str]] = {}
    metrics: dict[str, dict[str, float]] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        rows = connection.execute(
            "SELECT runs.run_uuid, runs.status, runs.start_time, runs.end_time, tags.key,"
            " tags.value FROM runs JOIN experiments USING (experiment_id)"
            " JOIN tags ON tags.run_uuid = runs.run_uuid"
            " WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'"
            f" AND tags.key LIKE 'seqbench.%'{only} ORDER BY runs.start_time DESC",
            (experiment, CONFIGURATION, configuration) if configuration else (experiment,),
        )
        for run_id, status, start, end, key, value in rows:
            runs[run_id] = (status, start, end)
            tags.setdefault(run_id, {})[key] = value
        rows = connection.execute(
            "SELECT run_uuid, key, value FROM latest_metrics"
            " WHERE (key LIKE 'test/%' OR key LIKE 'best/valid/%') AND NOT is_nan"
        )
        for run_id, key, value in rows:
            metrics.setdefault(run_id, {})[key] = value
    for run_id, (status, start, end) in runs.items():
        if CONFIGURATION in tags[run_id]:
            yield _trial(run_id, status, start, end, tags[run_id], metrics.get(run_id, {}))


def _trial(
    run_id: str,
    status: str,
    start: int,
    end: int | None,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
) -> StoredTrial:
    status, reason = tags.get(STATUS, status), tags.get("seqbench.reason", "")
    if status == "RUNNING" and tags.get("seqbench.host") == processes.host():
        pid = int(tags.get("seqbench.pid", "0"))
        if processes.is_gone(pid, tags.get("seqbench.process_started", "")):
            status, reason = "KILLED", f"process {pid} ended without saying so"
    metric = MetricInfo(**json.loads(tags[PRIMARY])) if PRIMARY in tags else None
    monitor = f"best/valid/{json.loads(tags[MONITOR])['name']}" if MONITOR in tags else ""
    return StoredTrial(
        run_id=run_id,
        status=status,
        task=tags.get("seqbench.task", ""),
        model=tags.get("seqbench.model", ""),
        seed=tags.get("seqbench.seed", ""),
        configuration=tags[CONFIGURATION],
        parts=json.loads(tags.get(PARTS, "{}")),
        reason=reason,
        seconds=None if end is None else (end - start) / 1000,
        metric=metric,
        score=metrics.get(f"test/{metric.name}", math.nan) if metric else math.nan,
        monitor=metrics.get(monitor, math.nan),
    )
