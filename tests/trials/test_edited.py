"""Code that is edited while a process runs is never recorded under what did not run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from seqbench.config import composition
from seqbench.config.settings import Settings
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.registry.plugins import add_plugin_file, registry
from seqbench.sweeps.job import attempt
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.local import LocalLauncher
from seqbench.sweeps.plan import Planned
from seqbench.trials.run import run

TASK = Path(__file__).parents[2] / "examples/seqbench-plugin-example/seqbench_example/latch.py"
WORDS = (
    "task=latch",
    "task.lag=5",
    "task.sequences=16",
    "model=mine",
    "model.hidden_size=4",
    "recipe.max_epochs=1",
    "trainer.progress=false",
    "tracking=none",
)
MODEL = """
import torch
from seqbench.nn import Cell, RecurrentModel
from beside import factor


class MineCell(Cell):
    gates = ("u",)

    def equations(self, a, s, p):
        return {"h": factor() * torch.tanh(a.u)}


class Mine(RecurrentModel):
    cell = MineCell
"""
BESIDE = "def factor():\n    return 1.0\n"
HOOKS = """
import mine
from seqbench import Entry, hookimpl


@hookimpl
def seqbench_models():
    return [Entry("mine", "mine:Mine")]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "beside.py").write_text(BESIDE)
    (tmp_path / "hooks.py").write_text(HOOKS)
    add_plugin_file(str(TASK))
    return tmp_path


def settings() -> Settings:
    return composition.settings(composition.compose(WORDS))


def edit(path: Path, before: str = "1.0", after: str = "2.25") -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize("plugin", ["mine.py", "hooks.py"])
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("beside.py", "1.0", "2.0"),
        ("mine.py", "torch.tanh", "2 * torch.tanh"),
        ("mine.py", "class MineCell", "import math\nmath.pi = 3\n\n\nclass MineCell"),
    ],
)
def test_code_that_was_imported_before(
    folder: Path, plugin: str, file: str, before: str, after: str
) -> None:
    """The second trial of a process is refused; a comment is refused too, as bytes are compared."""
    add_plugin_file(str(folder / plugin))
    first = run(settings())
    edit(folder / file, before, after)
    with pytest.raises(Refused) as refusal:
        run(settings())
    said = f"{folder / file} was changed since this process started, which still runs the code of"
    assert str(refusal.value).startswith(said)
    assert identity(settings()).key != first.key  # what a plan says: it has not been trained
    edit(folder / file, after, before)
    assert run(settings()).key == first.key


def test_hooks_that_were_imported_before(folder: Path) -> None:
    """They are imported as the plugin is found, long before the first trial."""
    add_plugin_file(str(folder / "hooks.py"))
    assert registry().get("model", "mine")
    edit(folder / "beside.py")
    with pytest.raises(Refused, match=r"beside\.py was changed since this process started"):
        run(settings())


def test_code_that_is_changed_as_it_is_imported(folder: Path) -> None:
    text = (
        "\n\nfrom pathlib import Path\nPath(__file__).write_text(Path(__file__).read_text() + '#')"
    )
    (folder / "mine.py").write_text(MODEL + text)
    add_plugin_file(str(folder / "mine.py"))
    with pytest.raises(Refused, match=r"mine\.py was changed since this process started"):
        run(settings())


def test_code_that_is_imported_again(folder: Path) -> None:
    """A process that drops the module runs what it has read."""
    add_plugin_file(str(folder / "mine.py"))
    first = run(settings())
    edit(folder / "beside.py")
    del sys.modules["seqbench_plugin_file_mine"], sys.modules["beside"]
    second = run(settings())
    assert first.key != second.key
    assert first.history != second.history


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        (
            "mine.py",
            "the model's code of task=latch model=mine changed after the trial was planned",
        ),
        ("latch.py", "the task's code of task=latch model=mine changed after"),
    ],
)
def test_code_that_was_edited_before_it_was_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, edited: str, said: str
) -> None:
    """A sweep has planned the trial with the code of before; a lone trial has not."""
    monkeypatch.setenv("SEQBENCH_PLUGIN_FILES", "")
    (folder / "latch.py").write_text(TASK.read_text())
    for name in ("latch.py", "mine.py"):
        add_plugin_file(str(folder / name))
    planned = identity(settings()).parts
    edit(folder / edited, "class ", "import math\nmath.pi = 3\n\n\nclass ")
    outcome = attempt(settings(), "never", planned)
    assert outcome.status == "REFUSED"
    assert outcome.reason.startswith(said)
    assert attempt(settings(), "never").status == "FINISHED"


@pytest.mark.slow
def test_a_worker_that_starts_after_an_edit(folder: Path) -> None:
    """It has imported nothing yet, and must not train what was not planned."""
    add_plugin_file(str(folder / "mine.py"))
    chosen = settings()
    trial = Planned([], chosen, "new", parts=identity(chosen).parts)
    launcher: TrialLauncher = LocalLauncher(workers=1)
    with launcher:
        assert outcome_of(launcher, trial) == ("FINISHED", "")
    edit(folder / "beside.py")
    with LocalLauncher(workers=1) as launcher:
        status, reason = outcome_of(launcher, trial)
    assert status == "REFUSED"
    assert "the model's code of task=latch model=mine changed after" in reason


def outcome_of(launcher: TrialLauncher, trial: Planned) -> tuple[str, str]:
    ((_, outcome),) = launcher.outcomes([trial], "never")
    return outcome.status, outcome.reason


def test_ranks_compare_what_the_first_has_read(folder: Path) -> None:
    from seqbench.trials.trial import load

    add_plugin_file(str(folder / "mine.py"))
    trial = load(settings())
    parts: Mapping[str, str] = trial.identity.parts
    trial.expect(parts)
    with pytest.raises(Refused, match="the model's code and the task's code of task=latch"):
        trial.expect({**parts, "task": "0", "model": "0"})
