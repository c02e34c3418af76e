"""What a store's runs tell of trials and sweeps: which ones there are, and how each stands."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seqbench.config.settings import TrackingSettings
from seqbench.config.uris import uri_of
from seqbench.errors import Refused
from seqbench.records import MetricInfo
from seqbench.tracking import mlflow_client, processes
from seqbench.tracking.address import is_ready, locate
from seqbench.tracking.mlflow_client import unusable
from seqbench.tracking.readonly import readable
from seqbench.tracking.stored import RunFiles, read_record
from seqbench.tracking.tags import (
    BEGAN,
    CONFIGURATION,
    HARNESS,
    LEFT_OUT,
    MONITOR,
    PARENT,
    PARTS,
    PLAN,
    PRIMARY,
    SWEEP,
    mapping_in,
    metric_in,
    schema_in,
)
from seqbench.tracking.tracked import STATUS

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

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
        schema: under which they were kept, see :data:`seqbench.records.SCHEMA`.
        harness: the hash of each module of the harness that trained it, by file.
        reason: why it did not finish.
        seconds: from its start to its end, or until now.
        metric: the primary one; None if the run does not say.
        score: its value on test; NaN without.
        monitor: value of the metric that selected the epoch, on validation; NaN without.
        epochs: that it has trained so far.
        config: its configuration, flat, as text.
        costs: what it took, by name: ``seconds`` of training, ``epochs``, ``steps`` and others.
        folds: that it was scored on; 1 before it has finished.
        left_out: what of a user's own data was not used, and why.
        plan: the seeds that were planned with its own, see :data:`seqbench.tracking.tags.PLAN`.
        files: the run's.
    """

    run_id: str
    status: str
    task: str
    model: str
    seed: str
    configuration: str
    parts: Mapping[str, str]
    schema: int
    harness: Mapping[str, str]
    reason: str
    seconds: float
    metric: MetricInfo | None = None
    score: float = math.nan
    monitor: float = math.nan
    epochs: int = 0
    config: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    folds: int = 1
    left_out: str = ""
    plan: str = ""
    files: RunFiles | None = field(default=None, repr=False, compare=False)

    @cached_property
    def damage(self) -> str:
        """Why its record cannot be read, so that it has no result; empty if it can.

        A record that a server keeps is not looked at: that would be a download for each trial.
        """
        if self.files is None or not self.files.are_here:
            return ""
        try:
            read_record(self.files)
        except Refused as refusal:
            return str(refusal)
        return ""


TUNE = "tune"
"""First of the words that name a tuning; those of another sweep lack it."""


@dataclass(frozen=True)
class StoredSweep:
    """What the run of a sweep tells of it.

    Args:
        run_id: of the run.
        status: of MLflow's words; a sweep whose process is gone is ``KILLED``.
        words: what :meth:`seqbench.tracking.store.Store.start_sweep` was given.
        began: when it was started last, in seconds since 1970.
    """

    run_id: str
    status: str
    words: Mapping[str, Any]
    began: float

    @property
    def is_tuning(self) -> bool:
        """Whether it tries the candidates of a tuning."""
        return TUNE in self.words.get("overrides", ())


@dataclass(frozen=True)
class RawRun:
    """A run of MLflow as its store has it.

    Args:
        run_id: of the run.
        status: of MLflow's words.
        start: in milliseconds since 1970.
        end: likewise; None before it has ended.
        artifact_uri: where its files are.
        tags: those of this project, and which run is its parent.
        metrics: the latest of each score and cost.
        epochs: that it has logged.
        params: MLflow's parameters, which are its configuration.
        folds: that it has scores of; 1 where they are not told apart.
    """

    run_id: str
    status: str
    start: int
    end: int | None
    artifact_uri: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    epochs: int
    params: Mapping[str, str]
    folds: int


def stored_trials(settings: TrackingSettings, configuration: str = "") -> list[StoredTrial]:
    """Return what the runs of an experiment tell of their trials, the latest first.

    Nothing is made or changed. A run whose process is gone counts as killed.

    Args:
        settings: which store and which experiment.
        configuration: of the trials that are asked for; empty for all.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    address = locate(settings.uri)
    client = cast("MlflowClient", mlflow_client.LateClient(address))
    return [
        _trial(run, RunFiles(client, run.run_id, run.artifact_uri, address))
        for run in raw_runs(settings, CONFIGURATION, configuration)
    ]


def latest_sweep(settings: TrackingSettings) -> StoredSweep | None:
    """Return the sweep of an experiment that was started last, begun anew or gone on with.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    return max(stored_sweeps(settings), key=lambda sweep: sweep.began, default=None)


def stored_sweeps(settings: TrackingSettings) -> list[StoredSweep]:
    """Return the sweeps of an experiment.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    return [_sweep(run) for run in raw_runs(settings, SWEEP)]


def raw_runs(settings: TrackingSettings, tag: str, value: str = "") -> list[RawRun]:
    """Return the runs of an experiment that have a tag, with that value if there is one.

    The latest stand first. Nothing is made or changed.

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
            return _read_database(address.database, settings.experiment, tag, value)
        except sqlite3.Error:
            pass  # another version of MLflow, with other tables: it reads them itself
    with mlflow_client.quiet():
        try:
            return _ask(mlflow_client.connect(address.for_reading), settings.experiment, tag, value)
        except Exception as error:
            raise unusable(address, error) from error


