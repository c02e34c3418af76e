"""Overrides, the words ``key=value`` of a command: reading them, and finding the one that is wrong.

Hydra accepts ``+model.foo=3`` and answers a typo with several lines; here every mistake becomes one
line that names the nearest thing that exists.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from seqbench.config import values
from seqbench.config.searchpath import CONFIG_NAME
from seqbench.errors import Refused, did_you_mean, listed, shortened, unknown
from seqbench.registry.plugins import left_out, registry
from seqbench.registry.registration import KINDS

NEEDED = ("task", "model", "recipe", "trainer", "tracking")
"""Groups of which every trial chooses an option."""

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)


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
        raise Refused(f"cannot read '{shortened(text)}': {_advice(key, value)}") from error


def parse_all(texts: Sequence[str]) -> list[Override]:
    """Read overrides.

    Raises:
        Refused: one of them cannot be read; where a space has cut it, that is said.
    """
    found = []
    for at, text in enumerate(texts):
        try:
            found.append(parse(text))
        except Refused as refusal:
            raise _cut(texts, at) or refusal from refusal
    return found


def _cut(texts: Sequence[str], at: int) -> Refused | None:
    """Return the refusal of words that are one, with spaces in it: ``seed=0, 1``."""
    for first in (at, at - 1):
        joined, shown = "", ""
        for piece in texts[max(first, 0) :]:
            if joined and not (joined[-1] in ",=([{:" or piece[0:1] in tuple(",=)]}:")):
                break
            joined, shown = joined + piece, f"{shown} {piece}".strip()
            if joined == shown:  # not cut yet
                continue
            try:
                parse(joined)
            except Refused:
                continue
            advice = f"write {shlex.quote(joined)}, without a space"
            return Refused(f"'{shortened(shown)}' is cut at the space: {shortened(advice)}")
    return None


def _advice(key: str, value: str) -> str:
    """Return what to write in place of a value that cannot be read."""
    call = re.fullmatch(r"\s*([a-z_]+)\(.*\)\s*", value, re.DOTALL)
    if call and call[1] in _FUNCTIONS:
        return f"write {key}={_FUNCTIONS[call[1]]}"
    if call:
        hint = did_you_mean(call[1], _FUNCTIONS)
        return f"there is no function '{call[1]}'{hint}; known: {', '.join(_FUNCTIONS)}"
    parts = [part.strip() for part in value.split(",")]
    if "" in parts and any(parts) and not set(value) & set("()[]{}'\"\\"):
        return f"a value is missing at a comma; write {key}={','.join(filter(None, parts))}"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    quoted = shlex.quote(f"{key}={override_text(value)}")
    if not set(value) & set("'\"\\"):
        quoted = f"'{key}=\"{value}\"'"  # the same, and easier to read
    return f"a value with such characters must be quoted; write {quoted}"


_FUNCTIONS = {
    "choice": "choice(A,B), with two values or more",
    "range": "range(START,STOP) or range(START,STOP,STEP), numbers",
    "interval": "interval(LOW,HIGH), two numbers, which `seqbench tune` draws from",
    "glob": "glob(PATTERN)",
    "shuffle": "shuffle(A,B)",
    "sort": "sort(A,B)",
    "tag": "tag(NAME,choice(A,B))",
    "int": "int(VALUE)",
    "float": "float(VALUE)",
    "str": "str(VALUE)",
    "bool": "bool(VALUE)",
}
"""Hydra's functions, as they are written."""


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what of a sweep's command is of its trials, and what of Hydra, as its launcher."""
    of_hydra = [word for word in words if word.lstrip("+~").startswith(("hydra/", "hydra."))]
    return [word for word in words if word not in of_hydra], of_hydra


def override_text(value: Any) -> str:
    """Return a value as an override of Hydra says it."""
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy, pandas and torch
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return f"[{','.join(map(override_text, value))}]"
    if isinstance(value, Mapping):
        items = (f"{key}:{override_text(item)}" for key, item in value.items())
        return f"{{{','.join(items)}}}"
    if value is None or isinstance(value, bool | int | float):
        return values.show(value)
    if not isinstance(value, str | os.PathLike):
        raise Refused(
            f"a value must be a number, a text, true, false, null, a path, or a list or mapping of "
            f"these, not {shortened(repr(value))}"
        )
    text = os.fspath(value)
    if _PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    # A backslash says itself, but before a quote, where two of them do.
    quoted = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text)
    quoted = quoted.replace("${", "\\${")  # no interpolation
    return f"'{quoted}'"


