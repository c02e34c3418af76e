"""A command's words stand in one table: each is read, explained, and offered by TAB."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from seqbench.cli import main
from seqbench.commands import SUBCOMMANDS, help_text, read
from seqbench.commands.completion import complete
from seqbench.commands.words import (
    ANY,
    AmountOrShare,
    Choice,
    Names,
    Positive,
    Quoted,
    Text,
    Whole,
    Word,
    read_words,
)
from seqbench.errors import Refused
from seqbench.registry import plugins

WORDS = [(name, word) for name, command in SUBCOMMANDS.items() for word in command.words]
IDS = [f"{name} {word.name}" for name, word in WORDS]
SAMPLES = {
    Whole: "7",
    Positive: "0.5",
    AmountOrShare: "1%",
    Names: "some,other",
    Text: "text",
    Quoted: "'a b'",
}


@pytest.fixture(autouse=True, scope="module")
def _read_once() -> Iterator[None]:
    """Names of models and tasks for TAB are read from files: once is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "readable", functools.cache(plugins.readable))
        yield


def a_value(word: Word) -> str:
    """Return a value that a word takes."""
    form = word.form
    return form.options[-1] if isinstance(form, Choice) else SAMPLES[type(form)]


def an_argument(word: Word) -> str:
    """Return a word as it is typed."""
    if word.is_flag:
        return word.name
    if word.is_bare:
        return a_value(word)
    if word.is_prefix:
        return f"{word.name}key=1"
    return "recipe.lr=1,2" if word.name == ANY else f"{word.name}={a_value(word)}"


def needed(name: str, without: Word) -> list[str]:
    """Return what else a command cannot do without."""
    others = [word for word in SUBCOMMANDS[name].words if word.least and word is not without]
    return [f"{an_argument(word)}{number}" if word.is_bare and not isinstance(word.form, Choice)
            else an_argument(word) for word in others for number in range(word.least)]  # fmt: skip


@pytest.mark.parametrize(("name", "word"), WORDS, ids=IDS)
def test_every_word_is_read(name: str, word: Word) -> None:
    """By its name and its former ones, before and after what else is given."""
    takes_any = any(item.name == ANY for item in SUBCOMMANDS[name].words)
    for known in word.names:
        argument = an_argument(word)
        if not word.is_bare and word.name != ANY:
            argument = known + argument.removeprefix(word.name)
        more = [f"{argument}2"] if word.least > 1 else []
        others = needed(name, word)
        before = others if word.name == "NAME" and others else []  # bare words go by their order
        for args in (
            [*before, argument, *more, *others[len(before) :]],
            [*others, argument, *more],
        ):
            if word.is_bare and others and not before and args[0] != argument:
                continue
            given = read(name, args)
            if word.is_flag:
                assert given.flag(word.name)
            elif word.is_prefix or (takes_any and not word.taken):
                assert argument in given.overrides
            else:
                assert (word.name, a_value(word)) in given.pairs
                assert argument not in given.overrides
                assert word.name in given.values


