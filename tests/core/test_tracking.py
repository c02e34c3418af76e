"""Runs are written as they train, read when finished, and never cost a trial."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from seqbench.errors import Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.settings import TrackingSettings
from seqbench.tracking import environment, processes
from seqbench.tracking.address import locate
from seqbench.tracking.runlog import NullRun
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tracked import TrackedRun, flatten

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store(TrackingSettings(uri=str(folder)))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def a_record(**changes: Any) -> TrialRecord:
    fields = {"key": "0123456789abcdef", "task": "music", "model": "lstm", "seed": 3}
    return TrialRecord(**(fields | changes))


def metrics_of(store: Store, run: TrackedRun, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store._client.get_metric_history(run.run_id, key)]


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
            ("file:///data/mlruns", "unknown scheme 'file'"),
            ("ftp://me:secret@x", "tracking.uri=ftp://x:"),
            ("", "must not be empty"),
            ("50%/x", "'?' or '%'"),
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

    def test_store_of_another_mlflow(self, store: Store, folder: Path, tmp_path: Path) -> None:
        """A schema that this MLflow does not know is refused with what MLflow advises."""
        shutil.copy(folder / "mlflow.db", tmp_path / "x.db")
        connection = sqlite3.connect(tmp_path / "x.db")
        connection.execute("UPDATE alembic_version SET version_num = 'of-another-mlflow'")
        connection.commit()
        connection.close()
        with pytest.raises(Refused, match=r"x\.db cannot be used: Detected out-of-date"):
            open_store(TrackingSettings(uri="x.db"))

    def test_store_is_complete_and_ready_for_many_writers(self, store: Store, folder: Path) -> None:
        """No draft is left, and writers do not wait for readers (write-ahead log)."""
        assert list(folder.glob("*.draft")) == []
        connection = sqlite3.connect(folder / "mlflow.db")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()

    def test_another_experiment(self, store: Store, folder: Path) -> None:
        """Experiments are made when they are named, and keep their runs apart."""
        run = store.start(a_record(), {}, {})
        other = open_store(TrackingSettings(uri=str(folder), experiment="other"))
        assert other.count() == {}
        with pytest.raises(Refused, match="it has no runs yet"):
            other.find(run.run_id)
        run.finish(a_record())

    def test_reading_finds_every_experiment(self, folder: Path) -> None:
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


class TestRun:
    """What is logged comes back."""

    def test_whole_life(self, store: Store, tmp_path: Path) -> None:
        """What was logged comes back: record, configuration, metrics, files, tags."""
        config = {"model": {"name": "lstm", "hidden_size": 64}, "seed": 3}
        record = a_record(
            context="past",
            metrics={"test/nll": 8.7, "valid/nll": 8.6},
            baselines={"last frame (logistic)": {"nll": 9.06}},
            parameters=1234,
            best_epoch=1,
            epochs=2,
            environment={"torch": "2.13.0"},
            primary=MetricInfo("nll", "min", "nats per frame"),
        )
        run = store.start(record, config, {"seqbench.model_origin": "built-in"})
        run.log_epoch(0, {"train/nll": 10.0, "valid/nll": 9.0})
        run.log_epoch(1, {"train/nll": 9.5, "valid/nll": 8.6})
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
        run.log_text("hello", "notes/hello.txt")
        run.finish(record)

        stored = store.find(run.run_id[:12])
        assert record == stored.record
        assert (run.run_id, run.location) == (stored.record.run_id, stored.record.location)
        assert config == stored.config
        assert stored.checkpoint_path().read_bytes() == b"weights"
        assert stored.files.path("notes/hello.txt").read_text() == "hello"
        data = store._client.get_run(run.run_id).data
        assert data.params["model.hidden_size"] == "64"
        assert metrics_of(store, run, "valid/nll") == [(0, 9.0), (1, 8.6)]
        assert metrics_of(store, run, "best/valid/nll") == [(1, 8.6)]
        assert data.metrics["baseline/last frame _logistic_/nll"] == 9.06
        assert data.metrics["cost/parameters"] == 1234
        for tag, value in {
            "seqbench.key": "0123456789abcdef",
            "seqbench.task": "music",
            "seqbench.model": "lstm",
            "seqbench.seed": "3",
            "seqbench.context": "past",
            "seqbench.model_origin": "built-in",
            "environment.torch": "2.13.0",
        }.items():
            assert value == data.tags[tag]

    def test_location_is_readable(self, store: Store, folder: Path) -> None:
        assert f"{folder}/mlflow.db run 12345678" == store.location("123456789abcdef")

    def test_what_mlflow_would_refuse(self, store: Store) -> None:
        """Scores that are not finite, long values and odd names are logged as far as possible."""
        run = store.start(a_record(), {"note": "x" * 9000, "odd": {"a+b": [1, 2]}}, {})
        run.log_epoch(0, {"train/nll": math.nan, "valid/nll": math.inf, "f(x)": -math.inf})
        run.finish(a_record(environment={"text": "y" * 9000}))
        data = store._client.get_run(run.run_id).data
        assert len(data.params["note"]) == 6000
        assert data.params["odd.a_b"] == "[1, 2]"
        assert {"train/nll", "valid/nll", "f_x_"} <= set(data.metrics)
        assert math.isnan(data.metrics["valid/nll"])
        assert store._client.get_run(run.run_id).info.status == "FINISHED"

    def test_many_metrics_and_parameters(self, store: Store) -> None:
        """MLflow's limits for one call are not the user's."""
        run = store.start(a_record(), {f"p{i}": i for i in range(250)}, {})
        run.log_epoch(0, {f"m{i}": float(i) for i in range(2100)})
        run.finish(a_record())
        data = store._client.get_run(run.run_id).data
        assert len(data.params) == 250
        assert {f"m{i}" for i in range(2100)} <= set(data.metrics)

    @pytest.mark.parametrize("status", ["FAILED", "KILLED"])
    def test_unfinished_run_ends_with_its_reason(self, store: Store, status: str) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record(status=status, reason="loss is not finite"))
        stored = store._client.get_run(run.run_id)
        assert status == stored.info.status
        assert stored.data.tags["seqbench.reason"] == "loss is not finite"
        with pytest.raises(Refused, match=rf"did not finish \({status}: loss is not finite\)"):
            store.find(run.run_id)

    def test_null_run(self, tmp_path: Path) -> None:
        """Without tracking the same calls do nothing, and the record says it was logged nowhere."""
        record = a_record(location="elsewhere")
        log = NullRun()
        log.log_epoch(0, {"train/nll": 1.0})
        log.log_artifact(tmp_path / "missing")
        log.log_text("x", "x.txt")
        log.finish(record)
        assert (record.run_id, record.location) == ("", "")
        assert list(tmp_path.iterdir()) == []

    def test_flatten(self) -> None:
        nested = {"a": {"b": {"c": 1}, "d": None}, "e": [1, "x"], "f": {}}
        assert flatten(nested) == {"a.b.c": "1", "a.d": "None", "e": "[1, 'x']"}


class BreakingClient:
    """MLflow's client, of which one method raises."""

    def __init__(self, client: Any, method: str, error: BaseException) -> None:
        self._real = client
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            raise self._error
        return getattr(self._real, name)


