"""``seqbench list``: every model and task, where it comes from, and whether it can be used here."""

from __future__ import annotations

import shutil
import sys

from seqbench.commands import read
from seqbench.errors import EXIT_DONE, Refused
from seqbench.registry.plugins import registry
from seqbench.registry.registration import EXTRAS, KINDS, Kind, Registration

_CHOICES: dict[str, tuple[Kind, ...]] = {"models": ("model",), "tasks": ("task",)}


def command(args: list[str]) -> int:
    """Print the table.

    Args:
        args: nothing, ``models`` or ``tasks``.
    """
    chosen = read("list", args).optional("KIND")
    for kind in KINDS if chosen is None else _CHOICES[chosen]:
        sys.stdout.write(_table(kind) + "\n")
    if chosen is None:
        sys.stdout.write(_extras())
    problems = registry().problems
    if problems:
        sys.stdout.write("not loaded\n" + "".join(f"  {line}\n" for line in problems))
    return EXIT_DONE


def _table(kind: Kind) -> str:
    items = registry().all(kind)
    names = [item.name for item in items]
    rows = [("name", "what it is", "origin", "here")]
    for item in items:
        if (subtask := registry().stands_for(kind, item.name)) != item.name:
            rows.append((item.name, f"the same as {subtask}", item.origin, ""))
            continue
        here = item.unusable() or "usable"
        if names.count(item.name) > 1:
            here = "refused: two plugins offer this name"
        rows.append((item.name, _summary(item), item.origin, here))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths) + widths[1] - 8
        widths[1] = max(20, min(widths[1], room))
    lines = [f"{kind}s"]
    for row in rows:
        cells = (
            _shorten(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)
        )
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _extras() -> str:
    """Return what takes part in every trial while its plugin is installed."""
    lines = []
    for kind in EXTRAS:
        for item in registry().all(kind):
            here = item.unusable() or "in every trial"
            lines.append(f"  {kind} {item.name}  {_summary(item)}  {item.origin}  {here}")
    return "\n".join(["from plugins", *lines]) + "\n\n" if lines else ""


def _summary(item: Registration) -> str:
    try:
        return item.source().summary.rstrip(".")
    except Refused:
        return ""


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
