"""A stored model is scored again: on all data, on this machine, and truthfully labelled."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seqbench.commands import evaluate
from seqbench.config.composition import compose, settings
from seqbench.errors import Refused
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tags import PARTS, SCHEMA_TAG
from seqbench.tracking.tracked import CONFIG
from seqbench.training.data import TrialData
from seqbench.training.scoring import FoldScores, model_rows
from seqbench.trials.reload import reload
from seqbench.trials.trial import Trial, load, new_record, provenance

CHECKPOINT = "checkpoint/best.ckpt"
CHORD = [60, 64, 67, 72]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store, which takes seconds to make."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(runs))
    rolls("rolls.pkl", 0)


def rolls(name: str, shift: int) -> None:
    """Write a pickle of piano rolls; each of its two test pieces is another one."""
    pieces = [[[note + shift + i for note in CHORD]] * (4 + i) for i in range(6)]
    parts = {"train": pieces[:2], "valid": pieces[2:4], "test": pieces[4:]}
    Path(name).write_bytes(pickle.dumps(parts))


class Stored:
    """A run with initial weights, as a trial would have stored it."""

    def __init__(self, *overrides: str, **tags: str) -> None:
        words = ("task=music", "task.source=rolls.pkl", "model=gru", "model.hidden_size=3")
        checked = settings(compose([*words, *overrides]))
        self.trial: Trial = load(checked)
        (data,) = self.trial.data()
        self.predictor = self.trial.predictor(data)
        torch.nn.init.normal_(self.predictor.head.weight)
        record = replace(new_record(self.trial, self.predictor), status="FINISHED", reason="")
        self.store: Store = open_store(checked.tracking)
        run = self.store.start(record, checked.to_dict(), provenance(self.trial) | tags)
        state = {f"predictor.{key}": value for key, value in self.predictor.state_dict().items()}
        torch.save({"state_dict": state}, "best.ckpt")
        run.log_artifact(Path("best.ckpt"), "checkpoint")
        run.finish(record)
        self.run_id = run.run_id
        self.short = run.run_id[:8]

    def file(self, name: str) -> Path:
        return self.store.find(self.run_id).files.path(name)

    def nll(self, max_examples: int | None) -> str:
        """Return the score on the test split, as the table prints it."""
        data = TrialData(self.trial.task, 2, 0, max_examples)
        data.unseal()
        scores = FoldScores(self.trial.task, "predictions")
        scores.add(model_rows(self.predictor, data.test()), len(data.splits.test))
        return f"{scores.compute()['nll']:.1f}"


def test_scores_the_whole_test_split(capsys: pytest.CaptureFixture[str]) -> None:
    """A smoke run saw one piece of each split; its evaluation sees all, and is not logged."""
    stored = Stored("recipe.max_examples=1")
    before = stored.store.count()
    capsys.readouterr()
    assert evaluate.command([f"run={stored.short}"]) == 0
    out, err = capsys.readouterr()
    assert "" == err
    assert stored.nll(None) != stored.nll(1)
    assert re.search(rf"^gru +{re.escape(stored.nll(None))}", out, re.MULTILINE)
    assert f"music: rolls, gru of run {stored.short}, scored again" in out
    assert f"run {stored.short}, not logged" in out
    assert before == stored.store.count()


def test_other_data_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The table says which data, their fingerprint, and what the baselines were fitted on."""
    stored = Stored()
    rolls("other.pkl", 5)
    capsys.readouterr()
    assert evaluate.command([f"run={stored.short}", "task.source=other.pkl"]) == 0
    out, err = capsys.readouterr()
    assert "" == err
    other = load(replace(stored.trial.settings, task_parameters={"source": "other.pkl"})).task
    for fact in (
        "on other data",
        "task.source=other.pkl",
        other.fingerprint(),
        "fitted on the training split of these data",
    ):
        assert fact in out


