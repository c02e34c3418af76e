"""A code hash covers the definitions that a class reaches, and no others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.registry import codehash


def package(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


OWN = {
    "own/__init__.py": "",
    "own/cell.py": """
from __future__ import annotations
import stranger
from torch import tanh as squash
from typing import TYPE_CHECKING
from .near import deep, handed_on
from own.constants import WIDTH, table
import own.attributes
import own.value as value
from own.stars import *
if TYPE_CHECKING:
    from own.types import Typed

@deep.decorator
class Cell(handed_on):
    width = WIDTH * 2

    def f(self, x: Typed, default=table["a"]):
        from own.late import inner as renamed
        shadow = 1
        return renamed(squash(x)) + own.attributes.used(shadow) + starred() + getattr(value, "g")

def unused():
    return 1

def shadow():
    return 1
""",
    "own/constants.py": "WIDTH = 1\ntable = {'a': 1}\nOTHER = 1\n",
    "own/attributes.py": "def used(x):\n    return x\n\n\ndef unused(x):\n    return x\n",
    "own/value.py": "def g():\n    return 1\n\n\ndef h():\n    return 1\n",
    "own/stars.py": "def starred():\n    return 1\n",
    "own/types.py": "class Typed:\n    a = 1\n",
    "own/late.py": "from own.cell import Cell\n\n\ndef inner(x):\n    return x, Cell\n",
    "own/near/__init__.py": "from own.near.base import Base as handed_on\n",
    "own/near/base.py": "import own.near.effects\n\n\nclass Base:\n    b = 1\n",
    "own/near/effects.py": "THINGS = []\nTHINGS.append(1)\nUNUSED = 1\n",
    "own/near/deep.py": "def decorator(c):\n    return c\n",
    "own/unused.py": "X = 1\n",
    "stranger.py": "X = 1\n",
}


@pytest.mark.parametrize(
    ("file", "before", "after", "changes"),
    [
        ("own/constants.py", "WIDTH = 1", "WIDTH = 2", True),
        ("own/constants.py", "'a': 1", "'a': 2", True),
        ("own/constants.py", "OTHER = 1", "OTHER = 2", False),
        ("own/attributes.py", "x):\n    return x\n\n", "x):\n    return -x\n\n", True),
        ("own/attributes.py", "unused(x):\n    return x", "unused(x):\n    return -x", False),
        ("own/value.py", "h():\n    return 1", "h():\n    return 2", True),  # used as a value
        ("own/stars.py", "1", "2", True),
        ("own/types.py", "1", "2", False),  # named in an annotation that does not count
        ("own/late.py", "return x", "return -x", True),
        ("own/near/base.py", "b = 1", "b = 2", True),
        ("own/near/effects.py", "append(1)", "append(2)", True),  # happens on import
        ("own/near/effects.py", "UNUSED = 1", "UNUSED = 2", False),
        ("own/near/deep.py", "return c", "return None", True),
        ("own/cell.py", "def unused():\n    return 1", "def unused():\n    return 2", False),
        ("own/cell.py", "def shadow():\n    return 1", "def shadow():\n    return 2", False),
        ("own/cell.py", "import tanh as squash", "import sigmoid as squash", True),
        ("own/cell.py", "WIDTH * 2", "WIDTH * 3", True),
        ("own/cell.py", "\nimport stranger", "\nimport stranger\nSTATE = stranger.X", False),
        ("own/cell.py", "\nimport stranger", "\nimport stranger\nstranger.X = 3", True),
        ("own/unused.py", "1", "2", False),
        ("stranger.py", "1", "2", False),
    ],
)
def test_definitions_of_a_distribution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    before: str,
    after: str,
    changes: bool,
) -> None:
    """Names are followed through re-exports, attributes, functions and circles; no others are."""
    package(tmp_path, OWN)
    monkeypatch.syspath_prepend(tmp_path)
    then = codehash.code_hash("own.cell:Cell")
    assert OWN[file].count(before) >= 1
    package(tmp_path, {file: OWN[file].replace(before, after)})
    assert changes == (then != codehash.code_hash("own.cell:Cell"))


def test_a_definition_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same code wherever it stands."""
    monkeypatch.syspath_prepend(tmp_path)
    gate = "def gate(x):\n    return x\n"
    model = "\n\nclass A:\n    def f(self):\n        return gate(1)\n"
    package(tmp_path, {"one/__init__.py": gate + model})
    there = {"two/__init__.py": f"from two.gates import gate\n{model}", "two/gates.py": gate}
    package(tmp_path, there)
    assert codehash.code_hash("one:A") == codehash.code_hash("two:A")


def test_a_plugin_file_and_its_siblings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's hash covers the files beside it that it imports, not the place where they lie."""
    mine = "import json\nimport beside\n\n\nclass Mine:\n    a = json, beside.X\n"
    files = {"mine.py": mine, "beside.py": "X = 0\n"}
    found = []
    for place, text in (("a", "X = 0\n"), ("b", "X = 0\n"), ("c", "X = 1\n")):
        package(tmp_path / place, files | {"beside.py": text, "json.py": place})
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [*sys.path, str(tmp_path / place)])
            found.append(codehash.code_hash(f"{tmp_path / place / 'mine.py'}:Mine"))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_code_that_is_not_there() -> None:
    with pytest.raises(Refused, match="module 'no_such_module' is not found"):
        codehash.code_hash("no_such_module:X")
    with pytest.raises(Refused, match="module 'json' has no class 'Nobody'"):
        codehash.code_hash("json:Nobody")
