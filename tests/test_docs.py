"""What the documentation says exists, and what it tells people to type is accepted."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from seqbench import __version__
from seqbench.cli import main
from seqbench.commands import SUBCOMMANDS, read
from seqbench.config import composition
from seqbench.registry import hookspecs, plugins
from seqbench.tuning.space import read_words

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
HOOKS = [name for name in vars(hookspecs) if name.startswith("seqbench_")]


def fenced_commands(page: Path) -> list[str]:
    """Return the `seqbench ...` lines of a page's code blocks, comments left out."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("seqbench ")]


COMMANDS = [(page.name, line) for page in PAGES for line in fenced_commands(page)]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_documented_command_is_accepted(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a known subcommand, or composes to valid settings (a sweep: its first trial)."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    if words[0] in SUBCOMMANDS:
        if words[0] == "tune":
            read_words(words[1:])
        return
    if words[0].startswith("+plugin="):
        pytest.skip("its file is the page's own example, which another test runs")
    if words[0].startswith("--config-dir="):
        pytest.skip("its recipe is what a tuning writes; tests/tuning/test_nested.py runs both")
    overrides = [word for word in words if word not in ("-m", "--multirun")]
    first = [word.split(",")[0] for word in overrides]
    for source in (word.partition("=")[2] for word in first if word.startswith("task.source=")):
        Path(source).mkdir(parents=True)
    composition.settings(composition.compose(first))


def test_plugin_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of docs/plugins.md keeps the contract, and is found under its file's name."""
    text = (ROOT / "docs/plugins.md").read_text()
    code = re.search(r"```python\n# my_cell.py\n(.*?)```", text, flags=re.DOTALL)
    assert code is not None
    file = tmp_path / "my_cell.py"
    file.write_text(code[1])
    monkeypatch.setenv(plugins.PLUGIN_FILES, "")
    plugins.registry.cache_clear()
    try:
        plugins.add_plugin_file(str(file))
        loaded = plugins.registry().get("model", "my_cell").load()
        from seqbench.testing import check_model

        check_model(loaded, hidden_size=4)
    finally:
        monkeypatch.undo()
        plugins.registry.cache_clear()


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_documented_with_its_signature(name: str) -> None:
    """The page names every hook with its arguments, and the hook has a sentence of its own."""
    hook = getattr(hookspecs, name)
    assert hook.__doc__
    arguments = ", ".join(inspect.signature(hook).parameters)
    assert f"`{name}({arguments})" in (ROOT / "docs/plugins.md").read_text()


def test_readme_has_the_two_commands() -> None:
    """The README's first code block is `make demo` and `make test`, and make knows both."""
    block = re.search(r"```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert block is not None
    commands = [line.split("#")[0].strip() for line in block[1].splitlines()]
    assert ["make demo", "make test"] == commands
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{command.split()[1]}: " in makefile for command in commands)
    assert "make test-all" in (ROOT / ".ci/run").read_text()


def generate() -> ModuleType:
    """Return `docs/generate.py`, which writes what is made from the code."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module  # for its dataclass
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date() -> None:
    """`make docs` would change nothing: lists of commands, tables of imports and back ends."""
    assert [] == generate().stale()


def test_a_stale_part_is_found_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = generate()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text("before\n<!-- x -->\nold\n<!-- y -->\nafter\n")
    block = module.Block("page.md", "<!-- x -->", "<!-- y -->", lambda: "new\n")
    assert block.stale()
    block.write()
    assert not block.stale()
    assert "before\n<!-- x -->\nnew\n<!-- y -->\nafter\n" == (tmp_path / "page.md").read_text()
    (tmp_path / "page.md").write_text("no marker\n")
    with pytest.raises(SystemExit, match=r"page\.md must have the line '<!-- x -->' once"):
        block.stale()


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_is_in_readme(name: str) -> None:
    """With an example whose words it takes."""
    command = SUBCOMMANDS[name]
    line = f"seqbench {name} {command.example}".rstrip()
    readme = (ROOT / "README.md").read_text()
    assert re.search(rf"^{re.escape(line)} +# {re.escape(command.short)}$", readme, re.MULTILINE)
    read(name, shlex.split(command.example) or [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page: Path) -> None:
    """Relative links, and paths in backquotes that name a folder of this repository."""
    text = page.read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [] == [link for link in links if not (page.parent / link).exists()]
    folders = "seqbench|plugins|tasks|conf|tests|docs|benchmarks|examples"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", text)
    known = [path for path in paths if not re.search(r"(/|_)x[./]", path)]
    assert [] == [path for path in known if not (ROOT / path).exists()]


def prose_lines(text: str) -> Iterator[str]:
    """Yield the lines of a page that are neither in a code block nor a table's or a picture's."""
    in_code = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "![")):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_wraps_at_100_columns(page: Path) -> None:
    assert [] == [line for line in prose_lines(page.read_text()) if len(line) > 100]


def test_prose_is_what_stands_outside_tables_and_code() -> None:
    text = "one\n| a | b |\n```\ncode\n```\n![picture](p.png)\n* two"
    assert ["one", "* two"] == list(prose_lines(text))


def test_changelog_has_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [] == [name for name in SUBCOMMANDS if f"seqbench {name}" not in shown]
