"""The table of back ends: what one says of itself, and that one file and one line add another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from seqbench.nn import (
    BACKENDS,
    BackendName,
    Cell,
    LSTMCell,
    PeepholeLSTMCell,
    backends_for,
    fallback,
    observe,
    unroll,
)
from seqbench.registry.source import read_class

ROOT = Path(__file__).parents[2]
TABLE = Path("seqbench", "nn", "backends", "__init__.py")
TOY = Path(__file__).with_name("toy.py")
CHOICES = ", ".join(get_args(BackendName))


def test_each_back_end_is_called_as_its_file() -> None:
    assert ("auto", *BACKENDS) == get_args(BackendName)
    for name, backend in BACKENDS.items():
        assert name == backend.name
        assert f"seqbench.nn.backends.{name}" == type(backend).__module__
        assert backend.version()
    assert "reference" == next(iter(BACKENDS))


def test_a_device_has_one_default_which_runs_there() -> None:
    """And one that is a device's default runs any cell: `auto` is the same for all models."""
    defaults = Counter(device for backend in BACKENDS.values() for device in backend.default_on)
    assert {1} == set(defaults.values())
    assert "cpu" in defaults
    for backend in BACKENDS.values():
        assert set(backend.default_on) <= set(backend.devices)
        assert not (backend.default_on and (backend.only or not backend.advice))


def test_choices_are_read_without_importing_the_table() -> None:
    """What `describe`, help and a configuration's checks know is what the engine has."""
    model = read_class("seqbench.nn.recurrent:RecurrentModel")
    (backend,) = (item for item in model.parameters if item.name == "backend")
    written = ", ".join(repr(name) for name in ("auto", *BACKENDS))
    assert f"Literal[{written}]" == backend.annotation


def test_which_back_ends_a_cell_has() -> None:
    """By the cell, by the device, and for tests by what runs where it is not offered."""
    assert {"native"} == set(backends_for(LSTMCell)) - set(backends_for(PeepholeLSTMCell))
    assert {"cuda"} == set(backends_for(Cell, portable=True)) - set(backends_for(Cell))
    on_gpu = backends_for(Cell, "cuda")
    assert ("cuda" in on_gpu, "cpu" in on_gpu, "reference" in on_gpu) == (True, False, True)


def test_observe_joins_what_differs() -> None:
    """Layers on different back ends, and a kernel of torch's that no back end called."""
    cell, values = LSTMCell(3, 4), torch.randn(2, 5, 3)

    def run() -> None:
        unroll(cell, values)
        unroll(cell, values, backend="cuda")
        torch.nn.GRU(3, 4)(values)

    assert "cpu + native (ATen) + reference (cuda: the data is on cpu)" == observe(run)
    assert "" == observe(lambda: values + 1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package anew, with one file and one line more, and the engine's own tests."""
    folder = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "seqbench", folder / "seqbench", ignore=ignored)
    for name in ("conf", "plugins", "tasks"):
        shutil.copytree(ROOT / name, folder / "seqbench" / name, ignore=ignored)
    shutil.copytree(ROOT / "tests" / "nn", folder / "tests" / "nn", ignore=ignored)
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(TOY, (folder / TABLE).parent)
    before = (folder / TABLE).read_text(encoding="utf-8")
    after = before.replace("\n]\n", '\n    "toy",\n]\n', 1)
    assert len(before.splitlines()) + 1 == len(after.splitlines())
    (folder / TABLE).write_text(after, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def command(site: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python on that installation."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=site,
            env=os.environ | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )

    return run


def test_a_new_one_is_a_choice_of_every_configuration(command: Callable[..., Any]) -> None:
    """`describe` lists it, and a mistake's line knows it."""
    found = command("-m", "seqbench", "describe", "model=peephole")
    assert f"model.backend=auto  (one of {CHOICES}, toy)" in found.stdout
    refused = command("-m", "seqbench", "task=music", "model=peephole", "model.backend=toi")
    (line,) = refused.stderr.splitlines()
    assert 2 == refused.returncode
    assert f"model.backend must be one of {CHOICES}, toy, not 'toi' (did you mean 'toy'?)" in line


TRY = """
import torch
from seqbench import nn
from seqbench.commands import doctor
from seqbench.nn import LSTMCell, observe, unroll

cell, values = LSTMCell(3, 4), torch.randn(2, 5, 3)
expected, found = (unroll(cell, values, backend=name) for name in ("reference", "toy"))
torch.testing.assert_close(expected, found)
print(observe(lambda: unroll(cell, values, backend="toy")))
print(nn.fallback(cell.half(), values, "toy"))
print(observe(lambda: unroll(cell, values, backend="toy")))
print(*nn.backends_for(LSTMCell))
print(*(finding.message for finding in doctor.check_engine() if finding.subject == "back ends"))
"""


@pytest.mark.slow
def test_a_new_one_runs_is_seen_and_says_why_not(command: Callable[..., Any]) -> None:
    found = command("-c", TRY)
    assert "" == found.stderr
    ran, reason, instead, known, doctor = found.stdout.splitlines()
    assert "toy" == ran
    assert "toy: torch.float16 is too coarse for a toy" == reason
    assert f"reference ({reason})" == instead
    assert [*backends_for(LSTMCell), "toy"] == known.split()
    assert doctor.endswith("toy (toy 1)")


@pytest.mark.slow
def test_a_new_one_is_tested_by_the_tests_that_there_are(command: Callable[..., Any]) -> None:
    """The parametrisation follows: gradients, padding, layouts, with no test edited."""
    file = "tests/nn/test_backends.py"
    chosen = "toy and (ragged or padding or layout or final_state) and not large"
    found = command("-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", chosen)
    assert 0 == found.returncode, found.stdout
    count = re.search(r"(\d+) passed", found.stdout)
    assert count is not None
    assert int(count[1]) > 30


def test_an_entry_of_the_table_is_all_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process too: it is chosen, replaced where it cannot run, seen and named."""
    toy = type("Named", (type(BACKENDS["reference"]),), {"name": "other", "devices": ("cuda",)})()
    monkeypatch.setitem(BACKENDS, "other", toy)  # type: ignore[arg-type]
    cell, values = LSTMCell(3, 4), torch.randn(2, 5, 3)
    reason = "other: the data is on cpu"
    assert reason == fallback(cell, values, "other")  # type: ignore[arg-type]
    seen = observe(lambda: unroll(cell, values, backend="other"))  # type: ignore[arg-type]
    assert f"reference ({reason})" == seen
    with pytest.raises(ValueError, match=r", other, not 'othr' \(did you mean 'other'\?\)"):
        unroll(cell, values, backend="othr")  # type: ignore[arg-type]
