"""A stored model continues a piece: reproducibly, from what it was given, into files that open."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from seqbench.api import SequenceInput
from seqbench.api.generative import GenerativeTask
from seqbench.commands import sample
from seqbench.config.composition import compose, settings
from seqbench.errors import Refused
from seqbench.records import Status
from seqbench.tasks.music.midifile import read_midi
from seqbench.tasks.music.pianoroll import to_roll
from seqbench.tracking.store import open_store
from seqbench.trials.continuation import continue_sequence
from seqbench.trials.trial import load, new_record, provenance

CHORD = [60, 64, 67, 72]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield an override that names a file of rolls; runs are stored beside it."""
    folder = tmp_path_factory.mktemp("runs")
    pieces = [[[note + i for note in CHORD]] * (4 + i) for i in range(6)]
    parts = {"train": pieces[:2], "valid": pieces[2:4], "test": pieces[4:]}
    (folder / "rolls.pkl").write_bytes(pickle.dumps(parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", str(folder))
        yield f"task.source={folder / 'rolls.pkl'}"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Stored:
    """A run with random weights, as a trial would have stored it."""

    def __init__(self, *words: str, status: Status = "FINISHED") -> None:
        checked = settings(compose([*words, "model.hidden_size=3"]))
        self.trial = load(checked)
        (data,) = self.trial.data()
        self.test = data.splits.test
        self.predictor = self.trial.predictor(data)
        torch.nn.init.normal_(self.predictor.head.weight)
        record = replace(new_record(self.trial, self.predictor), status=status, reason="")
        run = open_store(checked.tracking).start(record, checked.to_dict(), provenance(self.trial))
        state = {f"predictor.{key}": value for key, value in self.predictor.state_dict().items()}
        with tempfile.TemporaryDirectory() as folder:
            torch.save({"state_dict": state}, Path(folder, "best.ckpt"))
            run.log_artifact(Path(folder, "best.ckpt"), "checkpoint")
        run.finish(record)
        self.short = run.run_id[:8]

    @property
    def task(self) -> GenerativeTask:
        assert isinstance(self.trial.task, GenerativeTask)
        return self.trial.task

    def sample(self, *words: str) -> np.ndarray:
        """Return the roll of the MIDI file that the command writes."""
        assert sample.command([f"run={self.short}", "out=made", *words]) == 0
        (notes,), ticks = read_midi(Path("made.mid"))
        return to_roll(notes, ticks, "quarter")


@pytest.fixture(scope="module")
def stored(source: str) -> Stored:
    return Stored("task=music", source, "model=gru")


def test_the_piece_goes_on(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    """Files beside one another, named in the output; the given frames are the piece's."""
    roll = stored.sample("piece=1", "given=5", "steps=12")
    np.testing.assert_array_equal(stored.test[1].values[:5].numpy(), roll[:5])
    assert 5 < len(roll) <= 5 + 12
    out, err = capsys.readouterr()
    assert "" == err
    first, *files = out.splitlines()
    assert f"gru of run {stored.short} continues test-1: 5 steps given, 12 drawn" in first
    assert ["  made.mid", "  made.png"] == files
    assert Path("made.png").read_bytes().startswith(b"\x89PNG")


def test_without_out_the_run_names_the_files(stored: Stored) -> None:
    assert sample.command([f"run={stored.short}", "given=2", "steps=2"]) == 0
    names = {path.name for path in Path().glob("sample-*")}
    assert {f"sample-{stored.short}.mid", f"sample-{stored.short}.png"} == names


@pytest.mark.slow
def test_a_sample_follows_its_words(stored: Stored) -> None:
    """The same words, the same file, byte by byte; a piece by its number or name."""

    def made(*words: str) -> bytes:
        stored.sample("given=3", "steps=10", *words)
        return Path("made.mid").read_bytes()

    assert made("seed=1", "temperature=1.0") == made("seed=1", "piece=test-0")
    assert made("seed=1") != made("seed=2")
    assert made() != made("temperature=0.5")


@pytest.mark.parametrize("given", [0, 1, 8])
def test_every_step_is_drawn_from_its_prediction(stored: Stored, given: int) -> None:
    """The predictions that the whole sequence gets at once, each draw in its turn."""
    start = stored.test[0].values[:given]
    values = continue_sequence(
        stored.predictor, stored.task, start, steps=7, seed=3, temperature=0.7
    )
    assert (given + 7, 88) == values.shape
    assert torch.equal(start, values[:given])
    with torch.inference_mode():
        inputs = SequenceInput(values[None], torch.tensor([len(values)]))
        (predictions,) = stored.predictor(inputs)
    generator = torch.Generator().manual_seed(3)
    for step in range(given, given + 7):
        expected = stored.task.draw_step(predictions[step], generator, 0.7)
        assert torch.equal(expected.float(), values[step])
    assert values[given:].any()


# What is refused, each in one line


def refusal(words: list[str]) -> str:
    with pytest.raises(Refused) as refused:
        sample.command(words)
    assert "\n" not in str(refused.value)
    assert not list(Path().glob("*.mid"))
    return str(refused.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("piece=2", "piece=2 is not in the test split; give a number from 0 to 1 or a name such"),
        ("piece=-1", "piece=-1 is not in the test split"),
        ("piece=tst-1", "piece=tst-1 is not in the test split (did you mean 'test-1'?)"),
        ("given=9", "given=9: test-0 has 8 steps; give no more"),
        ("given=-1", "given must be a whole number from 0, not '-1'"),
        ("given=many", "given must be a whole number from 0, not 'many'"),
        ("steps=0", "steps must be a whole number from 1 to 10000, not '0'"),
        ("steps=1.5", "steps must be a whole number from 1 to 10000, not '1.5'"),
        ("steps=10001", "steps must be a whole number from 1 to 10000, not '10001'"),
        (f"steps={'9' * 400}", "steps must be a whole number from 1 to 10000"),
        ("seed=-1", "seed must be a whole number from 0, not '-1'"),
        ("temperature=0", "temperature must be a number above 0, not '0'"),
        ("temperature=-1", "temperature must be a number above 0, not '-1'"),
        ("temperature=nan", "temperature must be a number above 0, not 'nan'"),
        ("temperature=inf", "temperature must be a number above 0, not 'inf'"),
        ("out=missing/a", "out=missing/a: there is no folder 'missing'"),
        (f"out={__file__}/a", "test_sample.py'"),
        ("out=.", "out=. is a folder; name the files in it"),
        (
            "tempreature=1",
            "unknown word 'tempreature=1' (did you mean 'temperature'?); known:",
        ),
        ("steps", "'steps' is not KEY=VALUE"),
        ("steps=", "steps= lacks a value"),
    ],
)
def test_wrong_words(stored: Stored, word: str, message: str) -> None:
    usual = {"given": "2", "steps": "2"}
    usual.pop(word.partition("=")[0], None)
    others = [f"{key}={value}" for key, value in usual.items()]
    assert message in refusal([f"run={stored.short}", *others, word])


def test_a_file_that_cannot_be_written(stored: Stored) -> None:
    """Found only in writing: a folder has the file's name."""
    Path("taken.mid").mkdir()
    with pytest.raises(Refused, match=r"^out=taken: cannot write there \(Is a directory\)$"):
        sample.command([f"run={stored.short}", "given=2", "steps=2", "out=taken"])


@pytest.mark.parametrize(
    ("task", "model", "status", "message"),
    [
        ("music", "bilstm", "FINISHED", "model=bilstm also reads what comes after a step"),
        ("music/harmonize", "gru", "FINISHED", "cannot be sampled; tasks that can: music"),
        ("music", "gru", "FAILED", "did not finish (FAILED)"),
    ],
)
def test_runs_that_cannot_go_on(
    source: str, task: str, model: str, status: Status, message: str
) -> None:
    """A two-sided model, a task without a next step, a trial that failed."""
    words = [source] if task == "music" else []
    stored = Stored(f"task={task}", f"model={model}", *words, status=status)
    found = refusal([f"run={stored.short}"])
    assert message in found
    assert f"run {stored.short}" in found


def test_a_run_must_be_named() -> None:
    assert "run=ID is missing" in refusal(["steps=3"])
    assert "ffffff" in refusal(["run=ffffff"])
