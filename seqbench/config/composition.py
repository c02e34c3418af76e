"""The configuration: composed by Hydra, checked against code that is not imported.

Hydra accepts ``+model.foo=3`` and answers a typo with several lines; here everything is checked
again after composing, and every mistake becomes one line that names the nearest thing that exists.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar, cast, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from seqbench.config import searchpath, values
from seqbench.config.settings import (
    Limits,
    Match,
    Recipe,
    Rerun,
    Settings,
    TrackingSettings,
    TrainerSettings,
)
from seqbench.errors import Refused, SeqbenchError, did_you_mean, unknown
from seqbench.registry import source
from seqbench.registry.plugins import CONFIGS, left_out, registry
from seqbench.registry.registration import KINDS, Kind

CONFIG_NAME = "config"
VERSION_BASE = "1.3"

_NEEDED = ("task", "model", "recipe", "trainer", "tracking")

_Section = TypeVar("_Section", Recipe, TrainerSettings, TrackingSettings, Limits)


def check_choices(overrides: Sequence[str]) -> None:
    """Check what is chosen of each group, which Hydra takes too lightly.

    It composes the last of a list, ``model=[lstm,gru]``, and nothing where an optional group has no
    such option, ``tuned=foo``.

    Raises:
        Refused: a choice names several options or an unknown one.
    """
    with hydra() as loader:
        _Search(loader, overrides).choices()


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose a trial's configuration.

    Raises:
        Refused: an override is wrong; one line that says how.
    """
    searchpath.enable()
    try:
        with hydra() as loader:
            _Search(loader, overrides).choices()
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
    _refuse_unknown("", data, [*_NEEDED, "limits", "seed", "rerun", "match"])
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


def explain(error: BaseException, overrides: Sequence[str]) -> SeqbenchError:
    """Turn what Hydra or OmegaConf raised into one line with the nearest thing that exists."""
    if isinstance(error, SeqbenchError):
        return error
    with hydra() as loader:
        try:
            _Search(loader, overrides).check(str(error).startswith("Ambiguous value"))
        except SeqbenchError as refusal:
            return refusal
        except Exception:
            pass  # what the overrides select is itself broken: `error` says how
    return Refused(_one_line(error))


class _Search:
    """Looks for the override that Hydra could not apply."""

    def __init__(self, loader: ConfigLoader, overrides: Sequence[str]) -> None:
        self._loader = loader
        self._texts = list(overrides)
        self._search_path = [text for text in overrides if text.startswith("hydra.searchpath=")]

    def check(self, ambiguous: bool) -> None:
        """Raise the refusal of the first override that is wrong; return if none is.

        Args:
            ambiguous: whether Hydra took several values for a sweep that was not asked for.
        """
        parsed = [parse(text) for text in self._texts]
        sweeps = [item.input_line for item in parsed if item.is_sweep_override()]
        if ambiguous and sweeps:
            raise Refused(f"{sweeps[0]} gives several values: add -m to run a trial for each")
        groups = self._options("", ObjectType.GROUP)
        choices = self.choices()
        for item in choices:
            if item.is_add() and item.key_or_group in groups:
                group = item.key_or_group
                raise Refused(f"{item.input_line}: '{group}' is chosen already; leave out the +")
        choosing = [str(item.input_line) for item in choices if not item.is_sweep_override()]
        tree = OmegaConf.to_container(hydra_compose(CONFIG_NAME, self._search_path + choosing))
        assert isinstance(tree, dict)
        for item in parsed:
            if item not in choices and not item.key_or_group.startswith("hydra"):
                _check_key(item, tree, groups)

    def choices(self) -> list[Override]:
        """Return the overrides that choose an option of a group.

        Raises:
            Refused: one of them names none, several, or one that is unknown.
        """
        groups = self._options("", ObjectType.GROUP)
        parsed = [parse(text) for text in self._texts]
        found = [item for item in parsed if item.key_or_group.partition("/")[0] in groups]
        for item in found:
            self._check_choice(item)
        return found

    def _check_choice(self, item: Override) -> None:
        group = item.key_or_group
        known = self._known(group)
        if item.is_delete():
            if group in _NEEDED:
                listing = ", ".join(known)
                raise Refused(f"{item.input_line}: a trial needs {group}; known: {listing}")
            return
        value = item.value()
        if item.is_sweep_override() and not isinstance(value, ChoiceSweep):
            return
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(choice, list) and group in _NEEDED:
                listing = ",".join(str(name) for name in choice)
                raise Refused(
                    f"{item.input_line}: a trial takes one {group}; "
                    f"for a trial with each use -m {group}={listing}"
                )
            for name in choice if isinstance(choice, list) else [choice]:
                text = values.show(name) if name is None else str(name).strip("'\"")
                if not text:
                    raise Refused(f"{item.input_line} names no {group}; known: {', '.join(known)}")
                if text not in known:
                    raise Refused(f"{unknown(group, text, known)}{left_out()}")

    def _known(self, group: str) -> list[str]:
        """Return a group's options, those of its subgroups as ``subgroup/option``."""
        found = self._options(group, ObjectType.CONFIG)
        for inner in self._options(group, ObjectType.GROUP):
            found += [f"{inner}/{name}" for name in self._known(f"{group}/{inner}")]
        return found

    def _options(self, group: str, kind: ObjectType) -> list[str]:
        found = self._loader.get_group_options(group, kind, CONFIG_NAME, self._search_path)
        return sorted(name for name in found if name != "hydra")


