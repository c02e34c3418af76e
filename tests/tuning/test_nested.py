"""Candidates never touch the test split, and each fold chooses for itself."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.composition import compose_each, settings
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused, SeqbenchError
from seqbench.registry.plugins import add_plugin_file
from seqbench.reporting.budgets import Budget
from seqbench.reporting.trials import make_trials
from seqbench.sweeps.launchers import BasicLauncher
from seqbench.sweeps.plan import plan_members
from seqbench.tracking.logged import logged_trials, trial_runs
from seqbench.tracking.store import open_store
from seqbench.trials.repeat import repeat
from seqbench.trials.run import run
from seqbench.tuning.recipes import check_recipe
from seqbench.tuning.run import ModelChoice, known_members, tune
from seqbench.tuning.space import read_words

SMALL = ["model.hidden_size=2", "recipe.max_epochs=3", "recipe.batch_size=4",
         "trainer.threads=1", "trainer.progress=false"]  # fmt: skip
SPACE = ["recipe.lr=tag(log,interval(1e-3,1.0))", "recipe.dropout=0"]
TUNING = ["trials=3", "model=rnn", *SMALL, *SPACE, "tune.seeds=0,1", "tune.final_seeds=100,101",
          "tune.sampler=random"]  # fmt: skip
NOWHERE = "tracking=none"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    for name in ("folded", "whole"):
        text = Path(__file__).with_name("folded.py").read_text()
        Path(f"{name}.py").write_text(text)
    whole = Path("whole.py").read_text().replace("class Folded", "class Whole")
    # A task that cannot take one of its folds.
    Path("whole.py").write_text(whole.replace("fold: int | Literal", "part: int | Literal")
                                .replace("self._fold = fold", "self._fold = part"))  # fmt: skip
    add_plugin_file("folded.py")
    add_plugin_file("whole.py")
    return tmp_path


def trial(*words: str, candidate: bool = False) -> Settings:
    (composed,) = compose_each([["task=folded", "model=rnn", *SMALL, *words]])
    return replace(settings(composed), candidate=candidate)


@pytest.mark.parametrize("fold", ["0", "all"])
def test_a_candidate_does_not_touch_the_test_split(fold: str) -> None:
    """The task's test split raises when it is touched; a trial that is tested does touch it."""
    words = [f"task.fold={fold}", "task.is_guarded=true", NOWHERE]
    record = run(trial(*words, candidate=True))
    assert ("FINISHED", True) == (record.status, record.candidate)
    assert {"valid/error"} == record.metrics.keys()
    assert math.isfinite(record.metrics["valid/error"])
    guarded = trial(*words)
    of_test = ("baselines", "bootstrap_scores", "intervals", "differences", "baseline_bootstrap",
               "group_sizes", "audit", "costs")  # fmt: skip
    assert not any(getattr(record, name) for name in of_test)
    with pytest.raises(SeqbenchError, match="the test split was touched"):
        run(guarded)


def test_a_candidate_is_trained_as_the_trial_is() -> None:
    """It is the same trial but for the test: the same identity, the same epochs."""
    candidate, tested = run(trial(NOWHERE, candidate=True)), run(trial(NOWHERE))
    assert candidate.key == tested.key
    scores = [[epoch["valid/error"] for epoch in item.history] for item in (candidate, tested)]
    assert scores[0] == scores[1]
    assert candidate.metrics["valid/error"] == tested.metrics["valid/error"]
    assert "test/error" in tested.metrics


@pytest.mark.slow
def test_a_candidate_is_no_finished_trial() -> None:
    """What was a candidate is still to be tested; what was tested need not be tried again."""
    run(trial(candidate=True))
    member = [["task=folded", "model=rnn", *SMALL]]
    (as_candidate,) = plan_members(member, candidates=True).trials
    (as_trial,) = plan_members(member).trials
    assert ("finished", "new") == (as_candidate.state, as_trial.state)
    assert math.isfinite(as_candidate.monitor)
    assert math.isnan(as_candidate.score)
    with pytest.raises(Refused, match="is a candidate of a tuning, scored on validation only"):
        repeat(as_candidate.run_id, note=print)
    assert 2 == main(["eval", f"run={as_candidate.run_id}"])
    tested = run(trial())
    for candidates in (True, False):
        (found,) = plan_members(member, candidates).trials
        assert ("finished", tested.run_id) == (found.state, found.run_id)
    tracking = TrackingSettings()
    trials = make_trials(logged_trials(tracking, trial_runs(tracking)))
    assert {True: "", False: ""} == {item.candidate: item.reason for item in trials}


def test_each_fold_is_trained_with_what_is_its_own() -> None:
    """As if it were a trial of that fold alone; the score is of all folds."""
    rates = {0: 0.1, 1: 0.001, 2: 0.03}
    own = ",".join(f"{fold}:{{recipe:{{lr:{lr}}}}}" for fold, lr in rates.items())
    together = run(trial(NOWHERE, f"by_fold={{{own}}}", "model.dropout=0"))
    for fold, lr in rates.items():
        alone = run(trial(NOWHERE, f"task.fold={fold}", f"recipe.lr={lr}", "model.dropout=0"))
        of_fold = [epoch for epoch in together.history if epoch["fold"] == fold]
        assert [epoch["valid/error"] for epoch in alone.history] == [
            epoch["valid/error"] for epoch in of_fold
        ]
        assert together.metrics[f"fold-{fold}/error"] == alone.metrics["test/error"]


