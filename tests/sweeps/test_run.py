"""Sweeps from the command line and from Python: what runs, what is told, what is logged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import seqbench
from seqbench import interface
from seqbench.cli import main
from seqbench.config import composition
from seqbench.config.overrides import override_text
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Busy, Refused, TrialFailed
from seqbench.records import MetricInfo, TrialRecord
from seqbench.tracking.store import open_store
from seqbench.tracking.trials import latest_sweep
from seqbench.trials import run as run_module

TINY = ["experiment=smoke", "model=rnn", "model.hidden_size=4", "trainer.progress=false"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> dict[int, BaseException]:
    """Have trials of a seed end with an exception, and the others with their seed as score."""
    ends: dict[int, BaseException] = {}

    def run(settings: Settings, _: object = None) -> TrialRecord:
        if settings.seed in ends:
            raise ends[settings.seed]
        metric = MetricInfo("nll", "min", "nats per frame")
        scores = {"test/nll": float(settings.seed), "valid/nll": 0.0}
        return TrialRecord(
            "key", settings.task, settings.model, settings.seed,
            monitor=metric, primary=metric, metrics=scores,
        )  # fmt: skip

    monkeypatch.setattr(run_module, "run", run)
    return ends


def test_failed_trials_stand_in_the_table(
    untrained: dict[int, BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of three seeds fail: the others go on, the table says 1 of 3 and why, and exit is 1."""
    untrained[1] = TrialFailed("the loss is nan")
    untrained[2] = ZeroDivisionError("in a plugin")
    code = main(["-m", "model=lstm,gru", "seed=2,1,8", "tracking=none", *TINY[:1]])
    out, err = capsys.readouterr()
    assert 1 == code
    assert 2 == out.count("1 of 3")
    assert "music lstm: FAILED: the loss is nan" in out
    assert "music gru: FAILED: ZeroDivisionError: in a plugin" in out
    assert "[6/6] music gru seed=8: nll 8 nats per frame" in err
    assert "seqbench: 4 of 6 trials failed" == err.strip().splitlines()[-1]


