"""What is said of words that cannot be read: the advice is the word that was meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.overrides import parse, parse_all
from seqbench.errors import Refused
from seqbench.tracking.address import locate

CUT = [
    (["seed=0,", "1"], "seed=0,1"),
    (["model=lstm,", "gru,", "rnn", "seed=1"], "model=lstm,gru,rnn"),
    (["seed=0", ",1"], "seed=0,1"),
    (["seed=", "0,1"], "seed=0,1"),
    (["seed", "=0,1"], "seed=0,1"),
    (["experiment=smoke", "seed=choice(1,", "2)"], "seed=choice(1,2)"),
    (["seed=[0,", "1]"], "seed=[0,1]"),
    (["seed=range(0,", "3)"], "seed=range(0,3)"),
]


@pytest.mark.parametrize(("words", "meant"), CUT)
@pytest.mark.parametrize("command", [["-m"], ["plan"], ["plan", "-m"]])
def test_a_word_that_a_space_has_cut(
    words: list[str], meant: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*command, *words])
    line = capsys.readouterr().err
    assert f"is cut at the space: write {shlex.quote(meant)}, without a space\n" in line
    parse(meant)


def test_what_is_not_cut_is_not_joined() -> None:
    """A forgotten key keeps its own answer."""
    with pytest.raises(Refused, match=r"'gru' is not key=value \(did you mean model=gru\?\)"):
        parse_all(["model=lstm", "gru"])
    with pytest.raises(Refused, match=r"a value is missing at a comma; write seed=0$"):
        parse_all(["seed=0,", "model=gru"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=interval()", "write seed=interval(LOW,HIGH), two numbers"),
        ("seed=interval(a,b)", "write seed=interval(LOW,HIGH), two numbers"),
        ("seed=range()", "write seed=range(START,STOP)"),
        ("seed=choice()", "write seed=choice(A,B)"),
        ("seed=rang(0,3)", "no function 'rang' (did you mean 'range'?); known: choice, range"),
        ("seed=0,,1", "a value is missing at a comma; write seed=0,1"),
        ("seed=,1", "a value is missing at a comma; write seed=1"),
    ],
)
def test_functions_and_lists(word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No inner class's name, and no advice to quote what is no text."""
    assert 2 == main(["-m", word])
    line = capsys.readouterr().err
    assert message in line
    assert 1 == line.count("\n")
    assert len(line) < 300
    assert "Sweep" not in line
    assert "Error" not in line


def test_an_interval_is_no_reason_to_add_m(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["seed=interval(0,2)"])
    assert "elsewhere list values, such as -m seed=0,2" in capsys.readouterr().err
    assert 2 == main(["seed=range(0,2)"])
    assert "seed=range(0,2) gives several values: add -m" in capsys.readouterr().err


@pytest.mark.parametrize("letter", [chr(code) for code in range(32, 127)] + ["é", "漢", "😀"])
def test_any_path_can_be_given(letter: str) -> None:
    """Where it must be quoted, the word that is advised means it."""
    path = f"/tmp/a{letter}b"
    word = f"tracking.uri={path}"
    try:
        found = parse(word)
    except Refused as refusal:
        (word,) = shlex.split(str(refusal).rpartition("; write ")[2])
        found = parse(word)
    if found.is_sweep_override():  # a comma makes two
        found = parse(f"tracking.uri='{path}'")
    value = found.value()
    assert path == getattr(value, "text", value)
    assert Path(path, "mlflow.db") == locate(path).database
