"""Commands that are printed run as they stand: they name data, plugins, parameters and the store.

They are taken from what is printed, as a shell would read it, and run in this process.
"""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.identity import identity
from seqbench.records import MetricInfo, TrialRecord
from seqbench.reporting.selection import Wanted, commands_for, select
from seqbench.tracking.store import open_store
from seqbench.trials import run as run_module

SMALL = ["model.hidden_size=2", "recipe.max_epochs=1", "trainer.progress=false"]
ODD = "it's #1, 50% (ü).pkl"
STORE = "my store"


def rolls(path: Path, shift: int = 0) -> None:
    """Write a pickle of piano rolls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = [[[note + shift + i for note in (60, 64, 67)]] * (4 + i) for i in range(6)]
    path.write_bytes(pickle.dumps({"train": pieces[:2], "valid": pieces[2:4], "test": pieces[4:]}))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> Path:
    here = tmp_path / "two words #2"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rolls(here / ODD)
    return here


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Hear which trials a command asks for; none is trained."""
    found: list[Settings] = []

    def run(settings: Settings, _: object = None) -> TrialRecord:
        found.append(settings)
        metric = MetricInfo("nll", "min")
        scores = {"test/nll": 1.0, "valid/nll": 1.0}
        return TrialRecord("k", settings.task, settings.model, settings.seed,
                           monitor=metric, primary=metric, metrics=scores)  # fmt: skip

    monkeypatch.setattr(run_module, "run", run)
    return found


def following(out: str) -> list[str]:
    """Return the words of the command that a result tells to try."""
    (line,) = [line for line in out.splitlines() if line.startswith("next ")]
    name, *words = shlex.split(line.removeprefix("next"))
    assert name == "seqbench"
    return words


def word(path: str) -> str:
    """Return the word of a source, as a person must write it."""
    quoted = path.replace("'", r"\'")
    return f"task.source='{quoted}'"


@pytest.mark.slow
def test_what_follows_a_trial_and_its_evaluation(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    words = ["task=music", word(ODD), "task.title=my songs", "task.transpose=1", "model=gru"]
    assert main([*words, *SMALL, f"tracking.uri={STORE}", "tracking.experiment=one"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^my songs, gru, seed 0$", out, re.MULTILINE)
    short = re.search(r" run ([0-9a-f]{8}); to see it: seqbench ui ", out)
    assert short
    rolls(Path("other, too", "b.pkl"))
    place = word("other, too/b.pkl")
    assert main(["evaluate", f"run={short[1]}", f"tracking.uri={STORE}", place]) == 0
    evaluated = capsys.readouterr().out
    asked = request.getfixturevalue("asked")
    for said, source in ((out, ODD), (evaluated, "other, too/b.pkl")):
        asked.clear()
        assert main(following(said)) == 0
        assert len(asked) == 6
        for settings in asked:
            assert settings.source == source
            assert settings.title == "my songs"
            assert settings.task_parameters["transpose"] == 1
            assert settings.tracking.uri == STORE
            assert settings.tracking.experiment == "one"


@pytest.mark.slow
def test_the_same_file_under_two_paths_is_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For `plan`, `compare` and `report`; their commands repeat the trial, from elsewhere too."""
    other = "b #2/c 50% 'ü'.pkl"
    rolls(folder / other)
    for model, path in (("lstm", ODD), ("gru", other), ("lstm", other)):
        words = ["task=music", word(path), f"model={model}", *SMALL, f"tracking.uri={STORE}"]
        assert main(words) == 0
    capsys.readouterr()
    both = ["plan", "-m", "task=music", "model=lstm,gru", *SMALL, f"tracking.uri={STORE}"]
    assert main([*both, word(other)]) == 0
    assert "2 trials: 2 finished; 0 to run" in capsys.readouterr().out
    assert main(["compare", "lstm", "gru", f"tracking.uri={STORE}"]) == 0
    out = capsys.readouterr().out
    assert out.count("seeds") >= 1
    assert "lstm" in out
    tracking = [f"tracking.uri={STORE}"]
    selection = select(Wanted(tracking=tracking))
    (table,) = selection.tables
    assert len(table.trials) == 2
    (trial, _) = table.trials
    repeat, again = map(shlex.split, commands_for(selection.defaults, tracking)(trial))
    assert main(repeat[1:]) == 0
    assert "every bit agrees" in capsys.readouterr().out
    from seqbench.config.composition import compose, settings

    stored = open_store(TrackingSettings(uri=STORE)).find(trial.run_id)
    assert identity(settings(compose(again[1:]))).key == stored.record.key


@pytest.mark.slow
def test_what_compare_advises_helps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Models that were trained on other data are run together on those of the newest trial."""
    rolls(folder / "second.pkl", shift=3)
    for model, path in (("lstm", "second.pkl"), ("gru", ODD)):
        words = ["task=music", word(path), f"model={model}", *SMALL, f"tracking.uri={STORE}"]
        assert main(words) == 0
    capsys.readouterr()
    compare = ["compare", "lstm", "gru", f"tracking.uri={STORE}"]
    assert main(compare) == 2
    said = capsys.readouterr().err
    advice = re.search(r"run them together: (.*)$", said, re.MULTILINE)
    assert advice
    name, *words = shlex.split(advice[1])
    assert name == "seqbench"
    assert word(ODD) in words
    assert "music: second" in said
    words.remove("seed=range(10)")  # one seed of the ten is enough here
    assert main([*words, "seed=0", "model.hidden_size=2"]) == 0
    assert main(compare) == 0
    shutil.rmtree(STORE)
