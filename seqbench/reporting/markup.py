"""A table that is laid out, as Markdown, as LaTeX and for the terminal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqbench.reporting.forms import Grid, Line

if TYPE_CHECKING:
    from rich.table import Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "≤": r"$\leq$", "±": r"$\pm$", "µ": r"$\mu$",
}  # fmt: skip
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
_STYLES = {"best": "bold", "baseline": "italic dim", "partial": "yellow"}


def markdown_text(text: str) -> str:
    """Return text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")


def markdown_table(grid: Grid) -> str:
    """Return a table as Markdown, the best row's name in bold; empty without rows."""
    if not grid.lines:
        return ""
    rows = [[head.text for head in grid.heads]]
    rows.append(["---:" if head.align == "right" else "---" for head in grid.heads])
    for line in grid.lines:
        label, *others = (markdown_text(entry.text) for entry in line.entries)
        rows.append([f"**{label}**" if line.mark == "best" else label, *others])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def latex_text(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex_table(grid: Grid) -> str:
    """Return a table as a ``tabular`` of booktabs; of the best row the score is bold."""
    names = [f"${head.text}$" if len(head.text) == 1 else latex_text(head.text)
             for head in grid.heads]  # fmt: skip
    parts = [_latex_row(names)]
    for _, lines in itertools.groupby(grid.lines, key=lambda line: line.mark == "baseline"):
        parts.append("\n".join(_latex_row(_latex_entries(grid, line)) for line in lines))
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join(head.align[0] for head in grid.heads)}}}",
            r"\toprule",
            "\n\\midrule\n".join(parts),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex_row(texts: Sequence[str]) -> str:
    return rf"{' & '.join(texts)} \\"


def _latex_entries(grid: Grid, line: Line) -> list[str]:
    found = [latex_text(line.entries[0].text)]
    for head, entry in zip(grid.heads[1:], line.entries[1:], strict=True):
        text = _MINUS.sub("$-$", latex_text(entry.text))
        found.append(rf"\textbf{{{text}}}" if head.is_score and line.mark == "best" else text)
    return found


def terminal_table(grid: Grid) -> Table:
    """Return a table for Rich; a long name of a row folds, what stands beside it does not."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in grid.heads:
        table.add_column(
            Text(head.text),
            justify=head.align,
            overflow="fold" if head.align == "left" else "ellipsis",
            no_wrap=head.align == "right",
        )
    for line in grid.lines:
        texts = (Text(entry.text) for entry in line.entries)
        table.add_row(*texts, style=_STYLES.get(line.mark, ""))
    return table
