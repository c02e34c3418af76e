"""Weights that are scored apart from the targets: an honest model's scores agree, a thief's not."""

from __future__ import annotations

from pathlib import Path

import pytest

import seqbench
from seqbench.cli import main
from seqbench.errors import Refused
from seqbench.registry.plugins import add_plugin_file
from seqbench.trials.isolated import isolated

THIEF = '''
import gc

import torch
from seqbench.api import Example
from seqbench.nn import RecurrentModel, RNNCell


class Thief(RecurrentModel):
    """Looks for examples in the memory, and adds the label of one that is as long."""

    citation = "None."
    cell = RNNCell

    def encode(self, inputs):
        known = getattr(self, "known", None)
        if known is None and not self.training:
            self.known = known = [e for e in gc.get_objects() if type(e) is Example]
        encoding = super().encode(inputs)
        final = encoding.final
        if known:
            labels = [
                next((float(e.targets) for e in known if len(e.values) == n), 0.0)
                for n in inputs.lengths.tolist()
            ]
            final = final + torch.tensor(labels)[:, None].to(final.dtype)
        return encoding._replace(final=final)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "runs"))


def train(model: str, task: str, **more: object) -> str:
    """Return the identifier of a short run."""
    small = {"model.hidden_size": 4, "recipe.max_epochs": 1, "trainer.progress": False}
    few = {"recipe.max_examples": 24}
    return seqbench.run(task=task, model=model, **small, **few, **more).record.run_id


@pytest.mark.parametrize(
    ("task", "folds"),
    [("speech/japanese_vowels", 1), ("health/pbc", 5), ("music", 1), ("music/harmonize", 1)],
)
def test_the_scores_of_an_honest_model_agree(task: str, folds: int) -> None:
    """Every visibility, all folds, on the data that the run was limited to, and to the bit."""
    found = isolated(train("rnn", task), note=pytest.fail)
    assert not found.differences
    assert not found.machine
    assert all(then == now for then, now in found.scores.values())
    of_folds = {name.split("/")[0] for name in found.scores}
    assert (folds if folds > 1 else 0) + 2 == len(of_folds)


def test_a_model_that_takes_labels_from_memory_is_caught(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The audit cannot see it: nothing hidden changes its predictions."""
    Path("thief.py").write_text(THIEF)
    add_plugin_file("thief.py")
    run = train("thief", "speech/japanese_vowels")
    capsys.readouterr()
    assert 1 == main(["repro", run, "--isolated"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  test/nll: ") and line.endswith("differs") for line in lines)
    assert lines[-1].endswith("the model gets more than its inputs")
    assert len(lines[-1]) < 300
    honest = train("rnn", "speech/japanese_vowels")
    capsys.readouterr()
    assert 0 == main(["repro", honest[:8], "--isolated"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("agree in a process that never held the targets")


def test_the_process_holds_no_target_and_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no example, task or file of data; and what it says as it fails is handed on."""
    Path("curious.py").write_text(
        THIEF.replace("class Thief", "class Curious").replace(
            "        known = ", "        self.look()\n        known = "
        )
        + """
    def look(self):
        import os, pathlib, seqbench.api as api
        if not pathlib.Path.cwd().name.startswith("seqbench-apart-"):
            return
        kept = [o for o in gc.get_objects() if isinstance(o, (Example, api.Batch, api.Task))]
        files = list(pathlib.Path(os.environ["SEQBENCH_DATA"]).iterdir())
        raise RuntimeError(f"{len(kept)} objects and {len(files)} files")
"""
    )
    add_plugin_file("curious.py")
    with pytest.raises(Refused, match="RuntimeError: 0 objects and 0 files"):
        isolated(train("curious", "speech/japanese_vowels"), note=pytest.fail)


@pytest.mark.nightly
@pytest.mark.parametrize("task", ["anomaly/watch", "data/classify", "data/forecast", "speech"])
def test_every_task_can_be_scored_apart(task: str) -> None:
    assert not isolated(train("gru", task), note=pytest.fail).differences
