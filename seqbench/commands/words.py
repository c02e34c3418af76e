"""The words of a command: declared once, and from that read, explained and completed.

A command takes ``KEY=VALUE``, flags such as ``--json``, and where it says so bare words. ``--KEY
VALUE`` is understood as ``KEY=VALUE``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seqbench.config.values import amount_or_share
from seqbench.errors import Refused, did_you_mean, shortened

ANY = "KEY"
"""Name of a word that stands for any override of the configuration."""


class ValueForm(ABC):
    """What the value of a word may be."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, as it follows "must be"; empty where every text is."""

    @abstractmethod
    def read(self, text: str) -> Any:
        """Return the value.

        Raises:
            ValueError: it is not allowed.
        """


@dataclass(frozen=True)
class Text(ValueForm):
    """Any text."""

    allowed: str = ""

    def read(self, text: str) -> str:
        """Return the text."""
        return text


@dataclass(frozen=True)
class Quoted(Text):
    """Any text, or one in quotes as an override of the configuration needs them."""

    def read(self, text: str) -> str:
        """Return the text without the quotes."""
        quote = text[0]
        if quote not in "'\"" or len(text) < 2 or text[-1] != quote:
            return text
        return text[1:-1].replace(f"\\{quote}", quote)


@dataclass(frozen=True)
class Names(ValueForm):
    """Names with commas between them."""

    allowed: str = "names with commas between them"

    def read(self, text: str) -> list[str]:
        """Return the names; none may be empty."""
        names = [name.strip() for name in text.split(",")]
        if not all(names):
            raise ValueError
        return names


@dataclass(frozen=True)
class Choice(ValueForm):
    """One of some words."""

    options: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """The words."""
        return f"one of {', '.join(self.options)}"

    def read(self, text: str) -> str:
        """Return the word."""
        if text not in self.options:
            raise ValueError
        return text


@dataclass(frozen=True)
class Whole(ValueForm):
    """A whole number between two others, which are allowed too."""

    least: int
    most: int | None = None

    @property
    def allowed(self) -> str:
        """The range."""
        end = "" if self.most is None else f" to {self.most}"
        return f"a whole number from {self.least}{end}"

    def read(self, text: str) -> int:
        """Return the number."""
        most = 2**63 - 1 if self.most is None else self.most
        if not (text.isascii() and text.isdigit() and self.least <= int(text) <= most):
            raise ValueError
        return int(text)


@dataclass(frozen=True)
class Positive(ValueForm):
    """A finite number above 0."""

    allowed: str = "a number above 0"

    def read(self, text: str) -> float:
        """Return the number."""
        number = float(text)
        if not 0 < number < math.inf:
            raise ValueError
        return number


@dataclass(frozen=True)
class AmountOrShare(ValueForm):
    """A positive number, or a share in percent."""

    allowed: str = (
        "a positive number in the metric's unit, such as 0.05, or a share of a score, such as 1%"
    )

    def read(self, text: str) -> tuple[float, bool]:
        """Return what :func:`seqbench.config.values.amount_or_share` does."""
        return amount_or_share(text)


@dataclass(frozen=True)
class Word:
    """A word that a command takes.

    Args:
        name: the key of ``KEY=VALUE``; ``tracking.`` with a dot at its end for every key below it;
            ``--json`` for a flag; ``MODEL``, in capitals, for a bare word; :data:`ANY`.
        meaning: what it is, for ``--help``.
        value: how its value is written, for example ``NUMBER``; empty for a flag or a bare word.
        default: the value where it is left out; empty for none.
        form: what its value may be.
        least: how often it must be given.
        missing: what is said where it is not.
        repeats: whether it can be given more than once.
        bare: whether ``KEY=`` may be left out.
        former: names by which it was known, which are still understood.
        below: keys below ``name`` that are likely meant, for TAB and for hints.
        kind: ``model`` or ``task`` where its value is the name of one, for TAB.
        taken: whether a command that takes any override keeps this key for itself.
    """

    name: str
    meaning: str
    value: str = ""
    default: str = ""
    form: ValueForm = field(default_factory=Text)
    least: int = 0
    missing: str = ""
    repeats: bool = False
    bare: bool = False
    former: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    kind: str = ""
    taken: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it has no value, as ``--json``."""
        return self.name.startswith("-")

    @property
    def is_bare(self) -> bool:
        """Whether it is given without a key, as a model of ``seqbench compare``."""
        return self.name.isupper() and self.name != ANY

    @property
    def is_prefix(self) -> bool:
        """Whether it stands for every key below its name."""
        return self.name.endswith(".")

    @property
    def is_key(self) -> bool:
        """Whether it is given as ``KEY=VALUE``."""
        return not (self.is_flag or self.is_bare or self.is_prefix or self.name == ANY)

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and those it had."""
        return (self.name, *self.former)

    @property
    def shown(self) -> str:
        """How it is written."""
        if self.is_flag or self.is_bare:
            return self.name
        if self.is_prefix:
            return f"{self.name}KEY={self.value}"
        return f"{self.name}={self.value}"


@dataclass
class Given:
    """What a command was given.

    Args:
        values: by the name of a word: one value, or a list where the word repeats.
        pairs: name and text of every value, in the order in which they were given.
        overrides: of the configuration, as they were given.
    """

    values: dict[str, Any] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    def flag(self, name: str) -> bool:
        """Return whether a flag was given."""
        return name in self.values

    def text(self, name: str) -> str:
        """Return the value of a word that has a default or must be given."""
        return str(self.values[name])

    def optional(self, name: str) -> str | None:
        """Return the value of a word; None if it was left out and has no default."""
        found = self.values.get(name)
        return None if found is None else str(found)

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return int(self.values[name])

    def number(self, name: str) -> float:
        """Return a number."""
        return float(self.values[name])

    def list(self, name: str) -> list[str]:
        """Return the values of a word that repeats or takes several names."""
        return list(self.values.get(name, []))