def test_run_of_any_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    stored = Stored("tracking.experiment=mine")
    assert evaluate.command([f"run={stored.short}"]) == 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_run_of_a_gpu(
    precision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a GPU, a model that was trained on one is scored by the CPU in float32."""
    stored = Stored()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = stored.file(CONFIG).read_text().replace('"cpu"', '"gpu"')
    stored.file(CONFIG).write_text(text.replace('"precision": "32"', f'"precision": "{precision}"'))
    assert evaluate.command([f"run={stored.short}"]) == 0
    note = f"run {stored.short} was trained on a GPU; torch finds none here, so a CPU runs it"
    assert f"seqbench: {note}\n" == capsys.readouterr().err


def test_accelerator_is_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A CPU that is asked for needs no word; a GPU that is not there is an error."""
    stored = Stored()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stored.file(CONFIG).write_text(stored.file(CONFIG).read_text().replace('"cpu"', '"gpu"'))
    run = f"run={stored.short}"
    capsys.readouterr()
    assert evaluate.command([run, "trainer.accelerator=cpu"]) == 0
    assert "" == capsys.readouterr().err
    with pytest.raises(Refused, match=r"trainer\.accelerator=gpu: torch finds no CUDA GPU here"):
        evaluate.command([run, "trainer.accelerator=gpu"])
    with pytest.raises(Refused, match="must be one of auto, cpu, gpu, not 'gup'"):
        evaluate.command([run, "trainer.accelerator=gup"])
    with pytest.raises(Refused, match="accelerator must be one of auto, cpu, gpu, not 'tpu'"):
        reload(stored.short, accelerator="tpu")


def test_code_that_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Code or data that are not the run's are named in one line, and the run is scored."""
    stored = Stored(**{PARTS: '{"model": "old"}', "seqbench.data": "old"})
    assert evaluate.command([f"run={stored.short}"]) == 0
    what = "the protocol, the task's code, the model's code, the task's data"
    line = f"{what} changed since run {stored.short} was trained: it may differ"
    assert [f"seqbench: {line}"] == capsys.readouterr().err.splitlines()


def test_run_of_the_first_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says of code cannot be compared with today's; its data can."""
    stored = Stored(**{SCHEMA_TAG: "", PARTS: '{"harness": "old"}', "seqbench.data": "old"})
    assert evaluate.command([f"run={stored.short}"]) == 0
    name = f"run {stored.short}"
    assert [
        f"seqbench: {name} was kept by an older seqbench: which code has changed is not known",
        f"seqbench: the task's data changed since {name} was trained: it may differ",
    ] == capsys.readouterr().err.splitlines()


def truncate(stored: Stored) -> None:
    path = stored.file(CHECKPOINT)
    path.write_bytes(path.read_bytes()[:500])


def empty(stored: Stored) -> None:
    stored.file(CHECKPOINT).write_bytes(b"")


def no_weights(stored: Stored) -> None:
    torch.save([1], stored.file(CHECKPOINT))


def no_model(stored: Stored) -> None:
    stored.file(CONFIG).write_text("{}")


def another_size(stored: Stored) -> None:
    path = stored.file(CONFIG)
    path.write_text(path.read_text().replace('"hidden_size": 3', '"hidden_size": 4'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "its checkpoint .*best.ckpt is damaged"),
        (empty, "its checkpoint .*best.ckpt is damaged"),
        (no_weights, "its checkpoint .*best.ckpt is damaged"),
        (no_model, "no task is selected"),
        (another_size, "its weights do not fit model=gru"),
    ],
)
def test_damaged_run(damage: Callable[[Stored], None], message: str) -> None:
    """What is wrong with a run is said in one line that names it."""
    stored = Stored()
    damage(stored)
    with pytest.raises(Refused, match=f"^run {stored.short}: {message}") as refusal:
        evaluate.command([f"run={stored.short}"])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("task.source=[1", r"cannot read 'task\.source=\[1'"),
        ("task.source=[1]", "task.source"),
        ("task.source=${x", "cannot read|task.source"),
        ("task.sourc=x", r"did you mean 'task\.source'"),
        ("task.=x", "cannot read|unknown"),
        ("task.name=other", "scored on its own task"),
    ],
)
def test_changes_that_are_refused(word: str, message: str) -> None:
    stored: Any = Stored()
    with pytest.raises(Refused, match=message) as refusal:
        evaluate.command([f"run={stored.short}", word])
    assert "\n" not in str(refusal.value)