def group_names(loader: ConfigLoader) -> list[str]:
    """Return the groups of which a trial chooses an option: ``task``, ``model``, ..."""
    found = loader.get_group_options("", ObjectType.GROUP, CONFIG_NAME, [])
    return sorted(name for name in found if name != "hydra")


def parse(text: str) -> Override:
    """Read an override.

    Raises:
        Refused: it is no ``key=value``, or its value cannot be read.
    """
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        for kind in KINDS:
            if text in registry().names(kind):
                raise Refused(f"'{text}' is not key=value (did you mean {kind}={text}?)")
        raise Refused(f"'{text}' is not key=value; see seqbench --help")
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise Refused(
            f"cannot read '{text}': a value that holds , = : ( ) [ ] {{ }} or quotes must itself "
            f"be quoted, for example {key}='\"{value.replace(chr(34), '')}\"'"
        ) from error


def _check_key(item: Override, tree: Mapping[Any, Any], groups: Sequence[str]) -> None:
    """Refuse an override of a key that is not in the composed configuration."""
    parts = item.key_or_group.split(".")
    node: Any = tree
    for depth, part in enumerate(parts):
        known = [str(key) for key in node] if isinstance(node, Mapping) else []
        if part not in known:
            if item.is_add():
                return
            prefix = "".join(f"{name}." for name in parts[:depth])
            if not depth:
                known = sorted({*known, *groups})
            raise _unknown_key(prefix, part, known)
        node = node[part]
    if item.is_add():
        raise Refused(f"{item.input_line}: '{item.key_or_group}' exists; leave out the +")


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
    return name, checked


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
            raise _unknown_key(prefix, key, known)


def _unknown_key(prefix: str, key: str, known: Sequence[str]) -> Refused:
    names = sorted(name for name in known if name != "name")
    hint = did_you_mean(key, names).replace("mean '", f"mean '{prefix}")
    listing = ", ".join(names) or "none"
    where = f"{prefix.rstrip('.')} takes" if prefix else "known"
    return Refused(f"unknown key '{prefix}{key}'{hint}; {where}: {listing}")


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
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        first = str(cause.msg or cause).partition("\n")[0]
        return f"{cause.full_key}: {first}"
    return " ".join(str(cause).split()) or type(cause).__name__
