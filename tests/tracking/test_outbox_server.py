"""A tracking server that dies and comes back."""

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

from seqbench.cli import main
from seqbench.config import composition
from seqbench.config.settings import TrackingSettings
from seqbench.records import TrialRecord
from seqbench.tracking.outbox import waiting
from seqbench.tracking.store import open_store
from seqbench.tracking.tracked import TrackedRun
from seqbench.trials import run as run_module

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """The address of a tracking server on this machine, and what starts and kills it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    open_store(TrackingSettings(uri=str(tmp_path / "server.db"), experiment="none"))  # its tables
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
    content: Callable[..., list[dict[str, Any]]],
    server: tuple[str, Callable[[], None], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It costs no trial anything, neither one that trains nor one that starts while it is dead.

    The same command finds their results, which are those of a trial that nothing disturbed.
    """
    uri, start, kill = server
    words = ["experiment=smoke", "model=rnn", "model.hidden_size=4", f"tracking.uri={uri}"]
    words.append("recipe.max_epochs=3")
    store = open_store(TrackingSettings(uri=uri))
    parent = store.start_sweep("sweep", "{}")

    def run(experiment: str) -> TrialRecord:
        more = [f"tracking.parent={parent}", f"tracking.experiment={experiment}"]
        return run_module.run(composition.settings(composition.compose([*words, *more])))

    log_epoch = TrackedRun.log_epoch

    def dying(log: TrackedRun, epoch: int, metrics: dict[str, float]) -> None:
        if epoch == 1:
            kill()
        log_epoch(log, epoch, metrics)

    run("undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "log_epoch", dying)
        assert "FINISHED" == run("dying").status
    record = run("dead")
    assert ("", "seqbench-runs/unlogged/") == (record.run_id, record.location[:23])
    assert 2 == len(waiting())
    assert 1 == main(["sync"])
    assert 2 == capsys.readouterr().out.count(f"still waits: {uri}: does not answer")
    assert 2 == main(["-m", *words, "seed=0"])
    assert "does not answer" in capsys.readouterr().err
    start()
    assert 0 == main(["-m", *words, "tracking.experiment=dead", "seed=0"])
    assert "The tracking store took 2 runs that had waited here" == caplog.messages[-1]
    assert "1 trial: 1 finished; 0 to run" in capsys.readouterr().err
    assert [] == waiting()
    expected, *others = [
        comparable(content(open_store(TrackingSettings(uri=uri, experiment=name))))
        for name in ("undisturbed", "dying", "dead")
    ]
    assert [expected] * 2 == others


def comparable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of a trial's runs must be equal: everything but times, memory, places and drawings."""
    for run in found:
        assert {"learning_curve.png", "checkpoint/best.ckpt"} <= run["files"].keys()
        run["files"] = sorted(run["files"])
        noisy = ("second", "peak_bytes")
        run["metrics"] = {
            key: values
            for key, values in run["metrics"].items()
            if not any(word in key for word in noisy)
        }
        del run["parameters"]["tracking.experiment"]
    return found
