"""The parts of the documentation that are made from the code: written, or checked.

``python docs/generate.py`` writes each block between its two markers; with ``--check`` it changes
nothing, names the files that are stale, and ends with exit code 1 if there are any. A further block
is a function that returns its text, and an entry in :data:`BLOCKS`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqbench.commands import SUBCOMMANDS

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
    lines = [
        (f"seqbench {name} {command.example}".rstrip(), command.short)
        for name, command in SUBCOMMANDS.items()
    ]
    width = max(len(line) for line, _ in lines)
    return "```\n" + "".join(f"{line:{width}}  # {short}\n" for line, short in lines) + "```\n"


def commands_in_help() -> str:
    """Return the lines of the help page that name the commands, as YAML has them."""
    lines = [
        (f"seqbench {name} {command.example}".rstrip(), command.short)
        for name, command in SUBCOMMANDS.items()
    ]
    width = max(len(line) for line, _ in lines)
    return "".join(f"    {line:{width}}  {short}\n" for line, short in lines)


BLOCKS = [
    Block("README.md", "<!-- commands -->", "<!-- end of commands -->", commands_in_readme),
    Block(
        "conf/hydra/help/seqbench.yaml",
        "  == Subcommands: seqbench COMMAND --help lists the words of each ==",
        "footer: |-",
        commands_in_help,
    ),
]


def stale() -> list[str]:
    """Return the files of which a block is not what the code makes now."""
    return [block.file for block in BLOCKS if block.stale()]


def main() -> int:
    """Write every block, or check them."""
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit("usage: python docs/generate.py [--check]")
    old = stale()
    for file in old:
        sys.stdout.write(f"{file} is {'stale: make docs' if sys.argv[1:] else 'written'}\n")
    if not sys.argv[1:]:
        for block in BLOCKS:
            block.write()
    return int(bool(sys.argv[1:] and old))


if __name__ == "__main__":
    sys.exit(main())