class TestEnding:
    """No run is left RUNNING by what this process can still do."""

    @pytest.mark.parametrize(
        ("error", "raised", "status", "reason"),
        [
            (KeyboardInterrupt(), KeyboardInterrupt, "KILLED", "interrupted"),
            (SystemExit(3), SystemExit, "FAILED", "could not be started: 3"),
            (OSError("disk full"), Refused, "FAILED", "could not be started: disk full"),
        ],
    )
    def test_start_that_is_cut_short(
        self, store: Store, error: BaseException, raised: type, status: str, reason: str
    ) -> None:
        client: Any = BreakingClient(store._client, "log_text", error)
        with pytest.raises(raised):
            Store(client, store._experiments, store.address).start(a_record(), {}, {})
        (run,) = store._client.search_runs(store._experiments, max_results=1)
        assert status == run.info.status
        assert reason == run.data.tags["seqbench.reason"]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"baselines": None}, "the record's baselines are malformed"),
            ({"environment": None}, "the record's environment is malformed"),
            ({"metrics": {"test/nll": 8.7, "test/x": [1]}}, "metric test/x is not a number"),
            ({"metrics": {"test/nll": 8.7, "test/x": 1j}}, "the record is no JSON"),
            ({"status": "DONE"}, "the record's status is 'DONE'"),
        ],
    )
    def test_malformed_record(
        self,
        store: Store,
        caplog: pytest.LogCaptureFixture,
        changes: dict[str, Any],
        reason: str,
    ) -> None:
        """The run is FAILED for the record's sake, and the store is not blamed."""
        run = store.start(a_record(), {}, {})
        record = a_record(**({"metrics": {"test/nll": 8.7}} | changes))
        run.finish(record)
        found = store._client.get_run(run.run_id)
        assert ("FAILED", "FAILED") == (found.info.status, record.status)
        assert reason in found.data.tags["seqbench.reason"]
        assert found.data.metrics["test/nll"] == 8.7
        assert "store" not in caplog.text.split("tracked.py")[-1]

    def test_epoch_that_is_no_number(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """What cannot be logged of an epoch is named, and the rest is logged."""
        run = store.start(a_record(), {}, {})
        metrics: Any = {"train/nll": None, "valid/nll": 1.0}
        run.log_epoch(0, metrics)
        run.finish(a_record())
        message = "Epoch 0 of this run: metric train/nll is not a number but a NoneType"
        assert [message] == caplog.messages
        assert metrics_of(store, run, "valid/nll") == [(0, 1.0)]

    def test_result_that_the_store_refuses(self, store: Store, tmp_path: Path) -> None:
        """Where metrics, tags or files fail, the run is ended all the same."""
        started = store.start(a_record(), {}, {})
        client: Any = BreakingClient(store._client, "log_text", OSError("disk full"))
        TrackedRun(client, started.run_id, "somewhere").finish(a_record())
        assert store._client.get_run(started.run_id).info.status == "FINISHED"
        assert (tmp_path / "seqbench-runs/unlogged" / started.run_id / "record.json").is_file()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_while_finishing(self, store: Store, number: signal.Signals) -> None:
        """A second Ctrl-C does not cut the end short, and a later one works as before."""
        started = store.start(a_record(), {}, {})
        client: Any = SignallingClient(store._client, number)
        seen: list[int] = []
        before = signal.signal(number, lambda *_: seen.append(1))
        try:
            TrackedRun(client, started.run_id, "somewhere").finish(a_record())
            assert [] == seen
            signal.raise_signal(number)
            assert [1] == seen
        finally:
            signal.signal(number, before)
        assert store._client.get_run(started.run_id).info.status == "FINISHED"


class SignallingClient:
    """MLflow's client, before each of whose calls this process gets a signal."""

    def __init__(self, client: Any, number: signal.Signals) -> None:
        self._real = client
        self._number = number

    def __getattr__(self, name: str) -> Any:
        signal.raise_signal(self._number)
        return getattr(self._real, name)


class FailingClient:
    """MLflow's client of a store that fails as long as ``down`` is true."""

    def __init__(self, client: Any) -> None:
        self._real = client
        self.down = True
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.down:
                raise OSError("disk full\nand more")
            return getattr(self._real, name)(*arguments, **options)

        return call


class TestFailingStore:
    """Training never fails because of tracking."""

    def test_training_goes_on(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A store that fails is told of once and asked no more; the result is kept in a folder."""
        started = store.start(a_record(), {}, {})
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, started.run_id, "somewhere")
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        with caplog.at_level(logging.WARNING):
            run.log_epoch(0, {"train/nll": 2.0})
            run.log_epoch(1, {"train/nll": 1.0})
            run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
            assert client.calls == 1
            run.finish(a_record(metrics={"test/nll": 8.7}))
        kept = tmp_path / "seqbench-runs" / "unlogged" / run.run_id
        assert [
            "The tracking store fails (disk full); training goes on without it",
            f"The tracking store still fails; the result is kept in {kept.relative_to(tmp_path)}",
        ] == caplog.messages
        assert (kept / "checkpoint" / "best.ckpt").read_bytes() == b"weights"
        assert json.loads((kept / "record.json").read_text())["metrics"]["test/nll"] == 8.7
        started.finish(a_record())

    def test_store_that_comes_back(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was kept is sent at the end, and the folder is gone."""
        started = store.start(a_record(), {}, {})
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, started.run_id, "somewhere")
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        with caplog.at_level(logging.WARNING):
            run.log_epoch(0, {"train/nll": 2.0})
            run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
            client.down = False
            run.finish(a_record())
        assert caplog.messages[-1] == "The tracking store works again; nothing was lost"
        assert metrics_of(store, run, "train/nll") == [(0, 2.0)]
        assert store.find(run.run_id).checkpoint_path().read_bytes() == b"weights"
        assert not (tmp_path / "seqbench-runs" / "unlogged" / run.run_id).exists()

    def test_nowhere_to_keep_it(self, store: Store, tmp_path: Path) -> None:
        """Where nothing can be written at all, the trial still ends normally."""
        (tmp_path / "seqbench-runs").touch()
        (tmp_path / "best.ckpt").touch()
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, "f" * 32, "somewhere")
        run.log_artifact(tmp_path / "best.ckpt")
        record = a_record()
        run.finish(record)
        assert record.run_id == "f" * 32