def test_what_exits_or_runs_out_of_time_costs_no_other(
    untrained: dict[int, BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    untrained[0] = SystemExit(3)
    untrained[1] = TrialFailed("trained longer than limits.minutes=1", "TIMEOUT")
    untrained[2] = Busy("by another")
    assert 1 == main(["-m", "seed=0,1,2,3", "tracking=none"])
    out, err = capsys.readouterr()
    assert "music lstm: FAILED: the trial exited with code 3" in out
    assert "music lstm: TIMEOUT: trained longer than limits.minutes=1" in out
    assert "music lstm: ELSEWHERE: another process runs it" in out
    assert "1 of 4" in out
    assert err.endswith("seqbench: 2 of 4 trials failed\n")


def test_interrupted(
    untrained: dict[int, BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    untrained[1] = KeyboardInterrupt()
    assert 130 == main(["-m", "seed=0,1,2", "tracking=none"])
    out, err = capsys.readouterr()
    assert "" == out
    assert "[1/3]" in err
    assert "[2/3]" not in err
    assert "the same command goes on" in err


def test_impossible_trials_are_told_and_the_others_run(
    untrained: dict[int, BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not untrained
    assert 1 == main(["-m", "seed=-1,5", "tracking=none"])
    out, err = capsys.readouterr()
    assert "REFUSED: seed must be in 0..4294967295, not -1" in out
    assert "1 of 2" in out
    assert "[1/1] music lstm seed=5: nll 5 nats per frame" in err
    assert 2 == main(["-m", "seed=-1,-2", "tracking=none"])


@pytest.mark.slow
def test_a_sweep_and_what_is_left_of_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No finished trial runs twice; status, results and MLflow's nesting tell the same."""
    words = ["-m", *TINY, "seed=0,1"]
    assert 0 == main(words)
    assert "2 trials: 2 new; 2 to run" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "run", lambda *_: pytest.fail("it ran again"))
        assert 0 == main(words)
    out, err = capsys.readouterr()
    assert "2 trials: 2 finished; 0 to run (rerun=stale)" in err
    assert "2 of 2" in out
    frame = seqbench.sweep(
        model="rnn", experiment="smoke", seed=range(3),
        **{"model.hidden_size": 4, "trainer.progress": False},
    )  # fmt: skip
    assert ["0", "1", "2"] == list(frame["seed"])
    assert {"FINISHED"} == set(frame["status"])
    found = seqbench.results()
    assert [2, 1, 0] == list(found["seed"])
    assert list(frame["score"])[::-1] == list(found["test/nll"])
    assert {4} == set(found["model.hidden_size"])
    sweep = latest_sweep(TrackingSettings())
    assert sweep is not None
    assert "FINISHED" == sweep.status
    runs = open_store(TrackingSettings())._client.search_runs(["1"])
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    assert {None, sweep.run_id} < parents
    assert 5 == len(runs), "three trials under the two sweeps that ran them"
    assert 0 == main(["status"])
    assert "3 trials: 3 finished" in capsys.readouterr().out
    assert 0 == main(["plan", *words[:-1], "seed=0,1,2,3"])
    assert "4 trials: 3 finished, 1 new; 1 to run" in capsys.readouterr().out
    with pytest.raises(Refused, match=r"is a sweep, and no trial"):
        open_store(TrackingSettings()).find(sweep.run_id)


KILLED = """
import os, signal, sys
from seqbench.cli import main
from seqbench.training.callbacks import Checkpoints

def die(self, trainer, *_):
    if trainer.current_epoch == 4:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.SECONDS_BETWEEN_STATES = 0.0
Checkpoints.on_train_batch_end = die
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_trial_goes_on_to_the_same_bits(folder: Path) -> None:
    """Kill -9 in mid-training, and the same command: the record of one that was never killed."""
    words = [*TINY[1:], "recipe.max_epochs=12", "recipe.max_examples=60", "recipe.dropout=0.2"]
    whole = run_module.run(composition.settings(composition.compose([*words, "tracking=none"])))
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=folder, check=False)
    assert -signal.SIGKILL == killed.returncode
    assert list(folder.glob("seqbench-runs/unfinished/*/0/checkpoint/best.state"))
    resumed = run_module.run(composition.settings(composition.compose(words)))
    assert whole.metrics == resumed.metrics
    assert whole.epochs == resumed.epochs
    for before, after in zip(whole.history, resumed.history, strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}
    runs = open_store(TrackingSettings())._client.search_runs(["1"])
    assert ["FINISHED", "KILLED"] == [run.info.status for run in runs]
    assert not list(folder.glob("seqbench-runs/unfinished/*"))


def test_status_without_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["status"])
    assert "no sweep yet in seqbench-runs/mlflow.db, experiment seqbench" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["plain", "two words", "a,b=c", "it's", 'say "x"', "{a: b}", "null", "1e3", "back\\", ""],
)
def test_texts_reach_the_configuration_as_they_are(text: str) -> None:
    """From Python nobody quotes for Hydra."""
    composed = composition.compose([f"tracking.uri={override_text(text)}"])
    assert text == composed.tracking.uri


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"recipe": {"lr": 1e-3, "clip": 0}}, ["recipe.lr=0.001", "recipe.clip=0"]),
        ({"seed": range(2), "model": ["lstm", "gru"]}, ["seed=0,1", "model=lstm,gru"]),
        ({"task.days": [[1, 2], None]}, ["task.days=[1,2],null"]),
        ({"trainer.progress": False}, ["trainer.progress=false"]),
    ],
)
def test_overrides_of_python(overrides: dict[str, object], expected: list[str]) -> None:
    flat = interface._flat(overrides)
    assert expected == [interface._word(key, value, several=True) for key, value in flat]


def test_python_refuses_what_the_command_line_does(
    untrained: dict[int, BaseException],
) -> None:
    """One line, before anything runs."""
    assert not untrained
    for call, message in (
        (lambda: seqbench.run(model="lstn"), r"unknown model 'lstn' \(did you mean 'lstm'"),
        (lambda: seqbench.sweep(seeds=[1, 2]), r"unknown key 'seeds' \(did you mean 'seed'"),
        (lambda: seqbench.sweep(launcher="ray", workers=2), "workers=2 is of launcher='local'"),
        (lambda: seqbench.results(uri="sqlite://"), "names no file"),
    ):
        with pytest.raises(Refused, match=message):
            call()


def test_a_result_of_python(
    untrained: dict[int, BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not untrained
    result = seqbench.run(model="gru", seed=7, tracking="none")
    assert 7.0 == result.score
    assert "music, gru, seed 7" in str(result)
    assert json.loads(result.record.to_json())["metrics"] == result.metrics
