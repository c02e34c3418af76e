"""What ``seqbench COMMAND --help`` prints, from the table of the commands."""

from __future__ import annotations

import shutil
import textwrap

from seqbench.commands import SUBCOMMANDS
from seqbench.commands.words import Choice, Names, Word


def help_text(command: str) -> str:
    """Return what ``seqbench COMMAND --help`` prints."""
    known = SUBCOMMANDS[command]
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    usage = " ".join([f"seqbench {command}", *map(_usage, known.words)])
    indent = " " * len("usage: seqbench ")
    lines = [textwrap.fill(f"usage: {usage}", width, subsequent_indent=indent,
                           break_long_words=False, break_on_hyphens=False)]  # fmt: skip
    lines += ["", textwrap.fill(known.summary, width)]
    column = max((len(word.shown) for word in known.words), default=0) + 4
    if known.words:
        lines.append("")
    for word in known.words:
        first = f"  {word.shown}".ljust(column)
        rest = " " * column
        text = textwrap.wrap(_meaning(word), max(20, width - column), break_on_hyphens=False)
        lines += [(first if number == 0 else rest) + line for number, line in enumerate(text)]
    if known.example:
        lines += ["", f"for example: seqbench {command} {known.example}"]
    return "\n".join(lines) + "\n"


def _usage(word: Word) -> str:
    text = word.shown
    if word.bare:
        text = word.value
    elif isinstance(word.form, Choice):
        text = "|".join(word.form.options)
    if word.repeats:
        text += " ..."
    return text if word.least else f"[{text}]"


def _meaning(word: Word) -> str:
    facts = []
    if word.form.allowed and not isinstance(word.form, Names):
        facts.append(word.form.allowed)
    if word.default:
        facts.append(f"default {word.default}")
    if word.least:
        facts.append("needed")
    if word.former and word.is_flag:
        facts.append(f"or {word.former[0]}")
    return word.meaning + (f" ({'; '.join(facts)})" if facts else "")