@pytest.mark.parametrize(("name", "word"), WORDS, ids=IDS)
def test_every_word_is_explained(name: str, word: Word, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` has its form, its meaning and its default."""
    assert 0 == main([name, "--help"])
    shown = capsys.readouterr().out
    assert help_text(name) == shown
    assert f"\n  {word.shown}" in shown
    flat = " ".join(shown.split())
    assert word.meaning in flat
    assert not word.default or f"default {word.default}" in flat
    assert "needed" in flat if word.least else True


@pytest.mark.parametrize(("name", "word"), WORDS, ids=IDS)
def test_tab_offers_every_word(name: str, word: Word) -> None:
    """Its key, flag or choices, once its beginning is typed; a flag once."""
    if word.name == ANY or (word.is_bare and not isinstance(word.form, Choice)):
        _, line = complete(f"seqbench {name} x", "+plugin=")
        assert word.name != ANY or line == "seqbench x"
        return
    if word.is_bare:
        offered, _ = complete(f"seqbench {name} {a_value(word)[:2]}", "+plugin=")
        assert a_value(word) in offered
        return
    whole = word.name if word.is_flag or word.is_prefix else f"{word.name}="
    for typed in (whole[:2], ""):
        offered, _ = complete(f"seqbench {name} {typed}", "+plugin=")
        assert any(text.startswith(whole) for text in offered)
    if word.is_flag:
        offered, _ = complete(f"seqbench {name} {whole} ", "+plugin=")
        assert whole not in offered


@pytest.mark.parametrize(
    ("line", "offered", "line_of_hydra"),
    [
        ("seqbench u", ["ui"], "seqbench u"),
        ("seqbench ui p", ["port="], None),
        ("seqbench list ", ["models", "tasks"], None),
        ("seqbench new t", ["task"], None),
        ("seqbench compare lstm peep", ["peephole"], None),
        ("seqbench report model=lstm,peep", ["model=lstm,peephole"], None),
        ("seqbench describe task=health/p", ["task=health/pbc"], None),
        ("seqbench evaluate task.so", [], "seqbench task.so"),
        ("seqbench +plugin=a.py report --js", ["--json"], None),
        ("seqbench plan -m model=l", [], "seqbench -m model=l"),
        ("seqbench doctor ", [], None),
    ],
)
def test_completion(line: str, offered: list[str], line_of_hydra: str | None) -> None:
    """Names of models and tasks too; what is left to Hydra are overrides alone."""
    assert (offered, line_of_hydra) == complete(line, "+plugin=")


@pytest.mark.parametrize(("name", "word"), WORDS, ids=IDS)
def test_a_typo_is_told_from_it(name: str, word: Word) -> None:
    """One line with the word, the nearest one and those that there are."""
    if word.name == ANY or word.is_bare or any(w.name == ANY for w in SUBCOMMANDS[name].words):
        return
    key = word.below[0] if word.below else word.name
    if word.is_prefix and not word.below:
        return
    at = 3 if word.is_prefix else len(key) - 1
    typo = f"{key[:at]}q{key[at:]}" + ("" if word.is_flag else "=1")
    with pytest.raises(Refused) as refusal:
        read(name, [*needed(name, word), typo])
    message = str(refusal.value)
    assert f"seqbench {name}: unknown word '{typo}' (did you mean '" in message
    assert f"; known: {SUBCOMMANDS[name].words[0].shown}" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_what_is_missing_is_said(name: str) -> None:
    """A command without anything is refused if it needs something, and says what."""
    missing = [word for word in SUBCOMMANDS[name].words if word.least]
    if not missing:
        assert [] == read(name, []).pairs
        return
    with pytest.raises(Refused) as refusal:
        read(name, [])
    assert f"seqbench {name}: {missing[0].missing}" == str(refusal.value)


TABLE = (
    Word("size", "of it", "NUMBER", "3", Whole(1, 9)),
    Word("rate", "of it", "NUMBER", form=Positive(), former=("speed",)),
    Word("who", "of them", "NAME,...", form=Names()),
    Word("--fast", "or not"),
    Word("NAME", "of it", repeats=True),
)


def test_values_have_their_types_and_defaults() -> None:
    given = read_words("x", TABLE, ["a", "speed=0.5", "--who", "b, c", "--fast", "d"])
    assert (3, 0.5, ["b", "c"]) == (given.whole("size"), given.number("rate"), given.list("who"))
    assert given.flag("--fast")
    assert ["a", "d"] == given.list("NAME")
    assert None is read_words("x", TABLE, []).optional("rate")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["size=10"], "seqbench x: size must be a whole number from 1 to 9, not '10'"),
        (["size=²"], "seqbench x: size must be a whole number from 1 to 9, not '²'"),
        (["speed=nan"], "seqbench x: rate must be a number above 0, not 'nan'"),
        (["size="], "seqbench x: size= lacks a value"),
        (["who=a,,b"], "seqbench x: who=a,,b lacks a value"),
        (["--who"], "seqbench x: --who needs a value"),
        (["sise=1"], "seqbench x: unknown word 'sise=1' (did you mean 'size'?); known: size=NUMB"),
        (["--fats"], "seqbench x: unknown word '--fats' (did you mean '--fast'?)"),
        (["--fast=1"], "seqbench x: unknown word '--fast=1'"),
        (["name=a,b"], "seqbench x: name the names without name=, for example: a b"),
    ],
)
def test_mistakes_are_one_line(args: list[str], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_words("x", TABLE, args)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "args", "message"),
    [
        (TABLE[:1], ["size"], "seqbench x: 'size' is not KEY=VALUE: write size=NUMBER"),
        (TABLE[:1], ["siz"], "seqbench x: 'siz' is not KEY=VALUE (did you mean 'size'?); do so"),
        ((), ["a=1"], "seqbench x takes no arguments, not 'a=1'"),
        ((), ["a"], "seqbench x takes no arguments, not 'a'"),
        (
            (Word("NAME", "of it"),),
            ["a", "b"],
            "seqbench x: 'b' is a word too many; see seqbench x --help",
        ),
    ],
)
def test_bare_words(words: tuple[Word, ...], args: list[str], message: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_words("x", words, args, "do so")
    assert message == str(refusal.value)
