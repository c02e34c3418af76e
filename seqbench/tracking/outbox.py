"""Operations that a tracking store did not take; they wait on disk until they are delivered."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from seqbench.errors import Refused
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import Address, beside, is_ready, locate, readable_path, states
from seqbench.tracking.mlflow_client import first_line, is_silence, why
from seqbench.tracking.operations import REASON, RECORD, Operation, Place, create_run, perform

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_FOLDER = "unlogged"
_OPERATIONS = "operations.jsonl"
_FILES = "files"

_logger = logging.getLogger(__name__)


class Outbox:
    """The waiting operations of one run, in order; each is written to disk in one write.

    If the disk fails, operations stay in memory and are written with the next one. A lock is held
    while the run writes, so that no other process delivers a part of it.

    Args:
        address: of the store. Its URI, with a password if it has one, is kept for this user alone.
        run_id: of the run; empty if the store has not created it yet.
        token: names the folder of a run without an identifier.
    """

    def __init__(self, address: Address, run_id: str, token: str = "") -> None:
        self.folder = address.state / _FOLDER / (run_id or token)
        # A store may be moved, together with what waits beside it.
        where = {"database": address.database.name} if address.database else {"uri": address.uri}
        self.operations: list[Operation] = [{"op": "store", **where, "run_id": run_id}]
        """All of them; a file's path is absolute here."""
        self._unwritten = [0]
        self._fault = ""
        self._lock = _lock(self.folder)

    def append(self, operation: Operation) -> None:
        """Add an operation; a file that it names is copied."""
        self.operations.append(operation)
        fault = ""
        left: list[int] = []
        for number in [*self._unwritten, len(self.operations) - 1]:
            try:
                if left and self.operations[left[0]]["op"] in ("store", "create"):
                    left.append(number)  # nothing goes before these
                else:
                    self._write(number)
            except (OSError, Timeout) as error:
                left.append(number)
                fault = first_line(error)
        self._unwritten = left
        if fault and not self._fault:
            shown = readable_path(self.folder)
            _logger.warning("What it does not take cannot be kept in %s (%s)", shown, fault)
        self._fault = fault

    def lost(self) -> list[str]:
        """Return the operations that are only in memory, which are lost if not delivered now."""
        lost = [self.operations[number] for number in self._unwritten if number]
        names = [item.get("path") or item.get("name") or item["op"] for item in lost]
        return list(dict.fromkeys(Path(name).name for name in names))

    @property
    def is_kept(self) -> bool:
        """Whether any operation is on disk."""
        return 0 not in self._unwritten

    def release(self) -> None:
        """Release the lock, so that other processes can deliver the operations."""
        if self.is_kept:
            self._lock.release()
        else:
            self.remove()

    def remove(self) -> None:
        """Remove the operations from disk, after they have been delivered."""
        with suppress(OSError):  # what stays is delivered once more, which changes nothing
            _remove(self.folder)
        self._lock.release()

    def _write(self, number: int) -> None:
        operation = self.operations[number]
        if not self._lock.is_locked:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        if operation["op"] == "file":
            files = self.folder / _FILES
            copy = files / (operation["folder"] or "") / Path(operation["path"]).name
            if operation["path"] != str(copy):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(operation["path"], copy)
                self.operations[number] = {**operation, "path": str(copy)}
            operation = {**operation, "path": str(copy.relative_to(files))}
        line = f"{json.dumps(operation)}\n".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        stream = os.open(self.folder / _OPERATIONS, flags, 0o600)
        try:
            size = os.fstat(stream).st_size
            try:
                while line:
                    line = line[os.write(stream, line) :]
                os.fsync(stream)
            except OSError:
                os.ftruncate(stream, size)  # half a line would spoil the next one
                raise
        finally:
            os.close(stream)


def waiting(address: Address | None = None) -> list[Path]:
    """Return the folders with waiting operations, here and beside a store, or the default one."""
    folders = [state / _FOLDER for state in states(address)]
    return sorted(path.parent for folder in folders for path in folder.glob(f"*/{_OPERATIONS}"))


@dataclass(frozen=True)
class Delivered:
    """The result of a delivery.

    Args:
        runs: identifiers of the runs that were delivered.
        left: by folder, why its operations still wait.
        busy: folders of runs that still train, or that another process is delivering.
    """

    runs: list[str]
    left: dict[Path, str]
    busy: list[Path]


