"""What a store did not take waits, and is delivered once, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seqbench import config, runner
from seqbench.cli import main
from seqbench.records import TrialRecord
from seqbench.settings import TrackingSettings
from seqbench.tracking import spool
from seqbench.tracking.spool import deliver, waiting
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tracked import TrackedRun
from seqbench.tracking.trials import stored_trials

Make = Callable[..., TrialRecord]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


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


def content(store: Store, token: str) -> list[dict[str, Any]]:
    """Everything of the runs with a tag, without identifiers, times and places."""
    found = []
    for run in store._client.search_runs(store._experiments, f"tags.mark = '{token}'"):
        run_id = run.info.run_id
        histories = {
            key: [(m.step, m.value) for m in store._client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        }
        own = ("mlflow.", spool.TOKEN)
        tags = {k: v for k, v in run.data.tags.items() if not k.startswith(own) and k != "mark"}
        files = sorted(item.path for item in store._client.list_artifacts(run_id))
        weights = [item.path for item in store._client.list_artifacts(run_id, "checkpoint")]
        found.append(
            {"status": run.info.status, "parameters": run.data.params, "metrics": histories}
            | {"tags": tags, "files": files + weights}
        )
    return found


@pytest.fixture
def twins(store: Store, a_record: Make) -> dict[str, Any]:
    """What a run is that nothing disturbed."""
    train(store, a_record(metrics={"test/nll": 8.7}), {"mark": "whole"})
    return content(store, "whole")[0]


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8])
def test_a_run_whose_store_fails_is_whole_after_delivery(
    store: Store, a_record: Make, twins: dict[str, Any], calls: int
) -> None:
    """Wherever it failed, run creation included; a sweep's trial does not even refuse."""
    away: Any = Away(store._client, calls)
    sweep = Store(away, store._experiments, store.address, "seqbench", parent="p")
    record = a_record(metrics={"test/nll": 8.7})
    mark = f"after-{calls}-{time.time_ns()}"
    train(sweep, record, {"mark": mark})
    assert 1 == len(waiting())
    assert 1 == len(deliver().runs)
    runs = content(store, mark)
    assert [twins] == [run for run in runs if run["status"] == "FINISHED"]
    assert [] == waiting()
    assert 1 == len(runs), "also where the store had started it and then failed"


@pytest.mark.parametrize("calls", [0, 2, 4, 7])
def test_half_a_delivery_is_repeated_without_a_trace(
    store: Store,
    a_record: Make,
    twins: dict[str, Any],
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away: Any = Away(store._client)
    mark = f"half-{calls}-{time.time_ns()}"
    sweep = Store(away, [], store.address, "seqbench", parent="p")
    train(sweep, a_record(metrics={"test/nll": 8.7}), {"mark": mark})
    with monkeypatch.context() as patch:
        patch.setattr(spool.mlflow_client, "connect", lambda _: Away(store._client, calls))
        assert ["nobody there"] == [text.split(": ")[1] for text in deliver().left.values()]
    assert 1 == len(deliver().runs)
    assert [twins] == content(store, mark)


def test_the_next_run_delivers(
    store: Store, folder: Path, a_record: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it waits for another store, or its trial is still running."""
    away: Any = Away(store._client)
    train(Store(away, [], store.address, "seqbench", parent="p"), a_record())
    other = open_store(TrackingSettings(uri="elsewhere"))
    assert 1 == len(waiting())
    running = Store(away, [], store.address, "seqbench", parent="p").start(a_record(), {}, {})
    open_store(TrackingSettings(uri=str(folder)))
    assert "The tracking store took 1 run that had waited here" in caplog.messages
    assert ["its trial is still running"] == list(deliver().left.values())
    assert not other._client.search_runs(other._experiments)
    running.finish(a_record())
    assert 1 == len(deliver().runs)


def test_what_a_killed_process_left_is_delivered_as_killed(store: Store, a_record: Make) -> None:
    """A line that was being written is left out."""
    away: Any = Away(store._client)
    mark = f"killed-{time.time_ns()}"
    sweep = Store(away, [], store.address, "seqbench", parent="p")
    run = sweep.start(a_record(), {}, {"mark": mark})
    run.log_epoch(0, {"train/nll": 1.0})
    assert run._spool is not None
    with (run._spool.folder / "operations.jsonl").open("a") as stream:
        stream.write('{"op": "metrics", "val')
    run._spool.lock.release()
    assert 1 == len(deliver().runs)
    (found,) = content(store, mark)
    assert ("KILLED", [(0, 1.0)]) == (found["status"], found["metrics"]["train/nll"])


def test_sync(store: Store, a_record: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["sync"])
    assert "nothing waits here: every run is in its store\n" == capsys.readouterr().out
    away: Any = Away(store._client)
    train(Store(away, [], store.address, "seqbench", parent="p"), a_record())
    damaged = Path("seqbench-runs/unlogged/damaged")
    damaged.mkdir()
    (damaged / "operations.jsonl").write_text("no JSON\n{}\n")
    assert 1 == main(["sync"])
    out = capsys.readouterr().out
    assert "1 run delivered\n" in out
    assert f"{damaged} still waits: line 1 of operations.jsonl is damaged\n" in out
    assert 2 == main(["sync", "tracking.url=x"])
    assert "not 'tracking.url=x' (did you mean 'tracking.uri'?)" in capsys.readouterr().err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """The address of a tracking server on this machine, and what starts and kills it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
            "--artifacts-destination", str(tmp_path / "served"),
        ]  # fmt: skip
        processes.append(
            subprocess.Popen(
                command,
                start_new_session=True,
                env={**os.environ, **QUIET},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)

    def kill() -> None:
        process = processes.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    start()
    yield f"http://127.0.0.1:{port}", start, kill
    if processes:
        kill()


@pytest.mark.slow
def test_a_server_that_dies_in_mid_sweep(
    server: tuple[str, Callable[[], None], Callable[[], None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trials go on, one that starts while it is dead too; the same command finds their results."""
    uri, start, kill = server
    words = ["-m", "experiment=smoke", "model=rnn", "model.hidden_size=4", f"tracking.uri={uri}"]
    assert 0 == main([*words, "seed=0"])
    kill()
    assert 2 == main([*words, "seed=0,1"])
    assert "does not answer" in capsys.readouterr().err
    start()
    store = open_store(TrackingSettings(uri=uri))
    parent = store.start_sweep("sweep", "{}")
    kill()
    for seed in (1, 2):
        single = [*words[1:], f"seed={seed}", f"tracking.parent={parent}"]
        record = runner.run(config.settings(config.compose(single)))
        assert "" == record.run_id
        assert "seqbench-runs/unlogged/" in record.location
    assert 2 == len(waiting())
    start()
    assert 0 == main([*words, "seed=0,1,2"])
    err = capsys.readouterr().err
    assert "3 trials: 3 finished; 0 to run" in err
    assert [] == waiting()
    trials = stored_trials(TrackingSettings(uri=uri))
    assert ["FINISHED"] * 3 == [trial.status for trial in trials]
    assert 3 == len({trial.score for trial in trials})
