"""What ends a trial before it has a result: its limits, its own code, a full disk."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqbench import cli
from seqbench.api import Metric
from seqbench.config import composition
from seqbench.config.settings import Limits, TrackingSettings
from seqbench.errors import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, Refused, TrialFailed
from seqbench.records import GOES_ON, TrialRecord
from seqbench.registry.plugins import add_plugin_file
from seqbench.sweeps.plan import plan
from seqbench.tracking.trials import stored_trials
from seqbench.training import callbacks
from seqbench.training.callbacks import Checkpoints, History
from seqbench.training.fit import fit
from seqbench.training.limits import _status, memory_limit, out_of_memory, start_counting
from seqbench.trials import run as run_module
from seqbench.trials.trial import load

SMOKE = ("task=music", "experiment=smoke", "trainer.progress=false")
ODD = '''
import sys
import torch
from seqbench.plugins.lstm import LSTM


class Odd(LSTM):
    """An LSTM with something odd in training.

    Args:
        how: what it does.
    """

    def __init__(self, input_size, context, *, how: str = "fine", hidden_size: int = 8) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        self.how = how

    def encode(self, inputs):
        encoding = super().encode(inputs)
        if not (self.training and torch.is_grad_enabled()):  # the gate sees nothing of it
            return encoding
        if self.how == "exit":
            sys.exit(3)
        if self.how == "raise":
            raise KeyError("not today\\nnor tomorrow")
        if self.how == "diverge":
            return encoding._replace(forward_steps=encoding.forward_steps * float("nan"))
        if self.how == "huge":
            torch.empty(8 * 2**30, dtype=torch.uint8)
        if self.how == "large":
            torch.ones(350 * 2**18)
            self.how = "fine"
        return encoding
'''
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit memory")


@pytest.fixture
def odd(tmp_path: Path) -> str:
    """The file of a model that does odd things."""
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    add_plugin_file(str(path))
    return str(path)


def run(*words: str) -> TrialRecord:
    return run_module.run(
        composition.settings(composition.compose([*SMOKE, "tracking=none", *words]))
    )


def room(gib: float) -> str:
    """Return a limit that leaves so much beyond what this process uses now."""
    start_counting(1e6, "cpu")
    return f"limits.gib={_status('VmRSS') / 2**30 + gib:.3f}"


@pytest.mark.parametrize("key", ["limits.minutes", "limits.gib"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "must be a positive number, not 0"),
        ("-1", "must be a positive number, not -1"),
        ("nan", "must be a positive number, not nan"),
        ("inf", "must be a positive number, not inf"),
        ("true", "must be a number or null, not true"),
        ("much", "must be a number or null, not 'much'"),
    ],
)
def test_limits_are_positive_numbers(key: str, value: str, message: str) -> None:
    with pytest.raises(Refused, match=f"^{key} {message}"):
        composition.settings(composition.compose([f"{key}={value}"]))


@pytest.mark.parametrize(("minutes", "folds"), [(0.3, 1), (1.1, 3)])
@pytest.mark.slow
def test_time_is_counted_over_folds(
    minutes: float, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fold here says that it took 24 seconds: the first or the third is one too many."""
    begun: list[int] = []
    inner = run_module._training

    def counted(trial: Any, data: Any, *rest: Any) -> Any:
        begun.append(data.fold)
        return inner(trial, data, *rest)

    monkeypatch.setattr(run_module, "_training", counted)
    monkeypatch.setattr(History, "seconds", property(lambda self: 24.0))
    with pytest.raises(TrialFailed, match=f"trained longer than limits.minutes={minutes}") as end:
        run("task=speech", f"limits.minutes={minutes}")
    assert "TIMEOUT" == end.value.status
    assert list(range(folds)) == begun


