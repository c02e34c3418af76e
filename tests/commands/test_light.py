"""Help, TAB, list and describe: what they import, and what TAB offers in a real shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqbench.errors import EXIT_REFUSED

HEAVY = ("torch", "lightning", "mlflow", "numpy", "matplotlib", "sklearn", "scipy")

Result = subprocess.CompletedProcess[str]


def seqbench_command(*args: str, **env: str) -> Result:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-m", "seqbench", *args]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | env)


@pytest.mark.parametrize(
    "args",
    [["--version"], ["list"], ["describe", "task=music"], ["describe", "model=peephole"], []],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(args: list[str]) -> None:
    """Version, list and describe import neither Hydra nor rich, nor anything that computes."""
    assert imported(args, (*HEAVY, "hydra", "rich", "seqbench.api", "seqbench.plugins")) == []


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--help"], {}),
        (["--cfg", "job"], {}),
        (["-sc", "query=bash"], {"COMP_LINE": "seqbench model=ls"}),
        (["-sc", "install=bash"], {}),
    ],
    ids=lambda value: " ".join(value),
)
def test_nothing_that_computes_is_imported(args: list[str], env: dict[str, str]) -> None:
    """Help, TAB and showing a configuration import Hydra and nothing that computes."""
    unwanted = (*HEAVY, "seqbench.api", "seqbench.plugins", "seqbench.tasks")
    assert imported(args, unwanted, env) == []


def imported(
    args: list[str], unwanted: tuple[str, ...], env: dict[str, str] | None = None
) -> list[str]:
    """Return the unwanted modules that a command imports."""
    code = (
        "import atexit, sys\n"
        "from seqbench.cli import main\n"
        "sys.argv = ['seqbench', *sys.argv[1:]]\n"
        "code = main()\n"
        "sys.stderr.write(' '.join(['MODULES', *sys.modules]))\n"
        "sys.exit(code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        env=os.environ | (env or {}),
    )
    assert result.returncode == 0, result.stderr
    modules = result.stderr.rpartition("MODULES")[2].split()
    return [
        name
        for name in modules
        if any(name == item or name.startswith(f"{item}.") for item in unwanted)
    ]


@pytest.mark.slow
def test_help_and_completion_do_not_import_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin whose package fails at import is in help and TAB, hooks and configurations alike."""
    package = tmp_path / "loud"
    info = tmp_path / "loud-1.0.dist-info"
    for folder in (package / "conf" / "model", info):
        folder.mkdir(parents=True)
    hooks = (
        "raise RuntimeError('imported')\n\n\n"
        "def seqbench_models():\n    return [Entry('loud_cell', 'loud.cell:LoudCell')]\n"
    )
    (package / "__init__.py").write_text(hooks)
    (package / "conf" / "__init__.py").write_text("")
    (package / "conf" / "model" / "loud_yaml.yaml").write_text("name: loud_cell\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    points = "[seqbench]\nloud = loud\n\n[seqbench.conf]\nloud = loud.conf\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    helped = seqbench_command("--help")
    assert re.search(r"\nmodel: .*loud_cell, loud_yaml", helped.stdout), helped.stderr
    typed = seqbench_command("-sc", "query=bash", COMP_LINE="seqbench model=loud")
    assert typed.stdout.split() == ["model=loud_cell", "model=loud_yaml"]
    assert helped.stderr == typed.stderr == ""
    selected = seqbench_command("model=loud_yaml")
    assert selected.returncode == EXIT_REFUSED
    assert "plugin 'loud' (loud 1.0): import failed: RuntimeError: imported" in selected.stderr
    assert selected.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seqbench li", {"list", "limits."}),
        ("seqbench describe model=pee", {"model=peephole"}),
        ("seqbench model=bil", {"model=bilstm"}),
        ("seqbench task=music -m model=bil", {"model=bilstm"}),
        ("seqbench model.hid", {"model.hidden_size="}),
        ("seqbench model=attention_lstm model.att", {"model.attention_size="}),
        ("seqbench experiment=", {"experiment=none", "experiment=smoke"}),
        ("seqbench recipe.l", {"recipe.lr="}),
        ("seqbench d", {"describe", "doctor"}),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.slow
def test_completion_in_bash(line: str, expected: set[str]) -> None:
    """TAB in a real bash, with the completion that the command itself installs."""
    scripts = Path(sys.executable).parent
    if not (scripts / "seqbench").exists():
        pytest.skip("the console script is not installed")
    code = f"""
        set -e
        PATH="{scripts}:$PATH"
        eval "$(seqbench -sc install=bash)"
        COMP_LINE='{line}'
        COMP_POINT=${{#COMP_LINE}}
        COMP_WORDS=($COMP_LINE)
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert result.stderr == ""
    assert expected == set(result.stdout.split())
