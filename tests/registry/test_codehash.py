"""A code hash changes with the code that a result depends on, and with no other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.registry import codehash, modules
from seqbench.registry.plugins import registry

ROOT = Path(__file__).parents[2]
TARGETS = {
    "lstm": "seqbench.plugins.lstm:LSTM",
    "gru": "seqbench.plugins.gru:GRU",
    "music": "seqbench.tasks.music:Music",
}
ASK = """
import json
import sys

from seqbench.registry import codehash

hashes = {name: codehash.code_hash(target) for name, target in json.loads(sys.argv[1]).items()}
print(json.dumps(hashes | {"harness": codehash.harness_hash()}))
assert "torch" not in sys.modules
"""


@pytest.fixture(autouse=True)
def no_cache() -> None:
    codehash.code_hash.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the whole code, as it is installed."""
    copy = tmp_path / "seqbench"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seqbench", copy, ignore=skip)
    for folder in ("plugins", "tasks"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=skip, dirs_exist_ok=True)
    return copy


def hashes(project: Path) -> dict[str, str]:
    """Ask the copy, whose working directory comes first on the path."""
    command = [sys.executable, "-c", ASK, json.dumps(TARGETS)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=project.parent)
    assert result.returncode == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("plugins/lstm.py", {"lstm"}),
        ("tasks/music/chorales.py", {"music"}),
        ("tasks/_archive.py", {"music"}),
        # The contract in seqbench.api reaches the cells, and every plugin imports the contract.
        ("nn/cell.py", {"lstm", "gru", "music", "harness"}),
        ("training/seeds.py", {"harness"}),
        ("training/callbacks.py", {"harness"}),
        ("reporting/terminal.py", set()),
        ("cli.py", set()),
    ],
)
def test_what_an_edit_changes(project: Path, file: str, changed: set[str]) -> None:
    """An edited module changes the hash of everything that imports it, at any distance."""
    before = hashes(project)
    with (project / file).open("a") as stream:
        stream.write("\nSLOPE = 2\n")
    after = hashes(project)
    assert changed == {name for name in before if before[name] != after[name]}


def test_hashes_are_short_and_differ(project: Path) -> None:
    """They are 16 hexadecimal digits and the same wherever the code is installed."""
    found = hashes(project)
    assert len(set(found.values())) == len(found)
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in found.values())
    assert registry().get("model", "lstm").code_hash == found["lstm"]
    assert codehash.harness_hash() == found["harness"]


def package(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    modules.read_module.cache_clear()
    codehash.code_hash.cache_clear()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("own/cell.py", True),
        ("own/__init__.py", True),
        ("own/late.py", True),
        ("own/near/deep.py", True),
        ("own/unused.py", False),
        ("stranger.py", False),
    ],
)
def test_modules_of_a_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changes: bool
) -> None:
    """Its own package counts: relative imports, imports in functions, circles; others do not."""
    package(
        tmp_path,
        {
            "own/__init__.py": "",
            "own/cell.py": "import stranger\nfrom .near import deep\n\n\nclass Cell:\n"
            "    def f(self):\n        import own.late\n",
            "own/late.py": "from own.cell import Cell\n",
            "own/near/__init__.py": "",
            "own/near/deep.py": "",
            "own/unused.py": "",
            "stranger.py": "",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = codehash.code_hash("own.cell:Cell")
    package(tmp_path, {file: (tmp_path / file).read_text() + "X = 1\n"})
    assert changes == (before != codehash.code_hash("own.cell:Cell"))


def test_a_plugin_file_and_its_siblings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's hash covers the files beside it that it imports, not the place where they lie."""
    files = {"mine.py": "import json\nimport beside\n\n\nclass Mine:\n    pass\n", "beside.py": ""}
    found = []
    for place, text in (("a", ""), ("b", ""), ("c", "X = 1\n")):
        package(tmp_path / place, files | {"beside.py": text, "json.py": place})
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [*sys.path, str(tmp_path / place)])
            found.append(codehash.code_hash(f"{tmp_path / place / 'mine.py'}:Mine"))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_code_that_is_not_there() -> None:
    with pytest.raises(Refused, match="module 'no_such_module' is not found"):
        codehash.code_hash("no_such_module:X")
