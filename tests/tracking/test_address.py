"""What tracking.uri may say, and what stands in the way of opening it."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.config.uris import path_of, uri_of
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import locate
from seqbench.tracking.store import Store, open_store

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


def make_older(database: Path, age: int) -> str:
    """Make the tables of a store as MLflow made them some versions ago, and return which."""
    mlflow_client.load()
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = uri_of(database.absolute(), "sqlite")
    revision = mlflow_client._schemas()[age]
    engine, config = sqlalchemy.create_engine(uri), _get_alembic_config(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return revision


class TestAddress:
    """What a user may write as tracking.uri, and what it means."""

    def test_default_is_in_the_working_directory(self, tmp_path: Path) -> None:
        address = locate(None)
        assert tmp_path / "seqbench-runs/mlflow.db" == address.database
        assert tmp_path / "seqbench-runs/artifacts" == address.artifacts
        assert address.shown == "seqbench-runs/mlflow.db"

    @pytest.mark.parametrize(
        ("uri", "database"),
        [
            ("sqlite:///x.db", "x.db"),
            ("here/x.db", "here/x.db"),
            ("here", "here/mlflow.db"),
            ("here.d", "here.d/mlflow.db"),
        ],
    )
    def test_paths(self, tmp_path: Path, uri: str, database: str) -> None:
        """A path ending like a database is one; any other path is a folder that holds one."""
        assert tmp_path / database == locate(uri).database

    @pytest.mark.parametrize("name", ["e.db#2", "e.db?timeout=3", "a%23b.db", "50%.db", " e.db"])
    def test_no_character_has_a_meaning_of_its_own(self, tmp_path: Path, name: str) -> None:
        """After ``sqlite:///`` stands a path as it is, and every address leads back to it."""
        address = locate(f"sqlite:///{name}")
        assert tmp_path / name == address.database == path_of(address.uri)
        assert tmp_path / f"{name}.d" / "mlflow.db" == locate(f"./{name}.d").database
        assert address == locate(address.written)

    def test_absolute_sqlite(self) -> None:
        assert Path("/data/x.db") == locate("sqlite:////data/x.db").database

    def test_environment_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """MLflow's own variable counts where the configuration names no store."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
        assert locate(None).uri == "http://tracker:5000"
        assert locate("x.db").database is not None

    def test_password_is_not_shown(self) -> None:
        address = locate("https://me:secret@tracker:5000/path")
        assert address.shown == "https://tracker:5000/path"
        assert address.uri == "https://me:secret@tracker:5000/path"

    @pytest.mark.parametrize(
        ("uri", "message"),
        [
            ("htpp://x:5000", "unknown scheme 'htpp' (did you mean 'http'?)"),
            ("sqlite://x.db", "write sqlite:///relative.db"),
            ("sqlite:///", "names no file"),
            ("sqlite:///:memory:", "names no file"),
            ("http:x", "names no host"),
            ("file://host/runs", "unknown scheme 'file'"),
            ("ftp://me:secret@x", "tracking.uri=ftp://x:"),
            ("", "must not be empty"),
            ("~no-such-user/x", "there is no such user; write the whole path"),
            ("ab:c/x", "with ./ before one that holds a colon"),
            ("a\0b", "must be text"),
            ("a\udcffb", "must be text"),
            ("databricks", "tracking.uri=databricks: hosted stores are not supported"),
            ("databricks-uc", "write ./databricks-uc for a folder"),
            ("uc", "hosted stores are not supported"),
        ],
    )
    def test_refusals_are_one_line(self, uri: str, message: str) -> None:
        with pytest.raises(Refused) as refusal:
            locate(uri)
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)


class TestOpening:
    """What stands in the way of a store is one line, and nothing is half-made."""

    def test_tracking_none_has_no_store(self) -> None:
        with pytest.raises(Refused, match="tracking=none keeps no runs"):
            open_store(TrackingSettings(enabled=False))

    def test_reading_makes_no_store(self, tmp_path: Path) -> None:
        """Without a store there is nothing to read, and reading leaves nothing behind."""
        with pytest.raises(Refused, match=r"no runs yet: seqbench-runs/mlflow\.db does not exist"):
            open_store(TrackingSettings(), create=False)
        assert list(tmp_path.iterdir()) == []

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Refused, match="cannot write the tracking store's folder"):
            open_store(TrackingSettings(uri=str(tmp_path / "file" / "runs")))

    def test_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("hello " * 1000)
        with pytest.raises(Refused, match=r"x\.db cannot be used: file is not a database"):
            open_store(TrackingSettings(uri="x.db"))
        assert (tmp_path / "x.db").read_text() == "hello " * 1000

    def test_database_of_something_else(self, tmp_path: Path) -> None:
        connection = sqlite3.connect(tmp_path / "x.db")
        connection.execute("CREATE TABLE addresses (name TEXT)")
        connection.close()
        with pytest.raises(Refused, match="not a tracking store"):
            open_store(TrackingSettings(uri="x.db"))

    def test_store_of_a_newer_mlflow(self, store: Store, folder: Path, tmp_path: Path) -> None:
        """A schema that this MLflow does not know is refused, and no upgrade is advised."""
        shutil.copy(folder / "mlflow.db", tmp_path / "x.db")
        connection = sqlite3.connect(tmp_path / "x.db")
        connection.execute("UPDATE alembic_version SET version_num = 'of-another-mlflow'")
        connection.commit()
        connection.close()
        with pytest.raises(Refused, match="written by a newer or another MLflow: its") as refusal:
            open_store(TrackingSettings(uri="x.db"))
        assert "upgrade" not in str(refusal.value)
        assert len(str(refusal.value)) < 300

    @pytest.mark.slow
    @pytest.mark.parametrize("age", [1, 20])
    def test_store_of_an_older_mlflow(self, age: int, tmp_path: Path) -> None:
        """It is not changed, and the command that is advised makes it usable."""
        revision = make_older(Path("old #1.db"), age)
        for create in (True, False):
            with pytest.raises(Refused, match="was made by an older MLflow; copy it") as refusal:
                open_store(TrackingSettings(uri="sqlite:///old #1.db"), create=create)
            assert len(str(refusal.value)) < 300
        with closing(sqlite3.connect("old #1.db")) as connection:
            (kept,) = connection.execute("SELECT version_num FROM alembic_version")
        assert (revision,) == kept
        command = shlex.split(str(refusal.value).partition("then run: ")[2])
        subprocess.run(command, check=True, capture_output=True, env=os.environ | QUIET)
        assert {} == open_store(TrackingSettings(uri="sqlite:///old #1.db")).count()

    def test_store_is_complete_and_ready_for_many_writers(self, store: Store, folder: Path) -> None:
        """No draft is left, and writers do not wait for readers (write-ahead log)."""
        assert list(folder.glob("*.draft")) == []
        connection = sqlite3.connect(folder / "mlflow.db")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()

    def test_another_experiment(
        self, a_record: Callable[..., TrialRecord], store: Store, folder: Path
    ) -> None:
        """Experiments are made when they are named, and keep their runs apart."""
        run = store.start(a_record(), {}, {})
        other = open_store(TrackingSettings(uri=str(folder), experiment="other"))
        assert other.count() == {}
        with pytest.raises(Refused, match="it has no runs yet"):
            other.find(run.run_id)
        run.finish(a_record())

    def test_reading_finds_every_experiment(
        self, a_record: Callable[..., TrialRecord], folder: Path
    ) -> None:
        """A run is found whatever its experiment is called, and reading makes no experiment."""
        other = open_store(TrackingSettings(uri=str(folder), experiment="elsewhere"))
        run = other.start(a_record(), {}, {})
        run.finish(a_record())
        wanted = TrackingSettings(uri=str(folder), experiment="never made")
        reader = open_store(wanted, create=False)
        assert run.run_id == reader.find(run.run_id[:12]).run_id
        assert reader._client.get_experiment_by_name("never made") is None

    def test_deleted_experiment(self, store: Store, folder: Path) -> None:
        settings = TrackingSettings(uri=str(folder), experiment="gone")
        opened = open_store(settings)
        opened._client.delete_experiment(opened._experiments[0])
        with pytest.raises(Refused, match="experiment 'gone' was deleted"):
            open_store(settings)

    def test_server_that_is_not_there(self) -> None:
        """A dead server is refused in seconds, with what to do."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
            begin = time.monotonic()
            with pytest.raises(
                Refused, match=f"{uri} does not answer; start it.*tracking=none"
            ) as refusal:
                open_store(TrackingSettings(uri=uri))
        assert time.monotonic() - begin < 20
        assert "\n" not in str(refusal.value)

    def test_telemetry_is_off(self, store: Store) -> None:
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert os.environ["DO_NOT_TRACK"] == "true"