def _ask(client: MlflowClient, name: str, tag: str, value: str) -> list[RawRun]:
    """Ask MLflow for runs."""
    query = f"tags.`{tag}` {'=' if value else '!='} '{value}'"
    found = []
    for run in every_run(client, name, query):
        info, metrics = run.info, run.data.metrics
        epochs = 0
        shown = next((key for key in metrics if key.startswith("valid/")), None)
        if info.status == "RUNNING" and shown is not None:
            history = client.get_metric_history(info.run_id, shown)
            epochs = 1 + max(metric.step for metric in history)
        start, end = info.start_time, info.end_time
        found.append(
            RawRun(
                info.run_id,
                info.status,
                start or 0,
                end,
                info.artifact_uri or "",
                run.data.tags,
                metrics,
                epochs,
                run.data.params,
                len({key.partition("/")[0] for key in metrics if key.startswith("fold-")}) or 1,
            )
        )
    return found


def every_run(client: MlflowClient, name: str, query: str) -> Iterator[Run]:
    """Yield all runs of an experiment, by its name, that a query finds, the latest first."""
    experiment = client.get_experiment_by_name(name)
    token: str | None = None
    while experiment is not None:
        page = client.search_runs(
            [experiment.experiment_id], query, max_results=_RUNS_PER_PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _read_database(database: Path, experiment: str, tag: str, value: str) -> list[RawRun]:
    """Read MLflow's tables: its own client takes seconds to import."""
    only = " AND value = ?" if value else ""
    asked = (experiment, tag, value) if value else (experiment, tag)
    chosen = (
        "SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)"
        " WHERE experiments.name = ? AND runs.lifecycle_stage = 'active'"
        f" AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ?{only})"
    )
    tags: dict[str, dict[str, str]] = {}
    metrics: dict[str, dict[str, float]] = {}
    epochs: dict[str, int] = {}
    params: dict[str, dict[str, str]] = {}
    uri = f"{uri_of(readable(database))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        runs = connection.execute(
            "SELECT run_uuid, status, start_time, end_time, artifact_uri FROM runs"
            f" WHERE run_uuid IN ({chosen}) ORDER BY start_time DESC",
            asked,
        ).fetchall()
        for run_id, key, text in connection.execute(
            f"SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({chosen})"
            f" AND (key LIKE 'seqbench.%' OR key = '{PARENT}')",
            asked,
        ):
            tags.setdefault(run_id, {})[key] = text
        for run_id, key, number, step in connection.execute(
            f"SELECT run_uuid, key, value, step FROM latest_metrics WHERE run_uuid IN ({chosen})"
            " AND (key LIKE 'test/%' OR key LIKE '%valid/%' OR key LIKE 'cost/%')"
            " AND NOT is_nan",
            asked,
        ):
            metrics.setdefault(run_id, {})[key] = number
            if key.startswith("valid/"):
                epochs[run_id] = max(epochs.get(run_id, 0), step + 1)
        for run_id, key, text in connection.execute(
            f"SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({chosen})", asked
        ):
            params.setdefault(run_id, {})[key] = text
        folds: dict[str, int] = dict(
            connection.execute(
                "SELECT run_uuid, COUNT(DISTINCT substr(key, 1, instr(key, '/')))"
                f" FROM latest_metrics WHERE run_uuid IN ({chosen}) AND key LIKE 'fold-%/%'"
                " GROUP BY run_uuid",
                asked,
            )
        )
    return [
        RawRun(
            run_id,
            status,
            start or 0,
            end,
            uri or "",
            tags[run_id],
            metrics.get(run_id, {}),
            epochs.get(run_id, 0),
            params.get(run_id, {}),
            folds.get(run_id, 1),
        )
        for run_id, status, start, end, uri in runs
    ]


def _sweep(run: RawRun) -> StoredSweep:
    try:
        began = float(run.tags.get(BEGAN, ""))
    except ValueError:
        began = run.start / 1000
    status, _ = status_of(run)
    return StoredSweep(run.run_id, status, mapping_in(run.tags[SWEEP]), began)


def status_of(run: RawRun) -> tuple[str, str]:
    """Return how a run stands, and why."""
    status, reason = run.tags.get(STATUS, run.status), run.tags.get("seqbench.reason", "")
    if status == "RUNNING" and run.tags.get("seqbench.host") == processes.host():
        pid = run.tags.get("seqbench.pid", "")
        number = int(pid) if pid.isascii() and pid.isdigit() else 0
        if processes.is_gone(number, run.tags.get("seqbench.process_started", "")):
            return "KILLED", f"process {pid} ended without saying so"
    return status, reason


def _trial(run: RawRun, files: RunFiles) -> StoredTrial:
    tags, metrics = run.tags, run.metrics
    status, reason = status_of(run)
    metric = metric_in(tags.get(PRIMARY, ""))
    monitor = metric_in(tags.get(MONITOR, ""))
    end = run.end or 1000 * time.time()
    return StoredTrial(
        run_id=run.run_id,
        status=status,
        task=tags.get("seqbench.task", ""),
        model=tags.get("seqbench.model", ""),
        seed=tags.get("seqbench.seed", ""),
        configuration=tags[CONFIGURATION],
        parts=mapping_in(tags.get(PARTS, "")),
        schema=schema_in(tags),
        harness=mapping_in(tags.get(HARNESS, "")),
        reason=reason,
        seconds=(end - run.start) / 1000,
        metric=metric,
        score=metrics.get(f"test/{metric.name}", math.nan) if metric else math.nan,
        monitor=metrics.get(f"best/valid/{monitor.name}", math.nan) if monitor else math.nan,
        epochs=run.epochs,
        config=run.params,
        costs={
            key.removeprefix("cost/"): value
            for key, value in metrics.items()
            if key.startswith("cost/")
        },
        folds=run.folds,
        left_out=tags.get(LEFT_OUT, ""),
        plan=tags.get(PLAN, ""),
        files=files,
    )
