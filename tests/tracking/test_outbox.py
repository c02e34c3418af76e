"""What a store did not take waits, and is delivered once, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqbench.cli import main
from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking import address, outbox
from seqbench.tracking.address import locate
from seqbench.tracking.mlflow_client import first_line
from seqbench.tracking.outbox import deliver, waiting
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tracked import TrackedRun

Make = Callable[..., TrialRecord]
Content = Callable[..., list[dict[str, Any]]]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


pytestmark = pytest.mark.usefixtures("as_default")


class Away:
    """MLflow's client of a store that fails after some calls."""

    def __init__(self, client: Any, calls: int = 0) -> None:
        self._real = client
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls -= 1
            if self.calls < 0:
                raise OSError("nobody there")
            return getattr(self._real, name)(*arguments, **options)

        return call


def offline(store: Store) -> Store:
    """The store as a sweep's trial sees it that starts while it is away."""
    away: Any = Away(store._client)
    gone = OSError("nobody there")
    return Store(away, [], store.address, "seqbench", parent="p", failure=gone)


def train(store: Store, record: TrialRecord, tags: dict[str, str] | None = None) -> TrackedRun:
    """Log what a trial logs."""
    run = store.start(record, {"recipe": {"lr": 0.1}}, tags or {})
    for epoch in range(3):
        run.log_epoch(epoch, {"train/nll": 3.0 - epoch, "valid/nll": 4.0 - epoch})
    weights = Path("best.ckpt")
    weights.write_bytes(b"weights")
    run.log_artifact(weights, "checkpoint")
    run.finish(record)
    return run


@pytest.fixture
def twins(content: Content, store: Store, a_record: Make) -> dict[str, Any]:
    """What a run is that nothing disturbed."""
    train(store, a_record(metrics={"test/nll": 8.7}), {"mark": "whole"})
    return content(store, "whole")[0]


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8])
def test_a_run_whose_store_fails_is_whole_after_delivery(
    content: Content, store: Store, a_record: Make, twins: dict[str, Any], calls: int
) -> None:
    """Wherever it failed, run creation included; a sweep's trial does not even refuse."""
    away: Any = Away(store._client, calls)
    sweep = Store(away, store._experiments, store.address, "seqbench", parent="p")
    record = a_record(metrics={"test/nll": 8.7})
    mark = f"after-{calls}-{time.time_ns()}"
    train(sweep, record, {"mark": mark})
    assert 1 == len(waiting())
    assert 1 == len(deliver().runs)
    assert [twins] == content(store, mark)
    assert [] == waiting()


