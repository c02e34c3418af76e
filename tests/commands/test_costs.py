"""`seqbench costs`, and what a sweep does of it by itself, on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.settings import TrackingSettings
from seqbench.tracking.logged import trial_runs
from seqbench.tracking.measured import Measured
from seqbench.training import latency
from seqbench.trials import measuring

SMALL = ["task=speech/japanese_vowels", "recipe.max_epochs=1", "model.hidden_size=4",
         "trainer.progress=false"]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(latency, "_TURN", 0.002)  # what is asked here is not how long it takes
    return tmp_path


def measured() -> dict[str, Measured]:
    """Return what the runs' tags say, by model; of a model the latest."""
    found: dict[str, Measured] = {}
    for run in trial_runs(TrackingSettings()):
        item = Measured.of(run.tags)
        if item is not None:
            found.setdefault(run.tags["seqbench.model"], item)
    return found


def test_models_are_timed_together_after_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    """All models of a table in one session; again only where one is new."""
    assert 0 == main(["-m", *SMALL, "model=lstm"])
    assert "timing" not in capsys.readouterr().err, "one model alone is compared with nothing"
    assert 0 == main(["-m", *SMALL, "model=lstm,bilstm"])
    err = capsys.readouterr().err
    assert "seqbench: timing a step of 2 models of speech/japanese_vowels" in err
    first = measured()
    assert {"lstm": True, "bilstm": False} == {name: item.streams for name, item in first.items()}
    assert 1 == len({item.session for item in first.values()})
    assert {24} == {len(item.seconds) for item in first.values()}
    assert 0 == main(["-m", *SMALL, "model=lstm,bilstm", "seed=0,1"])
    assert "timing" not in capsys.readouterr().err, "they have been timed"
    assert 0 == main(["-m", *SMALL, "model=gru"])
    assert "timing a step of 3 models" in capsys.readouterr().err
    second = measured()
    assert {"lstm", "bilstm", "gru"} == set(second)
    assert second["lstm"].session > first["lstm"].session

    assert 0 == main(["costs", "task=speech/japanese_vowels"])
    out, err = capsys.readouterr()
    assert "timing 3 models of speech/japanese_vowels" in err
    assert "one more step, batch 1" in out
    (line,) = [line for line in out.splitlines() if line.strip().startswith("bilstm")]
    assert "a whole sequence" in line
    assert measured()["gru"].session > second["gru"].session

    assert 0 == main(["report", "--json"])
    (table,) = json.loads(capsys.readouterr().out)
    for item in table["variants"]:
        low, high = item["step_interval"]
        assert 0 < low <= high


def test_smoke_runs_are_timed_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no results. A model that cannot be loaded is said, and the others are timed."""
    smoke = ["task=music", "experiment=smoke", "trainer.progress=false", "model=lstm,gru,rnn"]
    assert 0 == main(["-m", *smoke])
    assert "timing" not in capsys.readouterr().err
    for run in trial_runs(TrackingSettings()):
        if run.tags["seqbench.model"] == "gru":
            (weights,) = Path("seqbench-runs").rglob(f"{run.run_id}/**/*.ckpt")
            weights.write_bytes(b"damaged")
    assert 0 == main(["costs"])
    out, err = capsys.readouterr()
    assert "gru is not timed: run " in err
    assert "is damaged" in err
    assert {"lstm", "rnn"} == set(measured())
    assert "rnn" in out


def test_a_sweep_does_not_fail_for_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no clock")

    monkeypatch.setattr(measuring, "measure_table", broken)
    assert 0 == main(["-m", *SMALL, "model=lstm,rnn"])
    err = capsys.readouterr().err
    assert "no step was timed: RuntimeError: no clock; `seqbench costs` tries again" in err


def test_what_there_is_nothing_to_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["costs"])
    assert 1 == len(capsys.readouterr().err.splitlines())
    assert 2 == main(["costs", "model=lstm"])
    assert "seqbench costs" in capsys.readouterr().err
