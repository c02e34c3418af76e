"""A file that is chosen by its number or its name, and words that work on the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from seqbench.config.overrides import override_text
from seqbench.errors import Refused, did_you_mean, listed

_SHOWN = 3
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_VALUES = ("null", "true", "false", "nan", "inf", "all")
"""Texts that mean something else where they are not quoted."""


def choose_file(names: Sequence[str], fold: int | str, source: object) -> int:
    """Return the number of the file that ``task.fold`` means.

    Args:
        names: of the files, in the order of their numbers, with the folders that they lie in.
        fold: a number, or a name: with or without suffix, with or without folders.
        source: where the files are, for a message.

    Raises:
        Refused: there is no such file, or it may be one of several.
    """
    named = _named(names, str(fold))
    by_number = not isinstance(fold, str) and 0 <= fold < len(names)
    if by_number and set(named) <= {fold}:
        return int(fold)
    choices = sorted({*([int(fold)] if by_number else []), *named})
    if len(choices) == 1:
        return choices[0]
    shown = f"task.fold={fold}"
    if choices:
        what = "may be a number or a name" if by_number else "is the name of several files"
        words = " or ".join(word("task.fold", names[choice]) for choice in choices[:_SHOWN])
        more = f", ... ({len(choices)} in all)" if len(choices) > _SHOWN else ""
        raise Refused(f"{shown} {what}: write {words}{more}")
    hint = ""
    if isinstance(fold, str):
        hint = did_you_mean(fold, [form for name in names for form in _forms(name)])
    numbers = "0" if len(names) == 1 else f"0 to {len(names) - 1}"
    raise Refused(
        f"{shown}{hint}: task.source '{source}' has the files {numbers},"
        f" in the order of their names: {listed(names, 120)}"
    )


def word(key: str, value: str | Sequence[str]) -> str:
    """Return a word of the command line, quoted as a shell and Hydra need it."""
    if isinstance(value, str):
        return shlex.quote(f"{key}={_quoted(value)}")
    return shlex.quote(f"{key}=[{','.join(map(_quoted, value))}]")


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _VALUES and not _is_number(text):
        return text
    return override_text(text) if re.search(r'["\\$]', text) else f'"{text}"'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(names: Sequence[str], wanted: str) -> list[int]:
    """Return which files are called so; the more is said of a name, the more it counts."""
    for form in range(len(_forms(""))):
        found = [number for number, name in enumerate(names) if _forms(name)[form] == wanted]
        if found:
            return found
    return []


def _forms(name: str) -> tuple[str, str, str, str]:
    """Return a name in full, without suffix, without folders, and without either."""
    stem = name.rpartition(".")[0] or name
    return name, stem, name.rpartition("/")[2], stem.rpartition("/")[2]
