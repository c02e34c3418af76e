"""The tracking store's address: as a user writes it and as MLflow takes it. No MLflow here."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from seqbench.config.machine import why_unwritable
from seqbench.config.settings import TrackingSettings
from seqbench.config.uris import uri_of
from seqbench.errors import Refused, did_you_mean
from seqbench.tracking.readonly import readable

RUNS_FOLDER = "seqbench-runs"
"""Folder in the working directory of what is kept where no setting names another place."""
DATABASE_NAME = "mlflow.db"

OTHERWISE = "name another place with tracking.uri=PATH, or use tracking=none"
"""What to do where a store cannot be used."""

_SERVERS = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")
_MANAGED = ("databricks", "databricks-uc", "uc")  # MLflow's words for a hosted store
_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")

SHORT = 8
"""Digits of a run's identifier that a person is shown; any unambiguous prefix finds the run."""


@dataclass(frozen=True)
class Address:
    """Where a tracking store is.

    Args:
        uri: MLflow's form; paths in it are absolute.
        shown: form for users: a path relative to the working directory where possible, or a
            URL without user name and password.
        database: the SQLite file, or None for a server or another database.
    """

    uri: str
    shown: str
    database: Path | None = None

    @property
    def artifacts(self) -> Path | None:
        """The folder of the runs' files, beside the SQLite file; None if a server keeps them."""
        return None if self.database is None else self.database.parent / "artifacts"

    @property
    def state(self) -> Path:
        """The folder of what else is kept: checkpoints, tunings, and what waits for the store.

        It is that of the SQLite file; where a server keeps the runs, one in the working directory.
        """
        return Path(RUNS_FOLDER).absolute() if self.database is None else self.database.parent

    @property
    def name(self) -> str:
        """What tells it apart from other stores with the same :attr:`state`."""
        return self.shown if self.database is None else self.database.name

    @property
    def for_reading(self) -> Address:
        """It, with the URI of a copy if it is a file that cannot be written."""
        if self.database is None:
            return self
        return replace(self, uri=uri_of(readable(self.database), "sqlite"))

    @property
    def option(self) -> str:
        """The word of a command that names it, quoted for a shell; empty for the default."""
        if self.uri == locate(None).uri:
            return ""
        return shlex.quote(f"tracking.uri={self.shown if self.database is None else self.written}")

    @property
    def written(self) -> str:
        """What ``tracking.uri`` says to mean a file."""
        return f"sqlite:///{self.shown}"

    @property
    def is_server(self) -> bool:
        """Whether runs are logged over HTTP."""
        return self.uri.startswith(tuple(f"{scheme}:" for scheme in _SERVERS))

    def location(self, experiment_id: str, run_id: str) -> str:
        """Return where a run is, for users: the store and the short run, or its page."""
        if self.is_server:
            return f"{self.shown.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
        return f"{self.shown} run {run_id[:SHORT]}"


def locate(uri: str | None) -> Address:
    """Return the address that ``tracking.uri`` means; the file system is not touched.

    Args:
        uri: an ``http(s)://`` server, ``sqlite:///file.db``, another database that MLflow knows, or
            a path: a database if it ends in ``.db``, ``.sqlite`` or ``.sqlite3``, otherwise a
            folder that holds one. A path is taken as it is written, also after ``sqlite:///``:
            ``#``, ``?`` and ``%`` are characters of a name. None takes the environment variable
            ``MLFLOW_TRACKING_URI``, and without that ``seqbench-runs/mlflow.db`` in the working
            directory.

    Raises:
        Refused: a scheme that no store understands, or a path that cannot be one.
    """
    name = "tracking.uri"
    if uri is None:
        uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        name = "MLFLOW_TRACKING_URI"
    elif not uri.strip():
        raise Refused(
            "tracking.uri must not be empty; leave it out for the store in seqbench-runs/"
        )
    if not uri:
        return _sqlite(Path(RUNS_FOLDER, DATABASE_NAME))
    if uri.lower() in _MANAGED:
        raise Refused(
            f"{name}={uri}: hosted stores are not supported; name a server http://host:port, or "
            f"write ./{uri} for a folder"
        )
    scheme, colon, rest = uri.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]+", scheme):
        try:
            path = Path(uri).expanduser()
        except RuntimeError as error:
            raise Refused(f"{name}={uri}: there is no such user; write the whole path") from error
        return _sqlite(path if path.suffix in _DATABASE_SUFFIXES else path / DATABASE_NAME)
    dialect = scheme.lower().partition("+")[0]
    if dialect == "sqlite":
        if not rest.startswith("///") or rest in ("///", "///:memory:"):
            raise Refused(
                f"{name}={uri} names no file; write sqlite:///relative.db or sqlite:////absolute.db"
            )
        return _sqlite(Path(rest[3:]))
    if dialect in _DATABASES or scheme.lower() in _SERVERS:
        if not urlsplit(uri).netloc:
            raise Refused(f"{name}={_without_password(uri)} names no host; write {dialect}://host")
        return Address(uri, _without_password(uri))
    known = ("sqlite", *_SERVERS, *_DATABASES)
    raise Refused(
        f"{name}={_without_password(uri)}: unknown scheme '{scheme}'"
        f"{did_you_mean(dialect, known)}; write a path (with ./ before one that holds a colon), "
        "sqlite:///file.db or http://host:port"
    )


