"""An edit makes those trials stale whose results it may change, and no others.

Each file of ``edits/`` is one: the file that is edited, a text before and after, and what is to
come of it. ``stale`` names the trials, one by each model on one task and one by each task with one
model; ``other`` the file of the harness that ``plan`` names; ``golden`` a trial whose numbers
move.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

BORROWED = '''
from __future__ import annotations

import math as arithmetic

import helper
from seqbench.nn import RecurrentModel
from seqbench.plugins.niaf import NIAFCell


class BorrowedCell(NIAFCell):
    """A cell of a built-in plugin, squashed by a helper."""

    width: int = 2

    def squash(self, c):
        return helper.tripled(c) + arithmetic.pi


class Borrowed(RecurrentModel):
    """A model of a third party.

    Args:
        slope: of something.
    """

    cell = BorrowedCell

    def __init__(
        self,
        input_size,
        context,
        *,
        slope: float = 0.5,
        **options,
    ):
        super().__init__(input_size, context, **options)
'''
HELPER = """
def tripled(value):
    return 3 * value


def unused(value):
    return value
"""
OWN = '''
from seqbench.tasks import music


class Own(music.Music):
    """A third party's variant of a built-in task."""
'''


@dataclass(frozen=True)
class Edit:
    """See the module."""

    file: str
    before: str
    after: str
    stale: frozenset[str]
    other: str
    golden: str

    @classmethod
    def read(cls, path: Path) -> Edit:
        """Read an edit's file."""
        head, _, texts = path.read_text().partition("--- before\n")
        before, _, after = texts.partition("+++ after\n")
        known = dict(line.split(": ", 1) for line in head.splitlines())
        place = known["file"]
        stale = frozenset(known.get("stale", "").split())
        golden = known.get("golden", "")
        folder = "" if place.startswith("third/") else "seqbench/"
        return cls(f"{folder}{place}", before, after, stale, known.get("other", ""), golden)

    def apply(self, folder: Path) -> None:
        """Apply it to a copy of the code."""
        path = folder / self.file
        path.write_text(path.read_text().replace(self.before, self.after))


EDITS = {path.stem: Edit.read(path) for path in sorted((HERE / "edits").glob("*.edit"))}
GOLDEN = [
    pytest.param(name, marks=() if name == "engine" else pytest.mark.nightly)
    for name, edit in EDITS.items()
    if edit.golden
]


def copy_of_the_code(folder: Path) -> Path:
    """Copy the whole code, as it is installed, and lay a third party's beside it."""
    copy = folder / "seqbench"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seqbench", copy, ignore=skip)
    for name in ("plugins", "tasks", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip, dirs_exist_ok=True)
    third = folder / "third"
    third.mkdir()
    for name, text in {"borrowed": BORROWED, "helper": HELPER, "own": OWN}.items():
        (third / f"{name}.py").write_text(text)
    return folder


def python(folder: Path, *words: str, given: str = "", **variables: str) -> str:
    """Run Python where the copy comes first on the path."""
    environment = os.environ | {"PYTHONPATH": str(folder)} | variables
    result = subprocess.run(
        [sys.executable, *words], input=given, capture_output=True, text=True, cwd=folder,
        env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def states(
    made_once: Callable[[str, Callable[[Path], None]], Path],
) -> dict[str, dict[str, list[str]]]:
    """How each trial stands after each edit, and without one."""
    folder = made_once("edits", edit_by_edit)
    found: dict[str, dict[str, list[str]]] = json.loads((folder / "states.json").read_text())
    return found


def edit_by_edit(folder: Path) -> None:
    """Write how each trial stands, in a copy of the code."""
    copy_of_the_code(folder)
    asked = {name: vars(edit) | {"stale": []} for name, edit in EDITS.items()}
    asked["none"] = {"file": "seqbench/cli.py", "before": "", "after": ""}
    for name, edit in EDITS.items():
        count = (folder / edit.file).read_text().count(edit.before)
        assert count == 1, f"edits/{name}.edit: its text stands {count} times in {edit.file}"
    found = python(folder, str(HERE / "states.py"), str(folder), given=json.dumps(asked))
    (folder / "states.json").write_text(found)


@pytest.mark.slow
def test_without_an_edit_every_trial_has_finished(states: dict[str, dict[str, list[str]]]) -> None:
    """There is one by each model and one by each task, of a third party too."""
    assert {"model=lstm", "model=borrowed", "task=music", "task=own"} < set(states["none"])
    assert all(found == ["finished", ""] for found in states["none"].values())


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.slow
def test_what_an_edit_makes_stale(name: str, states: dict[str, dict[str, list[str]]]) -> None:
    """Those trials that it names; of the harness ``plan`` says which file is another now."""
    edit = EDITS[name]
    # Every trial by task was trained with gru, every one by model on music/harmonize.
    stale = set(edit.stale)
    if "task=music/harmonize" in stale:
        stale |= {item for item in states[name] if item.startswith("model=")}
    assert stale == {item for item, (state, _) in states[name].items() if state == "stale"}
    for item, (state, reason) in states[name].items():
        if item in stale:
            assert reason in ("changed since: model", "changed since: task")
        else:
            other = f"under other code of seqbench: {edit.other}" if edit.other else ""
            assert (state, reason) == ("finished", other)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_an_edit_of_the_harness_moves_a_golden_number(name: str, tmp_path: Path) -> None:
    """What no identity tells, the golden numbers do."""
    edit = EDITS[name]
    folder = copy_of_the_code(tmp_path)
    edit.apply(folder)
    code = (
        "import importlib.util, json, sys\n"
        "spec = importlib.util.spec_from_file_location('golden', sys.argv[1])\n"
        "golden = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(golden)\n"
        "name = sys.argv[2]\n"
        "one = {name: golden.trials()[name]}\n"
        "golden.trials = lambda: one\n"
        "found = dict(golden.run())\n"
        "table = json.loads(golden.table_path().read_text())['trials']\n"
        "print(*golden.differences({name: table[name]}, found, golden.is_exact()))\n"
    )
    script = ROOT / "tests" / "golden" / "trials.py"
    pinned = json.loads(
        python(folder, "-c", f"import runpy, json; print(json.dumps(runpy.run_path({str(script)!r})"
               "['PINNED']))")
    )  # fmt: skip
    variables = pinned | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    if "SEQBENCH_DATA" not in os.environ:
        variables["SEQBENCH_DATA"] = data_of_tasks()
    assert edit.golden == python(folder, "-c", code, str(script), edit.golden, **variables).strip()


def data_of_tasks() -> str:
    """Return where the tasks' data are; compiled code is not shared with the unedited one."""
    from seqbench.config.machine import data_folder

    return str(data_folder())