class Search:
    """Looks for the override that Hydra could not apply."""

    def __init__(self, loader: ConfigLoader, overrides: Sequence[str]) -> None:
        self._texts = list(overrides)
        self._search_path = [text for text in overrides if text.startswith("hydra.searchpath=")]
        assert isinstance(loader, ConfigLoaderImpl)
        # `loader.get_group_options` would read config.yaml anew for each group.
        _, self._repository = loader._parse_overrides_and_create_caching_repo(
            CONFIG_NAME, self._search_path
        )

    def check(self, ambiguous: bool) -> None:
        """Raise the refusal of the first override that is wrong; return if none is.

        Args:
            ambiguous: whether Hydra took several values for a sweep that was not asked for.
        """
        parsed = parse_all(self._texts)
        sweeps = [item.input_line for item in parsed if item.is_sweep_override()]
        if ambiguous and sweeps:
            refuse_intervals(parsed)
            for item in parsed:
                if item.key_or_group == LOOKS and item.is_sweep_override():
                    raise Refused(f"{item.input_line} is a list; write {as_list(item)}")
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
            if item.key_or_group.startswith("hydra"):
                self._check_hydra(item)
            elif item not in choices:
                _check_key(item, tree, groups)

    def _check_hydra(self, item: Override) -> None:
        """Refuse a choice of Hydra's own that it does not have."""
        group, value = item.key_or_group, item.value()
        if group.startswith("hydra/"):
            known = self._options(group, ObjectType.CONFIG)
            if not known:
                raise unknown("key", group, ["hydra/launcher"])
            if str(value) not in known:
                raise unknown(group, str(value), known)

    def choices(self) -> list[Override]:
        """Return the overrides that choose an option of a group.

        Raises:
            Refused: one of them names none, several, or one that is unknown.
        """
        groups = self._options("", ObjectType.GROUP)
        parsed = parse_all(self._texts)
        found = [item for item in parsed if item.key_or_group.partition("/")[0] in groups]
        for item in found:
            self._check_choice(item)
        return found

    def _check_choice(self, item: Override) -> None:
        group = item.key_or_group
        known = self._known(group)
        if item.is_delete():
            if group in NEEDED:
                listing = ", ".join(known)
                raise Refused(f"{item.input_line}: a trial needs {group}; known: {listing}")
            return
        value = item.value()
        if item.is_sweep_override() and not isinstance(value, ChoiceSweep):
            return
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(choice, list) and group in NEEDED:
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
        found = self._repository.get_group_options(group, kind)
        return sorted(name for name in found if name != "hydra")


LOOKS = "looks"
"""A key whose value is a list: with several values it is still one setting of a whole sweep."""


def as_list(item: Override) -> str:
    """Return a key with several values, ``looks=6,10``, as one with a list: ``looks=[6,10]``.

    Raises:
        Refused: the values are not listed.
    """
    found = item.value()
    if not isinstance(found, ChoiceSweep):
        raise Refused(
            f"{item.input_line}: list the numbers, such as {item.key_or_group}=6,10,14,20"
        )
    return f"{item.key_or_group}={override_text([_plain(value) for value in found.list])}"


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool | list) or value is None else str(value)


def refuse_intervals(parsed: Sequence[Override]) -> None:
    """Refuse an interval, which only a tuning takes.

    Raises:
        Refused: one is there.
    """
    for item in parsed:
        if item.is_interval_sweep():
            ends = item.value()
            assert isinstance(ends, IntervalSweep)
            key = item.key_or_group
            raise Refused(
                f"{item.input_line} is for `seqbench tune`, which draws from it; elsewhere list "
                f"values, such as -m {key}={ends.start:g},{ends.end:g}"
            )


def group_names(loader: ConfigLoader) -> list[str]:
    """Return the groups of which a trial chooses an option: ``task``, ``model``, ..."""
    found = loader.get_group_options("", ObjectType.GROUP, CONFIG_NAME, [])
    return sorted(name for name in found if name != "hydra")


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
            raise unknown_key(prefix, part, known)
        node = node[part]
    if item.is_add():
        raise Refused(f"{item.input_line}: '{item.key_or_group}' exists; leave out the +")


def unknown_key(prefix: str, key: str, known: Sequence[str]) -> Refused:
    """Return the refusal of a key: what it is like, and what there is."""
    names = sorted(name for name in known if name != "name")
    hint = did_you_mean(key, names).replace("mean '", f"mean '{prefix}")
    listing = listed(names)
    where = f"{prefix.rstrip('.')} takes" if prefix else "known"
    return Refused(f"unknown key '{prefix}{shortened(key)}'{hint}; {where}: {listing}")
