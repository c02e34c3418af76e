"""A source of several problems: each is listed as it can be given, whatever it is called."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seqbench.config.overrides import parse
from seqbench.errors import Refused
from seqbench.tasks.data.classify import Classify

ODD = ["Plain", "a,b", "it's", "two words", '"q"', "[x]", "x=y", "null", "12", "50% #1", "a'b\"c",
       "漢字", "${x}", "~x", "a:b", "(c)", "$HOME", "1e5", "true"]  # fmt: skip


def write(folder: Path, name: str, label: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("TRAIN", 12), ("TEST", 6)):
        rows = [f"{row},{row % 2},{row % 3}:{label}{row % 2}" for row in range(count)]
        text = "\n".join([f"@classLabel true {label}0 {label}1", "@data", *rows, ""])
        (folder / f"{name}_{part}.ts").write_text(text, encoding="utf-8")


def listed(source: Path) -> list[str]:
    """Return the values of ``task.problem`` in the refusal's lines, as shell and Hydra read."""
    with pytest.raises(Refused, match="problems; one at a time is trained on") as refusal:
        Classify(source=str(source)).prepare()
    found = []
    for line in refusal.value.details:
        assert line.startswith("  ")
        (word,) = shlex.split(line)
        override = parse(word)
        assert override.key_or_group == "task.problem"
        assert not override.is_sweep_override()
        value = override.value()
        value = OmegaConf.create({"value": getattr(value, "text", value)}).value
        assert isinstance(value, str)
        found.append(value)
    first = str(refusal.value).partition("for example ")[2]
    assert first == refusal.value.details[0].strip()
    return found


def classes(source: Path, problem: str) -> tuple[str, ...]:
    task = Classify(source=str(source), problem=problem)
    task.prepare()
    return task.names().outputs


def test_problems_with_odd_names(tmp_path: Path) -> None:
    """Each line's value is the problem that it names: a text, and its own data."""
    for number, name in enumerate(ODD):
        write(tmp_path / name, name, f"c{number}x")
    found = listed(tmp_path)
    assert sorted(found) == sorted(ODD)
    for name in found:
        number = ODD.index(name)
        assert classes(tmp_path, name) == (f"c{number}x0", f"c{number}x1")


def test_the_same_name_in_two_folders(tmp_path: Path) -> None:
    """They are told apart by their folders, odd or not; others keep their short names."""
    for label, folder in (("p", "a"), ("q", "b"), ("r", "it's, so")):
        write(tmp_path / folder, "X", label)
    write(tmp_path / "c", "Y", "s")
    assert sorted(listed(tmp_path)) == ["Y", "a/X", "b/X", "it's, so/X"]
    for name, label in (("a/X", "p"), ("b/X", "q"), ("it's, so/X", "r"), ("Y", "s")):
        assert classes(tmp_path, name) == (f"{label}0", f"{label}1")
    with pytest.raises(Refused, match=r"no problem of this name.*; it has Y, a/X, b/X, it's, so/X"):
        classes(tmp_path, "X")


def test_a_long_list_of_problems_has_bounded_lines(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / str(number), f"{'problem' * 9}{number}", f"c{number}x")
    assert len(listed(tmp_path)) == 40
    with pytest.raises(Refused, match=r"and 3[0-9] more$") as refusal:
        classes(tmp_path, "problem")
    assert len(str(refusal.value).replace(str(tmp_path), "")) <= 300
