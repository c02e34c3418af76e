"""Writes or checks the parts of the documentation that are generated from the code.

``python docs/generate.py`` writes each block between its two markers. With ``--check`` it changes
nothing, names the stale files, and exits with 1 if there are any. To add a block, write a function
that returns its text, and add an entry to :data:`BLOCKS`.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from seqbench.commands import SUBCOMMANDS
from seqbench.nn import BACKENDS, Backend

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Block:
    """A part of a file that is made from the code.

    Args:
        file: below the project's root.
        begin: the line before it.
        end: the line after it.
        make: returns its lines, each with its newline.
    """

    file: str
    begin: str
    end: str
    make: Callable[[], str]

    def stale(self) -> bool:
        """Return whether the file has something else."""
        return self._parts()[1] != self.make()

    def write(self) -> None:
        """Put into the file what is made now."""
        before, _, after = self._parts()
        (ROOT / self.file).write_text(before + self.make() + after, encoding="utf-8")

    def _parts(self) -> tuple[str, str, str]:
        text = (ROOT / self.file).read_text(encoding="utf-8")
        for marker in (self.begin, self.end):
            if text.count(f"{marker}\n") != 1:
                raise SystemExit(f"{self.file} must have the line '{marker}' once")
        start = text.index(f"{self.begin}\n") + len(self.begin) + 1
        stop = text.index(f"{self.end}\n", start)
        return text[:start], text[start:stop], text[stop:]


def commands_in_readme() -> str:
    """Return a block of code with a line for each command."""
    rows = _commands()
    width = max(len(line) for line, _ in rows)
    return "```\n" + "".join(f"{line:{width}}  # {short}\n" for line, short in rows) + "```\n"


def commands_in_help() -> str:
    """Return the lines of the help page that name the commands, as YAML has them."""
    rows = _commands()
    width = max(len(line) for line, _ in rows)
    return "".join(f"    {line:{width}}  {short}\n" for line, short in rows)


def _commands() -> list[tuple[str, str]]:
    """Return an example of each command, and what it does."""
    return [
        (f"seqbench {name} {command.example}".rstrip(), command.short)
        for name, command in SUBCOMMANDS.items()
    ]


def imports_by_floor() -> str:
    """Return the list of seqbench's parts by floor, from the test that enforces it."""
    rules = _module(ROOT / "tests" / "test_architecture.py")
    floors: dict[str, int] = rules.floors(rules.MAY_IMPORT)
    items = []
    for part in sorted(floors, key=lambda name: (floors[name], name)):
        below = sorted(rules.MAY_IMPORT[part] - {part})
        everything = {name for name in floors if floors[name] < floors[part]}
        allowed = ", ".join(f"`{name}`" for name in below) or "nothing"
        if len(below) > 10:
            missing = sorted(everything - set(below))
            allowed = "everything below, except " + ", ".join(f"`{name}`" for name in missing)
            allowed = allowed if missing else "everything below"
        path = _place(part)
        text = f"* {floors[part]}, `{path}`: {_summary(ROOT / path)}. Imports {allowed}."
        items.append(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False))
    return "".join(f"{item}\n" for item in items)


def _module(path: Path) -> ModuleType:
    """Import a file by its path, as it is not part of any package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _place(part: str) -> str:
    """Return the folder or file of a part of seqbench, from the project's root."""
    places = (f"seqbench/{part}.py", f"seqbench/{part}/", f"{part}/")
    return next(place for place in places if (ROOT / place).exists())


def _summary(path: Path) -> str:
    """Return the first sentence of a module's or a package's docstring."""
    file = path / "__init__.py" if path.is_dir() else path
    documented = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = " ".join(documented.partition("\n\n")[0].split())
    return first.replace("``", "`").rstrip(".")


def back_ends() -> str:
    """Return the table of back ends, from what each says of itself."""
    rows = ["| back end | what it does | runs | devices | is `auto` on |", "|---|---|---|---|---|"]
    for name, item in BACKENDS.items():
        devices, defaults = (", ".join(part) for part in (item.devices, item.default_on))
        rows.append(f"| `{name}` | {item.does} | {item.runs} | {devices or 'all'} | {defaults} |")
    return "".join(f"{row}\n" for row in rows)


def back_end_contract() -> str:
    """Return the table of what a back end provides, from the base class."""
    source = textwrap.dedent(inspect.getsource(Backend))
    (found,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    rows = ["| of a back end | meaning | without it |", "|---|---|---|"]
    for node, after in zip(found.body, [*found.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value)
            default = f"`{ast.unparse(node.value)}`" if node.value else "must be said"
            rows.append(f"| `{ast.unparse(node.target)}` | {_plain(text)} | {default} |")
        elif isinstance(node, ast.FunctionDef) and node.name not in ("__call__", "reason"):
            text = (ast.get_docstring(node) or "").partition("\n")[0]
            default = "must be written" if node.name in Backend.__abstractmethods__ else "nothing"
            rows.append(f"| `{node.name}()` | {_plain(text)} | {default} |")
    return "".join(f"{row}\n" for row in rows)


def _plain(text: str) -> str:
    """Return a docstring's text as Markdown, on one line."""
    return re.sub(r":\w+:`(?:[\w.]*\.)?(\w+)`", r"`\1`", " ".join(text.split())).replace("``", "`")


BLOCKS = [
    Block("README.md", "<!-- commands -->", "<!-- end of commands -->", commands_in_readme),
    Block(
        "conf/hydra/help/seqbench.yaml",
        "  == Subcommands: seqbench COMMAND --help lists the words of each ==",
        "footer: |-",
        commands_in_help,
    ),
    Block("docs/architecture.md", "<!-- imports -->", "<!-- end of imports -->", imports_by_floor),
    Block("docs/architecture.md", "<!-- back ends -->", "<!-- end of back ends -->", back_ends),
    Block("docs/plugins.md", "<!-- back ends -->", "<!-- end of back ends -->", back_end_contract),
]


def stale() -> list[str]:
    """Return the files of which a block is not what the code makes now."""
    return list(dict.fromkeys(block.file for block in BLOCKS if block.stale()))


def main() -> int:
    """Write every block, or check them."""
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit("usage: python docs/generate.py [--check]")
    old = stale()
    for file in old:
        sys.stdout.write(f"{file} is {'stale: run make docs' if sys.argv[1:] else 'written'}\n")
    if not sys.argv[1:]:
        for block in BLOCKS:
            block.write()
    return int(bool(sys.argv[1:] and old))


if __name__ == "__main__":
    sys.exit(main())
