"""A wrong path of a user's own data is answered at once, before anything heavy loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.errors import EXIT_REFUSED

CODE = (
    "import sys\n"
    "from seqbench.cli import main\n"
    "code = main(sys.argv[1:])\n"
    "heavy = {'torch', 'sklearn', 'mlflow', 'lightning', 'scipy', 'pandas'} & set(sys.modules)\n"
    "sys.stderr.write('LOADED ' + ' '.join(sorted(heavy)))\n"
    "sys.exit(code)\n"
)
WRONG = "task.source=data/skba/valve"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("data/skab/valve").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    "args",
    [
        ["task=anomaly", WRONG],
        ["-m", "task=anomaly", WRONG, "seed=0,1"],
        ["evaluate", "run=abc", WRONG],
        ["prepare", "task=anomaly", WRONG],
        ["plan", "-m", "task=anomaly", "model=lstm,gru", WRONG],
    ],
    ids=lambda args: args[0],
)
def test_nothing_heavy_is_loaded(args: list[str], folder: Path) -> None:
    command = [sys.executable, "-c", CODE, *args]
    found = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    said, _, loaded = found.stderr.rpartition("LOADED")
    assert loaded.split() == []
    assert "'data/skba/valve' does not exist (did you mean 'data/skab/valve'?)" in (
        " ".join((said + found.stdout).split())
    )
    assert found.returncode == EXIT_REFUSED
    assert sorted(path.name for path in folder.iterdir()) == ["data"]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("dta/skab", " (did you mean 'data/skab'?)"),
        ("data/skb/gone", " (did you mean 'data/skab'?)"),
        ("data/skab/valv", " (did you mean 'data/skab/valve'?)"),
        ("./data/skabb/", " (did you mean 'data/skab'?)"),
        ("nothing/like/it", ""),
        ("data/skab/valve/.", None),
    ],
)
@pytest.mark.parametrize("task", ["music", "health/pbc"])
def test_the_nearest_is_named(
    task: str, source: str, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", f"task={task}", f"task.source={source}"]) == EXIT_REFUSED
    (line, *_) = capsys.readouterr().err.splitlines()
    if hint is None:  # it is there, and the task says what is wrong with it
        assert "does not exist" not in line
    else:
        assert line == f"seqbench: task.source '{Path(source)}' does not exist{hint}"


def test_a_plugins_source_may_be_no_path(
    fresh_registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(
        "from seqbench.tasks.music import Music\n\n\n"
        "class Mine(Music):\n"
        '    """A task.\n\n    Args:\n        source: a name.\n    """\n\n'
        "    def __init__(self, *, source: str | None = None) -> None:\n"
        "        super().__init__()\n"
    )
    assert main(["+plugin=mine.py", "task=mine", "task.source=hymns", "--cfg", "job"]) == 0
    assert main(["+plugin=mine.py", "plan", "task=mine", "task.source=hymns"]) == 0
    assert "mine: hymns" in capsys.readouterr().out
