"""What tests share."""

from __future__ import annotations

import copy
import gc
import importlib.util
import os
import shutil
import signal
import sqlite3
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from filelock import FileLock
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hypothesis import HealthCheck, settings
from torch import Tensor, nn

from seqbench.api import SequenceInput
from seqbench.nn import (
    BackendName,
    Cell,
    GRUCell,
    State,
    Unrolled,
    backends_for,
    fallback,
    unroll,
    zero_padding,
)
from seqbench.registry.plugins import DISABLED, PLUGIN_FILES, registry
from seqbench.tracking import mlflow_client

# A shell starts background jobs with Ctrl-C ignored, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A machine that is busy is no fault of a test: none of them asks how long its examples take.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("untimed")


def _hostile() -> ModuleType:
    """Load ``hostile.py``, as test files import none of their neighbours."""
    spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hostile() -> Callable[..., None]:
    """Read damaged files with two readers, see ``hostile.py``."""
    check: Callable[..., None] = _hostile().check
    return check


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database that may be open, into one that may be."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def copy_store_folder(source: Path, target: Path) -> Path:
    """Copy a store's folder. What lies beside its database may go at any time, as it is open."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("mlflow.db*"))
    copy_database(source / "mlflow.db", target / "mlflow.db")
    return target


@pytest.fixture(scope="session")
def copy_store() -> Callable[[Path, Path], Path]:
    """Copy a store's folder, see :func:`copy_store_folder`."""
    return copy_store_folder


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a folder as it was filled by the first to ask for it, of all of pytest's workers."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        path, filled = root / name, root / f"{name}.filled"
        with FileLock(root / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(path, ignore_errors=True)  # of a worker that failed
                path.mkdir()
                fill(path)
                filled.touch()
        return path

    return folder


@pytest.fixture(scope="session", autouse=True)
def tables_made_once(
    made_once: Callable[[str, Callable[[Path], None]], Path],
) -> Iterator[None]:
    """Copy the empty tables of a new store from the first one that MLflow has made here.

    Making them takes seconds, for a history of migrations that no test is about. Stores in other
    processes are made by MLflow, each time.
    """
    create = mlflow_client.create_database

    def create_quickly(draft: Path, artifacts: Path, experiment: str) -> None:
        mlflow_client.load()
        from mlflow.store.db import utils

        def tables(engine: Any) -> None:
            def fill(folder: Path) -> None:
                initialize(engine)
                copy_database(draft, folder / "tables.db")

            copy_database(made_once("tables", fill) / "tables.db", draft)

        initialize = utils._initialize_tables
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(utils, "_initialize_tables", tables)
            create(draft, artifacts, experiment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_client, "create_database", create_quickly)
        yield


@pytest.fixture(scope="module", autouse=True)
def modules_are_no_garbage() -> None:
    """Leave what has been imported out of what is searched for garbage.

    Every trial collects it as it begins, a third of a second with torch's and MLflow's modules.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def ragged() -> SequenceInput:
    """Seven ragged sequences of 3 features in float64, zero at padding."""
    generator = torch.Generator().manual_seed(7)
    values = torch.randn(7, 11, 3, generator=generator, dtype=torch.float64)
    inputs = SequenceInput(values, torch.tensor([11, 1, 5, 8, 2, 10, 11]))
    return inputs.with_values(zero_padding(values, inputs.mask))


@pytest.fixture(params=backends_for(Cell))
def backend(request: pytest.FixtureRequest) -> BackendName:
    """Each back end that runs a cell from its equations on a CPU."""
    name: BackendName = request.param
    return name


@pytest.fixture(params=[(layers, both) for layers in (1, 2, 3) for both in (False, True)])
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Parameters of a small recurrent model: each depth, in one direction and in two."""
    num_layers, bidirectional = request.param
    return {"hidden_size": 4, "num_layers": num_layers, "bidirectional": bidirectional}


@pytest.fixture(params=[pytest.param((1, False), marks=pytest.mark.nightly), (2, True)])
def small_shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Parameters for a model whose cell alone is its own: stacking is tested with the LSTM."""
    num_layers, bidirectional = request.param
    return {"hidden_size": 4, "num_layers": num_layers, "bidirectional": bidirectional}


@pytest.fixture
def check_golden() -> Callable[[Cell, list[float], BackendName], None]:
    """Check the hidden states of a cell with constant weights on three steps, 0.0 to 0.5.

    Weights are 0.1 from inputs, 0.2 from the hidden state, 0.3 from elsewhere, bias 0.05, a GRU's
    second bias 0.15, peepholes 0.3.
    """

    def check(cell: Cell, golden: list[float], backend: BackendName) -> None:
        constants = {"weight_ih": 0.1, "weight_hh": 0.2, "bias": 0.05, "bias_hn": 0.15}
        cell.double()
        with torch.no_grad():
            for name, weight in cell.named_parameters():
                weight.fill_(constants.get(name, 0.3))
        values = torch.arange(6).reshape(1, 3, 2).double() / 10
        hidden = _unroll(cell, values, backend).hidden
        expected = torch.tensor(golden, dtype=torch.float64)[None, :, None].expand_as(hidden)
        torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-15)

    return check


@pytest.fixture
def check_steps() -> Callable[[Cell, Callable[..., State], BackendName], None]:
    """Check a cell with random weights against ``step(x, *state)``, which is written by hand.

    Compared are hidden states, final states and every gradient, from random initial states.
    """

    def check(cell: Cell, step: Callable[..., State], backend: BackendName) -> None:
        torch.manual_seed(0)
        cell.double()
        with torch.no_grad():
            for weight in cell.parameters():
                weight.normal_(std=0.5)
        values = torch.randn(2, 6, cell.input_size, dtype=torch.float64)
        start = tuple(torch.randn(2, cell.hidden_size).double() for _ in cell.states)
        state, hidden = start, []
        for x in values.unbind(1):
            state = step(x, *state)
            hidden.append(state[0])
        results = []
        for hidden_states, final in (
            (torch.stack(hidden, dim=1), state),
            _unroll(cell, values, backend, start),
        ):
            loss = hidden_states.square().sum() + sum(part.sin().sum() for part in final)
            gradients = torch.autograd.grad(loss, list(cell.parameters()))
            results.append((hidden_states, *final, *gradients))
        for expected, found in zip(*results, strict=True):
            torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)

    return check


@pytest.fixture
def check_twin() -> Callable[[Cell, nn.RNNBase, BackendName], None]:
    """Check a cell against torch's own module with the same weights: outputs and gradients."""

    def check(ours: Cell, theirs: nn.RNNBase, backend: BackendName) -> None:
        ours.double()
        theirs.double()
        bias_ih, bias_hh = theirs.bias_ih_l0, theirs.bias_hh_l0
        with torch.no_grad():
            ours.weight_ih.copy_(theirs.weight_ih_l0)
            ours.weight_hh.copy_(theirs.weight_hh_l0)
            ours.bias.copy_(bias_ih + bias_hh)
            if isinstance(ours, GRUCell):  # the candidate keeps its two biases apart
                size = ours.hidden_size
                ours.bias[2 * size :] = bias_ih[2 * size :]
                ours.bias_hn.copy_(bias_hh[2 * size :])
        values = torch.randn(2, 9, ours.input_size, dtype=torch.float64)
        expected, hidden = theirs(values)[0], _unroll(ours, values, backend).hidden
        torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
        expected.square().sum().backward()
        hidden.square().sum().backward()
        for known, name in (
            ("weight_ih_l0", "weight_ih"),
            ("weight_hh_l0", "weight_hh"),
            ("bias_ih_l0", "bias"),
        ):
            wanted, found = theirs.get_parameter(known).grad, ours.get_parameter(name).grad
            torch.testing.assert_close(wanted, found, rtol=0, atol=1e-12)

    return check


@pytest.fixture
def parameter_count() -> Callable[[nn.Module], int]:
    """Count the numbers that a module learns."""
    return lambda module: sum(weight.numel() for weight in module.parameters())


@pytest.fixture
def starts() -> Callable[[type[Cell]], list[Tensor]]:
    """Return the parameters that a cell starts from, given seed 0."""

    def draw(cell_class: type[Cell]) -> list[Tensor]:
        torch.manual_seed(0)
        return list(cell_class(3, 4).parameters())

    return draw


def _unroll(
    cell: Cell, values: Tensor, backend: BackendName, state: State | None = None
) -> Unrolled:
    """Run a cell on the back end that was asked for, which must not fall back."""
    assert fallback(cell, values, backend) is None
    return unroll(cell, values, state=state, backend=backend)


MODEL = """
from seqbench.api import Encoding, Model


class {name}(Model):
    \"\"\"A model of a plugin.

    Args:
        width: units.
        rate: of something.
    \"\"\"

    def __init__(self, input_size, context, *, width: int = 8, rate: float = 0.5) -> None:
        super().__init__(input_size, context)

    def encode(self, inputs):
        return Encoding(inputs.values, None, inputs.values[:, 0])
"""


@pytest.fixture
def fresh_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start without plugin files, cached sources and a cached registry; leave none behind."""
    for variable in (
        PLUGIN_FILES,
        DISABLED,
    ):  # set first, so that monkeypatch undoes what code sets
        monkeypatch.setenv(variable, "")
    monkeypatch.setattr(sys, "path", list(sys.path))  # a plugin file appends its folder
    Plugins.instance()  # Hydra's own plugins store configurations when they are found
    store = ConfigStore.instance()
    before = copy.deepcopy(store.repo)
    registry.cache_clear()
    yield
    store.repo = before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.cache_clear()


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a distribution on the path of this process and of those it starts."""

    def install(
        name: str, files: Mapping[str, str], entry_points: str = "", version: str = "1.0"
    ) -> Path:
        folder = tmp_path / f"site_{name}"
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(folder)
        inherited = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), inherited]).rstrip(":"))
        return folder

    return install


@pytest.fixture
def plugin(distribution: Callable[..., Path]) -> Callable[..., Path]:
    """Install a distribution with one plugin: hooks in ``<name>_hooks.py``, one model."""

    def install(name: str, model: str, hooks: str | None = None) -> Path:
        class_name = model.capitalize()
        code = f"""
            from seqbench.registry.hookspecs import Entry, hookimpl


            @hookimpl
            def seqbench_models():
                return [Entry("{model}", "{name}_code:{class_name}")]
            """
        files = {
            f"{name}_hooks.py": hooks or code,
            f"{name}_code.py": MODEL.format(name=class_name),
        }
        return distribution(name, files, f"[seqbench]\n{name} = {name}_hooks\n")

    return install


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven through Playwright."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here; .ci/run installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
