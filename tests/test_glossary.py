"""docs/glossary.md is true of the code: its names exist, retired words are gone, none is double."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
CODE = [path for name in ("seqbench", "plugins", "tasks") for path in (ROOT / name).rglob("*.py")]
ENTRIES = {
    word: " ".join(text.split())
    for word, text in re.findall(r"^\* \*\*(.+?)\*\*: (.*?)(?=^\* |^#|\Z)", PAGE, re.M | re.S)
}
RETIRED = {
    word
    for row in re.findall(r"^\| (.+?) \| .+? \|$", PAGE.partition("## Retired words")[2], re.M)
    if row != "retired"
    for word in row.split(", ")
}

ONLY_IN = {
    "variant": {"reporting", "identity"},
    "protocol": {"records", "identity"},
    "cell": {"nn", "plugins", "templates", "testing", "training"},
}
"""Words that some parts of the code own."""

SAME_NAME = {
    "Forecast": "the task of the next values, named like its module; how long a trial may take",
    "Frames": "the scored frames of the two music tasks, each in the form of its own baselines",
    "Rows": "labelled rows as arrays: predictions in the harness, features in a task's baselines",
}
"""Public classes of one name in two modules, and why."""


def words(name: str) -> set[str]:
    """Split a name of any case into its words, plurals also in the singular."""
    found = {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}
    return found | {part.removesuffix("s") for part in found}


def public_names(path: Path) -> Iterator[str]:
    """Yield the names of a module, its classes, functions, parameters, fields and constants."""
    yield from path.relative_to(ROOT).with_suffix("").parts

    def visit(body: list[ast.stmt]) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield node.name
                yield from visit(node.body)
            elif isinstance(node, ast.FunctionDef):
                given = node.args
                yield node.name
                if node.name.startswith("__") or not node.name.startswith("_"):
                    yield from (
                        item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs)
                    )
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                yield from (item.id for item in targets if isinstance(item, ast.Name))

    for name in visit(_tree(path).body):
        if not name.startswith("_"):
            yield name


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def exists(reference: str) -> bool:
    """Whether a path, or a dotted name of a module, class, function, method or field, is there."""
    if "/" in reference:
        return (ROOT / reference).exists()
    parts = reference.split(".")
    for count in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:count])
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if file.is_file():
            return _is_in(_tree(file).body, parts[count:])
    return False


def _is_in(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == names[0]:
            return _is_in(node.body, names[1:])
        if isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            if any(isinstance(item, ast.Name) and item.id == names[0] for item in targets):
                return len(names) == 1
        if isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                if names[0] == (item.asname or item.name):
                    return exists(".".join([node.module, item.name, *names[1:]]))
    return False


@pytest.mark.parametrize("word", ENTRIES)
def test_an_entry_names_code_that_exists(word: str) -> None:
    """One sentence, and at least one name in the code that is there today."""
    sentence, _, code = ENTRIES[word].partition(" Code: ")
    assert sentence.endswith(".")
    assert ". " not in sentence
    references = re.findall(r"`([^`]+)`", code)
    assert references
    assert [] == [name for name in references if not exists(name)]


def test_a_name_that_does_not_exist_is_noticed() -> None:
    assert exists("seqbench.api.Task.folds")
    assert exists("seqbench.nn.Cell.equations")
    assert not exists("seqbench.api.Task.foldes")
    assert not exists("seqbench.api.task.Tusk")
    assert not exists("seqbenches")


def test_the_page_has_what_it_should() -> None:
    """No entry and no retired word is lost to a typing mistake in the page."""
    assert PAGE.count("\n* **") == len(ENTRIES) > 50
    assert {"contender", "alignment", "replicates", "spool", "structured"} <= RETIRED


def test_public_names_avoid_retired_words() -> None:
    gone = {part for word in RETIRED for part in words(word)}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in CODE
        for name in public_names(path)
        if words(name) & gone
    }
    assert set() == found


@pytest.mark.parametrize("word", ONLY_IN)
def test_a_word_stays_with_its_owner(word: str) -> None:
    """The word stands in public names of these parts alone, and there it does stand."""
    users = {}
    for path in CODE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        part = parts[1] if parts[0] == "seqbench" else parts[0]
        named = [name for name in public_names(path) if word in words(name)]
        if named:
            users.setdefault(part, named)
    assert {} == {part: named for part, named in users.items() if part not in ONLY_IN[word]}
    assert users


def test_a_class_name_stands_for_one_class() -> None:
    where: dict[str, list[str]] = {}
    for path in CODE:
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    double = {name: files for name, files in where.items() if len(files) > 1}
    assert {} == {name: files for name, files in double.items() if name not in SAME_NAME}


def test_words_of_a_name() -> None:
    assert {"bootstrap", "scores", "score"} == words("bootstrap_scores")
    assert {"lstm", "cell"} == words("LSTMCell")
    assert {"reported", "trial"} == words("ReportedTrial")


def test_former_names_can_still_be_imported() -> None:
    """For one release, from where they were."""
    import seqbench.api
    import seqbench.nn

    assert seqbench.api.Visibility is seqbench.api.Alignment
    assert seqbench.nn.RecurrentModel is seqbench.api.RecurrentModel
