"""The normal form of code leaves out what changes no result, and is the same on every Python."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from seqbench.registry.normalform import digest

ROOT = Path(__file__).parents[2]

TEXT = '''
"""A module."""
from __future__ import annotations
import math
from typing import TYPE_CHECKING, NamedTuple
if TYPE_CHECKING:
    from torch import Tensor

RATE: float = 1e-3
NAMES = ("a", b"b\\xff", "\\u00e9\\ud83c", 10**3, 0x10, 1_000, -1.5, 2j, ..., None, True)


class Pair(NamedTuple):
    """Two numbers."""

    left: int
    right: list[int] = []


class Cell(Base, metaclass=Meta):
    gates = ("i", "f")

    def __init__(self, size: int, *, slope: float = 0.5, **rest: object) -> None:
        """Build."""
        self.slope: float = slope

    @property
    async def run(self, x: Tensor, /, *args: int, y=3, **kwargs) -> Tensor:
        total: int = 0
        unset: int
        for i, (a, *b) in enumerate(x):
            total += i if a else [z for z in b if z][0]
        else:
            pass
        try:
            with open(x) as f, g() as h:
                del f
        except* ValueError as error:
            raise error from None
        finally:
            assert total, "no"
        text = f"a{x!r:>{y}}b" "c" f"{total=}{{}}" f"{y:.2f}"
        match x:
            case {"a": [1, *rest], **others} | Cell(slope=2) if rest:
                return lambda q, *, r=1: (q := r)
            case _:
                nonlocal_ = {**kwargs, "k": {1, 2}}
        while not (1 < y <= 3 != y) and x[1:2, ::3]:
            await x
            break
        return text, yield_(nonlocal_), "implicit" "concatenation", x @ y // 2 << 1
'''
EXPECTED = "cb13cbbc60aff362"

ASK = """
import ast, sys
sys.path.insert(0, sys.argv[1])
from seqbench.registry.normalform import digest
print(digest(ast.parse(sys.stdin.read()).body))
"""


def of(text: str) -> str:
    return digest(ast.parse(text).body)


def test_the_hash_of_a_text() -> None:
    """A literal value: stored identities stay valid."""
    assert EXPECTED == of(TEXT)


@pytest.mark.parametrize("minor", [11, 12, 13, 14, 15])
def test_the_hash_is_the_same_on_every_python(minor: int) -> None:
    python = shutil.which(f"python3.{minor}")
    if python is None:
        pytest.skip(f"there is no python3.{minor} on the path")
    found = subprocess.run(
        [python, "-B", "-I", "-c", ASK, str(ROOT)], input=TEXT, capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip(f"python3.{minor} does not run: {found.stderr[-200:]}")
    assert EXPECTED == found.stdout.strip()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1  # one", "x = 1"),
        ("def f(a, b):\n    return a", "def f(\n    a,\n    b,\n):\n\n    return (a)"),
        ("def f():\n    'text'\n    return 1", "def f():\n    return 1"),
        ("class A:\n    'text'", "class A:\n    pass"),
        ("class A:\n    x = 1\n    'what x is'", "class A:\n    x = 1"),
        ("def f(a: int) -> int:\n    b: int = a", "def f(a):\n    b = a"),
        ("class A:\n    def f(self, a: int): ...", "class A:\n    def f(self, a) -> str: ..."),
        ("def f():\n    a: int", "def f(): pass"),
        ("X: int = 1", "X = 1"),
        ("x = 'a' \"b\"", 'x = "ab"'),
        ("x = f'a' 'b{c}' f'{d}'", "x = f'ab{{c}}' f'{d}'"),
        ("import os\nx = 1", "x = 1"),
        ("x = 16", "x = 0x10"),
        ("class A:\n    def __init__(self) -> None: ...", "class A:\n    def __init__(self): ..."),
    ],
)
def test_what_does_not_count(one: str, other: str) -> None:
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = a"),
        ("x = 1, 2", "x = [1, 2]"),
        ("f(a, b)", "f(a, b=b)"),
        ("if a: b()", "if a: pass\nelse: b()"),
        ("def f(*, a, b=1): ...", "def f(*, a=1, b): ..."),
        ("def f(a, /, b): ...", "def f(a, b): ..."),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
        ("class A:\n    x: int = 1", "class A:\n    x: float = 1"),
        ("class A:\n    x: int = 1", "class A:\n    x = 1"),
        (
            "class A:\n    def __init__(self, a: int): ...",
            "class A:\n    def __init__(self, a: str): ...",
        ),
        ("@f.register\ndef g(a: int): ...", "@f.register\ndef g(a: str): ..."),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = f'{a:3}'", "x = f'{a:4}'"),
        ("async def f(): ...", "def f(): ..."),
    ],
)
def test_what_counts(one: str, other: str) -> None:
    assert of(one) != of(other)


def test_nothing_is_left() -> None:
    assert "" == of("'text'\nimport os\npass\n")
