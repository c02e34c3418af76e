"""A table that is laid out, as Markdown, as LaTeX and for the terminal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from seqbench.reporting.forms import Layout, Line

if TYPE_CHECKING:
    from rich.table import Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "≤": r"$\leq$", "±": r"$\pm$", "µ": r"$\mu$",
}  # fmt: skip
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
_WORD = 40  # characters
_STYLES = {"best": "bold", "baseline": "italic dim", "partial": "yellow"}


def markdown_text(text: str) -> str:
    """Return text that Markdown and HTML leave as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")


def markdown_table(layout: Layout) -> str:
    """Return a table as Markdown, the best row's name in bold; empty without rows."""
    if not layout.lines:
        return ""
    rows = [[markdown_text(head.text) for head in layout.heads]]
    rows.append(["---:" if head.align == "right" else "---" for head in layout.heads])
    for line in layout.lines:
        label, *others = (markdown_text(item.text) for item in line.items)
        rows.append([f"**{label}**" if line.mark == "best" else label, *others])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def latex_text(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex_table(layout: Layout) -> str:
    """Return a table as a ``tabular`` of booktabs; of the best row the score is bold."""
    names = [f"${head.text}$" if len(head.text) == 1 else latex_text(head.text)
             for head in layout.heads]  # fmt: skip
    parts = [_latex_row(names)]
    for _, lines in itertools.groupby(layout.lines, key=lambda line: line.mark == "baseline"):
        parts.append("\n".join(_latex_row(_latex_items(layout, line)) for line in lines))
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join(head.align[0] for head in layout.heads)}}}",
            r"\toprule",
            "\n\\midrule\n".join(parts),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex_row(texts: Sequence[str]) -> str:
    return rf"{' & '.join(texts)} \\"


def _latex_items(layout: Layout, line: Line) -> list[str]:
    found = [latex_text(line.items[0].text)]
    for head, item in zip(layout.heads[1:], line.items[1:], strict=True):
        text = _MINUS.sub("$-$", latex_text(item.text))
        found.append(rf"\textbf{{{text}}}" if head.is_score and line.mark == "best" else text)
    return found


def longest_word(texts: Iterable[str]) -> int:
    """Return the width of a column in which no word is broken but one that is very long."""
    return min(_WORD, max((len(word) for text in texts for word in text.split()), default=0))


def terminal_table(layout: Layout) -> Table:
    """Return a table for Rich; a long name of a row breaks, what stands beside it does not.

    It breaks between words, and inside one only where that is longer than any column should be.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(layout.heads):
        shown = [head.text, *(line.items[place].text for line in layout.lines)]
        table.add_column(
            Text(head.text),
            min_width=longest_word(shown),
            justify=head.align,
            overflow="fold" if head.align == "left" else "ellipsis",
            no_wrap=head.align == "right",
        )
    for line in layout.lines:
        texts = (Text(item.text) for item in line.items)
        table.add_row(*texts, style=_STYLES.get(line.mark, ""))
    return table
