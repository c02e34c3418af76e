"""TAB: what may stand next on a command line that begins with ``seqbench``."""

from __future__ import annotations

from collections.abc import Iterator

from seqbench.commands import SUBCOMMANDS
from seqbench.commands.words import ANY, Choice, Word


def complete(line: str, skipped: str) -> tuple[list[str], str | None]:
    """Return what may stand at a line's end, and the line that Hydra is to complete as well.

    Args:
        line: as it was typed so far.
        skipped: beginning of words that are no part of it, as a plugin's file.

    Returns:
        Whole words; and None where Hydra has nothing to add.
    """
    command, *words = line.split() or [""]
    words = [word for word in words if not word.startswith(skipped)]
    typing = words[-1] if words and not line.endswith(" ") else ""
    found: list[str] = []
    takes_overrides = True
    if len(words) == bool(typing):
        found = [name for name in SUBCOMMANDS if name.startswith(typing)]
    elif words[0] in SUBCOMMANDS:
        known = SUBCOMMANDS[words[0]].words
        words = words[1:]
        before = words[:-1] if typing else words
        found = [text for word in known for text in _texts(word, typing) if text not in before]
        found = list(dict.fromkeys(text for text in found if text.startswith(typing)))
        takes_overrides = any(_is_of_hydra(word, typing) for word in known)
    if not takes_overrides:
        return found, None
    options = [word for word in (words[:-1] if typing else words) if word.startswith("-")]
    words = options + [word for word in words if word not in options]
    return found, " ".join([command, *words]) + ("" if typing else " ")


def _is_of_hydra(word: Word, typing: str) -> bool:
    """Whether a word stands for overrides, and what is typed is the beginning of one."""
    return word.name == ANY or (word.is_prefix and typing.startswith(word.name))


def _texts(word: Word, typing: str) -> Iterator[str]:
    """Yield what may be typed for a word."""
    if word.is_flag:
        yield word.name
    elif word.is_prefix:
        yield from (f"{key}=" for key in word.below) if word.below else (word.name,)
    elif word.is_bare or word.bare:
        yield from _values(word)
    if not word.is_key:
        return
    key = f"{word.name}="
    values = _values(word) if typing.startswith(key) else []
    if not values:
        yield key
    # models=lstm,gru: the names before the last comma stay
    before, comma, _ = typing.removeprefix(key).rpartition(",")
    yield from (f"{key}{before}{comma}{value}" for value in values)


def _values(word: Word) -> list[str]:
    if isinstance(word.form, Choice):
        return list(word.form.options)
    if not word.kind:
        return []
    from seqbench.registry.plugins import readable

    return [item.name for item in readable() if item.kind in word.kind.split()]
