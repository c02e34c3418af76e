"""MLflow, brought up quietly: no telemetry, no waiting for minutes, no log lines, no warnings."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.tracking.address import Address

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
    """Set MLflow's variables in this process and its children; the user's own values stand.

    Telemetry is off whatever they say.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _PRIVATE:
        os.environ[name] = "true"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of MLflow and what it imports from the user; what goes wrong raises anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def connect(address: Address) -> MlflowClient:
    """Import MLflow and return its client of a store; call it inside :func:`quiet`."""
    load()
    from mlflow.tracking import MlflowClient

    return MlflowClient(address.uri, registry_uri=address.uri)


def create_database(draft: Path, artifacts: Path, experiment: str) -> None:
    """Make a complete store in a new SQLite file, with an experiment; takes seconds.

    Args:
        draft: the file.
        artifacts: folder of the runs' files; need not exist yet.
        experiment: its name.
    """
    load()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{draft}", str(artifacts))  # type: ignore[no-untyped-call]
    try:
        store.create_experiment(  # type: ignore[no-untyped-call]
            experiment, artifact_location=str(artifacts)
        )
    finally:
        store.engine.dispose()


def load() -> None:
    """Import MLflow with its logging silenced: a failing call is heard as an exception."""
    set_environment()
    with quiet():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    for name in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells every retry


def first_line(error: BaseException) -> str:
    """Return what an exception says, in one line of bearable length."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip().rstrip(".") if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def is_silence(error: BaseException | None) -> bool:
    """Return whether an exception comes from a server that cannot be reached or does not answer."""
    from requests.exceptions import ConnectionError as Unreachable
    from requests.exceptions import Timeout as Late

    while error is not None:
        if isinstance(error, Unreachable | Late):
            return True
        error = error.__cause__ or error.__context__
    return False
