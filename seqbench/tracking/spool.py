"""What a tracking store did not take: it waits on disk, and is delivered when the store is back."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from seqbench.tracking import mlflow_client
from seqbench.tracking.address import RUNS_FOLDER, Address, locate, readable_path
from seqbench.tracking.mlflow_client import first_line

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TOKEN = "seqbench.token"
"""Tag by which a run that a delivery had created before it was cut short is found again."""

Operation = Mapping[str, Any]
"""A call to a store, as JSON types: ``op`` says which, see :func:`perform`."""

_FOLDER = "unlogged"
_OPERATIONS = "operations.jsonl"
_FILES = "files"
_ENTRIES_PER_CALL = {"metrics": 1000, "parameters": 100, "tags": 100}  # MLflow's limits

_logger = logging.getLogger(__name__)


def create_run(client: MlflowClient, operation: Operation) -> str:
    """Start the run that an operation ``create`` describes, and return its identifier.

    Args:
        client: MLflow's client of the store.
        operation: ``experiment`` by name, ``tags``, ``name``, ``time`` in ms since 1970.
    """
    experiment = client.get_experiment_by_name(operation["experiment"])
    if experiment is None:
        experiment_id = client.create_experiment(operation["experiment"])
    else:
        experiment_id = experiment.experiment_id
        query = f"tags.`{TOKEN}` = '{operation['tags'][TOKEN]}'"
        for run in client.search_runs([experiment_id], query, max_results=1):
            return str(run.info.run_id)
    run = client.create_run(
        experiment_id,
        start_time=operation["time"],
        tags=operation["tags"],
        run_name=operation["name"],
    )
    return str(run.info.run_id)


def perform(client: MlflowClient, run_id: str, operation: Operation, files: Path) -> None:
    """Do to a run what an operation says; doing it twice is doing it once.

    Args:
        client: MLflow's client of the store.
        run_id: of the run.
        operation: ``metrics`` (``values``, ``step``, ``time``), ``parameters`` or ``tags``
            (``values``), ``text`` (``text``, ``name``), ``file`` (``path``, ``folder``) or ``end``
            (``status``, ``time``).
        files: folder that a relative ``path`` is in.
    """
    from mlflow.entities import Metric, Param, RunTag

    kind = operation["op"]
    if kind == "text":
        client.log_text(run_id, operation["text"], operation["name"])
    elif kind == "file":
        client.log_artifact(run_id, str(files / operation["path"]), operation["folder"])
    elif kind == "end":
        client.set_terminated(run_id, operation["status"], end_time=operation["time"])
    else:
        entries: list[Any] = []
        for name, value in operation["values"].items():
            if kind == "metrics":
                entries.append(Metric(name, value, operation["time"], operation["step"]))
            else:
                entries.append((Param if kind == "parameters" else RunTag)(name, value))
        keyword = "params" if kind == "parameters" else str(kind)
        size = _ENTRIES_PER_CALL[kind]
        for start in range(0, len(entries), size):
            some: dict[str, Any] = {keyword: entries[start : start + size]}
            client.log_batch(run_id, **some)


@dataclass(frozen=True)
class Spool:
    """The operations of one run that wait; they are kept in order, and each in one write.

    Args:
        folder: its own, see :func:`new_spool`. A lock there is held as long as the run writes.
        lock: that lock.
    """

    folder: Path
    lock: FileLock = field(repr=False)

    def append(self, operation: Operation) -> None:
        """Keep an operation; a file that it names is copied.

        Raises:
            OSError: the disk does not take it.
        """
        if operation["op"] == "file":
            kept = self.folder / _FILES / (operation["folder"] or "")
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy2(operation["path"], kept)
            path = (kept / Path(operation["path"]).name).relative_to(self.folder / _FILES)
            operation = {**operation, "path": str(path)}
        with (self.folder / _OPERATIONS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(operation) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def new_spool(address: Address, run_id: str) -> Spool:
    """Make the folder in which the operations of a run wait.

    Args:
        address: of the store. Its URI, with a password if it has one, is kept for this user alone.
        run_id: of the run; empty if the store has not created it yet.

    Raises:
        OSError: the disk does not take it.
    """
    folder = Path.cwd() / RUNS_FOLDER / _FOLDER / (run_id or uuid.uuid4().hex)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    lock.acquire()
    operations = folder / _OPERATIONS
    operations.touch(mode=0o600)
    spool = Spool(folder, lock)
    if not operations.stat().st_size:
        spool.append({"op": "store", "uri": address.uri, "run_id": run_id})
    return spool


def waiting() -> list[Path]:
    """Return the folders of the working directory in which something waits."""
    return sorted(path.parent for path in Path(RUNS_FOLDER, _FOLDER).glob(f"*/{_OPERATIONS}"))


@dataclass(frozen=True)
class Delivered:
    """What a delivery did.

    Args:
        runs: identifiers of the runs that are now in their store.
        left: why others still wait, by folder.
    """

    runs: list[str]
    left: dict[Path, str]


def deliver(only: Address | None = None) -> Delivered:
    """Bring to their stores what waits in the working directory, and remove it here.

    A run that is still being trained keeps its own. A run whose process ended without saying how
    is ended as KILLED.

    Args:
        only: the store that is meant; None for all.
    """
    runs: list[str] = []
    left: dict[Path, str] = {}
    silent: dict[str, str] = {}  # a store that does not answer is asked once
    for folder in waiting():
        uri = ""
        try:
            with FileLock(folder / "lock", timeout=0):
                operations = _read(folder)
                uri = operations[0]["uri"]
                if only is not None and uri != only.uri:
                    continue
                if uri in silent:
                    left[folder] = silent[uri]
                    continue
                with mlflow_client.quiet():
                    client = mlflow_client.connect(locate(uri))
                    runs.append(replay(client, operations, folder / _FILES))
                shutil.rmtree(folder)
        except Timeout:
            left[folder] = "its trial is still running"
        except _Damaged as error:
            left[folder] = str(error)
        except Exception as error:  # MLflow's, SQLAlchemy's, requests' and the system's
            reason = "does not answer" if mlflow_client.is_silence(error) else first_line(error)
            left[folder] = f"{locate(uri).shown if uri else folder}: {reason}"
            if uri:
                silent[uri] = left[folder]
    return Delivered(runs, left)


def replay(client: MlflowClient, operations: list[Operation], files: Path) -> str:
    """Do to a store all that waited, in order, and return the run's identifier.

    Args:
        client: MLflow's client of the store.
        operations: the first one says which run.
        files: folder of the files that wait.
    """
    run_id = str(operations[0]["run_id"])
    ended = False
    for operation in operations[1:]:
        if operation["op"] == "create":
            run_id = create_run(client, operation)
        else:
            perform(client, run_id, operation, files)
        ended = ended or operation["op"] == "end"
    if not ended:
        client.set_tag(run_id, "seqbench.reason", "its process ended without saying so")
        client.set_terminated(run_id, "KILLED", end_time=int(1000 * time.time()))
    return run_id


def replay_folder(client: MlflowClient, folder: Path) -> str:
    """Bring to a store what waits in a folder, and remove it; see :func:`replay`.

    Raises:
        Timeout: another process delivers it, or its trial is still running.
    """
    with FileLock(folder / "lock", timeout=0):
        run_id = replay(client, _read(folder), folder / _FILES)
        shutil.rmtree(folder)
    return run_id


def announce(delivered: Delivered) -> None:
    """Say what was delivered by itself, and what still waits."""
    if delivered.runs:
        number = len(delivered.runs)
        what = "1 run" if number == 1 else f"{number} runs"
        _logger.warning("The tracking store took %s that had waited here", what)
    for folder, reason in delivered.left.items():
        _logger.warning("%s still waits (%s)", readable_path(folder), reason)


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    pass


def _read(folder: Path) -> list[Operation]:
    """Return what waits in a folder; a last line that was being written is left out."""
    lines = (folder / _OPERATIONS).read_text(encoding="utf-8").split("\n")
    operations: list[Operation] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            operations.append(json.loads(line))
        except ValueError as error:
            raise _Damaged(f"line {number} of {_OPERATIONS} is damaged") from error
    if not operations or operations[0].get("op") != "store":
        raise _Damaged(f"{_OPERATIONS} does not say of which store it is")
    return operations
