"""Is anything lost when many processes log into one store, also when its server dies?

Eight processes at once start, fill and end runs in one store that nobody has made before; then the
same against one MLflow server on this machine, which is killed in the middle and started again.
At the end every run, parameter, metric and file must be there, once.

    python benchmarks/tracking.py --processes 8 --repeats 20
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

EPOCHS, RUNS = 20, 2  # of each process
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


def log(arguments: tuple[str, str, int, float, str | None]) -> int:
    """Log the runs of one process, and return how many there were."""
    folder, uri, number, pause, parent = arguments
    os.chdir(folder)
    from seqbench.config.settings import TrackingSettings
    from seqbench.records import MetricInfo, TrialRecord
    from seqbench.tracking.store import open_store

    for run in range(RUNS):
        store = open_store(TrackingSettings(uri=uri, parent=parent))
        key = f"{number}-{run}"
        record = TrialRecord(key, "task", "model", run, primary=MetricInfo("nll", "min"))
        log = store.start(record, {"process": number, "run": run}, {})
        weights = Path(folder, f"{key}.ckpt")
        weights.write_bytes(key.encode())
        for epoch in range(EPOCHS):
            log.log_epoch(epoch, {"train/nll": 1 / (1 + epoch), "valid/nll": 2 / (1 + epoch)})
            time.sleep(pause)
        log.log_artifact(weights, "checkpoint")
        record.metrics = {"test/nll": float(number)}
        log.finish(record)
    return RUNS


def lost(uri: str, processes: int) -> tuple[list[str], int]:
    """Return what is missing in a store, or there twice, and how many unfinished runs there are."""
    from seqbench.config.settings import TrackingSettings
    from seqbench.tracking.store import open_store

    store = open_store(TrackingSettings(uri=uri))
    client: Any = store._client
    found = client.search_runs(store._experiments, "tags.`seqbench.key` != ''")
    # MLflow's client asks again where an answer is late, so a run that is created may be there
    # twice: once without a result.
    done = {run.data.tags["seqbench.key"]: run for run in found if run.info.status == "FINISHED"}
    wanted = {f"{number}-{run}" for number in range(processes) for run in range(RUNS)}
    problems = [f"{key} is missing" for key in wanted - done.keys()]
    if len([run for run in found if run.info.status == "FINISHED"]) > len(done):
        problems.append("a run is there twice")
    for key, run in done.items():
        number, run_id = key.partition("-")[0], run.info.run_id
        if run.data.params != {"process": number, "run": key.partition("-")[2]}:
            problems.append(f"{key}: parameters {run.data.params}")
        if run.data.metrics.get("test/nll") != float(number):
            problems.append(f"{key}: no result")
        for name in ("train/nll", "valid/nll"):
            steps = [metric.step for metric in client.get_metric_history(run_id, name)]
            if sorted(steps) != list(range(EPOCHS)):
                problems.append(f"{key}: {name} has steps {steps}")
        files = {item.path for item in client.list_artifacts(run_id)}
        if files != {"checkpoint", "config.json", "record.json"}:
            problems.append(f"{key}: files {sorted(files)}")
        if f"checkpoint/{key}.ckpt" not in {
            item.path for item in client.list_artifacts(run_id, "checkpoint")
        }:
            problems.append(f"{key}: no weights")
    return problems, len(found) - len(done)


class Server:
    """One MLflow server on this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
            "--port", str(self.port), "--backend-store-uri", f"sqlite:///{folder}/server.db",
            "--artifacts-destination", str(folder / "served"),
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            self.command,
            start_new_session=True,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise RuntimeError("the server does not start")

    def kill(self) -> None:
        """Kill it with -9, and all its processes."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def main() -> int:
    """Print what was lost; exit 1 if anything was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--server-repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}; {options.processes} processes, {RUNS} runs each")
    from seqbench.config.settings import TrackingSettings
    from seqbench.tracking.outbox import deliver
    from seqbench.tracking.store import open_store

    problems: list[str] = []
    seconds: list[float] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(prefix="seqbench-tracking-") as folder:
                began = time.monotonic()
                uri = f"{folder}/fresh"
                alone = [(folder, uri, i, 0.0, None) for i in range(options.processes)]
                pool.map(log, alone, chunksize=1)
                seconds.append(time.monotonic() - began)
                found, beside = lost(uri, options.processes)
                problems += [*found, *[f"{beside} unfinished runs"] * (beside > 0)]
        runs = options.repeats * options.processes * RUNS
        print(f"fresh store, {options.repeats} repeats, {runs} runs: {problems or 'nothing lost'}")
        if seconds:
            print(f"  median {statistics.median(seconds):.1f} s a repeat")
        served: list[str] = []
        for _ in range(options.server_repeats):
            with tempfile.TemporaryDirectory(prefix="seqbench-tracking-") as folder:
                os.chdir(folder)
                server = Server(Path(folder))
                server.start()
                try:
                    parent = open_store(TrackingSettings(uri=server.uri)).start_sweep("s", "{}")
                    arguments: list[tuple[str, str, int, float, str | None]] = [
                        (folder, server.uri, i, 0.5, parent) for i in range(options.processes)
                    ]
                    result = pool.map_async(log, arguments, chunksize=1)
                    time.sleep(8)
                    server.kill()
                    time.sleep(3)
                    again = threading.Thread(target=server.start)
                    again.start()
                    result.get(600)
                    again.join()
                    waited = deliver()
                    served += [str(reason) for reason in waited.left.values()]
                    found, beside = lost(server.uri, options.processes)
                    served += found
                    print(
                        f"  {len(waited.runs)} runs had waited for the server at the end; "
                        f"{beside} unfinished ones beside the finished; {found or 'nothing lost'}",
                        flush=True,
                    )
                finally:
                    server.kill()
                    os.chdir("/")
        print(
            f"server killed and started again, {options.server_repeats} repeats, "
            f"{options.server_repeats * options.processes * RUNS} runs: {served or 'nothing lost'}"
        )
    return 1 if problems or served else 0


if __name__ == "__main__":
    sys.exit(main())
