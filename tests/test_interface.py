"""The Python API on real trials: what the command line does, as functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqbench
from seqbench.errors import Refused
from seqbench.registry import hookspecs
from seqbench.trials.loaded import SequenceModel, StreamingModel

pytestmark = pytest.mark.slow

TRIALS = [
    {"task": "music", "model": "gru", "seed": 0},
    {"task": "music", "model": "gru", "seed": 1},
    {"task": "music", "model": "lstm", "seed": 0, "model.num_layers": 2},
    {"task": "music", "model": "lstm", "seed": 1, "model.num_layers": 2},
    {"task": "music", "model": "bilstm", "seed": 0},
    {"task": "music", "model": "attention_lstm", "seed": 0},
    {"task": "speech/japanese_vowels", "model": "rnn", "seed": 0},
    {"task": "health/pbc", "model": "peephole", "seed": 0, "task.fold": "all"},
]


@pytest.fixture(scope="module")
def runs(made_once: Callable[[str, Callable[[Path], None]], Path]) -> pd.DataFrame:
    """Smoke trials in a store, which is the working directory's for every test here."""

    def train(folder: Path) -> None:
        patch.setenv("MLFLOW_TRACKING_URI", str(folder))
        for words in TRIALS:
            seqbench.run(experiment="smoke", trainer={"progress": False}, **words)

    with pytest.MonkeyPatch.context() as patch:
        folder = made_once("interface", train)
        patch.setenv("MLFLOW_TRACKING_URI", str(folder))
        found = seqbench.results()
    found.attrs["folder"] = folder
    return found


@pytest.fixture(autouse=True)
def _own_folder(runs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(runs.attrs["folder"]))
    monkeypatch.chdir(tmp_path)


def a_run(runs: pd.DataFrame, task: str, model: str) -> str:
    return str(runs[(runs.task == task) & (runs.model == model)].run_id.iloc[0])


def test_everything_public_is_handed_on() -> None:
    assert all(callable(getattr(seqbench, name)) for name in seqbench.__all__ if name[0] != "_")
    assert hookspecs.Entry is seqbench.Entry
    assert hookspecs.hookimpl is seqbench.hookimpl
    with pytest.raises(AttributeError, match="no attribute 'comparee'"):
        seqbench.comparee  # noqa: B018


def test_compare(runs: pd.DataFrame) -> None:
    """The tables that the command prints, and their rows; the first model is the control."""
    found = seqbench.compare("lstm", "gru", task="music", practical="1%")
    (table,) = found.tables
    assert "lstm" == table.control
    assert "nothing is claimed: 2 seeds of gru are too few" in " ".join(str(found).split())
    frame = found.frame.set_index("model")
    assert {"lstm": 2, "gru": 2} == frame.seeds.to_dict()
    scores = runs[(runs.task == "music") & (runs.model == "gru")]["test/nll"]
    assert scores.mean() == pytest.approx(frame.loc["gru", "mean"], rel=1e-12)
    difference = frame.loc["gru", "mean"] - frame.loc["lstm", "mean"]
    assert difference == pytest.approx(frame.loc["gru", "difference"], abs=1e-9)
    assert np.isnan(frame.loc["lstm", "difference"])
    assert "" == frame.loc["gru", "better"]
    assert (
        table.conditions
        == seqbench.compare("gru", "lstm", conditions=table.conditions).tables[0].conditions
    )


def test_report(runs: pd.DataFrame) -> None:
    """The page and what it says; a filter and the folder are arguments."""
    found = seqbench.report(out="here", task="music", model=["lstm", "gru"], control="gru")
    assert Path("here") == found.folder
    assert (found.folder / "report.html").exists()
    assert all(path.exists() for path in found.files)
    (verdict,) = found.verdicts
    assert verdict.startswith("On music ")
    assert [*verdict.split(), *map(str, found.files)] == str(found).split()
    assert "gru" == found.summary[0]["control"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seqbench.compare("lstm"), "name two models"),
        (lambda: seqbench.compare("lstm", "rn"), r"no trial of model=rn in .* \(did you mean|rn"),
        (lambda: seqbench.compare("lstm", "gru", control="rnn"), "control=rnn is none of the"),
        (lambda: seqbench.compare("lstm", "gru", tsk="x"), r"unknown filter 'tsk' .*'task'"),
        (
            lambda: seqbench.compare("lstm", "gru", practical=-1),
            "practical=-1 must be a positive",
        ),
        (lambda: seqbench.report(task="musik"), "no trial of task=musik in"),
        (lambda: seqbench.report(uri="ftp://x"), "unknown scheme 'ftp'"),
        (lambda: seqbench.sweep(model="rnn", seed=[]), "^seed: a sweep needs at least one value"),
        (lambda: seqbench.sweep(recipe={"lr": ()}), "^recipe.lr: a sweep needs at least one value"),
        (lambda: seqbench.evaluate("zz"), "unknown run 'zz'"),
        (lambda: seqbench.load("zz"), "unknown run 'zz'"),
    ],
)
def test_what_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(Refused, match=message):
        call()


def test_evaluate(runs: pd.DataFrame) -> None:
    """All test data, not the smoke run's few, beside the baselines; the text names the run."""
    run = a_run(runs, "music", "gru")
    found = seqbench.evaluate(run)
    assert isinstance(found, seqbench.Result)
    assert found.record.max_examples is None
    assert found.score == seqbench.load(run).score()["nll"]
    assert {"unigram"} <= set(found.record.baselines) or found.record.baselines
    assert f"gru of run {run[:8]}, scored again" in str(found)
    assert len(runs) == len(seqbench.results())
    with pytest.raises(Refused, match=r"did you mean 'task\.source'"):
        seqbench.evaluate(run, sourc="x")


