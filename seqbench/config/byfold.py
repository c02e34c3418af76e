"""What single folds of a task have of their own of recipe and model, the key ``by_fold``.

A tuning chooses for each fold by that fold's validation alone. What it has chosen is one trial all
the same: a model for each fold, with the fold's own recipe, and one score of all folds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seqbench.config import values
from seqbench.config.settings import BUDGET, BY_FOLD, Settings
from seqbench.errors import Refused

_FORM = "{FOLD:{recipe:{KEY:VALUE},model:{KEY:VALUE}}}"
_SAME = (*BUDGET, "model.name")
_SECTIONS = ("recipe", "model")


def read(
    config: DictConfig, given: object, shared: Settings, check: Callable[[DictConfig], Settings]
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return what single folds change, see :attr:`seqbench.config.settings.Settings.by_fold`.

    Args:
        config: composed; what refers to other keys, as a model's dropout does, follows in a fold.
        given: its ``by_fold``; None changes nothing.
        shared: what every fold has.
        check: returns the settings of a configuration, or refuses it.

    Returns:
        The values that differ from what is shared: said twice they are the same trial.

    Raises:
        Refused: a fold, a key or a value is wrong.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused(f"{BY_FOLD} must be {_FORM}, not {values.show(given)}")
    found = {}
    for key, own in given.items():
        if not str(key).isdecimal() or not isinstance(own, dict):
            raise Refused(f"{BY_FOLD} must be {_FORM}, not {values.show({key: own})}")
        _check_keys(str(key), own)
        free = copy.deepcopy(config)
        OmegaConf.set_struct(free, False)  # an unknown key is for `check` to refuse
        merged = OmegaConf.merge(free, OmegaConf.create({**own, BY_FOLD: None}))
        assert isinstance(merged, DictConfig)
        try:
            of_fold = check(merged)
        except Refused as refusal:
            raise refusal.within(f"{BY_FOLD} of fold {key}") from refusal
        sections = {
            "recipe": (asdict(of_fold.recipe), asdict(shared.recipe)),
            "model": (of_fold.model_parameters, shared.model_parameters),
        }
        changes = {
            section: {name: value for name, value in now.items() if value != before[name]}
            for section, (now, before) in sections.items()
        }
        if kept := {section: changed for section, changed in changes.items() if changed}:
            found[int(key)] = kept
    return dict(sorted(found.items()))


def _check_keys(fold: str, own: dict[str, Any]) -> None:
    for section, changed in own.items():
        if section not in _SECTIONS:
            raise Refused(f"{BY_FOLD} of fold {fold} may change recipe and model, not {section}")
        if not isinstance(changed, dict):
            raise Refused(f"{BY_FOLD} must be {_FORM}, not {values.show({fold: own})}")
        for name in changed:
            if (full := f"{section}.{name}") in _SAME:
                raise Refused(f"{BY_FOLD} of fold {fold}: {full} is the same in all folds")
