"""What `seqbench new` writes is whole: it keeps its contract and trains as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from seqbench.cli import main
from seqbench.commands import new
from seqbench.registry.plugins import registry

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize(("kind", "pair"), [("model", "task=music"), ("task", "model=lstm")])
def test_a_file_keeps_its_contract_and_trains(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str, pair: str
) -> None:
    """The lines that it prints are what to type next."""
    assert 0 == main(["new", kind, "first_try"])
    shown = capsys.readouterr().out.splitlines()
    assert ["first_try.py", "next:", "  seqbench check first_try.py"] == shown[:3]
    assert 0 == main(["describe", "+plugin=first_try.py", f"{kind}=first_try"])
    assert f"Try\n  seqbench +plugin={folder / 'first_try.py'} task=" in capsys.readouterr().out
    assert 0 == main(["check", "first_try.py", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert (kind, "first_try") == (found["kind"], found["name"])
    assert {"kept", "skipped"} >= {check["status"] for check in found["checks"]}
    trial = ["+plugin=first_try.py", *sorted([pair, f"{kind}=first_try"], reverse=True)]
    assert f"  seqbench {' '.join(trial)}" in shown
    assert 0 == main([*trial, "experiment=smoke", "trainer.progress=false", "tracking=none"])


@pytest.mark.parametrize("kind", ["model", "task"])
def test_a_distribution_installs_and_passes_its_own_tests(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both entry points are found, and configuration, hooks and tests belong together."""
    assert 0 == main(["new", kind, "second", "--package", "out=here"])
    root = folder / "here" / "seqbench-second"
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"seqbench", "seqbench.conf"} == set(project["entry-points"])
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(root)]
    installed = subprocess.run([*pip, *options], capture_output=True, text=True)
    assert 0 == installed.returncode, installed.stderr
    monkeypatch.syspath_prepend(site)
    registry.cache_clear()
    assert 0 == main(["check", f"{kind}=second"])
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={root}"]
    result = subprocess.run(
        [*tests, "-c", os.devnull, str(root / "tests")], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(site), "SEQBENCH_PLUGIN_FILES": ""},
    )  # fmt: skip
    assert 0 == result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["new"], "seqbench new: write `model NAME` or `task NAME`"),
        (
            ["new", "modle", "x"],
            "seqbench new: KIND must be one of model, task, not 'modle'",
        ),
        (
            ["new", "model", "My-Cell"],
            "'My-Cell' cannot be a name: it must be made of",
        ),
        (["new", "model", "class"], "'class' cannot be a name"),
        (["new", "model", "json"], "'json' cannot be a name"),
        (["new", "model", "lstm"], "model 'lstm' is there already (built-in)"),
        (["new", "model", "x", "--pakage"], "seqbench new: unknown word '--pakage' (did you mean"),
        (["new", "model", "x", "out=/dev/null/y"], "there is no folder /dev/null"),
        (["check"], "nothing to check: write model=NAME"),
        (["check", "model=lstn"], "unknown model 'lstn' (did you mean 'lstm'"),
        (["check", "none.py"], "+plugin=none.py: there is no such Python file"),
        (
            ["check", "--instaled"],
            "unknown word '--instaled' (did you mean '--installed'?)",
        ),
        (["check", "--installed"], "no plugin is installed"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert 2 == main(words)
    error = capsys.readouterr().err
    assert line in error
    assert 1 == error.count("\n")


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.py").write_text("precious")
    assert 2 == main(["new", "model", "mine"])
    assert "mine.py is there already" in capsys.readouterr().err
    assert "precious" == (folder / "mine.py").read_text()


def test_a_broken_file_is_told_with_what_was_seen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was expected and where to read stand below it, and the exit code says it too."""
    assert 0 == main(["new", "model", "leaky"])
    text = (folder / "leaky.py").read_text()
    (folder / "leaky.py").write_text(text.replace('citation = "Unpublished."', 'citation = ""'))
    capsys.readouterr()
    assert 1 == main(["check", "leaky.py"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ documentation"))
    assert [
        "seen: it has no citation",
        "expected: citation: where it is published, or who made it",
        "read: docs/conformance.md#documentation",
    ] == lines[at + 1 : at + 4]
    assert "14 kept, 1 broken" in lines[at + 4]


def test_a_file_that_cannot_be_imported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "late.py").write_text(
        "import seqbench_is_not_that\nfrom seqbench.plugins.lstm import LSTM\n\n\n"
        "class Late(LSTM):\n    pass\n"
    )
    assert 1 == main(["check", "late.py"])
    assert "✗ selection" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"label": [1]}, "has no column 'sequence': label"),
        ({"sequence": [1], "label": [1]}, "has no features beside sequence and label"),
        (
            {"sequence": [1, 1], "label": ["a", "a"], "x": ["1", "two"]},
            "row 3, column 'x': 'two' is no finite number",
        ),
        ({"sequence": [1, 1], "label": ["a", "b"], "x": [1, 2]}, "sequence 1 has several labels"),
        ({"sequence": [1], "label": ["a"], "x": [1]}, "1 sequences of 1 classes; it takes 10"),
    ],
)
def test_a_table_that_does_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], table: dict[str, list[object]], line: str
) -> None:
    """The template's task says what is wrong with a file of the user's."""
    assert 0 == main(["new", "task", "table"])
    pd.DataFrame(table).to_csv("data.csv", index=False)
    trial = ["+plugin=table.py", "task=table", "task.source=data.csv", "experiment=smoke"]
    assert 2 == main([*trial, "tracking=none", "trainer.progress=false"])
    assert line in capsys.readouterr().err


def test_what_comes_with_seqbench_needs_no_plugin_and_has_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written into ``plugins/`` itself, a model is a built-in one."""
    folders = {"seqbench.plugins": [tmp_path / "plugins"], "seqbench.conf": [tmp_path / "conf"]}
    monkeypatch.setattr(new, "package_folders", lambda package: folders[package])
    assert 0 == main(["new", "model", "my_peg", f"out={tmp_path / 'plugins'}"])
    assert (tmp_path / "plugins" / "my_peg.py").is_file()
    assert "name: my_peg" in (tmp_path / "conf" / "model" / "my_peg.yaml").read_text()
    said = capsys.readouterr().out
    assert "seqbench check model=my_peg\n" in said
    assert "+plugin=" not in said
