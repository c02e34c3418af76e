"""Writing what a tuning has chosen as a recipe that holds each model's own values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from seqbench.config import composition, searchpath
from seqbench.config.composition import compose_each
from seqbench.config.overrides import parse
from seqbench.config.settings import Recipe
from seqbench.errors import Refused
from seqbench.tuning.space import Tuning

_MARK = "# Written by seqbench tune"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Chosen(NamedTuple):
    """What a model is to be trained with on a task.

    Args:
        task: registered name.
        model: registered name.
        member: overrides of one of its trials.
        drawn: keys that the tuning has chosen.
        budget: what was spent on the choice, as records say it.
    """

    task: str
    model: str
    member: list[str]
    drawn: Sequence[str]
    budget: str


def check_recipe(tuning: Tuning) -> None:
    """Refuse a recipe that could not be written, before anything is trained for it.

    Raises:
        Refused: its name is impossible or taken, or its folder cannot be made.
    """
    name = tuning.settings.save
    if name is None:
        return
    if not _NAME.fullmatch(name):
        raise Refused(
            f"tune.save={name}: a recipe's name has letters, digits, _ and - only, for example "
            "tune.save=own"
        )
    path = _recipe_path(tuning)
    is_own = path.is_file() and path.read_text(encoding="utf-8").startswith(_MARK)
    if not is_own and (path.exists() or name in _known_recipes()):
        raise Refused(f"tune.save={name}: there is a recipe of that name; choose another")
    if name == _base(tuning):
        raise Refused(f"tune.save={name} is what the tuning starts from; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"tune.folder={tuning.settings.folder}: {error.strerror}") from error


def write_recipes(tuning: Tuning, chosen: Sequence[Chosen]) -> list[Path]:
    """Write the recipe ``tune.save``, and what it has for each model on each task.

    A file holds everything of the section ``recipe``, what of the model was chosen or fixed, and
    the budget, which the record of each trial with this recipe tells. Nothing is shared with other
    models, so a change to a shared recipe does not change what was chosen.

    Args:
        tuning: whose settings name the recipe.
        chosen: for each model on each task.

    Returns:
        The files of models, in the order of ``chosen``.

    Raises:
        Refused: a file cannot be written.
    """
    name = tuning.settings.save
    assert name is not None
    path = _recipe_path(tuning)
    every = [composition.settings(found) for found in compose_each([c.member for c in chosen])]
    # A model that was not tuned on the task lacks a value, and is refused: Hydra would take the
    # value of a recipe that stood among the defaults.
    base = {**asdict(every[0].recipe), **_own_values(_base(tuning)), "lr": "???"}
    files = {
        path: f"{_MARK}: each model's own values are in tuned/{name}/<task>/<model>.yaml.\n"
        f"{OmegaConf.to_yaml(OmegaConf.create(base))}"
    }
    written = []
    for item, settings in zip(chosen, every, strict=True):
        folds = settings.to_dict().get("by_fold")
        words = [parse(word).key_or_group for word in item.member]
        of_model = [
            key.removeprefix("model.") for key in [*words, *item.drawn] if key.startswith("model.")
        ]
        content: dict[str, Any] = {
            "recipe": asdict(settings.recipe),
            "model": {key: settings.model_parameters[key] for key in dict.fromkeys(of_model)},
            "by_fold": folds,
            "tracking": {"tuning": item.budget},
        }
        content = {key: value for key, value in content.items() if value}
        file = path.parent.parent / "tuned" / name / item.task / f"{item.model}.yaml"
        files[file] = (
            f"# @package _global_\n{_MARK}: {item.model} on {item.task}, chosen on validation.\n"
            f"{OmegaConf.to_yaml(OmegaConf.create(content))}"
        )
        written.append(file)
    for file, text in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Refused(f"cannot write {file}: {error.strerror}") from error
    return written


def _recipe_path(tuning: Tuning) -> Path:
    return Path(tuning.settings.folder).expanduser() / "recipe" / f"{tuning.settings.save}.yaml"


def _base(tuning: Tuning) -> str:
    """Return the recipe that the tuning's trials start from."""
    words = [parse(word) for word in tuning.fixed]
    given = [str(item.value()) for item in words if item.key_or_group == "recipe"]
    return given[-1] if given else "adamw"


def _own_values(recipe: str) -> dict[str, Any]:
    """Return what a recipe's own file says."""
    with composition.hydra() as loader:
        assert isinstance(loader, ConfigLoaderImpl)
        found = loader.repository.load_config(f"recipe/{recipe}")
    known = {item.name for item in fields(Recipe)}
    return {} if found is None else {key: found.config[key] for key in found.config if key in known}


def _known_recipes() -> list[str]:
    searchpath.enable()
    with composition.hydra() as loader:
        return list(loader.get_group_options("recipe"))
