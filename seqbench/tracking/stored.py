"""Finished runs, read back: records, configurations and files."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seqbench.config.uris import path_of
from seqbench.errors import Refused
from seqbench.records import TrialRecord, checkpoint_name
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import SHORT, Address
from seqbench.tracking.mlflow_client import first_line
from seqbench.tracking.operations import RECORD
from seqbench.tracking.tracked import CONFIG

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_T = TypeVar("_T")


class RunFiles:
    """The files of a run: used in place if they are on this machine, otherwise downloaded.

    Args:
        client: MLflow's client of the store.
        run_id: of the run.
        artifact_uri: MLflow's address of the files.
        address: of the store.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, artifact_uri: str, address: Address
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._folder = path_of(artifact_uri)
        self._downloads: Path | None = None
        if self._folder is not None and address.artifacts is not None:
            # MLflow keeps absolute paths, but the store may have been moved or copied since.
            beside = address.artifacts / self._run_id / "artifacts"
            if beside.is_dir() or not self._folder.is_dir():
                self._folder = beside

    @property
    def are_here(self) -> bool:
        """Whether they are on this machine."""
        return self._folder is not None

    def path(self, name: str) -> Path:
        """Return a file of the run; downloads live as long as this object.

        Raises:
            Refused: the run has no such file.
        """
        path = self._download(name) if self._folder is None else self._folder / name
        if not path.is_file():
            raise Refused(f"run {self._run_id[:SHORT]} has no file {name} (looked for {path})")
        return path

    def _download(self, name: str) -> Path:
        if self._downloads is None:
            self._downloads = Path(tempfile.mkdtemp(prefix="seqbench-"))
            weakref.finalize(self, shutil.rmtree, self._downloads, ignore_errors=True)
        folder = (self._downloads / name).parent  # MLflow keeps the file's last name only
        folder.mkdir(parents=True, exist_ok=True)
        with mlflow_client.quiet():
            try:
                return Path(self._client.download_artifacts(self._run_id, name, str(folder)))
            except Exception as error:
                short = self._run_id[:SHORT]
                raise Refused(f"cannot get {name} of run {short}: {first_line(error)}") from error


@dataclass(frozen=True)
class StoredRun:
    """A finished run.

    Args:
        run_id: its identifier.
        record: its record.
        config: its resolved configuration, as :meth:`Store.start` was given it.
        tags: its tags, which include the provenance of its code and data.
        files: its files.
    """

    run_id: str
    record: TrialRecord
    config: dict[str, Any]
    tags: dict[str, str]
    files: RunFiles = field(repr=False)

    def checkpoint_path(self, fold: int) -> Path:
        """Return the weights of a fold's selected epoch, downloaded first if a server keeps them.

        Raises:
            Refused: the run has no checkpoint.
        """
        return self.files.path(checkpoint_name(self.record.folds, fold))


def read_run(client: MlflowClient, run: Run, address: Address) -> StoredRun:
    """Return a run of MLflow as :class:`StoredRun`.

    Raises:
        Refused: it did not finish, or a file of it is missing or damaged.
    """
    run_id = run.info.run_id
    if "seqbench.key" not in run.data.tags:
        raise Refused(f"run {run_id[:SHORT]} is a sweep, and no trial; choose one of its trials")
    if run.info.status != "FINISHED":
        reason = run.data.tags.get("seqbench.reason", "")
        status = f"{run.info.status}: {reason}" if reason else run.info.status
        raise Refused(f"run {run_id[:SHORT]} did not finish ({status}); choose a finished one")
    files = RunFiles(client, run_id, run.info.artifact_uri, address)
    try:
        record, config = read_record(files), read_config(files)
    except Refused as refusal:
        raise refusal.within(f"run {run_id[:SHORT]}") from refusal
    return StoredRun(run_id, record, config, dict(run.data.tags), files)


def read_record(files: RunFiles) -> TrialRecord:
    """Return a run's record.

    Raises:
        Refused: it is missing or damaged.
    """
    return _parsed(files.path(RECORD), TrialRecord.from_json)


def read_config(files: RunFiles) -> dict[str, Any]:
    """Return a run's configuration.

    Raises:
        Refused: it is missing or damaged.
    """
    return _parsed(files.path(CONFIG), _mapping)


def _parsed(path: Path, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"{path.name} is damaged: {first_line(error)} ({path})") from error


def _text(path: Path) -> str:
    """Return a file's text, in which a half of a surrogate pair, no character, is replaced."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if "\\ud" in text.lower():
        whole = json.dumps(json.loads(text), ensure_ascii=False)
        text = whole.encode("utf-8", "replace").decode("utf-8")
    return text


def _mapping(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("it holds no mapping")
    return data
