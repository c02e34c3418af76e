"""A sweep's trials, each with its configuration; thousands of them in seconds."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from seqbench.config import composition, searchpath
from seqbench.config.values import show

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")


def sweep_members(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each trial of a sweep, for example of ``model=lstm,gru``.

    Raises:
        Refused: an override cannot be read.
    """
    parsed = [composition.parse(text) for text in overrides]
    return BasicSweeper.split_arguments(parsed, None)[0]


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what of a sweep's command is of its trials, and what of Hydra, as its launcher."""
    of_hydra = [word for word in words if word.lstrip("+~").startswith(("hydra/", "hydra."))]
    return [word for word in words if word not in of_hydra], of_hydra


def compose_each(members: Sequence[Sequence[str]]) -> list[DictConfig]:
    """Compose the configuration of each trial.

    What chooses an option of a group (``model=lstm``) is composed once for all trials that choose
    alike; what changes a value is applied to copies, as Hydra itself does it.

    Raises:
        Refused: an override is wrong; one line that says how.
    """
    searchpath.enable()
    composed: dict[tuple[str, ...], DictConfig] = {}
    found = []
    with composition.hydra() as loader:
        groups = composition.group_names(loader)
        parser = OverridesParser.create()
        for member in members:
            try:
                parsed = parser.parse_overrides(list(member))
                choices = [item for item in parsed if item.key_or_group.split("/")[0] in groups]
                words = tuple(str(item.input_line) for item in choices)
                if words not in composed:
                    composed[words] = hydra_compose(composition.CONFIG_NAME, list(words))
                changed = copy.deepcopy(composed[words])
                changes = [item for item in parsed if item not in choices]
                ConfigLoaderImpl._apply_overrides_to_config(changes, changed)
            except Exception as error:  # a plugin's YAML can be wrong in any way
                raise composition.explain(error, member) from error
            found.append(changed)
    return found


def override_text(value: Any) -> str:
    """Return a value as an override of Hydra says it."""
    if isinstance(value, list | tuple | range):
        return f"[{','.join(map(override_text, value))}]"
    if hasattr(value, "item"):  # a number of NumPy or torch
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return show(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    escaped = text.replace("\\", "\\\\") if text.endswith("\\") else text
    quoted = escaped.replace("'", "\\'")
    return f"'{quoted}'"
