"""Mutated command lines and configurations: never a traceback, never a silent default."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from seqbench.cli import main
from seqbench.config import composition
from seqbench.config.overrides import parse
from seqbench.errors import Refused
from seqbench.registry.plugins import PLUGIN_FILES

VALID = {
    "task": "music",
    "model": "lstm",
    "seed": "3",
    "model.hidden_size": "64",
    "model.bidirectional": "true",
    "model.directions": "separate",
    "model.backend": "reference",
    "task.split_seed": "2",
    "recipe.lr": "0.01",
    "recipe.max_epochs": "7",
    "recipe.patience": "5",
    "trainer.accelerator": "cpu",
    "trainer.progress": "false",
    "limits.minutes": "5",
    "rerun": "always",
    "tracking.experiment": "trial",
}
"""Words of a trial that is accepted, each of them meaning something."""
WRONG = [
    "", "null", "none", "abc", "1.5.2", "-1e400", "nan", "[1,2", "{a:1}", "[]", "'", "\\", "$x",
    "0", "${oops}", "true", "0x1F", "1_000", "ünï", "-7", "9" * 30, "64 ", "a=b", "??", "\t",
]  # fmt: skip
LETTERS = "abcdefgzA0_.-=+~/@: '\"[{"


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """Return the key of a word of :data:`VALID`, and that word with something wrong or odd."""
    key = draw(st.sampled_from(sorted(VALID)))
    word = f"{key}={VALID[key]}"
    kind = draw(st.sampled_from(["value", "drop", "insert", "replace", "swap", "prefix", "cut"]))
    at = draw(st.integers(0, len(word) - 1))
    letter = draw(st.sampled_from(LETTERS))
    if kind == "value":
        return key, f"{key}={draw(st.sampled_from(WRONG))}"
    if kind == "prefix":
        return key, draw(st.sampled_from(["+", "++", "~", "--", "-", "@"])) + word
    return key, {
        "drop": word[:at] + word[at + 1 :],
        "insert": word[:at] + letter + word[at:],
        "replace": word[:at] + letter + word[at + 1 :],
        "swap": word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
        "cut": word[: max(at, 1)],
    }[kind]


def run(words: list[str]) -> tuple[int, str]:
    """Return exit code and stderr of a trial that ends, with exit code 0, where it would begin."""

    def begin(*_: object) -> None:
        raise SystemExit(0)

    error = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(error),
    ):
        patch.setattr("seqbench.trials.run.run", begin)
        code = main(words)
    began = "the trial exited with code 0" in error.getvalue()
    return (0, "") if code == 1 and began else (code, error.getvalue())


def value_of(composed: Any, key: str) -> object:
    """Return what a configuration has under a key; of a group the option that was chosen."""
    for part in key.split("."):
        composed = composed[part]
    return composed["name"] if isinstance(composed, DictConfig) else composed


pytestmark = pytest.mark.slow

few = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
many = settings(few, max_examples=300)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@few
@given(mutated())
def test_mutated_words(found: tuple[str, str]) -> None:
    check_words(*found)


@pytest.mark.nightly
@many
@given(mutated())
def test_many_mutated_words(found: tuple[str, str]) -> None:
    check_words(*found)


def check_words(key: str, word: str) -> None:
    """Each is refused in one line that shows the word's key or value, or it has its effect."""
    words = [f"{name}={value}" for name, value in VALID.items() if name != key]
    code, error = run([*words, word])
    assert code in (0, 2), (word, error)
    if code == 2:
        assert 1 == sum(not line.startswith("  ") for line in error.splitlines()), (word, error)
        assert error.startswith("seqbench: ")
        assert "internal error" not in error, (word, error)
        given_key, _, value = word.partition("=")
        named = given_key.strip("+~-@ ")
        shown = [named, *named.split("."), value.strip(), key]
        assert any(part and part in error for part in shown), (word, error)
    else:
        assert has_effect(words, word), f"{word} is taken, and changes nothing"