class TestFinding:
    """Runs are found by the first digits of their identifier."""

    def test_unknown(self, store: Store) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        for text in ("zz", "x' OR 'a' = 'a", "0" * 32, ""):
            with pytest.raises(Refused, match=rf"the latest is {run.run_id[:8]} \(music lstm"):
                store.find(text)

    def test_ambiguous(self, store: Store) -> None:
        """Seventeen runs cannot all start with another digit."""
        runs = [store.start(a_record(), {}, {}) for _ in range(17)]
        for run in runs:
            run.finish(a_record())
        digits = [run.run_id[0] for run in runs]
        twice = next(digit for digit in digits if digits.count(digit) > 1)
        with pytest.raises(Refused, match=rf"run '{twice}' is ambiguous: .*write more digits"):
            store.find(twice)

    def test_missing_file(self, store: Store) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        with pytest.raises(Refused, match=r"has no file checkpoint/best\.ckpt"):
            store.find(run.run_id).checkpoint_path()

    @pytest.mark.parametrize("name", ["record.json", "config.json"])
    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
    def test_damaged_file(self, store: Store, folder: Path, name: str, text: str) -> None:
        """A file that cannot be read is named in one line."""
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        (folder / "artifacts" / run.run_id / "artifacts" / name).write_text(text)
        with pytest.raises(Refused, match=rf"run {run.run_id[:8]}: its file .*{name} is damaged"):
            store.find(run.run_id)

    def test_moved_store(self, store: Store, folder: Path, tmp_path: Path) -> None:
        """A store that was copied elsewhere with its files is read there."""
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        shutil.copytree(folder, tmp_path / "copy")
        original = folder / "artifacts" / run.run_id
        original.rename(folder / "artifacts" / "away")
        moved = open_store(TrackingSettings(uri="copy"), create=False).find(run.run_id)
        assert a_record().key == moved.record.key


