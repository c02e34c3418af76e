"""The configuration: composed by Hydra, checked against code that is not imported.

Hydra takes a key or a value that no code knows; here everything is checked again after composing,
and every mistake becomes one line that names the nearest thing that exists.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from seqbench.config import searchpath, values
from seqbench.config.overrides import NEEDED, Search, group_names, unknown_key
from seqbench.config.searchpath import CONFIG_NAME, VERSION_BASE
from seqbench.config.settings import (
    TITLE,
    Limits,
    Match,
    Recipe,
    Rerun,
    Settings,
    TrackingSettings,
    TrainerSettings,
)
from seqbench.config.userdata import check_exists
from seqbench.errors import Refused, SeqbenchError, unknown
from seqbench.registry import source
from seqbench.registry.plugins import CONFIGS, registry
from seqbench.registry.registration import BUILT_IN, Kind

_Section = TypeVar("_Section", Recipe, TrainerSettings, TrackingSettings, Limits)


def check_choices(overrides: Sequence[str]) -> None:
    """Check what is chosen of each group, which Hydra takes too lightly.

    It composes the last of a list, ``model=[lstm,gru]``, and nothing where an optional group has no
    such option, ``tuned=foo``.

    Raises:
        Refused: a choice names several options or an unknown one.
    """
    with hydra() as loader:
        Search(loader, overrides).choices()


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose a trial's configuration.

    Raises:
        Refused: an override is wrong; one line that says how.
    """
    searchpath.enable()
    try:
        with hydra() as loader:
            Search(loader, overrides).choices()
            return hydra_compose(CONFIG_NAME, list(overrides))
    except Exception as error:  # a plugin's YAML can be wrong in any way
        raise explain(error, overrides) from error


def settings(config: DictConfig) -> Settings:
    """Check a composed configuration and return it typed.

    Raises:
        Refused: a key is unknown, or a value is of the wrong type or impossible.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise Refused(_one_line(error)) from error
    assert isinstance(plain, dict)
    data = {str(key): value for key, value in plain.items()}
    _refuse_unknown("", data, [*NEEDED, "limits", "seed", "rerun", "match", "looks", TITLE])
    title = _title(data)
    task, task_parameters = _selection("task", data)
    model, model_parameters = _selection("model", data)
    recipe = _section("recipe", Recipe, data)
    trainer = _section("trainer", TrainerSettings, data)
    tracking = _section("tracking", TrackingSettings, data)
    limits = _section("limits", Limits, data) if "limits" in data else Limits()
    seed = _fit("seed", "int", data.get("seed"))
    if "rerun" in data:
        rerun(config)
    match(config)
    looks(config)
    try:
        return Settings(
            task=task,
            task_parameters=task_parameters,
            model=model,
            model_parameters=model_parameters,
            recipe=recipe,
            trainer=trainer,
            tracking=tracking,
            limits=limits,
            seed=seed,
            title=title,
        )
    except ValueError as error:
        raise Refused(str(error)) from error


def rerun(config: DictConfig) -> Rerun:
    """Return which trials of a sweep are run although they were before.

    Raises:
        Refused: the value is unknown.
    """
    found = str(config.rerun)
    for known in get_args(Rerun):
        if known == found:
            return cast(Rerun, known)
    raise unknown("rerun", found, get_args(Rerun))


def match(config: DictConfig) -> Match | None:
    """Return in what a trial's model is made as large as the reference; None if it is not.

    Raises:
        Refused: the value is unknown.
    """
    found: Match | None = _fit("match", 'Literal["params", "flops"] | None', config.get("match"))
    return found


def looks(config: DictConfig) -> list[int] | None:
    """Return after how many seeds the report may be read; None where that was not declared.

    Raises:
        Refused: these are no whole numbers.
    """
    found = config.get("looks")
    if OmegaConf.is_config(found):
        found = OmegaConf.to_container(found, resolve=True)
    elif found is not None:
        found = [found]  # one look
    given: list[int] | None = _fit("looks", "list[int] | None", found)
    return given


def model_default(option: str, key: str) -> object:
    """Return what an option of the group ``model`` says of a key by itself; None if nothing.

    Args:
        option: ``lstm`` of ``model=lstm``.
        key: of the model's parameters.
    """
    with hydra() as loader:
        assert isinstance(loader, ConfigLoaderImpl)
        found = loader.repository.load_config(f"model/{option}")
    if found is None or not isinstance(found.config, DictConfig):
        return None
    return found.config.get(key)


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
    with hydra() as loader:
        groups = group_names(loader)
        parser = OverridesParser.create()
        for member in members:
            try:
                parsed = parser.parse_overrides(list(member))
                choices = [item for item in parsed if item.key_or_group.split("/")[0] in groups]
                words = tuple(str(item.input_line) for item in choices)
                if words not in composed:
                    composed[words] = hydra_compose(CONFIG_NAME, list(words))
                changed = copy.deepcopy(composed[words])
                changes = [item for item in parsed if item not in choices]
                ConfigLoaderImpl._apply_overrides_to_config(changes, changed)
            except Exception as error:  # a plugin's YAML can be wrong in any way
                raise explain(error, member) from error
            found.append(changed)
    return found


def explain(error: BaseException, overrides: Sequence[str]) -> SeqbenchError:
    """Turn what Hydra or OmegaConf raised into one line with the nearest thing that exists."""
    if isinstance(error, SeqbenchError):
        return error
    with hydra() as loader:
        try:
            several = str(error).startswith(("Ambiguous value", "Sweep parameters"))
            Search(loader, overrides).check(several)
        except SeqbenchError as refusal:
            return refusal
        except Exception:
            pass  # what the overrides select is itself broken: `error` says how
    return Refused(_one_line(error))


def _title(data: dict[str, Any]) -> str:
    """Take ``task.title`` out of a configuration, and return it.

    It is a key of every task, and a parameter of none; one that has such a parameter keeps it.

    Raises:
        Refused: it is no text of one line.
    """
    kept = data.pop(TITLE, None)
    section = data.get("task")
    if not isinstance(section, dict) or TITLE not in section:
        return str(kept or "")
    name = section.get("name")
    known = registry()
    if isinstance(name, str) and name in known.names("task"):
        item = known.get("task", name)
        if not item.unusable() and any(p.name == TITLE for p in item.source().parameters):
            if section[TITLE] is None:
                del section[TITLE]  # every task's configuration has it: it is no value of this one
            return str(kept or "")
    found = section.pop(TITLE)
    if found is None:
        return str(kept or "")
    if isinstance(found, bool | dict | list):
        raise Refused(f"task.title must be a text, not {values.show(found)}")
    title = " ".join(str(found).split())
    if not title or len(title) > _LONGEST_TITLE:
        raise Refused(f"task.title must have 1 to {_LONGEST_TITLE} characters, not {len(title)}")
    return title


_LONGEST_TITLE = 80


def _selection(kind: Kind, data: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name selected, and its parameters checked against its constructor's signature."""
    section = data.get(kind)
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        names = ", ".join(registry().names(kind))
        raise Refused(
            f"no {kind} is selected: its configuration must have 'name: NAME', one of {names}"
        )
    name = section["name"]
    if name not in registry().names(kind):
        raise Refused(f"the configuration of {kind}={name} has no code: {_why(kind, name)}")
    item = registry().get(kind, name)
    reason = item.unusable()
    if reason is not None:
        raise Refused(f"{kind} '{name}' ({item.origin}) cannot be used: {reason}")
    known = {parameter.name: parameter for parameter in item.source().parameters}
    given = {str(key): value for key, value in section.items() if key != "name"}
    _refuse_unknown(f"{kind}.", given, list(known))
    checked = {}
    for key, parameter in known.items():
        if key in given:
            _refuse_infinite(f"{kind}.{key}", given[key])
            checked[key] = _fit(f"{kind}.{key}", parameter.annotation, given[key])
        elif parameter.default == source.UNSET:
            raise Refused(f"{kind}.{key} has no default: give {kind}.{key}=VALUE")
        elif not isinstance(parameter.default, source.Call):
            checked[key] = parameter.default
    if kind == "task" and item.origin == BUILT_IN:
        check_source(checked.get("source"))
    return name, checked