def states(address: Address | None = None) -> set[Path]:
    """Return the folders in which something may wait for a store, or for the default one."""
    return {Path(RUNS_FOLDER).absolute(), (address or locate(None)).state}


def beside(state: Path, name: str) -> Address:
    """Return the address of a SQLite file, by its name and by what :attr:`Address.state` says."""
    return _sqlite(state / name)


def readable_path(path: Path) -> str:
    """Return a path for users: relative to the working directory if it is inside."""
    absolute = path.absolute()
    here = Path.cwd()
    inside = absolute.is_relative_to(here) and here != here.parent  # all is inside the root
    return str(absolute.relative_to(here) if inside else absolute)


def is_ready(database: Path, *, write: bool = False) -> bool:
    """Return whether a complete store stands in a SQLite file; False if there is none yet.

    Args:
        database: the file.
        write: whether it is to be written, too.

    Raises:
        Refused: the file is no store of MLflow's, cannot be read, or cannot be written as it is to.
    """
    shown = readable_path(database)
    try:
        if not database.exists() or database.stat().st_size == 0:
            return False
        opened = database if write else readable(database)
        with closing(sqlite3.connect(opened, timeout=10)) as connection:
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {name for (name,) in connection.execute(query)}
            if write:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
    except (OSError, sqlite3.Error) as error:
        raise Refused(f"the tracking store {shown} cannot be used: {error}; {OTHERWISE}") from error
    if "alembic_version" not in tables:
        raise Refused(
            f"{shown} is a database, but not a tracking store; choose another tracking.uri"
        )
    return True


def check_writable(address: Address) -> None:
    """Refuse a store that takes no run, or cannot keep a run's files; nothing is made.

    Raises:
        Refused: the file, or a folder beside it, cannot be written.
    """
    if address.database is not None:
        is_ready(address.database, write=True)
    for folder in (address.state, address.artifacts, address.state / "unfinished"):
        if folder is not None and (reason := why_unwritable(folder)):
            raise _unwritable(folder, reason)


def make_folder(database: Path) -> None:
    """Make the folder of a store that is to be created.

    Raises:
        Refused: it cannot be made or written.
    """
    folder = database.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    if reason := why_unwritable(folder):
        raise _unwritable(folder, reason)


def _unwritable(folder: Path, reason: str) -> Refused:
    return Refused(f"cannot write the tracking store's folder {folder}: {reason}; {OTHERWISE}")


def _sqlite(path: Path) -> Address:
    database = path.absolute()
    if "\0" in str(path) or str(path).encode(errors="ignore").decode() != str(path):
        raise Refused(f"a tracking store's path must be text in UTF-8, not {str(path)!r}")
    return Address(uri_of(database, "sqlite"), readable_path(database), database)


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def no_store_yet(address: Address) -> Refused:
    """Return the refusal for reading an embedded store that no trial has made yet."""
    from seqbench.config.command import command, store_words

    is_usual = address.database == Path(RUNS_FOLDER, DATABASE_NAME).absolute()
    words = [] if is_usual else store_words(TrackingSettings(uri=address.shown))
    return Refused(
        f"no runs yet: {address.shown} does not exist; "
        f"run a trial first, for example: {command('experiment=smoke', words)}"
    )