def test_a_parameter_that_changes_the_data(runs: pd.DataFrame) -> None:
    """It is scored on those data, by evaluate and by a loaded model alike."""
    run = a_run(runs, "music", "gru")
    chord = [60, 64, 67, 72]
    pieces = [[[note + at for note in chord]] * (6 + at) for at in range(6)]
    import pickle

    parts = {"train": pieces[:2], "valid": pieces[2:4], "test": pieces[4:]}
    Path("my rolls.pkl").write_bytes(pickle.dumps(parts))
    found = seqbench.evaluate(run, source=Path("my rolls.pkl"))
    assert found.score == seqbench.load(run).score(source="my rolls.pkl")["nll"]
    assert found.score != seqbench.load(run).score()["nll"]
    assert "on other data" in str(found)


STREAMING = [
    ("music", "gru"),
    ("music", "lstm"),
    ("speech/japanese_vowels", "rnn"),
    ("health/pbc", "peephole"),
]


def inputs_of(model: StreamingModel, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Return values of three sequences of seven steps, with what else the task gives."""
    shape = (3, 7, model.features)
    found = {"values": generator.normal(size=shape).astype(np.float32)}
    if model.task.startswith("health"):
        found["observed"] = generator.random(shape) < 0.7
        found["delta"] = generator.random(shape).astype(np.float32)
        found["static"] = generator.normal(size=(3, model._static)).astype(np.float32)
    return found


@pytest.mark.parametrize(("task", "name"), STREAMING)
def test_step_by_step_is_the_whole_sequence(runs: pd.DataFrame, task: str, name: str) -> None:
    """To rounding; on a `next` task a step's prediction is that of the step after it."""
    fold = 1 if task == "health/pbc" else None
    model = seqbench.load(a_run(runs, task, name), fold)
    assert isinstance(model, StreamingModel)
    assert "step by step" in str(model)
    given = inputs_of(model, np.random.default_rng(0))
    values, static = given["values"], given.get("static")
    whole = model.predict(**given)
    state, steps = None, []
    for at in range(values.shape[1]):
        others = {key: given[key][:, at] for key in ("observed", "delta") if key in given}
        prediction, state = model.step(values[:, at], state, static=static, **others)
        steps.append(prediction)
    stepped = torch.stack(steps, dim=1)
    if task == "music":
        stepped, expected = stepped[:, :-1], whole[:, 1:]
    elif whole.dim() == 2:  # a label: what it is if the sequence ended here
        stepped, expected = stepped[:, -1], whole
    else:
        expected = whole
    torch.testing.assert_close(expected, stepped, rtol=1e-4, atol=1e-5)
    assert stepped.std() > 0


def test_a_sequence_alone_and_in_a_padded_batch(runs: pd.DataFrame) -> None:
    """The same numbers; padding is zero and is never read."""
    model = seqbench.load(a_run(runs, "music", "bilstm"))
    assert isinstance(model, SequenceModel)
    assert not isinstance(model, StreamingModel)
    values = torch.rand(2, 9, 88).round()
    values[1, 5:] = torch.nan
    both = model.predict(values, lengths=[9, 5])
    assert (2, 9, 88) == both.shape
    alone = model.predict(values[1, :5].tolist())
    torch.testing.assert_close(alone, both[1, :5], rtol=1e-5, atol=1e-6)
    assert not both[1, 5:].any()


def test_what_attends_to_earlier_steps_does_not_stream(runs: pd.DataFrame) -> None:
    assert isinstance(seqbench.load(a_run(runs, "music", "attention_lstm")), SequenceModel)


def test_values_that_do_not_fit(runs: pd.DataFrame) -> None:
    """One line that says what is wanted."""
    model = seqbench.load(a_run(runs, "music", "gru"))
    assert isinstance(model, StreamingModel)
    _, state = model.step(torch.zeros(2, 88))
    for call, message in (
        (lambda: model.predict(torch.zeros(3, 87)), r"F = 88 for task=music, not \[3, 87\]"),
        (lambda: model.predict(torch.zeros(0, 88)), "values must be"),
        (lambda: model.predict("x"), "values must be an array of numbers"),
        (lambda: model.predict(torch.full((3, 88), torch.inf)), "finite numbers"),
        (lambda: model.predict(torch.zeros(2, 3, 88), [3, 4]), "2 whole numbers from 1 to 3"),
        (lambda: model.predict(torch.zeros(3, 88), static=[1]), "task=music takes no static="),
        (lambda: model.step(torch.zeros(3, 88), state), "state is not of 3 sequences"),
        (lambda: model.step(torch.zeros(87)), "values must be"),
    ):
        with pytest.raises(Refused, match=message):
            call()


def test_folds(runs: pd.DataFrame) -> None:
    """Of several one is chosen; missing values must be said."""
    run = a_run(runs, "health/pbc", "peephole")
    with pytest.raises(Refused, match="has a model for each fold: choose fold= of 0, 1, 2, 3, 4"):
        seqbench.load(run)
    with pytest.raises(Refused, match="has no model for fold 9; it has: 0, 1"):
        seqbench.load(run, 9)
    model = seqbench.load(run, 3)
    assert 3 == model.fold
    with pytest.raises(Refused, match="task=health/pbc needs observed= too"):
        model.predict(torch.zeros(4, model.features))


def test_what_has_changed_is_warned_of(runs: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command line says it on standard error."""
    from seqbench.registry import codehash

    real = codehash.code_hash
    monkeypatch.setattr(
        codehash,
        "code_hash",
        lambda target, own: "new" if "GRU" in target else real(target, own),
    )
    with pytest.warns(UserWarning, match="the model's code changed since run .* was trained"):
        seqbench.load(a_run(runs, "music", "gru"))