def read_words(
    command: str, words: Sequence[Word], args: Sequence[str], otherwise: str = ""
) -> Given:
    """Return what a command's arguments say.

    Args:
        command: its name.
        words: that it takes.
        args: the arguments.
        otherwise: what is said of a bare word that it does not take.

    Raises:
        Refused: an argument is unknown or its value is wrong, or one is missing.
    """
    reader = _Reader(command, words, otherwise)
    left = list(args)
    while left:
        reader.take(left)
    return reader.finish()


class _Reader:
    def __init__(self, command: str, words: Sequence[Word], otherwise: str) -> None:
        self._who = f"seqbench {command}"
        self._words = words
        self._otherwise = otherwise
        self._by_name = {name: word for word in words for name in word.names}
        self._bare = [word for word in words if word.is_bare or word.bare]
        self._takes_any = any(word.name == ANY for word in words)
        self._given = Given()

    def take(self, left: list[str]) -> None:
        """Take the first argument, and the next one where that is its value."""
        arg = left.pop(0)
        key, equals, value = arg.partition("=")
        word = self._by_name.get(arg)
        if word is not None and word.is_flag:
            self._given.values[word.name] = True
            return
        if self._takes_any:
            taken = self._by_name.get(key)
            if equals and taken is not None and taken.taken:
                self._put(taken, value)
                return
            if arg.startswith("-"):
                raise self._unknown(arg, key)
            self._given.overrides.append(arg)
            return
        word = self._by_name.get(key.removeprefix("--"))
        if key.startswith("--") and word is not None and word.is_key:
            if not equals and not left:
                raise Refused(f"{self._who}: {arg} needs a value")
            self._put(word, value if equals else left.pop(0))
        elif equals and word is not None and word.is_key:
            self._put(word, value)
        elif equals and self._is_below(key):
            self._given.overrides.append(arg)
        elif equals or arg.startswith("-"):
            raise self._unknown(arg, key)
        else:
            self._put_bare(arg)

    def finish(self) -> Given:
        """Fill in defaults, and see that nothing is missing."""
        values = self._given.values
        for word in self._words:
            if word.least and len(set(self._texts(word))) < word.least:
                raise Refused(f"{self._who}: {word.missing or f'{word.shown} is missing'}")
            if word.default and word.name not in values:
                values[word.name] = word.form.read(word.default)
        return self._given

    def _texts(self, word: Word) -> list[str]:
        return [text for name, text in self._given.pairs if name == word.name]

    def _put(self, word: Word, text: str) -> None:
        text = text.strip()
        is_list = isinstance(word.form, Names)
        if not text or (is_list and not all(part.strip() for part in text.split(","))):
            raise Refused(f"{self._who}: {word.name}={text} lacks a value")
        try:
            value = word.form.read(text)
        except ValueError as error:
            hint = did_you_mean(text, word.form.options) if isinstance(word.form, Choice) else ""
            raise Refused(
                f"{self._who}: {word.name} must be {word.form.allowed}, not "
                f"'{shortened(text)}'{hint}"
            ) from error
        before = self._texts(word)
        if before and not word.repeats:
            comma = f", as {word.name}={before[-1]},{text}" if is_list else ""
            raise Refused(
                f"{self._who}: {word.name} is given twice, as {shortened(before[-1])} and "
                f"{shortened(text)}: give it once{shortened(comma)}"
            )
        self._given.pairs.append((word.name, text))
        if word.repeats:
            value = [*self._given.values.get(word.name, []), value]
        self._given.values[word.name] = value

    def _put_bare(self, text: str) -> None:
        for word in self._bare:
            if word.repeats or word.name not in self._given.values:
                self._put(word, text)
                return
        if self._bare:
            raise Refused(f"{self._who}: '{text}' is a word too many; see {self._who} --help")
        keyed = self._by_name.get(text)
        if keyed is not None and keyed.is_key:
            raise Refused(f"{self._who}: '{text}' is not KEY=VALUE: write {keyed.shown}")
        if not self._words:
            raise Refused(f"{self._who} takes no arguments, not '{text}'")
        missing = [word for word in self._words if word.is_key and word.least]
        if len(missing) == 1 and not self._texts(missing[0]) and not self._hint(text):
            raise Refused(
                f"{self._who}: '{shortened(text)}' is not KEY=VALUE: write {missing[0].name}="
                f"{shortened(text)}"
            )
        raise Refused(
            f"{self._who}: '{shortened(text)}' is not KEY=VALUE{self._hint(text)}; "
            f"{self._otherwise or f'see {self._who} --help'}"
        )

    def _is_below(self, key: str) -> bool:
        return any(
            key.startswith(name) for word in self._words if word.is_prefix for name in word.names
        )

    def _unknown(self, arg: str, key: str) -> Refused:
        if not self._words:
            return Refused(f"{self._who} takes no arguments, not '{arg}'")
        if key.upper() in self._by_name and self._by_name[key.upper()].is_bare:
            what = f"{key}s" if self._by_name[key.upper()].repeats else key
            example = arg.partition("=")[2].replace(",", " ")
            return Refused(f"{self._who}: name the {what} without {key}=, for example: {example}")
        known = ", ".join(word.shown for word in self._words)
        return Refused(
            f"{self._who}: unknown word '{shortened(arg)}'{self._hint(key)}; known: {known}"
        )

    def _hint(self, key: str) -> str:
        names = [name for word in self._words for name in (word.below or (word.name,))]
        return did_you_mean(key, names) or did_you_mean(key.lstrip("-"), names)
