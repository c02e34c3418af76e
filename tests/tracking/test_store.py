"""Runs are found again, whatever ended them and however many processes write."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking import environment, processes
from seqbench.tracking.logged import logged_trials, trial_runs
from seqbench.tracking.outbox import deliver, waiting
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tags import CONFIGURATION

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class TestFinding:
    """Runs are found by the first digits of their identifier."""

    def test_unknown(self, a_record: Callable[..., TrialRecord], store: Store) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        for text in ("zz", "x' OR 'a' = 'a", "0" * 32, ""):
            with pytest.raises(Refused, match=rf"the latest is {run.run_id[:8]} \(music lstm"):
                store.find(text)

    def test_ambiguous(self, a_record: Callable[..., TrialRecord], store: Store) -> None:
        """Seventeen runs cannot all start with another digit."""
        runs = [store.start(a_record(), {}, {}) for _ in range(17)]
        for run in runs:
            run.finish(a_record())
        digits = [run.run_id[0] for run in runs]
        twice = next(digit for digit in digits if digits.count(digit) > 1)
        with pytest.raises(Refused, match=rf"run '{twice}' is ambiguous: .*write more digits"):
            store.find(twice)

    def test_missing_file(self, a_record: Callable[..., TrialRecord], store: Store) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        with pytest.raises(Refused, match=r"has no file checkpoint/best\.ckpt"):
            store.find(run.run_id).checkpoint_path(0)

    @pytest.mark.parametrize("name", ["record.json", "config.json"])
    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
    def test_damaged_file(
        self, a_record: Callable[..., TrialRecord], store: Store, folder: Path, name: str, text: str
    ) -> None:
        """A file that cannot be read is named in one line."""
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        (folder / "artifacts" / run.run_id / "artifacts" / name).write_text(text)
        with pytest.raises(Refused, match=rf"run {run.run_id[:8]}: {name} is damaged: .*{name}\)"):
            store.find(run.run_id)

    def test_moved_store(
        self,
        a_record: Callable[..., TrialRecord],
        store: Store,
        folder: Path,
        tmp_path: Path,
        copy_store: Callable[[Path, Path], Path],
    ) -> None:
        """A store that was copied elsewhere with its files is read there."""
        run = store.start(a_record(), {}, {})
        run.finish(a_record())
        copy_store(folder, tmp_path / "copy")
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

    def test_stale_run_is_ended(
        self, a_record: Callable[..., TrialRecord], store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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

    def test_code_state(self, tmp_path: Path) -> None:
        """Of the code's own file or folder alone; one that git does not know is a change."""
        assert environment.code_state(tmp_path) == ""
        environment.code_state.cache_clear()
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        (tmp_path / ".gitignore").write_text("installed\n")
        for name in ("code", "other", "installed"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file.py").write_text("1")
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
            subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
        commit = environment.code_state(tmp_path / "code")
        assert len(commit) == 40
        assert environment.code_state(tmp_path / "installed") == ""
        environment.code_state.cache_clear()
        (tmp_path / "other" / "file.py").write_text("2")
        assert commit == environment.code_state(tmp_path / "code")
        assert f"{commit}+changes" == environment.code_state(tmp_path / "other" / "file.py")
        environment.code_state.cache_clear()
        (tmp_path / "code" / "new.py").touch()
        assert f"{commit}+changes" == environment.code_state(tmp_path / "code")

    def test_without_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert environment.git_state(tmp_path) == "none"


START = """
import sys, time
from seqbench.records import TrialRecord
from seqbench.config.settings import TrackingSettings
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
    a_record: Callable[..., TrialRecord],
    store: Store,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    copy_store: Callable[[Path, Path], Path],
) -> None:
    """Runs go to a server and come back from it; a server that dies in mid-run costs no trial."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    copy_store(folder, tmp_path / "served")
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
        run = remote.start(a_record(), {"seed": 3}, {CONFIGURATION: "c"})
        assert f"{uri}/#/experiments/{remote._experiments[0]}/runs/{run.run_id}" == run.location
        run.log_epoch(0, {"train/nll": math.nan, "valid/nll": 1.0})
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
        run.finish(a_record(metrics={"test/nll": math.inf}))
        stored = remote.find(run.run_id[:10])
        assert stored.config == {"seed": 3}
        assert stored.checkpoint_path(0).read_bytes() == b"weights"
        with pytest.raises(Refused, match=r"cannot get missing\.txt of run|has no file missing"):
            stored.files.path("missing.txt")
        settings = TrackingSettings(uri=uri, experiment="remote")
        (logged,) = logged_trials(settings, trial_runs(settings))  # as a report reads them
        assert (run.run_id, "FINISHED", "") == (logged.run_id, logged.status, logged.gap)
        assert (math.inf, {"seed": 3}) == (logged.record.metrics["test/nll"], logged.config)
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
    assert [orphan.run_id] == [folder.name for folder in waiting()]
    assert [f"{uri}: does not answer"] == list(deliver().left.values())