def has_effect(words: list[str], word: str) -> bool:
    """Whether a word that was accepted is what the configuration says, and not dropped."""
    if word.startswith("~"):
        return True  # what deletes says so
    key, _, value = word.partition("=")
    composed = composition.compose([*words, word])
    composition.settings(composed)
    found = value_of(composed, key.strip().lstrip("+"))
    wanted = str(parse(word).value())
    return str(found).lower() in (value.strip().strip("'\"").lower(), wanted.lower())


YAML = "name: file_cell\nsize: 8\nrate: 0.5\n"
CELL = '''
from typing import Annotated

from annotated_types import Ge, Interval

from seqbench.plugins.lstm import LSTM


class FileCell(LSTM):
    """An LSTM.

    Args:
        size: units.
        rate: of nothing.
    """

    def __init__(
        self, input_size, context, *,
        size: Annotated[int, Ge(1)] = 4, rate: Annotated[float, Interval(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__(input_size, context, hidden_size=size)
'''


@st.composite
def mutated_yaml(draw: st.DrawFn) -> str:
    """Return :data:`YAML` with a letter dropped, inserted or replaced."""
    at = draw(st.integers(0, len(YAML) - 1))
    letter = draw(st.sampled_from([*LETTERS, "\n", "\t", "&", "*", "!", "%", "|", "\x00", "é"]))
    kind = draw(st.sampled_from(["drop", "insert", "replace"]))
    return YAML[:at] + ("" if kind == "drop" else letter) + YAML[at + (kind != "insert") :]


@few
@given(mutated_yaml())
def test_mutated_configurations(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    check_configuration(tmp_path_factory.mktemp("yaml"), text)


@pytest.mark.nightly
@many
@given(mutated_yaml())
def test_many_mutated_configurations(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    check_configuration(tmp_path_factory.mktemp("yaml"), text)


def check_configuration(folder: Path, text: str) -> None:
    """A YAML beside a plugin's file: refused in one line, or its values are those of the trial."""
    (folder / "file_cell.py").write_text(CELL)
    (folder / "file_cell.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLUGIN_FILES, "")
        code, error = run([f"+plugin={folder / 'file_cell.py'}", "model=file_cell"])
        assert code in (0, 2), (text, error)
        assert "internal error" not in error, (text, error)
        if code == 2:
            assert 1 == sum(not line.startswith("  ") for line in error.splitlines()), (text, error)
            named = ("file_cell", "model.", "size", "rate")
            assert any(part in error for part in named), (text, error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.size=0"], "model.size must be a whole number, at least 1, not 0"),
        (["model.rate=1"], "model.rate must be a number, at least 0, below 1, not 1"),
        (["model.rate=-0.1"], "model.rate must be a number, at least 0, below 1, not -0.1"),
        (["model.rat=0.1"], "unknown key 'model.rat' (did you mean 'model.rate'?)"),
    ],
)
def test_bounds_of_a_signature(tmp_path: Path, words: list[str], message: str) -> None:
    """What annotated-types says of a parameter is what a user is told."""
    file = tmp_path / "file_cell.py"
    file.write_text(CELL)
    code, error = run([f"+plugin={file}", "model=file_cell", *words])
    assert 2 == code
    assert message in error


def test_a_yaml_beside_a_file_wins(tmp_path: Path) -> None:
    """Over the signature's defaults; what it leaves out keeps them."""
    file = tmp_path / "file_cell.py"
    file.write_text(CELL)
    (tmp_path / "file_cell.yaml").write_text("size: 9\n")
    assert 0 == run([f"+plugin={file}", "model=file_cell"])[0]
    found = composition.settings(composition.compose(["model=file_cell"])).model_parameters
    assert {"size": 9, "rate": 0.1} == found
    with pytest.raises(Refused, match="at least 1"):
        composition.settings(composition.compose(["model=file_cell", "model.size=-1"]))