class TestProcesses:
    """Runs of dead processes are ended, and no others."""

    def test_living_process(self) -> None:
        assert not processes.is_gone(os.getpid(), processes.started(os.getpid()))

    def test_ended_process(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        start = processes.started(child.pid)
        assert not processes.is_gone(child.pid, start)
        child.communicate()
        assert processes.is_gone(child.pid, start)

    @pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
    def test_without_proc(self) -> None:
        """Where there is no /proc, ps tells when a process started."""
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        start = processes._started_by_ps(child.pid)
        assert start
        assert start == processes._started_by_ps(child.pid)
        child.communicate()
        assert processes._started_by_ps(child.pid) == ""

    @linux
    def test_number_given_to_another_process(self) -> None:
        """A process with the same number that started at another time is another process."""
        boot, namespace, ticks = processes.started(os.getpid()).split("/")
        assert processes.is_gone(os.getpid(), f"{boot}/{namespace}/{int(ticks) - 1}")

    @linux
    def test_before_the_last_boot(self) -> None:
        _, namespace, ticks = processes.started(os.getpid()).split("/")
        assert processes.is_gone(os.getpid(), f"an-earlier-boot/{namespace}/{ticks}")

    @linux
    def test_another_container_is_not_judged(self) -> None:
        boot, _, ticks = processes.started(os.getpid()).split("/")
        assert not processes.is_gone(os.getpid(), f"{boot}/another/{int(ticks) - 1}")

    def test_unknown_start_is_not_judged(self) -> None:
        assert not processes.is_gone(2**22 + 1, "")

    def test_stale_run_is_ended(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run whose process is gone becomes KILLED with the reason; a living one stays."""
        living = store.start(a_record(), {}, {})
        monkeypatch.setattr(processes, "started", lambda pid: "an-earlier-boot/1/2")
        stale = store.start(a_record(), {}, {})
        monkeypatch.undo()
        assert store.repair() == 1
        assert store._client.get_run(living.run_id).info.status == "RUNNING"
        run = store._client.get_run(stale.run_id)
        assert run.info.status == "KILLED"
        assert f"process {os.getpid()} ended" in run.data.tags["seqbench.reason"]
        living.finish(a_record())


class TestEnvironment:
    """What a trial ran on."""

    def test_versions_and_platform(self) -> None:
        """Versions are those that are imported; names of machine and user are left out."""
        import numpy as np

        found = environment.environment()
        assert np.__version__ == found["numpy"]
        assert sys.version.split()[0] == found["python"]
        assert socket.gethostname() not in json.dumps(found)

    def test_git_state(self, tmp_path: Path) -> None:
        """The commit, and whether tracked files differ from it."""
        assert environment.git_state(tmp_path) == "none"
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        (tmp_path / "file").write_text("1")
        for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
            subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
        commit = environment.git_state(tmp_path)
        assert len(commit) == 40
        (tmp_path / "untracked").touch()
        assert commit == environment.git_state(tmp_path)
        (tmp_path / "file").write_text("2")
        assert f"{commit}+changes" == environment.git_state(tmp_path)

    def test_without_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert environment.git_state(tmp_path) == "none"


START = """
import sys, time
from seqbench.records import TrialRecord
from seqbench.settings import TrackingSettings
from seqbench.tracking.store import open_store
record = TrialRecord("k", "music", "lstm", int(sys.argv[1]), metrics={"test/nll": 1.0})
run = open_store(TrackingSettings()).start(record, {"seed": int(sys.argv[1])}, {})
run.log_epoch(0, {"train/nll": 1.0})
sys.stdout.write(run.run_id)
sys.stdout.flush()
if sys.argv[2] == "hang":
    time.sleep(600)
run.finish(record)
"""


@pytest.mark.slow
def test_eight_processes_make_one_store(tmp_path: Path) -> None:
    """Eight processes that start at once in a fresh folder all log their run, and say nothing."""
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "default", "-c", START, str(seed), "end"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(8)
    ]  # fmt: skip
    answers = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0] * 8
    assert [stderr for _, stderr in answers] == [""] * 8
    store = open_store(TrackingSettings(), create=False)
    assert set(range(8)) == {store.find(run_id).record.seed for run_id, _ in answers}


@pytest.mark.slow
def test_run_of_a_killed_process_is_ended(tmp_path: Path) -> None:
    """Kill -9 leaves a run RUNNING; opening the store again ends it as KILLED with a reason."""
    child = subprocess.Popen(
        [sys.executable, "-c", START, "0", "hang"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    run_id = child.stdout.read(32)
    assert open_store(TrackingSettings(), create=False).repaired == 0
    child.send_signal(signal.SIGKILL)
    child.communicate()
    store = open_store(TrackingSettings(), create=False)
    assert store.repaired == 1
    with pytest.raises(Refused, match=rf"KILLED: process {child.pid} ended"):
        store.find(run_id)


@pytest.mark.slow
def test_server(
    store: Store, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Runs go to a server and come back from it; a server that dies in mid-run costs no trial."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    shutil.copytree(folder, tmp_path / "served")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{tmp_path}/served/mlflow.db", "--workers", "1"),
            *("--artifacts-destination", str(tmp_path / "served" / "files")),
        ],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        remote = open_store(TrackingSettings(uri=uri, experiment="remote"))
        run = remote.start(a_record(), {"seed": 3}, {})
        assert f"{uri}/#/experiments/{remote._experiments[0]}/runs/{run.run_id}" == run.location
        run.log_epoch(0, {"train/nll": math.nan, "valid/nll": 1.0})
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
        run.finish(a_record(metrics={"test/nll": math.inf}))
        stored = remote.find(run.run_id[:10])
        assert stored.config == {"seed": 3}
        assert stored.checkpoint_path().read_bytes() == b"weights"
        with pytest.raises(Refused, match=r"cannot get missing\.txt of run|has no file missing"):
            stored.files.path("missing.txt")
        assert capfd.readouterr() == ("", "")
        orphan = remote.start(a_record(), {}, {})
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    begin = time.monotonic()
    for epoch in range(100):
        orphan.log_epoch(epoch, {"train/nll": 1.0})
    orphan.finish(a_record())
    assert time.monotonic() - begin < 60
    assert (tmp_path / "seqbench-runs" / "unlogged" / orphan.run_id / "record.json").is_file()
