"""Sweeps through every launcher, really run, and what a worker's end does to the others."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from seqbench.config import searchpath
from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused, TrialFailed
from seqbench.registry.plugins import PLUGIN_FILES, add_plugin_file, registry
from seqbench.sweeps import local
from seqbench.sweeps.clusters import RayLauncher, SlurmLauncher
from seqbench.sweeps.launchers import BasicLauncher, TrialLauncher
from seqbench.sweeps.local import LocalLauncher
from seqbench.sweeps.plan import plan_members
from seqbench.sweeps.run import Ran, failures, results, run_plan, status
from seqbench.sweeps.sweeper import make_launcher
from seqbench.tracking.store import open_store
from seqbench.tracking.trials import stored_trials

PLUGIN = """
import os
import sys
import time
from pathlib import Path
from typing import Literal

import torch

from seqbench.nn import RecurrentModel
from seqbench.nn import RNNCell


class Fragile(RecurrentModel):
    '''A simple recurrent network that comes to grief in training where MISHAPS is set.'''

    citation = "none"
    cell = RNNCell

    def __init__(self, input_size, context, *, mishap: str = "none", **options) -> None:
        super().__init__(input_size, context, **options)
        self.mishap = mishap

    def encode(self, inputs):
        trains = self.training and len(inputs.values) > 8 and inputs.values.dtype == torch.float32
        if trains and "MISHAPS" in os.environ:
            if self.mishap == "kill":
                os.kill(os.getpid(), 9)
            elif self.mishap == "exit":
                sys.exit(3)
            elif self.mishap == "hang":
                Path(f"pid-{os.getpid()}").touch()
                time.sleep(600)
        return super().encode(inputs)
"""
EXPERIMENT = """# @package _global_
recipe:
  max_epochs: 1
  max_examples: 16
model:
  hidden_size: 4
"""
TRIAL = ["task=music", "experiment=tiny", "model=fragile"]
FINE = [[*TRIAL, f"seed={seed}"] for seed in (0, 1)]
HANGS = [*TRIAL, "model.mishap=hang", "limits.minutes=0.01"]
EXITS = [*TRIAL, "model.mishap=exit"]
DIES = [*TRIAL, "model.mishap=kill"]
SCRIPT = """
import sys
from pathlib import Path

with Path("executed").open("a") as file:
    file.write("once\\n")

from seqbench.registry.plugins import add_plugin_file
from seqbench.config.overrides import split_words
from seqbench.sweeps.run import run_sweep
from seqbench.sweeps.sweeper import make_launcher

add_plugin_file("fragile.py")
words, launcher = split_words(sys.argv[1:])
with make_launcher(launcher) as workers:
    run_sweep(words, workers)
"""


@pytest.fixture(scope="module", autouse=True)
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plugin's file and the folder of configurations, as the command takes them."""
    folder = tmp_path_factory.mktemp("around")
    (folder / "fragile.py").write_text(PLUGIN)
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "tiny.yaml").write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        for variable in (PLUGIN_FILES, "MLFLOW_TRACKING_URI"):
            patch.setenv(variable, "")
        patch.setattr(sys, "path", list(sys.path))
        Plugins.instance()
        store = ConfigStore.instance()
        before = copy.deepcopy(store.repo)
        patch.setattr(searchpath, "_own_folders", [folder / "conf"])
        add_plugin_file(str(folder / "fragile.py"))
        yield folder
        store.repo = before
        registry.cache_clear()


def sweep(folder: Path, members: Sequence[list[str]], launcher: TrialLauncher) -> list[Ran]:
    """Run trials in a folder."""
    with pytest.MonkeyPatch.context() as patch, launcher:
        patch.chdir(folder)
        return run_plan(plan_members(members), ["the", "sweep"], launcher)


