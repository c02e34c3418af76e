"""A trial counts once, however often and in whatever words a sweep names it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import seqbench
from seqbench.cli import main
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.sweeps.plan import plan, plan_members
from seqbench.tracking.trials import stored_trials
from seqbench.trials import run as run_module


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """Count what is trained, by model and seed; nothing really is."""
    counts: Counter[tuple[str, int]] = Counter()

    def run(settings: Settings, _: object = None) -> TrialRecord:
        counts[settings.model, settings.seed] += 1
        metric = MetricInfo("nll", "min", "nats per frame")
        scores = {"test/nll": 0.3125, "valid/nll": 0.0}
        return TrialRecord(
            "key", settings.task, settings.model, settings.seed,
            monitor=metric, primary=metric, metrics=scores,
        )  # fmt: skip

    monkeypatch.setattr(run_module, "run", run)
    return counts


@pytest.mark.parametrize(
    ("words", "members", "trials"),
    [
        (["seed=3,3"], 2, 1),
        (["seed=0,1,0", "model=lstm,gru"], 6, 4),
        (["model=lstm,lstm,gru"], 3, 2),
        (["seed=choice(1,1)"], 2, 1),
        (["seed=shuffle(1,2,1)"], 3, 2),
        (["task=anomaly,anomaly/watch"], 2, 1),
        (["recipe.lr=1e-3,0.001,1.0e-3"], 3, 1),
        (["recipe.lr=2e-3,0.002,${recipe.momentum}"], 3, 2),
        (["model.hidden_size=64,0x40"], 2, 2),  # one that is refused is a trial, too
        (["trainer.threads=1,1.0"], 2, 2),
        (["recipe.dropout=0,0.0"], 2, 1),
        (["model.bidirectional=false,False"], 2, 1),
        (["limits.minutes=1,2", "trainer.progress=true,false"], 4, 1),
        (["tracking.uri=x,./x,sqlite:///x/mlflow.db"], 3, 1),
        (["tracking.experiment=a,b"], 2, 2),
        (["tracking=none,local"], 2, 2),
        (["seed=-1,-1,2"], 3, 2),
        (["experiment=none,none"], 2, 1),
    ],
)
def test_trials_are_counted_by_what_they_are(words: list[str], members: int, trials: int) -> None:
    found = plan(words)
    assert (members, trials) == (len(found.members), len(found.trials))
    assert set(found.members) == set(range(trials))
    said = f"the {members} members of this sweep mean {trials} trial"
    assert (said in found.repeats) == (members > trials)
    assert len(found.repeats) < 300


def test_a_default_that_is_given_is_no_other_trial() -> None:
    found = plan_members([[], ["seed=0"], ["task=music", "model=lstm"], ["rerun=stale"]])
    assert ([0, 0, 0, 0], 1) == (found.members, len(found.trials))


@pytest.mark.parametrize("launcher", ["basic", pytest.param("local", marks=pytest.mark.slow)])
def test_a_repeated_trial_runs_once(
    launcher: str, trained: Counter[tuple[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    """And is one in the summary, without a deviation, whatever runs it."""
    words = ["-m", "seed=3,3", "model=rnn,rnn", "tracking=none", "experiment=smoke"]
    words += ["trainer.progress=false", f"hydra/launcher={launcher}"]
    if launcher == "local":
        words += ["hydra.launcher.workers=2", "model.hidden_size=4"]
    assert 0 == main(words)
    out, err = capsys.readouterr()
    assert "1 of 1" in out
    assert "±" not in out.splitlines()[-2]
    assert "[1/1] music rnn" in err
    assert "the 4 members of this sweep mean 1 trial, and each counts once: seed=3 model=rnn" in err
    assert launcher == "local" or trained == {("rnn", 3): 1}


def test_a_sweep_of_python_has_a_row_for_each_trial(trained: Counter[tuple[str, int]]) -> None:
    frame = seqbench.sweep(seed=[0, 0, 1], model=["gru", "gru"], tracking="none")
    assert ["0", "1"] == list(frame["seed"])
    assert {("gru", 0): 1, ("gru", 1): 1} == trained


def test_experiments_are_rows_of_their_own(
    trained: Counter[tuple[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same trial in two of them is no seed more."""
    assert 0 == main(["-m", "tracking.experiment=a,b", "seed=4"])
    out = capsys.readouterr().out
    assert 2 == out.count("1 of 1")
    assert {("lstm", 4): 2} == trained


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=0,1", "seed=2,3"], "seed=0,1 and seed=2,3: give it once, such as seed=0,1,2,3"),
        (["seed=0", "seed=2,3"], "such as seed=0,2,3"),
        (["seed=0,1", "++seed=5"], "seed is given twice, as seed=0,1 and ++seed=5"),
        (["model=lstm,gru", "model=rnn"], "such as model=lstm,gru,rnn"),
        (["model=rnn", "model=rnn,gru"], "give it once, such as model=rnn,gru"),
        (["recipe.lr=1e-3,1e-2", "seed=1", "recipe.lr=0.1"], "recipe.lr is given twice"),
        (["seed=range(3)", "seed=choice(4,5)"], "seed=range(3) and seed=choice(4,5): give it once"),
        (["rerun=never,always"], "must be one word for the whole sweep, not never and always"),
        (["seed=range(3,0)"], "has no value at all, so there is no trial to run"),
        (["seed=range(0,3,0)"], "the step of a range must not be 0"),
        (["seed=range(0,1e9)"], "1,000,000,000 trials, more than the 100,000"),
        (["seed=range(0,1000)", "recipe.lr=range(1,1000)"], "999,000 trials"),
        (["model=glob(*x)"], "fits no model"),
        (["seed=glob(*)"], "patterns choose models and tasks"),
        (["recipe.lr=interval(1e-4,1e-2)"], "list values, such as -m recipe.lr=0.0001,0.01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["-m", "plan", "python"])
def test_what_no_sweep_can_mean(
    words: list[str], message: str, way: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    if way == "python":
        with pytest.raises(Refused) as refusal:
            plan(words)
        line = str(refusal.value)
    else:
        assert 2 == main([way, *words])
        line = capsys.readouterr().err.strip()
    assert message in line
    assert "\n" not in line
    assert len(line) < 300
    assert [] == list(folder.iterdir())


def test_of_single_values_the_last_one_counts() -> None:
    """As of any command of Hydra: so an alias of the shell can be overruled."""
    (found,) = plan(["seed=0", "model=lstm", "seed=2", "model=gru"]).trials
    assert ("gru", 2) == (found.model, found.settings.seed if found.settings else None)


def test_patterns_choose_models() -> None:
    assert ["bilstm", "lstm"] == sorted(
        item.model for item in plan(["model=glob([lstm,bi*])", "seed=1"]).trials
    )


@pytest.mark.slow
def test_two_sweeps_of_one_trial_count_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Really trained: a second time, under another name, it has finished."""
    words = ["experiment=smoke", "task=speech/japanese_vowels", "model=rnn", "model.hidden_size=4"]
    words += ["trainer.progress=false", "recipe.max_epochs=1", "recipe.lr=0.001,1e-3"]
    assert 0 == main(["-m", *words])
    assert "1 of 1" in capsys.readouterr().out
    assert 0 == main(["-m", *words, "seed=0,0"])
    out, err = capsys.readouterr()
    assert "1 trial: 1 finished; 0 to run" in err
    assert "1 of 1" in out
    assert 1 == len(stored_trials(TrackingSettings()))
    assert 0 == main(["plan", *words])
    assert "1 trial: 1 finished; 0 to run" in capsys.readouterr().out
