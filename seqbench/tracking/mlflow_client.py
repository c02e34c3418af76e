"""Imports MLflow quietly: no telemetry, no long timeouts, no log lines, no warnings."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.config.uris import path_of, uri_of
from seqbench.errors import Refused
from seqbench.tracking.address import OTHERWISE, Address
from seqbench.tracking.environment import version

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that does not answer would block each call for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_PRIVATE = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")


def set_environment() -> None:
    """Set MLflow's variables in this process and its children; the user's own values win.

    Telemetry is always off.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _PRIVATE:
        os.environ[name] = "true"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of MLflow and its imports; failures still raise exceptions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def connect(address: Address) -> MlflowClient:
    """Import MLflow and return its client of a store; call it inside :func:`quiet`.

    Raises:
        Refused: an embedded store has the tables of another MLflow, which would change them.
    """
    load()
    from mlflow.tracking import MlflowClient

    if address.database is not None and (opened := path_of(address.uri)) is not None:
        _check_schema(address, opened)

    return MlflowClient(address.uri, registry_uri=address.uri)


def _check_schema(address: Address, database: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{uri_of(database)}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:  # MLflow says what is wrong with it
        return
    order = _schemas()
    for (revision,) in found:
        if revision not in order:
            raise Refused(
                f"{address.shown} was written by a newer or another MLflow: its schema {revision} "
                f"is unknown to MLflow {version('mlflow')}; install that one, or {OTHERWISE}"
            )
        if revision != order[0]:
            command = [sys.executable, "-m", "mlflow", "db", "upgrade", address.uri]
            raise Refused(
                f"{address.shown} was made by an older MLflow; copy it as a backup, then run: "
                f"{shlex.join(command)}"
            )


@lru_cache(maxsize=1)
def _schemas() -> list[str]:
    """Return the versions of a store's tables that MLflow knows, the latest first."""
    import mlflow
    from alembic.script import ScriptDirectory

    folder = Path(str(mlflow.__file__)).parent / "store" / "db_migrations"
    return [script.revision for script in ScriptDirectory(str(folder)).walk_revisions()]


class LateClient:
    """MLflow's client of a store that cannot be opened now; each use tries again."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def __getattr__(self, name: str) -> Any:
        return getattr(connect(self._address), name)


def experiment_id(client: MlflowClient, name: str, address: Address) -> str:
    """Return MLflow's identifier of an experiment, which is created if it does not exist.

    Raises:
        Refused: it was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        artifacts = None if address.artifacts is None else uri_of(address.artifacts)
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except Exception:
            experiment = client.get_experiment_by_name(name)  # another process was faster
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise Refused(
            f"experiment '{name}' was deleted in {address.shown}; name another with "
            "tracking.experiment=NAME, or restore it with `mlflow experiments restore`"
        )
    return experiment.experiment_id


def create_database(draft: Path, artifacts: Path, experiment: str) -> None:
    """Make a complete store in a new SQLite file, with an experiment; takes seconds.

    Args:
        draft: the file.
        artifacts: folder of the runs' files; need not exist yet.
        experiment: its name.
    """
    load()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri_of(draft, "sqlite"), uri_of(artifacts))  # type: ignore[no-untyped-call]
    try:
        store.create_experiment(  # type: ignore[no-untyped-call]
            experiment, artifact_location=uri_of(artifacts)
        )
    finally:
        store.engine.dispose()


def load() -> None:
    """Import MLflow with its logging silenced: a failing call still raises an exception."""
    set_environment()
    with quiet():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        from mlflow.store.db import utils
    # It makes the folder of a database, and takes the escaped path of its address for the path.
    utils._make_parent_dirs_if_sqlite = lambda _: None  # type: ignore[assignment]
    for name in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells every retry


def is_silence(error: BaseException | None) -> bool:
    """Return whether a store is unavailable, so that further calls would only wait.

    A server cannot be reached, does not answer or fails; a database is locked, read-only or on a
    full disk.
    """
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import RetryError, Timeout
    from sqlalchemy.exc import OperationalError

    while error is not None:
        if isinstance(error, Unreachable | Timeout | RetryError | OperationalError):
            return True
        error = error.__cause__ or error.__context__
    return False


def why(address: Address, error: BaseException) -> str:
    """Return in one line why a store failed."""
    if address.is_server and is_silence(error):
        return "does not answer"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """Return an exception's message in one short line, without passwords."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip().rstrip(".") if lines else type(error).__name__
    text = re.sub(r"://[^/\s@]+@", "://", text)
    return text if len(text) <= 160 else f"{text[:157]}..."


def unusable(address: Address, error: Exception) -> Refused:
    """Return the refusal for a store that raised; a refusal stays what it says."""
    if isinstance(error, Refused):
        return error
    if address.is_server:
        reason = f"refuses: {first_line(error)}; "
        if is_silence(error):
            reason = "does not answer; start it, or "
        return Refused(
            f"the tracking server {address.shown} {reason}"
            "name another with tracking.uri, or use tracking=none"
        )
    if "database schema" in str(error):
        return Refused(
            f"the tables of {address.shown} are another MLflow's; where that was older, make a "
            f"backup, then run: {shlex.quote(sys.executable)} -m mlflow db upgrade URI"
        )
    return Refused(f"the tracking store {address.shown} cannot be used: {first_line(error)}")
