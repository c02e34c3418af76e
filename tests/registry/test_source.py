"""What is read from source is what import would say."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from seqbench.api import Model, Task
from seqbench.errors import Refused
from seqbench.nn import RecurrentModel
from seqbench.registry import source
from seqbench.registry.plugins import registry
from seqbench.registry.registration import KINDS
from seqbench.registry.source import UNSET, Call, Parameter

LIBRARY = '''
from typing import Literal

Grid = Literal["quarter", "sixteenth"]
WIDTH = 4 * 2


class Side:
    LEFT = "left"


class Base:
    """Base.

    Args:
        depth: how deep.
        rate (float): how fast,
            in metres per second.
    """

    version = "1"
    citation = "nobody"

    def __init__(self, input_size, context, *, depth: int = 2, rate: float = 0.5):
        pass
'''

USER = '''
import library
from library import Base, Grid, WIDTH
from helpers import Renamed


class Own(Base):
    """Own class.

    More.

    Args:
        grid: which.
    """

    version = "2"
    side = library.Side.LEFT
    metric = Metric("nll", direction="min")
    sizes = {"train": f"{3} pieces"}
    _hidden = 1

    def __init__(
        self, *, grid: Grid | None = None, width: "int" = WIDTH, must: str, odd=print, **rest
    ):
        """Build.

        Args:
            width: how wide.
        """


class Inherits(library.Base):
    """Inherits its constructor."""


class Closed(Base):
    """Takes nothing of the base's."""

    def __init__(self, *, only: bool = True):
        pass


class Through(Renamed):
    """A base by way of a re-export."""
'''


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that fail when they are executed."""
    for name, text in {
        "library": LIBRARY,
        "user": USER,
        "helpers": "from library import Base as Renamed\n",
        "nested/__init__": "raise RuntimeError('executed')\n",
        "nested/inner/__init__": "from ..inner.leaf import Leaf\n",
        "nested/inner/leaf": "from library import Base\n\n\nclass Leaf(Base):\n    pass\n",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


def test_parameters_are_spelled_out() -> None:
    """Own keyword-only parameters come first, then the base's; aliases are resolved."""
    assert [
        Parameter("grid", "Literal['quarter', 'sixteenth'] | None", None, "which."),
        Parameter("width", "int", 8, "how wide."),
        Parameter("must", "str", UNSET, ""),
        Parameter("odd", "", Call("print"), ""),
        Parameter("depth", "int", 2, "how deep."),
        Parameter("rate", "float", 0.5, "how fast, in metres per second."),
    ] == source.read_class("user:Own").parameters


def test_constants_are_read_through_bases() -> None:
    """Literals, constants of other classes and calls are values; computed ones are left out."""
    constants = source.read_class("user:Own").constants
    metric = Call("Metric", ("nll",), (("direction", "min"),))
    assert {
        "version": "2",
        "citation": "nobody",
        "side": "left",
        "metric": metric,
    } == constants


@pytest.mark.parametrize("name", ["Inherits", "Through"])
def test_inherited_constructor(name: str) -> None:
    """A class without constructor has its base's parameters, re-exported bases too."""
    found = source.read_class(f"user:{name}")
    assert [parameter.name for parameter in found.parameters] == ["depth", "rate"]
    assert [f"user.{name}", "library.Base"] == found.ancestors


def test_constructor_without_kwargs_hides_the_base() -> None:
    assert [p.name for p in source.read_class("user:Closed").parameters] == ["only"]


def test_docstring_parts() -> None:
    found = source.read_class("user:Own")
    assert found.summary == "Own class."
    assert found.description == "Own class.\n\nMore."


def test_parents_are_not_executed() -> None:
    """A module is found although its package would fail when executed; relative imports too."""
    found = source.read_class("nested.inner:Leaf")
    assert found.ancestors == ["nested.inner.leaf.Leaf", "library.Base"]


def test_a_class_may_extend_what_its_name_was_before(tmp_path: Path) -> None:
    """``class Base(Base)`` extends the imported one."""
    (tmp_path / "again.py").write_text(
        "from library import Base\n\n\nclass Base(Base):\n    pass\n"
    )
    assert source.read_class("again:Base").ancestors == ["again.Base", "library.Base"]


def test_star_imports(tmp_path: Path) -> None:
    """The names of ``from module import *`` are found, through a second one too."""
    (tmp_path / "stars.py").write_text("from helpers import *\nfrom user import *\n")
    (tmp_path / "starred.py").write_text("from stars import *\n\n\nclass Far(Renamed):\n    pass\n")
    assert source.read_class("starred:Far").ancestors == ["starred.Far", "library.Base"]


def test_bases_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from two import Two\n\n\nclass One(Two):\n    pass\n")
    (tmp_path / "two.py").write_text("from one import One\n\n\nclass Two(One):\n    pass\n")
    with pytest.raises(Refused, match="class One is among its own base classes"):
        source.read_class("one:One")


@pytest.mark.parametrize("value", ["value + 1", "-'a'", "{[]: 1}", "1 / 0", "'a' + 1"])
def test_constants_without_value_are_left_out(value: str, tmp_path: Path) -> None:
    """One that refers to itself, or that Python could not compute, is like a computed one."""
    (tmp_path / "odd.py").write_text(f"value = {value}\n\n\nclass Odd:\n    a = value\n    b = 1\n")
    assert {"b": 1} == source.read_class("odd:Odd").constants


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.at_all:X", "module 'nowhere.at_all' is not found"),
        ("user:Nobody", "module 'user' has no class 'Nobody'"),
    ],
)
def test_missing(target: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        source.read_class(target)


def test_syntax_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("class Wrong(:\n")
    with pytest.raises(Refused, match=r"wrong\.py is not valid Python: line 1"):
        source.read_class("wrong:Wrong")


@pytest.mark.parametrize("kind", KINDS)
def test_reading_agrees_with_importing(kind: str) -> None:
    """For every built-in: parameters, defaults, docstring and bases are what import says."""
    base = {"model": Model, "task": Task}[kind]
    items = [item for item in registry().all(kind) if item.origin == "built-in"]  # type: ignore[arg-type]
    assert items
    for item in items:
        found, loaded = item.source(), item.load()
        assert issubclass(loaded, base)
        assert inspect.getdoc(loaded) == found.docstring
        imported: dict[str, object] = {}
        for level in loaded.__mro__:
            if "__init__" in vars(level) and level is not base:
                for parameter in inspect.signature(level).parameters.values():
                    if parameter.kind is parameter.KEYWORD_ONLY:
                        imported.setdefault(parameter.name, parameter.default)
                if not any(
                    p.kind is p.VAR_KEYWORD for p in inspect.signature(level).parameters.values()
                ):
                    break
        assert imported == {p.name: p.default for p in found.parameters}


def test_recurrent_model_is_found_through_the_re_export() -> None:
    found = source.read_class("seqbench.api:RecurrentModel")
    assert f"{RecurrentModel.__module__}.RecurrentModel" == found.ancestors[0]


def test_reading_imports_nothing_heavy() -> None:
    """Reading every built-in class imports no torch, NumPy, or module of a model or task."""
    code = (
        "import sys\n"
        "from seqbench.registry.plugins import KINDS, registry\n"
        "for kind in KINDS:\n"
        "    for item in registry().all(kind):\n"
        "        item.source().parameters, item.source().constants, item.unusable()\n"
        "print(*(n for n in sys.modules if n.split('.')[0] in ('torch', 'numpy', 'hydra')\n"
        "        or n.startswith(('seqbench.plugins', 'seqbench.tasks', 'seqbench.api'))))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
