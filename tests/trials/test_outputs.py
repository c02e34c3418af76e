"""What outputs write is kept with the run; one that fails costs its own files and a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from seqbench.config import composition
from seqbench.records import TrialRecord
from seqbench.registry.plugins import add_plugin_file
from seqbench.trials.run import run

HEAD = "import sys\nfrom seqbench.registry.hookspecs import hookimpl\n\n\n@hookimpl\n"
TASK = Path(__file__).parents[2] / "examples/seqbench-plugin-example/seqbench_example/latch.py"
SMOKE = (
    "task=latch",
    "task.lag=5",
    "task.sequences=16",
    "model=rnn",
    "model.hidden_size=4",
    "recipe.max_epochs=1",
    "trainer.progress=false",
)

GOOD = """def seqbench_outputs(trial, predictor, data, folder):
    record = trial.record
    assert (record.status, record.task, trial.config["model"]["name"]) == (
        "FINISHED", "latch", "rnn"
    )
    assert record.metrics["test/accuracy"] >= 0
    assert record.folds[-1] == data.fold
    assert not predictor.training
    (batch, *_) = data.test()
    shape = tuple(predictor(batch.inputs.to(predictor.device)).shape)
    trial.record.metrics.clear()
    assert not list(folder.iterdir())
    (folder / "shape.txt").write_text(f"{shape} {len(data.splits.test)} {trial.task.version}")
    (folder / "more").mkdir()
    (folder / "more" / "note.txt").write_text("kept in its folder")
"""
BAD = """def seqbench_outputs(folder):
    (folder / "half.txt").write_text("written before it failed")
    {fault}
"""
CLASH = """def seqbench_outputs(folder):
    for name in ("learning_curve.png", "record.json", "checkpoint/best.ckpt", "own.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not this")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of trials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def start(folder: Path, *words: str, **plugins: str) -> tuple[TrialRecord, dict[str, Path]]:
    """Run a trial with plugins, and return its record and the run's files by their names."""
    add_plugin_file(str(TASK))
    for name, text in plugins.items():
        (folder / f"{name}.py").write_text(HEAD + text)
        add_plugin_file(str(folder / f"{name}.py"))
    record = run(composition.settings(composition.compose([*SMOKE, *words])))
    kept = folder / "seqbench-runs" / "artifacts" / record.run_id / "artifacts"
    return record, {
        path.relative_to(kept).as_posix(): path for path in kept.rglob("*") if path.is_file()
    }


def test_files_of_an_output_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is given the record, the configuration, the model and the data; it changes none of them.

    Its one file is all that it takes.
    """
    record, files = start(folder, good=GOOD)
    assert "" == capsys.readouterr().err
    assert {"learning_curve.png", "shape.txt", "more/note.txt", "record.json"} <= files.keys()
    shape, _, rest = files["shape.txt"].read_text().partition(") ")
    assert shape.startswith("(")
    assert rest.split()[0].isdigit()
    assert record.metrics
    assert json.loads(files["record.json"].read_text())["metrics"] == record.metrics
    assert [] == list((folder / "seqbench-runs" / "unfinished").iterdir())


@pytest.mark.parametrize("fault", ["raise KeyError('oops\\nmore')", "sys.exit(3)"])
def test_an_output_that_fails_costs_a_line(
    fault: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trial is finished, its own files are not kept, other outputs are made."""
    record, files = start(folder, bad=BAD.format(fault=fault), good=GOOD)
    assert "FINISHED" == record.status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seqbench: seqbench_outputs of {folder / 'bad.py'} failed: ")
    assert line.endswith("KeyError: 'oops\\nmore'" if "KeyError" in fault else "SystemExit: 3")
    assert {"learning_curve.png", "shape.txt"} <= files.keys()
    assert "half.txt" not in files


def test_an_output_replaces_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the run, or of another output."""
    _, files = start(folder, clash=CLASH)
    assert files["own.txt"].read_text() == "not this"
    lines = capsys.readouterr().err.splitlines()
    assert [
        f"seqbench: seqbench_outputs of {folder / 'clash.py'} left out {name}: "
        "the run has a file of that name"
        for name in ("checkpoint/best.ckpt", "learning_curve.png", "record.json")
    ] == lines
    assert files["learning_curve.png"].read_bytes().startswith(b"\x89PNG")
    assert json.loads(files["record.json"].read_text())["status"] == "FINISHED"


def test_the_learning_curve_is_an_output_like_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can fail as they do."""

    def broken(*_: object) -> None:
        raise OSError("no fonts")

    monkeypatch.setattr("seqbench.reporting.curves.learning_curve", broken)
    record, files = start(folder, good=GOOD)
    assert "FINISHED" == record.status
    expected = "seqbench: seqbench_outputs of built-in failed: OSError: no fonts\n"
    assert expected == capsys.readouterr().err
    assert "shape.txt" in files
    assert "learning_curve.png" not in files


def test_without_tracking_no_output_is_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nowhere to keep it."""
    start(folder, "tracking=none", bad=BAD.format(fault="raise KeyError('oops')"))
    assert "" == capsys.readouterr().err
    assert ["bad.py"] == [path.name for path in folder.iterdir() if path.name != "__pycache__"]


def test_the_example_of_the_page_is_an_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that docs/plugins.md shows."""
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n# lengths.py.*?@hookimpl\n(.*?)```", page, flags=re.DOTALL)
    assert found is not None
    _, files = start(folder, lengths=found.group(1))
    assert "" == capsys.readouterr().err
    assert 4 == len(files["lengths-rnn.txt"].read_text().splitlines())


LINKS = """def seqbench_outputs(folder):
    (folder / "real.txt").write_text("of the output")
    (folder / "inside.txt").symlink_to("real.txt")
    (folder / "outside.txt").symlink_to({outside!r})
    (folder / "folder").symlink_to({outside!r} + "/..")
    (folder / "nowhere.txt").symlink_to("gone.txt")
    (folder / "circle.txt").symlink_to("circle.txt")
"""


@pytest.mark.slow
def test_links_that_leave_the_folder_are_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no file of the output does not become one of the run."""
    secret = folder / "secret.txt"
    secret.write_text("not of the output")
    _, kept = start(folder, linking=LINKS.format(outside=str(secret)))
    assert kept["inside.txt"].read_text() == "of the output"
    assert not kept["inside.txt"].is_symlink()
    assert not {"outside.txt", "nowhere.txt", "circle.txt"} & set(kept)
    said = capsys.readouterr().err
    for name in ("outside.txt", "folder", "nowhere.txt", "circle.txt"):
        assert f"left out {name}: a link to what is no file of this output" in said
