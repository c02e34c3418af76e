"""``seqbench plan difference=...``: what a sweep's variants need."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from seqbench.cli import main
from seqbench.config.composition import compose, settings
from seqbench.config.settings import TrackingSettings
from seqbench.errors import LONGEST
from seqbench.identity import identity
from seqbench.records import MetricInfo, TrialRecord
from seqbench.registry.codehash import harness_hashes
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tags import identity_tags

WORDS = ["experiment=smoke", "model=lstm,gru"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def log(store: Store, words: list[str], score: float, drawn: list[float]) -> None:
    """Log a run that has finished."""
    asked = settings(compose(words))
    of_trial = identity(asked)
    record = TrialRecord(
        "key", asked.task, asked.model, asked.seed,
        primary=MetricInfo("nll", "min", "nats per frame"), metrics={"test/nll": score},
        group="piece", group_sizes=[1.0] * 20, bootstrap_scores=drawn, data="data",
    )  # fmt: skip
    tags = identity_tags(of_trial.configuration, of_trial.parts, harness_hashes())
    store.start(record, asked.to_dict(), tags).finish(record)


def log_pilot(words: list[str]) -> None:
    rng = np.random.default_rng(0)
    store = open_store(TrackingSettings(experiment="pilot"))
    for model in ("lstm", "gru"):
        shared = rng.normal(0, 0.05, 200)
        for seed in range(100, 105):
            score = 8.0 + rng.normal(0, 0.05)
            log(store, [*words, f"model={model}", f"seed={seed}"], score, list(score + shared))


def test_without_trials_it_says_what_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that works, in an experiment of its own."""
    assert 0 == main(["plan", "-m", *WORDS, "seed=0,1", "looks=6,10", "difference=0.05"])
    *_, line, advice = capsys.readouterr().out.splitlines()
    assert "music: what a difference takes is not known without trials of lstm, gru" in line
    program, *words = shlex.split(advice)
    assert "seqbench" == program
    assert ["seed=range(100,105)", "tracking.experiment=pilot"] == words[-2:]
    assert 0 == main(["plan", *words])
    assert "10 trials: 10 new" in capsys.readouterr().out


def test_a_pilot_in_an_experiment_of_its_own_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """By its conditions and variants, whatever the seeds are; other conditions are another task."""
    log_pilot(WORDS[:1])
    assert 0 == main(["plan", "-m", *WORDS, "seed=range(10)", "difference=0.5"])
    out = capsys.readouterr().out
    assert "20 trials: 20 new" in out
    lines = out.splitlines()[-4:]
    assert lines[0].startswith("music: a difference of 0.500 nats per frame between lstm and gru")
    assert "on these 20 test pieces" in lines[0]
    assert "5 runs of lstm and 5 of gru" in lines[-1]
    assert all(len(line) < LONGEST for line in lines)
    assert 0 == main(["plan", "-m", *WORDS, "task.grid=sixteenth", "difference=0.5"])
    assert "is not known without trials of lstm, gru" in capsys.readouterr().out


def test_a_task_that_says_what_is_worth_having_needs_no_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 0 == main(["plan", "-m", *WORDS, "task=speech"])
    assert "speech: what a difference takes is not known" in capsys.readouterr().out
    assert 0 == main(["plan", "-m", "model=lstm", "task=speech"])
    assert "difference" not in capsys.readouterr().out


def test_what_cannot_be_told_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["plan", "model=lstm", "difference=1%"])
    assert "name two or more, as model=lstm,gru" in capsys.readouterr().out
    assert 0 == main(["plan", *WORDS, "difference=1%", "tracking=none"])
    assert "music: tracking=none keeps no trials" in capsys.readouterr().out
    for wrong in ("0", "-1", "abc", "inf", "nan%", "%"):
        assert 2 == main(["plan", *WORDS, f"difference={wrong}"])
        assert (
            "difference must be a positive number in the metric's unit" in capsys.readouterr().err
        )
    assert 2 == main(["plan", *WORDS, "difference=1", "difference=2"])
    assert "difference is given twice" in capsys.readouterr().err