@pytest.mark.parametrize("calls", [0, 2, 4, 7])
def test_half_a_delivery_is_repeated_without_a_trace(
    content: Content,
    store: Store,
    a_record: Make,
    twins: dict[str, Any],
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark = f"half-{calls}-{time.time_ns()}"
    sweep = offline(store)
    train(sweep, a_record(metrics={"test/nll": 8.7}), {"mark": mark})
    with monkeypatch.context() as patch:
        patch.setattr(outbox.mlflow_client, "connect", lambda _: Away(store._client, calls))
        assert ["nobody there"] == [text.split(": ")[1] for text in deliver().left.values()]
    assert 1 == len(deliver().runs)
    assert [twins] == content(store, mark)


def test_the_next_run_delivers(
    store: Store, folder: Path, a_record: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it waits for another store, or its trial is still running."""
    train(offline(store), a_record())
    other = open_store(TrackingSettings(uri="elsewhere"))
    assert 1 == len(waiting())
    running = offline(store).start(a_record(), {}, {})
    open_store(TrackingSettings(uri=str(folder)))
    assert "The tracking store took 1 run that had waited here" in caplog.messages
    assert ([], {}, waiting()) == tuple(vars(deliver()).values())
    assert 1 == main(["sync"])
    assert 1 == main(["sync", f"tracking.uri={folder}"])
    assert 0 == main(["sync", "tracking.uri=elsewhere"])
    assert not other._client.search_runs(other._experiments)
    running.finish(a_record())
    assert 1 == len(deliver().runs)


def test_what_a_killed_process_left_is_delivered_as_killed(store: Store, a_record: Make) -> None:
    """A line that was being written is left out."""
    mark = f"killed-{time.time_ns()}"
    sweep = offline(store)
    run = sweep.start(a_record(), {}, {"mark": mark})
    run.log_epoch(0, {"train/nll": 1.0})
    assert run._outbox is not None
    with (run._outbox.folder / "operations.jsonl").open("a") as stream:
        stream.write('{"op": "metrics", "val')
    run._outbox.release()
    assert 1 == len(deliver().runs)
    (found,) = store._client.search_runs(store._experiments, f"tags.mark = '{mark}'")
    assert ("KILLED", {"train/nll": 1.0}) == (found.info.status, found.data.metrics)
    assert "its process ended without saying so" == found.data.tags["seqbench.reason"]


def test_a_process_that_died_at_once_leaves_nothing() -> None:
    folder = Path("seqbench-runs/unlogged/died")
    folder.mkdir(parents=True)
    (folder / "operations.jsonl").write_text('{"op": "st')
    assert 0 == main(["sync"])
    assert [] == list(folder.parent.iterdir())


def test_what_a_store_refuses_stops_nothing_else(
    store: Store, a_record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest of that run, its end and all other runs are delivered."""
    marks = [f"refused-{number}-{time.time_ns()}" for number in range(2)]
    for mark in marks:
        train(offline(store), a_record(metrics={"test/nll": 8.7}), {"mark": mark})
    lacking = waiting()[0]
    shutil.rmtree(lacking / "files")
    assert 1 == main(["sync"])
    out = capsys.readouterr().out
    assert "1 run delivered" in out
    assert f"{lacking} still waits: {store.address.shown}: " in out
    assert "best.ckpt" in out
    found = [store._client.search_runs(store._experiments, f"tags.mark = '{m}'") for m in marks]
    assert [[("FINISHED", 8.7)]] * 2 == [
        [(run.info.status, run.data.metrics["test/nll"]) for run in runs] for runs in found
    ]


def test_a_run_that_was_held_for_dead_meanwhile(
    content: Content, store: Store, a_record: Make, twins: dict[str, Any]
) -> None:
    """The reason that the store was given for its end is taken back."""
    mark = f"repaired-{time.time_ns()}"
    away: Any = Away(store._client, 5)
    sweep = Store(away, store._experiments, store.address, "seqbench", parent="p")
    run = train(sweep, a_record(metrics={"test/nll": 8.7}), {"mark": mark})
    store._client.set_tag(run.run_id, "seqbench.reason", "process 1 ended without saying so")
    store._client.set_terminated(run.run_id, "KILLED")
    assert [run.run_id] == deliver().runs
    assert [twins] == content(store, mark)


def test_a_disk_that_is_full_for_a_while(
    content: Content,
    store: Store,
    a_record: Make,
    twins: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    as_default: Path,
) -> None:
    """Half a line is taken back; what could not be written is, once there is room."""
    mark = f"full-{time.time_ns()}"
    write = os.write

    def half(stream: int, data: bytes) -> int:
        if len(data) > 20:
            return write(stream, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    run = offline(store).start(a_record(), {"recipe": {"lr": 0.1}}, {"mark": mark})
    with monkeypatch.context() as patch:
        patch.setattr(outbox.os, "write", half)
        for epoch in range(2):
            run.log_epoch(epoch, {"train/nll": 3.0 - epoch, "valid/nll": 4.0 - epoch})
    assert 1 == caplog.text.count(f"cannot be kept in {as_default}/")
    run.log_epoch(2, {"train/nll": 1.0, "valid/nll": 2.0})
    Path("best.ckpt").write_bytes(b"weights")
    run.log_artifact(Path("best.ckpt"), "checkpoint")
    run.finish(a_record(metrics={"test/nll": 8.7}))
    assert 1 == len(deliver().runs)
    assert [twins] == content(store, mark)


def test_what_no_disk_takes_is_delivered_from_memory_or_named(
    content: Content,
    store: Store,
    a_record: Make,
    twins: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    as_default: Path,
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    mark = f"memory-{time.time_ns()}"
    record = a_record(metrics={"test/nll": 8.7})
    with monkeypatch.context() as patch:
        patch.setattr(outbox.os, "write", full)
        train(offline(store), record)
        expected = (
            "lost: music lstm seed 3, parameters, config.json, dataset, metrics, best.ckpt, tags, "
            "record"
        )
        assert expected in caplog.messages[-1]
        assert not list(as_default.iterdir())
        away = offline(store)
        away._client = store._client
        train(away, record, {"mark": mark})
    assert "The tracking store works again; nothing was lost" == caplog.messages[-1]
    assert store.location(record.run_id) == record.location
    assert [twins] == content(store, mark)
    assert [] == waiting()


def test_an_embedded_store_on_a_full_disk(
    tmp_path: Path, a_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite cannot write waits beside it, and is moved with it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    store = open_store(TrackingSettings())
    run = store.start(a_record(), {}, {"mark": "full"})
    with sqlite3.connect("seqbench-runs/mlflow.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        run.log_epoch(0, {f"train/{number}": 1.0 for number in range(200)})
        run.finish(a_record(metrics={"test/nll": 8.7}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [run.run_id] == [folder.name for folder in waiting()]
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    os.chdir(moved)
    assert 0 == main(["sync"])
    data = open_store(TrackingSettings())._client.get_run(run.run_id)
    assert ("FINISHED", 8.7, 1.0) == (
        data.info.status,
        data.data.metrics["test/nll"],
        data.data.metrics["train/199"],
    )


def test_an_embedded_store_that_is_locked(
    content: Content,
    folder: Path,
    store: Store,
    a_record: Make,
    twins: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A trial of a sweep starts all the same; a sweep and a single trial do not."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        address.sqlite3,
        "connect",
        lambda path, timeout=0.1, **words: connect(path, timeout=0.1, **words),
    )
    other = connect(folder / "mlflow.db")
    other.execute("BEGIN IMMEDIATE")
    mark = f"locked-{time.time_ns()}"
    with pytest.raises(Refused, match="cannot be used: database is locked"):
        open_store(TrackingSettings(uri=str(folder)))
    sweep = open_store(TrackingSettings(uri=str(folder), parent="p"))
    record = a_record(metrics={"test/nll": 8.7})
    run = sweep.start(record, {"recipe": {"lr": 0.1}}, {"mark": mark})
    assert "The tracking store fails (database is locked)" in caplog.text
    for epoch in range(3):
        run.log_epoch(epoch, {"train/nll": 3.0 - epoch, "valid/nll": 4.0 - epoch})
    Path("best.ckpt").write_bytes(b"weights")
    run.log_artifact(Path("best.ckpt"), "checkpoint")
    other.close()
    run.finish(record)
    assert [twins] == content(store, mark)


def test_a_store_that_is_gone_is_not_made(capsys: pytest.CaptureFixture[str]) -> None:
    """MLflow would make one with its files in the working directory."""
    kept = outbox.Outbox(locate("gone.db"), "", "token")
    kept.append({"op": "end"})
    kept.release()
    assert 1 == main(["sync", "tracking.uri=gone.db"])
    assert "gone.db: it does not exist; the next trial makes it" in capsys.readouterr().out
    assert not Path("gone.db").exists()


def test_passwords_are_kept_for_this_user_and_shown_to_none() -> None:
    kept = outbox.Outbox(locate("http://me:secret@tracker"), "run")
    operations = kept.folder / "operations.jsonl"
    kept.append({"op": "end"})
    assert 0o600 == operations.stat().st_mode & 0o777
    assert "me:secret@" in operations.read_text()
    error = OSError("API request to http://me:secret@tracker/api failed")
    assert "API request to http://tracker/api failed" == first_line(error)


def test_sync(
    store: Store, a_record: Make, capsys: pytest.CaptureFixture[str], as_default: Path
) -> None:
    assert 0 == main(["sync"])
    assert "nothing waits here: every run is in its store\n" == capsys.readouterr().out
    train(offline(store), a_record())
    damaged = as_default / "damaged"
    damaged.mkdir()
    (damaged / "operations.jsonl").write_text("no JSON\n{}\n")
    assert 1 == main(["sync"])
    out = capsys.readouterr().out
    assert "1 run delivered\n" in out
    assert f"{damaged} still waits: line 1 of operations.jsonl is damaged\n" in out
    assert 2 == main(["sync", "tracking.url=x"])
    assert "unknown word 'tracking.url=x' (did you mean 'tracking.uri'?)" in capsys.readouterr().err
