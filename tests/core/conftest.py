"""What tests of the registry and the configuration share."""

from __future__ import annotations

import copy
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from seqbench import source
from seqbench.registry import DISABLED, PLUGIN_FILES, registry

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


@pytest.fixture(autouse=True)
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
    source.read_module.cache_clear()
    yield
    store.repo = before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.cache_clear()
    source.read_module.cache_clear()


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
            from seqbench.hookspecs import Entry, hookimpl


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