def check_source(source: object) -> None:
    """Refuse a user's own data that are not there, before anything is loaded to read them.

    Args:
        source: path of the data of a built-in task; another's may be anything.

    Raises:
        Refused: there is no such file or folder.
    """
    if isinstance(source, str) and source.strip():
        check_exists(Path(source).expanduser())


def _why(kind: Kind, name: str) -> str:
    try:
        registry().get(kind, name)
    except Refused as refusal:
        return str(refusal)
    raise AssertionError(f"{kind} '{name}' is registered")


def _section(name: str, section: type[_Section], data: Mapping[str, Any]) -> _Section:
    given = data.get(name)
    if not isinstance(given, dict):
        raise Refused(f"the configuration has no section '{name}'")
    known = {field.name: str(field.type) for field in fields(section)}
    _refuse_unknown(f"{name}.", given, list(known))
    missing = [f"{name}.{key}" for key in known if key not in given]
    if missing:
        raise Refused(f"the configuration has no {', '.join(missing)}: every trial needs its value")
    checked = {key: _fit(f"{name}.{key}", known[key], value) for key, value in given.items()}
    try:
        return section(**checked)
    except ValueError as error:
        raise Refused(str(error)) from error


def _fit(key: str, annotation: str, value: object) -> Any:
    if not annotation:
        return value
    try:
        return values.fit(annotation, value)
    except ValueError as error:
        raise Refused(f"{key} {error}") from error


def _refuse_infinite(key: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{key} must be a finite number, not {value}")
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_infinite(key, item)


def _refuse_unknown(prefix: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            shown = [*known, TITLE] if prefix == "task." else known
            if not prefix:  # a run keeps its title there; what a command takes is task.title
                shown = [*(key for key in known if key != TITLE), *_GROUPS]
            raise unknown_key(prefix, key, shown)


_GROUPS = ("experiment", "tuned")
"""What a command can choose beside the sections of a configuration."""


@contextmanager
def hydra() -> Iterator[ConfigLoader]:
    """Give Hydra's loader of this project's configuration; whatever ran before goes on after."""
    shared = GlobalHydra.instance()
    before = shared.hydra
    shared.clear()
    try:
        with initialize_config_module(CONFIGS, "seqbench", VERSION_BASE):
            assert shared.hydra is not None
            yield shared.hydra.config_loader
    finally:
        shared.hydra = before


def _one_line(error: BaseException) -> str:
    """Return an exception of Hydra, OmegaConf or YAML in one line."""
    cause: BaseException = error
    while cause.__cause__ is not None and not str(cause).strip():
        cause = cause.__cause__
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no default: give {cause.full_key}=VALUE"
    if isinstance(cause, InterpolationKeyError) and cause.full_key:
        missing = re.search(r"'([^']*)'", str(cause.msg or cause))
        of = f"'{missing[1]}'" if missing else "one that is not there"
        return f"{cause.full_key} refers to the key {of}, and there is no such key"
    if of_hydra := re.match(r"Could not override '(hydra[^']*)'", str(cause)):
        return f"unknown key '{of_hydra[1]}'; `seqbench --cfg hydra` shows those of Hydra"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        first = str(cause.msg or cause).partition("\n")[0]
        return f"{cause.full_key}: {first}"
    return " ".join(str(cause).split()) or type(cause).__name__