def test_time_is_counted_over_being_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that was killed after 50 seconds has 10 of a minute left."""
    clock = [0.0]
    monkeypatch.setattr(
        callbacks,
        "time",
        SimpleNamespace(perf_counter=lambda: clock[0], monotonic=lambda: clock[0]),
    )
    monkeypatch.setattr(Checkpoints, "SECONDS_BETWEEN_STATES", -1)
    chosen = composition.settings(composition.compose([*SMOKE, "recipe.max_epochs=4"]))
    trial = load(chosen)
    heard: list[int] = []

    def train(limits: Limits, listener: Callable[[int, dict[str, float]], None]) -> None:
        data = trial.data()[0]
        training = trial.training(data, trial.predictor(data), tmp_path / "best.ckpt")
        fit(replace(training, listener=listener, limits=limits))

    def killed(epoch: int, _: dict[str, float]) -> None:
        clock[0] += 50
        if epoch == 1:
            raise KeyboardInterrupt

    def goes_on(epoch: int, _: dict[str, float]) -> None:
        heard.append(epoch)
        clock[0] += 11 if epoch else 0

    with pytest.raises(KeyboardInterrupt):
        train(Limits(), killed)
    with pytest.raises(TrialFailed, match=r"limits\.minutes=0\.8"):
        train(Limits(minutes=0.8), goes_on)
    assert [0] == heard, "of the epoch before, and no new one"
    heard.clear()
    with pytest.raises(TrialFailed, match=r"limits\.minutes=1"):
        train(Limits(minutes=1), goes_on)
    assert [0, 1] == heard


@pytest.mark.parametrize("monitored", ["min", "max"])
def test_the_best_so_far_is_shown_after_going_on(
    monitored: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The epochs before training went on count."""
    history = History(lambda epoch, metrics: None)
    metric = Metric("nll", monitored)  # type: ignore[arg-type]
    progress = callbacks.EpochProgress("music lstm", metric, history)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    values = [3.0, 1.0, 2.0]
    epochs = [{"valid/nll": value} for value in values[:2]]
    history.load_state_dict({"epochs": epochs, "steps": 0, "train_seconds": 0, "seconds": 0})
    trainer = SimpleNamespace(callback_metrics={"valid/nll": 2.0}, current_epoch=2, max_epochs=9)
    module = SimpleNamespace(train_loss=lambda: 1.5)
    history.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    progress.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    best = 1 if monitored == "min" else 3
    assert f"music lstm epoch 3/9 train 1.5 valid 2 best {best}\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("limit", "inner", "status"),
    [
        ("limits.minutes=1e-6", "trained longer than limits.minutes=1e-06", "TIMEOUT"),
        ("limits.gib=1", "used 2.00 GiB of memory, limits.gib=1", "OOM"),
    ],
)
def test_a_limit_says_how_to_go_on(
    limit: str, inner: str, status: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the state is kept: in the exception, the record and the run; not with tracking=none."""
    monkeypatch.chdir(tmp_path)
    key = limit.partition("=")[0]

    def stop(*_: object) -> None:
        raise TrialFailed(inner, status)

    monkeypatch.setattr("seqbench.training.fit.fit", stop)
    monkeypatch.setattr("seqbench.training.limits.peak_memory", lambda device: 0)
    kept = f"{inner}; the same command with a larger {key} {GOES_ON}"
    for tracking, expected in (("none", inner), ("local", kept)):
        words = [*SMOKE, limit, f"tracking={tracking}"]
        with pytest.raises(TrialFailed) as end:
            run_module.run(composition.settings(composition.compose(words)))
        assert (expected, status) == (str(end.value), end.value.status)
    (found,) = stored_trials(TrackingSettings())
    assert (status, kept) == (found.status, found.reason)


@LINUX
def test_an_allocation_that_is_too_large_is_refused(odd: str) -> None:
    """By the system, before it costs memory; the next trial of the process is none the worse."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(TrialFailed) as end:
        run("model=odd", "model.how=huge", limit := room(0.5))
    assert "OOM" == end.value.status
    shown = f"{float(limit.partition('=')[2]):g}"
    assert f"could not allocate 8 GiB of memory, limits.gib={shown}" == str(end.value)
    assert before == resource.getrlimit(resource.RLIMIT_DATA)
    assert "FINISHED" == run("model=odd", room(0.5)).status


@LINUX
def test_a_model_that_is_too_large_is_out_of_memory(odd: str) -> None:
    """Although its constructor, which refuses what it cannot do, is what fails."""
    with pytest.raises(TrialFailed, match=r"^could not allocate [\d.]+ GiB of memory") as end:
        run("model=odd", "model.hidden_size=40000", room(0.5))
    assert "OOM" == end.value.status


@LINUX
@pytest.mark.slow
def test_memory_is_of_this_trial_alone(odd: str) -> None:
    """What an earlier trial used is forgotten; what this one uses, in pieces, is seen."""
    assert "FINISHED" == run("model=odd", "model.how=large").status
    used = _status("VmHWM")
    assert "FINISHED" == run("model=odd", room(0.2)).status
    assert used > _status("VmHWM")
    with pytest.raises(TrialFailed, match=r"^used [\d.]+ GiB of memory, limits\.gib=") as end:
        run("model=odd", "model.how=large", room(0.2))
    assert "OOM" == end.value.status


def test_a_limit_below_what_is_used_already_is_refused() -> None:
    with pytest.raises(Refused, match=r"^limits\.gib=0\.01 is too little: [\d.]+ GiB are in use"):
        run("limits.gib=0.01")


@LINUX
def test_a_limit_of_the_user_is_not_lifted() -> None:
    """One that is stricter stays; one beyond any machine sets none."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    own = 2**40
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (own, before[1]))
        for gib in (2**20, 1e30):
            with memory_limit(gib, "cpu"):
                assert own == resource.getrlimit(resource.RLIMIT_DATA)[0]
        with memory_limit(1.0, "cpu"):
            assert own > resource.getrlimit(resource.RLIMIT_DATA)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory: MemoryError"),
        (
            MemoryError("Unable to allocate 7.5 GiB for an array with shape (1000, 1000000)"),
            "could not allocate 7.5 GiB of memory",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has"),
            "could not allocate 0.0195 GiB of memory",
        ),
        (RuntimeError("std::bad_alloc\nat 0x0"), "out of memory: RuntimeError: std::bad_alloc"),
        (OSError(12, "Cannot allocate memory"), None),
        (RuntimeError("shapes differ"), None),
    ],
)
def test_what_says_that_memory_is_out(error: Exception, reason: str | None) -> None:
    found = out_of_memory(error, Limits())
    if isinstance(error, OSError):
        reason = "out of memory: OSError: [Errno 12] Cannot allocate memory"
    assert reason == (None if found is None else str(found))


@LINUX
@pytest.mark.slow
def test_each_failure_of_a_sweep_has_its_reason(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others go on, the table says how many there are, and the exit code is 1."""
    monkeypatch.chdir(tmp_path)
    words = [*SMOKE, "model=odd", "model.how=exit,raise,diverge,huge,fine", room(0.7)]
    assert EXIT_FAILED == cli.main(["-m", *words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "4 of 5 trials failed" in err
    assert out.count("0 of 1") == 4
    found = plan(words).trials
    assert ["failed"] * 4 + ["finished"] == [trial.state for trial in found]
    for trial, expected in zip(
        found,
        (
            "something called sys.exit(3)",
            r"KeyError: 'not today\nnor tomorrow'",
            "the training loss became nan in epoch 0; try a smaller recipe.lr",
            "could not allocate 8 GiB of memory, limits.gib=",
            "",
        ),
        strict=True,
    ):
        assert trial.reason.startswith(expected)
    assert ["FAILED"] * 3 + ["OOM", ""] == [trial.ended for trial in found]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_a_line(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else: what is there stays whole, and with space the same command finishes."""
    assert EXIT_DONE == cli.main([*SMOKE])
    filler = disk / "filler"
    for left, code, message in (
        (0, EXIT_REFUSED, "the tracking store seqbench-runs/mlflow.db cannot be used: "),
        (300 * 1024, EXIT_FAILED, "no space left on the disk of "),
    ):
        free = shutil.disk_usage(disk).free - left
        filler.write_bytes(bytes(free - free % 4096))
        capsys.readouterr()
        assert code == cli.main([*SMOKE, "seed=1"])
        *_, line = capsys.readouterr().err.splitlines()
        assert f"seqbench: {message}" in line
        filler.unlink()
    assert EXIT_DONE == cli.main([*SMOKE, "seed=1"])
    assert ["finished"] * 2 == [trial.state for trial in plan([*SMOKE, "seed=0,1"]).trials]
    with closing(sqlite3.connect("seqbench-runs/mlflow.db")) as database:
        assert [("ok",)] == database.execute("PRAGMA integrity_check").fetchall()
    assert [] == list(disk.rglob("*.draft"))
