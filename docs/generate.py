"""Rewrites the generated blocks of the documentation, or compares them.

    python docs/generate.py            # rewrite
    python docs/generate.py --check    # exit with 1 and name the blocks that are out of date

A block stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. To add one, write both
markers into the page and a function that returns its Markdown into :data:`BLOCKS`.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def imports() -> str:
    """Return the table of seqbench's parts by floor, from the test that enforces it."""
    rules = _module(ROOT / "tests" / "test_architecture.py")
    floors: dict[str, int] = rules.floors(rules.MAY_IMPORT)
    rows = ["| floor | part | what it holds | may import |", "|---|---|---|---|"]
    for part in sorted(floors, key=lambda name: (floors[name], name)):
        below = sorted(rules.MAY_IMPORT[part] - {part})
        everything = {name for name in floors if floors[name] < floors[part]}
        allowed = ", ".join(f"`{name}`" for name in below) or "nothing"
        if len(below) > 10:
            missing = sorted(everything - set(below))
            allowed = "everything below, except " + ", ".join(f"`{name}`" for name in missing)
            allowed = allowed if missing else "everything below"
        path = _place(part)
        rows.append(f"| {floors[part]} | `{path}` | {_summary(ROOT / path)} | {allowed} |")
    return "\n".join(rows)


BLOCKS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/architecture.md", "imports"): imports,
}
"""What is generated: by page and name of the block, the function that returns its Markdown."""


def rendered(page: str, text: str) -> str:
    """Return a page's text with all of its blocks as they should be.

    Raises:
        ValueError: a block has no markers in the text.
    """
    for (where, name), make in BLOCKS.items():
        if where == page:
            marks = rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- end -->)"
            block = f"{make()}\n"
            text, found = re.subn(marks, lambda m, b=block: m[1] + b + m[2], text, flags=re.DOTALL)
            if found != 1:
                raise ValueError(f"{page} has {found} blocks named {name}, expected: 1")
    return text


def outdated() -> list[str]:
    """Return the pages whose blocks are not what their functions return today."""
    return [page for page in _pages() if rendered(page, _text(page)) != _text(page)]


def main(words: list[str]) -> int:
    """Rewrite the pages, or compare them with ``--check``; return the exit code."""
    if words == ["--check"]:
        for page in (pages := outdated()):
            sys.stderr.write(f"{page} is out of date: run python docs/generate.py\n")
        return 1 if pages else 0
    if words:
        sys.stderr.write(f"{words[0]} is not known: --check, or nothing\n")
        return 2
    for page in outdated():
        (ROOT / page).write_text(rendered(page, _text(page)), encoding="utf-8")
        sys.stdout.write(f"{page}\n")
    return 0


def _pages() -> list[str]:
    return sorted({page for page, _ in BLOCKS})


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