def deliver(only: Address | None = None) -> Delivered:
    """Deliver what waits in the working directory and beside a store, and remove it from disk.

    Operations of a run that still trains stay. If a run's process died, the run is ended as KILLED.

    Args:
        only: deliver to this store only; None for all stores that are waited for here.
    """
    delivered = Delivered([], {}, [])
    silent: dict[Address, str] = {}  # a store that does not answer is asked once
    for folder in waiting(only):
        try:
            address, operations = _read(folder)
            if only is not None and address is not None and address.uri != only.uri:
                continue
            with _lock(folder):
                address, operations = _read(folder)
                if address is None:  # its process died before it could say anything
                    _remove(folder)
                elif address in silent:
                    delivered.left[folder] = silent[address]
                else:
                    try:
                        delivered.runs.append(_deliver(folder, address, operations))
                    except Exception as error:  # MLflow's, the system's, or of odd operations
                        reason = f"{address.shown}: {why(address, error)}"
                        delivered.left[folder] = reason
                        if is_silence(error):
                            silent[address] = reason
        except Timeout:
            delivered.busy.append(folder)
        except FileNotFoundError:  # another process has delivered it meanwhile
            _lock_path(folder).unlink(missing_ok=True)
        except (OSError, _Damaged) as error:
            delivered.left[folder] = first_line(error)
    return delivered


def _deliver(folder: Path, address: Address, operations: Sequence[Operation]) -> str:
    """Deliver what waits in a folder, which is locked."""
    if address.database is not None and not is_ready(address.database, write=True):
        raise Refused("it does not exist; the next trial makes it")
    with mlflow_client.quiet():
        client = mlflow_client.connect(address)
        place = replay(client, address, operations, folder / _FILES)
    _remove(folder)
    return place.run_id


def replay(
    client: MlflowClient, address: Address, operations: Sequence[Operation], files: Path
) -> Place:
    """Apply all waiting operations to a store, in order, and return the run.

    If an operation is refused, the later ones are still applied; above all, the run is ended.

    Args:
        client: MLflow's client of the store.
        address: of the store.
        operations: the first one identifies the run.
        files: folder of the waiting files.

    Raises:
        Exception: the first exception that an operation raised.
    """
    place = Place(operations[0]["run_id"])
    refused: Exception | None = None
    for operation in [*operations[1:], *_end_of(operations)]:
        if operation["op"] == "create":
            place = create_run(client, address, operation)
            continue
        try:
            if operation["op"] == "end" and operation["status"] == "FINISHED":
                _take_back(client, place.run_id)
            perform(client, place.run_id, _placed(operation, place), files)
        except Exception as error:
            refused = refused or error
            if is_silence(error):
                break
    if refused is not None:
        raise refused
    return place


def _end_of(operations: Sequence[Operation]) -> list[Operation]:
    """Return how a run ends whose process ended without saying so."""
    if any(operation["op"] == "end" for operation in operations):
        return []
    reason = {REASON: "its process ended without saying so"}
    return [
        {"op": "tags", "values": reason},
        {"op": "end", "status": "KILLED", "time": int(1000 * time.time())},
    ]


def _take_back(client: MlflowClient, run_id: str) -> None:
    """Remove the reason that others gave for a run that had ended, as they could not know."""
    if REASON in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, REASON)


def _placed(operation: Operation, place: Place) -> Operation:
    """Return an operation as it would be, had its run been in the store from the start."""
    if not place.location or operation.get("name") != RECORD:
        return operation
    record = {**json.loads(operation["text"]), **place._asdict()}
    return {**operation, "text": json.dumps(record, indent=2, sort_keys=True) + "\n"}


def announce(delivered: Delivered) -> None:
    """Report what was delivered without a command, and what still waits."""
    if delivered.runs:
        number = len(delivered.runs)
        what = "1 run" if number == 1 else f"{number} runs"
        _logger.warning("The tracking store took %s that had waited here", what)
    left = Counter((folder.parent, reason) for folder, reason in delivered.left.items())
    for (parent, reason), number in left.items():
        what = "1 run still waits" if number == 1 else f"{number} runs still wait"
        _logger.warning("%s in %s (%s)", what, readable_path(parent), reason)


def _lock(folder: Path) -> FileLock:
    """Return the lock of a folder; it lies beside, so that it outlives it."""
    return FileLock(_lock_path(folder), timeout=0)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    """Remove a folder that is locked; one that is cut short leaves nothing that waits."""
    (folder / _OPERATIONS).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    _lock_path(folder).unlink(missing_ok=True)


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    pass


def _read(folder: Path) -> tuple[Address | None, list[Operation]]:
    """Return what waits in a folder, and for which store; None if not even that was written.

    A last line that was being written is left out.
    """
    operations: list[Operation] = []
    for number, line in enumerate((folder / _OPERATIONS).read_bytes().split(b"\n")[:-1], start=1):
        try:
            operation = json.loads(line)
        except ValueError as error:
            raise _Damaged(f"line {number} of {_OPERATIONS} is damaged") from error
        if not isinstance(operation, dict) or "op" not in operation:
            raise _Damaged(f"line {number} of {_OPERATIONS} is damaged")
        operations.append(operation)
    if not operations:
        return None, operations
    try:
        if "database" in operations[0]:
            return beside(folder.parent.parent, str(operations[0]["database"])), operations
        if operations[0]["op"] == "store":
            return locate(operations[0]["uri"]), operations
    except (KeyError, AttributeError, Refused):
        pass
    raise _Damaged(f"{_OPERATIONS} does not say of which store it is")
