"""An embedded store: a database in a file, which any number of processes may want at once."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

from filelock import FileLock, Timeout

from seqbench.config.uris import path_of, uri_of
from seqbench.errors import Refused
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import Address, is_ready
from seqbench.tracking.mlflow_client import unusable

_CREATION_TIMEOUT = 300  # seconds that a process waits for another one to create the store


def stay_beside(address: Address) -> None:
    """Let the files of runs be where the store is, if it was moved or copied: MLflow keeps paths.

    Runs whose files were not moved along stay where they are.
    """
    database, artifacts = address.database, address.artifacts
    assert database is not None
    assert artifacts is not None
    with closing(sqlite3.connect(database, timeout=_CREATION_TIMEOUT)) as connection, connection:
        places = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
        for experiment, place in places.fetchall():
            folder = path_of(place or "")
            if folder is None or folder.name != artifacts.name or folder == artifacts:
                continue
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (uri_of(artifacts), experiment),
            )
            runs = connection.execute(
                "SELECT run_uuid FROM runs WHERE experiment_id = ?", (experiment,)
            )
            moved = [
                (uri_of(artifacts / run / "artifacts"), run)
                for (run,) in runs.fetchall()
                if (artifacts / run / "artifacts").is_dir()
            ]
            connection.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", moved)


def create(address: Address, experiment: str) -> None:
    """Make an embedded store, by one process, and by none if another one was faster.

    It is made in a draft that is moved into place: whoever finds a store finds a whole one.

    Raises:
        Refused: it cannot be made, or another process has been making it for too long.
    """
    database, artifacts = address.database, address.artifacts
    assert database is not None
    assert artifacts is not None
    mlflow_client.load()  # takes seconds: not while others wait
    try:
        with FileLock(database.with_name(f"{database.name}.lock"), timeout=_CREATION_TIMEOUT):
            if is_ready(database):
                return
            if sys.stderr.isatty():
                sys.stderr.write(f"Creating the tracking store {address.shown}, once ...\n")
            draft = database.with_name(f"{database.name}.draft")
            draft.unlink(missing_ok=True)  # of a process that was killed here
            try:
                with mlflow_client.quiet():
                    mlflow_client.create_database(draft, artifacts, experiment)
                with closing(sqlite3.connect(draft)) as connection:
                    # Writers do not wait for readers; the mode stays with the file.
                    connection.execute("PRAGMA journal_mode = WAL")
                artifacts.mkdir(exist_ok=True)
                draft.replace(database)
            finally:
                draft.unlink(missing_ok=True)
    except Timeout as error:
        raise Refused(
            f"another process has been creating {address.shown} for {_CREATION_TIMEOUT} s; "
            f"if there is none, remove {error.lock_file}"
        ) from error
    except Refused:
        raise
    except Exception as error:
        raise unusable(address, error) from error
