"""A model that uses what it may not see is refused, or its trial fails after training."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import seqbench
from seqbench.errors import Refused, TrialFailed
from seqbench.records import TrialRecord
from seqbench.registry.plugins import add_plugin_file

MODEL = '''
import torch
import torch.nn.functional as F
from seqbench.nn import RecurrentModel, RNNCell


class Odd(RecurrentModel):
    """A recurrent network with something odd."""

    citation = "None."
    cell = RNNCell

    def encode(self, inputs):
        values = inputs.values
        after = F.pad(values[:, 1:], (0, 0, 0, 1)) * inputs.mask[..., None]
{lines}
        return super().encode(inputs.with_values(values))
'''

Run = Callable[..., seqbench.Result]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Train a model with some lines of its own on a few chorales, whole sequences."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "runs"))

    def start(lines: str, task: str = "music", **more: object) -> seqbench.Result:
        indented = textwrap.indent(f"{textwrap.dedent(lines)}\n", " " * 8)
        Path("odd.py").write_text(MODEL.replace("{lines}\n", indented))
        add_plugin_file("odd.py")
        small = {"model.hidden_size": 4, "recipe.max_epochs": 1, "trainer.progress": False}
        few = {"recipe.max_examples": 16} | more
        return seqbench.run(task=task, model="odd", **small, **few)

    return start


REFUSED = {
    "float32 alone": """
        if values.dtype is torch.float64:
            raise NotImplementedError("float32 only")
        values = after""",
    "late": """
        number = torch.arange(values.shape[1])
        values = torch.where((number > 20)[:, None], after, values)""",
    "length": "values = values + (inputs.lengths // 3)[:, None, None]",
    "random": "values = values + torch.rand(())",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_gate_refuses(odd: Run, kind: str) -> None:
    """Also what is later than a few steps, and where float64 does not run."""
    said = r"model=odd .*(leaks: the|cannot be checked for leaks)"
    with pytest.raises(Refused, match=said) as found:
        odd(REFUSED[kind])
    assert len(str(found.value)) < 300
    assert ("random" in str(found.value)) == (kind == "random")


def test_the_gate_refuses_what_it_cannot_look_at(odd: Run) -> None:
    """And says what to do."""
    with pytest.raises(Refused, match="cannot be checked for leaks: on a CPU") as found:
        odd('raise RuntimeError("no kernel for this device")')
    assert "no kernel for this device; make it run there" in str(found.value)
    assert len(str(found.value)) < 300


def test_a_model_of_float32_alone_is_looked_at_in_it(odd: Run) -> None:
    lines = """
        if values.dtype is torch.float64:
            raise NotImplementedError("float32 only")"""
    assert "passed" == odd(lines).record.audit


LEARNT = """
weight = next(self.parameters())
if not hasattr(self, "first"):
    self.first = weight.detach().clone()
if not torch.equal(weight, self.first):
    CHANGE"""
"""Changes something once the weights are no longer the first ones."""


def test_a_model_that_cheats_once_it_is_trained_fails(odd: Run) -> None:
    """The gate cannot see it: the audit can. The run is FAILED, and says what was seen."""
    with pytest.raises(TrialFailed, match="audit of the trained model failed: the pred") as found:
        odd(LEARNT.replace("CHANGE", "values = after"))
    assert len(str(found.value)) < 300
    (path,) = Path("runs").rglob("record.json")
    record = TrialRecord.from_json(path.read_text())
    assert "FAILED" == record.status
    assert record.reason == str(found.value)
    assert record.audit.startswith("failed: the prediction of step ")
    assert not record.metrics
    with closing(sqlite3.connect("runs/mlflow.db")) as connection:
        query = "SELECT value FROM tags WHERE key = 'seqbench.audit'"
        assert [(record.audit,)] == connection.execute(query).fetchall()


def test_a_model_that_cannot_be_audited_finishes_and_says_so(
    odd: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    result = odd(LEARNT.replace("CHANGE", "values = values + torch.rand(())"))
    assert "FINISHED" == result.record.status
    assert result.record.audit.startswith("not possible: its predictions are random")
    assert "listed and never ranked" in str(result)


def test_every_fold_is_audited(odd: Run) -> None:
    """A model that cheats in its second fold alone is found, and the fold is named."""
    change = """trained = globals().setdefault("trained", [])
    trained += [id(self)] * (id(self) not in trained)
    values = after if trained.index(id(self)) == 1 else values"""
    with pytest.raises(TrialFailed, match="failed: fold 1: the prediction of step"):
        odd(LEARNT.replace("CHANGE", change), "health/pbc", **{"task.fold": "all"})