def test_sizes_of_folds_are_averaged() -> None:
    """A fold's own width counts; a fold that the data lack is refused."""
    sizes = [run(trial(NOWHERE, "task.fold=0", f"model.hidden_size={size}")).parameters
             for size in (2, 5)]  # fmt: skip
    mixed = run(trial(NOWHERE, "by_fold={1:{model:{hidden_size:5}}}"))
    assert round((2 * sizes[0] + sizes[1]) / 3) == mixed.parameters
    with pytest.raises(Refused, match=r"by_fold: folded has no fold 3, but 0, 1, 2"):
        run(trial(NOWHERE, "by_fold={3:{model:{hidden_size:5}}}"))


def tuned(*words: str) -> ModelChoice:
    tuning = read_words([*TUNING, "task=folded", NOWHERE, *words])
    (found,) = tune(tuning, ["tune"], BasicLauncher())
    return found


@pytest.mark.slow
def test_a_fold_is_not_chosen_for_by_its_own_test_data() -> None:
    """Other values in what a fold tests change what other folds see, and not its own choice."""
    few = ["trials=2", "tune.seeds=0", "tune.final_seeds=100", "tune.sampler=tpe"]
    before, after = tuned(*few), tuned(*few, "task.changed=0")
    assert [0, 1, 2] == [item.fold for item in before.studies]
    assert len({item.study for item in before.studies}) == 3
    alike = [
        [result.score for result in one.results] == [result.score for result in other.results]
        for one, other in zip(before.studies, after.studies, strict=True)
    ]
    assert [True, False, False] == alike
    assert before.studies[0].best == after.studies[0].best


@pytest.mark.slow
def test_folds_have_equal_budgets_and_one_score(capsys: pytest.CaptureFixture[str]) -> None:
    """Each fold judges as many candidates; what they chose is trained and tested together."""
    found = tuned()
    assert [3, 3, 3] == [len(item.results) for item in found.studies]
    for item in found.studies:
        scores = [result.score for result in item.results]
        assert item.best is not None
        members = known_members(read_words([*TUNING, "task=folded", NOWHERE]))
        best = f"recipe.lr={item.best['recipe.lr']}"
        at = [index for index, words in enumerate(members)
              if f"task.fold={item.fold}" in words and best in words]  # fmt: skip
        assert 2 == len(at), "on both seeds"
        assert min(scores) == scores[at[0] % 6 // 2]
    assert Budget.of(
        3, [0, 1], 3, "random", 0, {"recipe.lr": "tag(log,interval(0.001,1.0))"}
    ) == found.budget == Budget.read(str(found.budget))  # fmt: skip
    assert ["100", "101"] == [item.seed for item in found.final]
    assert {"FINISHED"} == {item.status for item in found.final}
    assert all(math.isfinite(item.score) for item in found.final)
    errors = capsys.readouterr().err
    assert "folded fold 2 rnn candidate 3/3" in errors


def test_folds_that_cannot_be_taken_alone_are_refused() -> None:
    """A choice by all folds' validation data would know the test data of each."""
    tuning = read_words([*TUNING, "task=whole", NOWHERE])
    with pytest.raises(Refused, match="task=whole has 3 folds and no parameter 'fold'"):
        tune(tuning, ["tune"], BasicLauncher())


@pytest.mark.slow
def test_a_recipe_of_each_model_is_written_and_taken(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """With it the tuning's final trials are already done, and every record tells the budget."""
    words = ["trials=2", "model=rnn,gru", *SMALL, *SPACE, "task=folded", "tune.seeds=0",
             "tune.final_seeds=100", "tune.save=own"]  # fmt: skip
    plugin = "+plugin=folded.py"
    assert 0 == main(["tune", plugin, *words])
    out = capsys.readouterr().out
    for model in ("rnn", "gru"):
        assert (folder / f"recipes/tuned/own/folded/{model}.yaml").is_file()
    (line,) = [line for line in out.splitlines() if line.startswith("take it: seqbench ")]
    taken = shlex.split(line)[3:]
    assert {"--config-dir=recipes", "model=rnn,gru", "recipe=own", "seed=100"} <= set(taken)
    assert 0 == main([*taken[:-1], "seed=100,102"])
    assert "4 trials: 2 finished, 2 new" in capsys.readouterr().err
    store = open_store(TrackingSettings(), create=False)
    runs = [run for run in trial_runs(TrackingSettings())
            if run.tags["seqbench.seed"] == "102"]  # fmt: skip
    records = [store.find(run.run_id).record for run in runs]
    assert 2 == len(records)
    for record in records:
        budget = Budget.read(record.tuning)
        assert budget is not None
        assert (2, 3) == (budget.candidates, budget.folds)
    assert 2 == main([word.replace("rnn,gru", "lstm") for word in taken])
    assert "the chosen recipe has no recipe.lr for model=lstm on task=folded" in (
        capsys.readouterr().err
    )
    check_recipe(read_words(words))  # its own file may be written again
    Path("recipes/recipe/mine.yaml").write_text("lr: 1\n")
    for name, message in (("mine", "there is a recipe of that name"), ("a/b", "letters, digits"),
                          ("adamw", "there is a recipe of that name")):  # fmt: skip
        with pytest.raises(Refused, match=message):
            check_recipe(read_words([*words[:-1], f"tune.save={name}"]))
