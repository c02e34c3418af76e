"""What a user's data are called, and the words of a command that is to find them again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from seqbench.config import command
from seqbench.config.composition import compose, settings
from seqbench.config.overrides import override_text
from seqbench.config.settings import Settings
from seqbench.config.titles import called, said_by
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.registry.plugins import add_plugin_file

TITLED = """
from seqbench.tasks.music import Music


class Titled(Music):
    \"\"\"A task with a parameter of that name.

    Args:
        title: its own.
    \"\"\"

    def __init__(self, *, title: str = "own") -> None:
        super().__init__()
"""
OTHER = TITLED.replace("Titled", "Other").replace('title: str = "own"', "rate: float = 0.5")


def composed(*words: str) -> Settings:
    return settings(compose(list(words)))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("task", "source", "name"),
    [
        ("anomaly/watch", None, "anomaly/watch"),
        ("anomaly/watch", "skab/", "anomaly: skab"),
        ("anomaly/watch", "./v1.2", "anomaly: v1.2"),
        ("music", "a/my songs.tar.pkl", "music: my songs.tar"),
        ("health/pbc", "gone.folder", "health: gone"),
        ("music", "ö#%'.npz", "music: ö#%'"),
        ("music", ".", None),
        ("music", "skab/..", None),
    ],
)
def test_data_are_called_by_their_own_name(
    folder: Path, task: str, source: str | None, name: str | None
) -> None:
    Path("skab").mkdir()
    Path("v1.2").mkdir()
    assert called(task, {"source": source}) == (name or f"music: {folder.name}")
    assert called(task, {"source": source}, "Mine") == "Mine"


def test_a_title_is_no_part_of_the_identity() -> None:
    plain, titled = composed("task=music"), composed("task=music", "task.title=Hymns")
    assert (plain.called, titled.called) == ("music", "Hymns")
    assert identity(plain).key == identity(titled).key
    assert "title" not in plain.to_dict()
    assert "title" not in titled.to_dict()["task"]


def test_a_stored_configuration_has_its_title_again() -> None:
    from omegaconf import DictConfig, OmegaConf

    stored: Any = OmegaConf.create(composed("task.title='a, b: c'").to_dict())
    assert isinstance(stored, DictConfig)
    assert settings(stored).called == "a, b: c"
    assert settings(OmegaConf.merge(stored, {"task": {"title": "new"}})).called == "new"  # type: ignore[arg-type]


def test_every_task_takes_a_title_and_one_that_has_its_own_keeps_it() -> None:
    Path("titled.py").write_text(TITLED)
    Path("other.py").write_text(OTHER)
    add_plugin_file("titled.py")
    add_plugin_file("other.py")
    assert composed("task=other", "task.title=Mine").called == "Mine"
    assert composed("task=other").task_parameters == {"rate": 0.5}
    own = composed("task=titled", "task.title=Mine")
    assert (own.called, own.task_parameters) == ("titled", {"title": "Mine"})
    assert composed("task=titled").task_parameters == {"title": "own"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("task.title=[a]", "task.title must be a text"),
        ("task.title=true", "task.title must be a text"),
        ("task.title=''", "task.title must have 1 to 80 characters, not 0"),
        (f"task.title={'x' * 81}", "task.title must have 1 to 80 characters, not 81"),
        ("task.titel=x", r"unknown key 'task.titel' \(did you mean 'task.title'\?\)"),
    ],
)
def test_titles_that_are_refused(word: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        composed(word)


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30).filter(
        lambda text: "${" not in text
    )
)
def test_a_text_comes_back_from_a_command(text: str) -> None:
    """Spaces, commas, `#`, `%`, quotes, backslashes: through the shell and Hydra's grammar."""
    (_, word) = shlex.split(command.command(f"task.source={override_text(text)}"))
    assert OverridesParser.create().parse_override(word).value() == text


def test_a_mapping_comes_back_too() -> None:
    found = OverridesParser.create().parse_override(f"k={override_text({'ab': [1, 'x,y']})}")
    assert found.value() == {"ab": [1, "x,y"]}


def test_kept_words() -> None:
    Path("it's #1, 50% ü.pkl").write_bytes(b"")
    Path("other.py").write_text(OTHER)
    add_plugin_file("other.py")
    given = composed(
        "task=music", r"""task.source='it\'s #1, 50% ü.pkl'""", "task.title=Songs",
        "task.transpose=2", "tracking.uri=store", "tracking.experiment=mine",
    )  # fmt: skip
    words = command.kept_words(given)
    assert words[0].startswith("+plugin=")
    assert words[0].endswith("other.py")
    again = composed(*words[1:])
    assert again == given
    assert command.kept_words(composed("task=other", "tracking=none"))[1:] == [
        "task=other", "tracking=none",
    ]  # fmt: skip
    assert command.kept_words(composed("task=other", "task.rate=1"))[1:] == [
        "task=other", "task.rate=1.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "parameters", "name"),
    [
        ("data/classify", {"source": "uea", "problem": "Basic"}, "data: uea Basic"),
        ("data/regress", {"source": "uea", "problem": "a/X"}, "data: uea a/X"),
        ("data/classify", {"source": "uea", "problem": None}, "data: uea"),
        ("data/classify", {"source": None, "problem": "Basic"}, "data/classify"),
        ("anomaly/watch", {"source": "skab", "fold": "valve1"}, "anomaly: skab valve1"),
        ("anomaly/watch", {"source": "skab", "fold": "all"}, "anomaly: skab"),
        ("anomaly/watch", {"source": "skab", "fold": 3}, "anomaly: skab"),
        ("gone", {"source": "x", "problem": "y"}, "gone: x"),
    ],
)
def test_a_part_of_a_source_is_part_of_the_name(
    task: str, parameters: dict[str, object], name: str
) -> None:
    assert called(task, parameters) == name
    kept = [key for key in ("problem", "fold") if name.endswith(f" {parameters.get(key)}")]
    assert list(said_by(name, task, parameters)) == kept
    assert said_by("Mine", task, parameters) == []
