"""A run whose code is not here is refused, with what brings it here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from seqbench.cli import main
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking.stored import StoredRun
from seqbench.trials.reload import check_code


def stored(kind: str, name: str, origin: str) -> StoredRun:
    names = {"task": "music", "model": "lstm", kind: name}
    config: dict[str, Any] = {key: {"name": value} for key, value in names.items()}
    origins = {"task": "built-in", "model": "built-in", kind: origin}
    tags = {f"seqbench.{key}_origin": value for key, value in origins.items()}
    record = TrialRecord("k", names["task"], names["model"], 0)
    return StoredRun("0" * 32, record, config, tags, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["task", "model"])
def test_a_file_is_named(kind: str, tmp_path: Path) -> None:
    """As the word to add; the word itself is taken."""
    file = tmp_path / "it's mine.py"
    file.write_text("")
    with pytest.raises(Refused) as refusal:
        check_code(stored(kind, "mine", str(file)), "run 0")
    said, _, word = str(refusal.value).partition("; add ")
    assert said == f"run 0: its {kind} mine is in a file"
    assert shlex.split(word) == [f"+plugin={file}"]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no longer there; add \+plugin=FILE, where it is now$"):
        check_code(stored("model", "mine", str(tmp_path / "mine.py")), "run 0")


def test_a_distribution_is_named() -> None:
    with pytest.raises(Refused, match=r"its model mine is not installed here; it came from x 1\.0"):
        check_code(stored("model", "mine", "x 1.0"), "run 0")


def test_what_is_here_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None
) -> None:
    check_code(stored("model", "lstm", "built-in"), "run 0")
    file = tmp_path / "mine.py"
    file.write_text(
        'from seqbench.plugins.rnn import RNN\n\n\nclass Mine(RNN):\n    """A model."""\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main([f"+plugin={file}", "model=mine", "--cfg", "job"]) == 0
    check_code(stored("model", "mine", str(file)), "run 0")