def scores(folder: Path, ran: Sequence[Ran]) -> list[Any]:
    """Return every score of trials, and of their baselines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store = open_store(TrackingSettings())
        ids = [item.outcome.run_id if item.outcome else item.trial.run_id for item in ran]
        records = [store.find(run_id).record for run_id in ids]
        return [(record.metrics, record.baselines, record.intervals) for record in records]


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], float]:
    """The scores of all trials without mishaps, one after the other in this process.

    Also the seconds of the longest: those that must be enough to begin another here.
    """
    folder = tmp_path_factory.mktemp("basic")
    ran = sweep(folder, [*FINE, HANGS, EXITS, DIES], BasicLauncher())
    assert ["FINISHED"] * 5 == [status(item) for item in ran]
    longest = max(item.outcome.seconds for item in ran if item.outcome)
    return scores(folder, ran), longest


@pytest.fixture(scope="module")
def expected(basic: tuple[list[Any], float]) -> list[Any]:
    return basic[0]


def stored(folder: Path) -> list[tuple[str, str]]:
    """Return status and reason of each trial's run, in order of the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = [(trial.status, trial.reason) for trial in stored_trials(TrackingSettings())]
    return sorted(found)


@pytest.mark.slow
def test_local_workers(
    tmp_path: Path,
    basic: tuple[list[Any], float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One that hangs, exits or is killed costs its trial alone, and the same command goes on."""
    monkeypatch.setenv("MISHAPS", "1")
    expected, longest = basic
    monkeypatch.setattr(local, "_GRACE", 4 * longest)
    members = [*FINE, HANGS, EXITS, DIES]
    ran = sweep(tmp_path, members, LocalLauncher(2))
    assert ["FINISHED", "FINISHED", "TIMEOUT", "FAILED", "KILLED"] == [status(i) for i in ran]
    reasons = [item.outcome.reason for item in ran if item.outcome]
    assert "did not end at limits.minutes, and was killed" == reasons[2]
    assert "something called sys.exit(3)" == reasons[3]
    assert reasons[4].startswith("its worker process was killed by SIGKILL")
    assert reasons == [item.reason for item in results(ran)]
    assert sorted(zip(map(status, ran), reasons, strict=True)) == stored(tmp_path)
    assert expected[:2] == scores(tmp_path, ran[:2])
    message = (
        r"^3 of 5 trials failed: 2 of their own \(rerun=failed trains again\), "
        r"1 stopped \(the same command goes on\)$"
    )
    with pytest.raises(TrialFailed, match=message):
        failures(ran)
    assert [] == [line for line in capfd.readouterr().err.splitlines() if "seqbench: " not in line]
    monkeypatch.delenv("MISHAPS")
    again = sweep(tmp_path, members, BasicLauncher())
    expected_states = ["finished", "finished", "failed", "failed", "unfinished"]
    assert expected_states == [item.trial.state for item in again]
    assert ["FINISHED", "FINISHED", "TIMEOUT", "FAILED", "FINISHED"] == [status(i) for i in again]
    again = sweep(tmp_path, [[*words, "rerun=failed"] for words in members], BasicLauncher())
    assert expected == scores(tmp_path, again)


def check_that_one_death_costs_one_trial(
    folder: Path, launcher: TrialLauncher, expected: list[Any]
) -> None:
    """Its run says why, and the others have the bits of the basic launcher's."""
    ran = sweep(folder, [FINE[0], DIES, FINE[1]], launcher)
    assert ["FINISHED", "KILLED", "FINISHED"] == [status(item) for item in ran]
    assert ran[1].outcome is not None
    assert ("KILLED", ran[1].outcome.reason) in stored(folder)
    assert expected[:2] == scores(folder, ran[::2])


@pytest.mark.slow
def test_slurm_jobs(
    tmp_path: Path,
    expected: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As processes of this machine; one that is killed costs its trial alone."""
    monkeypatch.setenv("MISHAPS", "1")
    monkeypatch.setattr("submitit.Job._results_timeout_s", 1)  # it allows for slow file systems
    words = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.at_once=2"]
    check_that_one_death_costs_one_trial(tmp_path, make_launcher(words), expected)
    assert [] == [line for line in capfd.readouterr().err.splitlines() if "seqbench: " not in line]


@pytest.mark.nightly  # Ray takes minutes to start where cores are few
def test_ray_tasks(
    tmp_path: Path,
    expected: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On a Ray of this machine, which has ended afterwards."""
    monkeypatch.setenv("MISHAPS", "1")
    words = ["hydra/launcher=ray", "+hydra.launcher.options.num_cpus=2"]
    launcher = make_launcher(words)
    check_that_one_death_costs_one_trial(tmp_path, launcher, expected)
    assert 2 == launcher.at_once
    import ray

    assert not ray.is_initialized()
    assert [] == [line for line in capfd.readouterr().err.splitlines() if "seqbench: " not in line]


def workers(folder: Path, number: int) -> list[int]:
    """Wait until so many workers hang in their trials, and return their process numbers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [int(path.name.partition("-")[2]) for path in folder.glob("pid-*")]
        if len(found) == number:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{number} workers did not start")


def alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and not _is_zombie(pid)]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", ["Ctrl-C", "kill -9"])
def test_no_worker_outlives_a_sweep(how: str, around: Path, tmp_path: Path) -> None:
    """Neither one that is stopped by the user nor one that is killed, within seconds.

    The second is a script of the user's, which no worker runs again.
    """
    (tmp_path / "fragile.py").write_text(PLUGIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [
        "task=music", "experiment=smoke", "model=fragile", "model.hidden_size=4",
        "model.mishap=hang", "seed=0,1,2", "hydra/launcher=local", "hydra.launcher.workers=2",
    ]  # fmt: skip
    command = [sys.executable, "script.py", "tracking=none"]
    if how == "Ctrl-C":
        command = [sys.executable, "-m", "seqbench", "+plugin=fragile.py", "-m"]
    environment = {**os.environ, "MISHAPS": "1", PLUGIN_FILES: ""}
    process = subprocess.Popen(
        [*command, *words], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        pids = workers(tmp_path, 2)
        assert sorted(pids) == sorted(alive(pids))
        began = time.monotonic()
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        else:
            process.kill()
        _, stderr = process.communicate(timeout=60)
        while alive(pids) and time.monotonic() - began < 30:
            time.sleep(0.1)
        assert [] == alive(pids)
    finally:
        if process.poll() is None:
            process.kill()
    if how == "Ctrl-C":
        assert 130 == process.returncode
        assert "seqbench: interrupted" == stderr.splitlines()[-1]
        assert "Traceback" not in stderr
        assert [("KILLED", "interrupted")] * 2 == stored(tmp_path)
    else:
        assert "once\n" == (tmp_path / "executed").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hydra/launcher=lcal"], "unknown hydra/launcher 'lcal' (did you mean 'local'?)"),
        (["hydra/launcher=submitit_local"], "known: basic, local, ray, slurm"),
        (
            ["hydra/launcher=local", "hydra.launcher.workers=0"],
            "hydra.launcher.workers must be a whole number of at least 1, not 0",
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.workers=two"],
            "hydra.launcher.workers must be a whole number or null, not 'two'",
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.wrkers=2"],
            "no parameter 'wrkers' (did you mean 'workers'?)",
        ),
        (["+hydra.launcher.workers=2"], "hydra/launcher=basic has no parameter 'workers'"),
        (["hydra/launcher=slurm", "hydra.launcher.cluster=locl"], "(did you mean 'local'?)"),
        (["hydra/launcher=slurm", "hydra.launcher.parameters=3"], "must be a mapping or null"),
        (["hydra/launcher=ray", "hydra.launcher.cpus=0"], "must be more than 0, not 0"),
        (["hydra/launcher=ray", "hydra.launcher.gpus=-1"], "must be at least 0, not -1"),
    ],
)
def test_a_wrong_launcher_is_refused(words: list[str], line: str) -> None:
    with pytest.raises(Refused) as refusal:
        make_launcher(words)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("package", "launcher"), [("ray", RayLauncher), ("submitit", SlurmLauncher)]
)
def test_a_missing_extra_is_named(
    package: str, launcher: Callable[[], TrialLauncher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Refused, match=rf"needs {package}: pip install 'seqbench\[(ray|slurm)\]'"):
        next(iter(launcher().outcomes([], "stale")))


def test_what_an_engine_refuses_is_one_line(tmp_path: Path) -> None:
    launcher = SlurmLauncher("local", str(tmp_path), parameters={"partition": "gpu"})
    with pytest.raises(Refused, match=r"hydra/launcher=slurm: .*partition") as refusal:
        next(iter(launcher.outcomes([], "stale")))
    assert "\n" not in str(refusal.value)
