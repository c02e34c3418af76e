"""Where Hydra finds configurations: this project's, installed plugins' and the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from seqbench.errors import Refused
from seqbench.registry.modules import package_folders
from seqbench.registry.plugins import CONFIGS, installed, readable, registry
from seqbench.registry.registration import KINDS, Registration

CONFIG_NAME = "config"
"""Of the file from which a trial is composed."""
VERSION_BASE = "1.3"
"""Of Hydra's behaviour."""

_own_folders: list[Path] = []
"""The user's own folders of configurations (``--config-dir``)."""


class PluginConfigs(SearchPathPlugin):
    """Appends installed plugins' configurations, and the user's own, to Hydra's search path.

    They are found in metadata and named as folders: Hydra would import ``pkg://plugin.conf``, and
    ``plugin`` with it.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder of each entry point in the group ``seqbench.conf``, and the own."""
        for point in installed(CONFIGS):
            for folder in package_folders(point.value):
                search_path.append(f"plugin {point.name}", str(folder))
        for folder in _own_folders:
            search_path.append("--config-dir", str(folder))


def add_folder(folder: Path) -> None:
    """Take configurations from a folder of the user's own too."""
    if folder not in _own_folders:
        _own_folders.append(folder)


def own_folders() -> list[Path]:
    """Return the folders that :func:`add_folder` was given."""
    return list(_own_folders)


def enable(import_plugins: bool = True) -> None:
    """Make plugins' configurations known to Hydra; those without YAML get theirs from signatures.

    Args:
        import_plugins: False only reads them, for help and TAB, see :func:`registry.readable`.

    Raises:
        Refused: a file given as ``+plugin=`` cannot be used.
    """
    Plugins.instance().register(PluginConfigs)
    if import_plugins:
        known = [item for kind in KINDS for item in registry().all(kind)]
    else:
        known = readable()
    folders = _config_folders()
    for item in known:
        if any((folder / item.kind / f"{item.name}.yaml").is_file() for folder in folders):
            continue
        try:
            node = from_signature(item)
        except Exception:  # broken code: selecting it is refused in `settings`, with the reason
            node = {"name": item.name}
        node |= _beside(item)
        parent, _, name = item.name.rpartition("/")
        group = f"{item.kind}/{parent}" if parent else item.kind
        ConfigStore.instance().store(group=group, name=name, node=node, provider=item.origin)


def _beside(item: Registration) -> dict[str, Any]:
    """Return the configuration that lies beside a file given as ``+plugin=``: it wins.

    Raises:
        Refused: it is no YAML mapping.
    """
    file = Path(item.origin).with_suffix(".yaml")
    if not item.origin.endswith(".py") or file.stem != item.name or not file.is_file():
        return {}
    try:
        found = OmegaConf.load(file)
    except Exception as error:  # the file's faults, and those of the YAML in it
        raise Refused(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, DictConfig):
        raise Refused(f"{file} holds no mapping of keys to values")
    node = OmegaConf.to_container(found)
    assert isinstance(node, dict)
    return {**{str(key): value for key, value in node.items()}, "name": item.name}


def from_signature(item: Registration) -> dict[str, Any]:
    """Return the configuration that a constructor's typed signature implies.

    A model's ``dropout`` is the recipe's, so that a plugin's model is regularised as others are.

    Raises:
        Refused: the source cannot be read.
    """
    node: dict[str, Any] = {"name": item.name}
    for parameter in item.source().parameters:
        if parameter.name != "name" and _is_plain(parameter.default):
            default = parameter.default
            node[parameter.name] = list(default) if isinstance(default, tuple) else default
    if item.kind == "model" and "dropout" in node:
        node["dropout"] = "${recipe.dropout}"
    return node


def _is_plain(value: object) -> bool:
    """Whether a configuration can hold a value."""
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _config_folders() -> list[Path]:
    packages = [CONFIGS, *(point.value for point in installed(CONFIGS))]
    return [folder for package in packages for folder in package_folders(package)]
