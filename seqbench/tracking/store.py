"""The tracking store: runs are written while they train, and read when they are finished."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking import embedded, mlflow_client, processes
from seqbench.tracking.address import (
    SHORT,
    Address,
    is_ready,
    locate,
    make_folder,
    no_store_yet,
)
from seqbench.tracking.mlflow_client import LateClient, experiment_id, first_line, unusable
from seqbench.tracking.operations import TOKEN, Operation, perform
from seqbench.tracking.outbox import announce, deliver, waiting
from seqbench.tracking.pages import DESCRIPTION, dataset, show_metric, source_tags
from seqbench.tracking.signals import uninterrupted
from seqbench.tracking.stored import StoredRun, read_run
from seqbench.tracking.tags import (
    BEGAN,
    CONFIGURATION,
    MONITOR,
    PARENT,
    PRIMARY,
    SWEEP,
    SWEEP_KEY,
    TAG_LENGTH,
)
from seqbench.tracking.tracked import STATUS, TrackedRun, config_operations, mlflow_status

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

COUNT_LIMIT = 1000
"""Runs that :meth:`Store.count` looks at, at most."""


def open_store(settings: TrackingSettings, *, create: bool = True) -> Store:
    """Open the tracking store, made if it is not there, and end the runs that dead processes left.

    Any number of processes may do so at once: an embedded store and its experiment are made by one
    of them, in a draft that is moved into place when it is complete.

    Args:
        settings: which store and which experiment.
        create: False to read only: then nothing is made, and the runs of every experiment are
            found, whatever ``settings`` names.

    Raises:
        Refused: tracking is off, the address is wrong, the store cannot be used or does not answer,
            or is not there and must not be made. A trial of a sweep, which has opened the store
            before, is given one whose runs wait on disk instead.
    """
    if not settings.enabled:
        raise Refused(
            "tracking=none keeps no runs; leave it out, or name a store with tracking.uri"
        )
    address = locate(settings.uri)
    try:
        store = _open(address, settings, create)
    except Refused as refusal:
        if not (create and settings.parent):
            raise
        client = cast("MlflowClient", LateClient(address))
        cause = refusal.__cause__ or refusal
        return Store(client, [], address, settings.experiment, settings.parent, cause)
    if create and waiting(address):
        announce(deliver(address))
    return store


def _open(address: Address, settings: TrackingSettings, create: bool) -> Store:
    if address.database is not None and not is_ready(address.database, write=create):
        if not create:
            raise no_store_yet(address)
        make_folder(address.database)
        embedded.create(address, settings.experiment)
    with mlflow_client.quiet():
        try:
            client = mlflow_client.connect(address if create else address.for_reading)
            if create and address.database is not None:
                embedded.stay_beside(address)
            experiments = (
                [experiment_id(client, settings.experiment, address)]
                if create
                else _all_experiments(client)
            )
            store = Store(client, experiments, address, settings.experiment, settings.parent)
            store.repaired = store.repair()
        except Exception as error:
            raise unusable(address, error) from error
    return store


class Store:
    """An open tracking store; get one from :func:`open_store`.

    Args:
        client: MLflow's client of it.
        experiments: MLflow's identifiers of the experiments whose runs are found; the first one
            takes new runs.
        address: where it is.
        experiment: name of the experiment that takes new runs.
        parent: run under which new runs are nested. Where it stands, a store that fails refuses no
            run: it waits on disk.
        failure: why the store could not be opened; None if it could.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiments: list[str],
        address: Address,
        experiment: str = "",
        parent: str | None = None,
        failure: BaseException | None = None,
    ) -> None:
        self._client = client
        self.experiment = experiment
        self._parent = parent
        self._failure = failure
        self._experiments = experiments
        self.address = address
        self.repaired = 0
        """Runs whose process had died, ended as KILLED when the store was opened."""

    def start(
        self, trial: TrialRecord, config: Mapping[str, Any], tags: Mapping[str, str]
    ) -> TrackedRun:
        """Start a trial's run, with its configuration as flat parameters and as ``config.json``.

        Args:
            trial: its key, task, model, seed and context are read; the scores may be missing yet.
            config: resolved configuration, JSON types.
            tags: what else to find it by, for example the provenance of the plugins.

        Raises:
            Refused: the store does not take the run.
        """
        pid = os.getpid()
        identity = {
            "seqbench.key": trial.key,
            "seqbench.task": trial.task,
            "seqbench.model": trial.model,
            "seqbench.seed": str(trial.seed),
            "seqbench.context": trial.context,
            "seqbench.pid": str(pid),
            "seqbench.host": processes.host(),
            "seqbench.process_started": processes.started(pid),
            PRIMARY: json.dumps(asdict(trial.primary)),
            MONITOR: json.dumps(asdict(trial.monitor)),
        }
        if self._parent:
            identity[PARENT] = self._parent
        commit = trial.environment.get("git_seqbench", "")
        operations = [*config_operations(config), dataset(trial, config)]
        create: dict[str, Any] = {
            "op": "create",
            "experiment": self.experiment,
            "tags": {**source_tags(commit), **tags, **identity, TOKEN: uuid.uuid4().hex},
            "name": f"{trial.title or trial.task} {trial.model} seed {trial.seed}"[:250],
            "time": int(1000 * time.time()),
        }
        if self._failure is not None:
            return self._in_outbox(create, operations, self._failure)
        run_id = ""
        with mlflow_client.quiet():
            try:
                run = self._client.create_run(
                    self._experiments[0],
                    start_time=create["time"],
                    tags=create["tags"],
                    run_name=create["name"],
                )
                run_id = str(run.info.run_id)
                for operation in operations:
                    perform(self._client, run_id, operation, Path())
                with contextlib.suppress(Exception):  # a page without its columns is no reason
                    experiment = self._client.get_experiment(self._experiments[0])
                    show_metric(self._client, experiment, trial.primary.name)
            except BaseException as error:
                if isinstance(error, Exception) and self._parent:
                    return self._in_outbox(create, operations, error)
                if run_id:
                    self._abandon(run_id, error)
                if isinstance(error, Exception):
                    raise unusable(self.address, error) from error
                raise
        return TrackedRun(self._client, run_id, self.location(run_id), self.address)

    def _in_outbox(
        self, create: Operation, operations: Iterable[Operation], error: BaseException
    ) -> TrackedRun:
        """Return the run of a sweep's trial that a failing store could not start: it waits."""
        run = TrackedRun(self._client, "", "", self.address)
        run.log_start(create, operations, error)
        return run

    def _abandon(self, run_id: str, error: BaseException) -> None:
        """End a run that could not be started in full, if the store still answers."""
        stopped = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if stopped else f"could not be started: {first_line(error)}"
        with uninterrupted(), contextlib.suppress(Exception):
            self._client.set_tag(run_id, "seqbench.reason", reason)
        with uninterrupted(), contextlib.suppress(Exception):
            self._client.set_terminated(run_id, "KILLED")

    def start_sweep(self, name: str, words: str) -> str:
        """Start the run under which those of a sweep's trials are nested, or go on with it.

        Args:
            name: what a person reads.
            words: what makes it the same sweep again, see :data:`SWEEP`.

        Returns:
            The run's identifier.

        Raises:
            Refused: the store does not take the run.
        """
        pid = os.getpid()
        tags = {
            SWEEP: words,
            SWEEP_KEY: hashlib.sha256(words.encode()).hexdigest()[:16],
            "seqbench.pid": str(pid),
            "seqbench.host": processes.host(),
            "seqbench.process_started": processes.started(pid),
            "seqbench.reason": "",
            BEGAN: f"{time.time():.3f}",
            **source_tags(""),
        }
        with mlflow_client.quiet():
            try:
                query = f"tags.`{SWEEP_KEY}` = '{tags[SWEEP_KEY]}'"
                known = self._client.search_runs(self._experiments[:1], query, max_results=1)
                if not known:
                    run = self._client.create_run(
                        self._experiments[0], tags=tags, run_name=f"sweep {name}"[:250]
                    )
                    return str(run.info.run_id)
                run_id = str(known[0].info.run_id)
                for tag, value in tags.items():
                    self._client.set_tag(run_id, tag, value)
                self._client.update_run(run_id, status="RUNNING")
                return run_id
            except Exception as error:
                raise unusable(self.address, error) from error

    def end_sweep(
        self,
        run_id: str,
        status: str,
        summary: str,
        metrics: Mapping[str, float],
        description: str,
    ) -> None:
        """End a sweep's run; a store that fails now is left alone.

        Args:
            run_id: what :meth:`start_sweep` returned.
            status: of MLflow's words.
            summary: how many trials ended how.
            metrics: what its row shows.
            description: its results, in Markdown.
        """
        with mlflow_client.quiet(), uninterrupted(), contextlib.suppress(Exception):
            self._client.set_tag(run_id, "seqbench.reason", summary)
            self._client.set_tag(run_id, DESCRIPTION, description[:TAG_LENGTH])
            for name, value in metrics.items():
                self._client.log_metric(run_id, name, value)
            self._client.set_terminated(run_id, status)

    def bury(self, configuration: str, status: str, reason: str) -> None:
        """Say how the latest trial of a configuration ended, whose process could not.

        Args:
            configuration: see :class:`seqbench.identity.Identity`.
            status: of the record's words.
            reason: in one line.
        """
        query = f"tags.`{CONFIGURATION}` = '{configuration}'"
        with mlflow_client.quiet(), uninterrupted(), contextlib.suppress(Exception):
            for run in self._client.search_runs(self._experiments[:1], query, max_results=1):
                if run.info.status in ("RUNNING", "KILLED"):
                    self._client.set_tag(run.info.run_id, STATUS, status)
                    self._client.set_tag(run.info.run_id, "seqbench.reason", reason)
                    self._client.set_terminated(run.info.run_id, mlflow_status(status))

    def find(self, run: str) -> StoredRun:
        """Return a finished run of the store's experiments, see :func:`open_store`.

        Args:
            run: its identifier, or the first digits of it.

        Raises:
            Refused: no run or several runs start so, or the run did not finish.
        """
        prefix = run.strip().lower()
        with mlflow_client.quiet():
            try:
                found = self._starting_with(prefix)
                if not found:
                    raise self._unknown(run)
                if len(found) > 1:
                    short = ", ".join(_describe(item) for item in found[:3])
                    raise Refused(f"run '{run}' is ambiguous: {short}; write more digits")
                return read_run(self._client, found[0], self.address)
            except Refused:
                raise
            except Exception as error:
                raise unusable(self.address, error) from error

    def location(self, run_id: str) -> str:
        """Return where a run is, see :meth:`seqbench.tracking.address.Address.location`."""
        return self.address.location(self._experiments[0], run_id)

    def count(self) -> Counter[str]:
        """Return how many runs there are by status, of the latest ``COUNT_LIMIT`` runs."""
        with mlflow_client.quiet():
            runs = self._client.search_runs(self._experiments, max_results=COUNT_LIMIT)
        return Counter(run.info.status for run in runs)

    def repair(self) -> int:
        """End as KILLED the runs that the store holds for RUNNING and whose process here is gone.

        Returns:
            How many there were.
        """
        running = self._client.search_runs(
            self._experiments,
            f"attributes.status = 'RUNNING' AND tags.`seqbench.host` = '{processes.host()}'",
        )
        repaired = 0
        for run in running:
            tags = run.data.tags
            pid = int(tags.get("seqbench.pid", "0"))
            if processes.is_gone(pid, tags.get("seqbench.process_started", "")):
                reason = f"process {pid} ended without saying so (killed, or the machine went down)"
                self._client.set_tag(run.info.run_id, "seqbench.reason", reason)
                self._client.set_terminated(run.info.run_id, "KILLED")
                repaired += 1
        return repaired

    def _starting_with(self, prefix: str) -> list[Run]:
        if not prefix or not set(prefix) <= set("0123456789abcdef"):
            return []
        query = f"attributes.run_id LIKE '{prefix}%'"
        return list(self._client.search_runs(self._experiments, query, max_results=4))

    def _unknown(self, run: str) -> Refused:
        latest = self._client.search_runs(self._experiments, max_results=1)
        known = f"the latest is {_describe(latest[0])}; " if latest else "it has no runs yet; "
        return Refused(
            f"unknown run '{run}' in {self.address.shown}: {known}`seqbench ui` shows them all"
        )


def _all_experiments(client: MlflowClient) -> list[str]:
    page = client.search_experiments()
    found = list(page)
    while page.token:
        page = client.search_experiments(page_token=page.token)
        found += page
    return [experiment.experiment_id for experiment in found]


def _describe(run: Run) -> str:
    tags = run.data.tags
    what = f"{tags.get('seqbench.task', '?')} {tags.get('seqbench.model', '?')}"
    return f"{run.info.run_id[:SHORT]} ({what}, {run.info.status})"
