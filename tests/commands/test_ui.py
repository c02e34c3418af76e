"""MLflow's page is served on this machine only, and ends without a trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from seqbench.commands import ui
from seqbench.config.settings import TrackingSettings
from seqbench.errors import EXIT_DONE, Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.tracking.pages import FINISHED, best_metric


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["prot=1"],
            "seqbench ui: unknown word 'prot=1' (did you mean 'port'?); known: ",
        ),
        (["port"], "seqbench ui: 'port' is not KEY=VALUE: write port=NUMBER"),
        (["port=0"], "from 1 to 65535, not '0'"),
        (["port=65536"], "from 1 to 65535"),
        (["port=http"], "not 'http'"),
        (["port=-1"], "not '-1'"),
        (["tracking.uri=htpp://x"], "did you mean 'http'?"),
        ([], "no runs yet: seqbench-runs/mlflow.db does not exist; run a trial first"),
    ],
)
def test_refusals_are_one_line(args: list[str], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        ui.command(args)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_server_has_its_own_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the runs are on a server, its address is what to open."""
    assert ui.command(["tracking.uri=http://me:secret@tracker:5000"]) == EXIT_DONE
    assert capsys.readouterr().out == "The runs are on a server.\nOpen http://tracker:5000\n"


def test_port_in_use_names_another() -> None:
    """The refusal names a port that is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            Refused, match=f"port {port}: .*in use; try seqbench ui port="
        ) as refusal:
            ui._check_port(port)
    ui._check_port(int(str(refusal.value).rpartition("=")[2]))


def members(group: int) -> list[str]:
    """Return the commands of the living processes of a process group."""
    answer = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 2) for line in answer.stdout.splitlines()]
    return [line[2] for line in lines if line[0] == str(group) and "Z" not in line[1]]


def text_of(browser: Any, address: str, awaited: str) -> str:
    """Return what a page shows once it shows a text; a slow machine may need long."""
    page = browser.new_page(viewport={"width": 2600, "height": 900})  # each column is drawn
    page.goto(address)
    page.get_by_text(awaited).first.wait_for(timeout=120_000)
    page.get_by_text("test/").first.wait_for(timeout=60_000)
    return str(page.inner_text("body"))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_page_is_served_and_ends(tmp_path: Path, stop: signal.Signals, browser: Any) -> None:
    """The runs are shown where it says, with their files; Ctrl-C or SIGTERM leaves no process."""
    from seqbench.tracking.store import open_store

    store = open_store(TrackingSettings())
    sweep = store.start_sweep("task=music", "words")
    nll = MetricInfo("nll", "min", "nats")
    record = TrialRecord("k", "music", "lstm", 0, primary=nll, data="0123456789abcdef")
    run = store.start(record, {"a": 1}, {})
    record.metrics = {"test/nll": 8.125}
    run.finish(record)
    store.end_sweep(sweep, "FINISHED", "1 trial", {best_metric("nll"): 7.5, FINISHED: 1.0}, "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from seqbench.cli import main; sys.exit(main())"
    command = subprocess.Popen(
        [sys.executable, "-c", code, "ui", f"port={port}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert command.stdout is not None
    try:
        assert (
            command.stdout.readline() == "Starting MLflow's page over seqbench-runs/mlflow.db ...\n"
        )
        found = command.stdout.readline().split()
        assert found[0] == "Open"
        assert found[1].startswith(f"http://127.0.0.1:{port}/#/")
        assert command.stdout.readline() == "Ctrl-C ends it.\n"
        [server] = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(command.pid)],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        assert members(int(server))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        page = f"http://127.0.0.1:{port}"
        assert b"<title>MLflow</title>" in opener.open(page, timeout=30).read()
        artifact = f"{page}/get-artifact?path=config.json&run_uuid={run.run_id}"
        assert opener.open(artifact, timeout=30).read() == b'{\n  "a": 1\n}\n'
        shown = text_of(browser, found[1], "music lstm seed 0")
        for text in ("sweep task=music", "music (0123456789abcdef)", "test/nll", "8.125", "7.5"):
            assert text in shown
    finally:
        command.send_signal(stop)
        _, stderr = command.communicate(timeout=60)
    assert (command.returncode, stderr) == (EXIT_DONE, "")
    assert members(int(server)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["seqbench-runs"]
