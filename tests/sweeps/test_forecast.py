"""How long a trial may take is told by those that have run, and how sure that is, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seqbench.commands.plan import known_from, plan_table, time_left
from seqbench.config.composition import compose, settings
from seqbench.config.settings import TrackingSettings
from seqbench.records import TrialRecord
from seqbench.sweeps.forecast import Forecast, Forecaster
from seqbench.sweeps.plan import Plan, Planned, plan
from seqbench.tracking.store import open_store
from seqbench.tracking.tracked import flatten
from seqbench.tracking.trials import StoredTrial, stored_trials
from seqbench.trials.trial import load, provenance


def past(*words: str, seconds: float = 100, rest: float = 2, **facts: float) -> StoredTrial:
    """Return a trial that has finished: 10 epochs of 20 steps on each fold, if nothing else."""
    asked = settings(compose([*words]))
    folds = int(facts.get("folds", 1))
    epochs = facts.get("epochs", 10) * folds
    costs = {"seconds": seconds, "epochs": epochs, "steps": facts.get("steps", 20) * epochs}
    return StoredTrial(
        "run", "FINISHED", asked.task, asked.model, "0", "", {}, 2, {}, "", seconds + rest,
        config=flatten(asked.to_dict()), costs=costs, folds=folds,
    )  # fmt: skip


def forecast(trials: list[StoredTrial], *words: str) -> tuple[float, str]:
    found = Forecaster(trials).forecast(settings(compose([*words])))
    assert found is not None
    return found.seconds, found.basis


def test_nothing_has_run() -> None:
    failed = replace(past(), status="FAILED")
    assert Forecaster([failed]).forecast(settings(compose([]))) is None
    assert "nothing has finished here yet" in time_left([Planned([], None, "new")])


def test_same_model_and_task() -> None:
    """The median of those that differ in the seed; a large model does not count."""
    known = [past("seed=1", seconds=s) for s in (90, 100, 500)]
    known.append(past("model.hidden_size=999", seconds=9999))
    assert (102, "from 3 trials of the same model and task") == forecast(known, "seed=7")


@pytest.mark.parametrize(
    ("then", "asked", "seconds", "basis"),
    [
        # epochs: it stopped early after 10 of 200, which a longer patience puts off
        ((), ("recipe.max_epochs=5",), 52, "from 1 trial of the same model and task"),
        ((), ("recipe.patience=20",), 152, "from 1 trial of the same model and task"),
        (
            ("recipe.max_epochs=10",),
            ("recipe.max_epochs=40",),
            402,
            "a guess from 1 trial of the same model and task: if it trains all 40 epochs",
        ),
        # size, device, model
        (
            ("model.hidden_size=32",),
            ("model.hidden_size=64",),
            2 + 100 * 1.5625 / 1.265625,
            "from 1 trial of the same model and task, in other sizes",
        ),
        (("model=gru",), (), 102, "from 1 trial of other models on the same task"),
        (
            (),
            ("trainer.threads=2",),
            102,
            "from 1 trial of the same model and task, on another device",
        ),
        # data: the first 32 of 320 sequences, as a tenth of what the other had
        (
            (),
            ("recipe.max_examples=32",),
            10 + 2 * 0.1**0.5,
            "a guess from 1 trial of the same model and task: they trained far less or far more",
        ),
        (
            ("recipe.max_examples=32",),
            (),
            102,
            "a guess from 1 trial of the same model and task: how much data it has is not known",
        ),
        (("task=health",), (), 102, "a guess: nothing like it has run"),
    ],
)
def test_what_is_scaled(
    then: tuple[str, ...], asked: tuple[str, ...], seconds: float, basis: str
) -> None:
    steps = 2 if "recipe.max_examples=32" in then else 20
    found = forecast([past(*then, steps=steps)], *asked)
    assert (pytest.approx(seconds), basis) == found


def test_folds_are_counted() -> None:
    task = "task=health"
    one = past(task, "task.fold=0", rest=0)
    five = past(task, seconds=480, rest=0, folds=5)
    assert 100 == forecast([one], task, "task.fold=1")[0]
    unknown = "a guess from 1 trial of the same model and task: how many folds it has is not known"
    assert (100, unknown) == forecast([one], task)
    assert (96, "from 1 trial of the same model and task") == forecast([five], task, "task.fold=1")
    assert 490 == forecast([one, five], task, "model=gru")[0]  # between 5 x 100 and 480


def test_other_files_count_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are: a task may train a model for each."""
    monkeypatch.chdir(tmp_path)
    for name, files in (("few", 2), ("many", 6)):
        Path(name).mkdir()
        for number in range(files):
            Path(name, f"{number}.csv").write_bytes(bytes(1000))
    known = [past("task=anomaly", "task.source=few", folds=2, rest=0)]
    expected = (pytest.approx(300), "from 1 trial of the same model and task, on other data")
    assert expected == forecast(known, "task=anomaly", "task.source=many")
    one = ("task=anomaly", "task.source=many", "task.fold=0")
    assert pytest.approx(50) == forecast(known, *one)[0]


def test_a_source_never_run_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stale only where the files of the same path have changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    for name in ("a.pkl", "b.pkl"):
        Path(name).write_bytes(name.encode())
    asked = settings(compose(["task.source=a.pkl"]))
    trial = load(asked)
    monkeypatch.setattr(type(trial.task), "fingerprint", lambda _: "0")
    record = TrialRecord("key", "music", "lstm", 0, epochs=10, steps=200, seconds=1.0)
    record.metrics = {"fold-0/nll": 1.0, "fold-1/nll": 2.0, "test/nll": 1.5}
    run = open_store(TrackingSettings()).start(record, asked.to_dict(), provenance(trial))
    run.finish(record)
    (stored,) = stored_trials(TrackingSettings())
    assert (2, 10, "16") == (
        stored.folds,
        stored.costs["epochs"],
        stored.config["recipe.batch_size"],
    )
    found = plan(["task.source=a.pkl,b.pkl"]).trials
    assert ["finished", "new"] == [item.state for item in found]
    assert all(item.forecast for item in found)
    Path("a.pkl").write_bytes(b"others")
    (changed,) = plan(["task.source=a.pkl"]).trials
    assert ("stale", "changed since: source") == (changed.state, changed.reason)


def test_what_is_said() -> None:
    of_music = Planned([], settings(compose([])), "new", title="music")
    sure = replace(of_music, forecast=Forecast(18, "from 6 trials"))
    guess = replace(sure, forecast=Forecast(60, "a guess: nothing like it has run"))
    unknown = replace(sure, forecast=None)
    begun = replace(sure, state="running", seconds=10)
    assert "about 36 s, one by one" == time_left([sure, sure])
    assert "about 18 s, 2 trials at a time" == time_left([sure, sure], 2)
    assert "about 8 s, one by one" == time_left([begun])
    expected = "about 1 min 18 s, one by one; a guess for 1 trial; 1 of unknown length not counted"
    assert expected == time_left([sure, guess, unknown])
    table = plan_table(Plan([sure], "stale", [0]))
    assert ["about 18 s"] == list(table.columns[-1].cells)
    basis = "a guess: nothing like it has run"
    expected = ["time of music lstm: from 6 trials", f"time of music lstm: {basis}"]
    assert expected == known_from([sure, guess, sure, unknown])
