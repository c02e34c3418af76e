"""How a report's pictures are drawn: SVG for light and dark, marks beside colours, legends."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette, which colour-blind readers tell apart; yellow is too pale for a line.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))

# Colours that stand for a role; the page replaces them by its own, a file by plain ones.
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
_ON_PAGE = {INK: "currentColor", FAINT: "var(--line)", PAPER: "var(--paper)"}
_IN_FILE = {INK: "#1f2937", FAINT: "#d1d5db", PAPER: "#ffffff"}
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, the same in every picture of a report."""

    colour: str
    mark: str
    dash: Any


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        name: of its file, without a suffix.
        alternative: what it shows, in words.
        svg: with colours that stand for roles.
    """

    name: str
    alternative: str
    svg: str

    def on_page(self) -> str:
        """Return it for a page: it takes the page's colours, and its identifiers are its own."""
        prefix = f"{self.name}-"
        svg = re.sub(r'\bid="', f'id="{prefix}', self.svg)
        svg = re.sub(r'(url\(#|href="#)', rf"\1{prefix}", svg)
        label = html.escape(self.alternative, quote=True)
        svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        return _recoloured(svg, _ON_PAGE)

    def in_file(self) -> str:
        """Return it as the content of a file."""
        svg = self.svg.replace("<svg ", '<svg style="background: #ffffff" ', 1)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{_recoloured(svg, _IN_FILE)}\n'


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Give each label a colour, a mark and a dash; no two of the first 56 are drawn alike."""
    return {
        label: Look(
            COLOURS[number % len(COLOURS)],
            MARKS[number % (len(MARKS) - 1)],
            DASHES[number % len(DASHES)],
        )
        for number, label in enumerate(dict.fromkeys(labels))
    }


def _columns(labels: Iterable[str]) -> tuple[int, int]:
    """Return columns and rows of a legend, so that it is no wider than a picture."""
    names = list(labels)
    columns = max(1, min(4, _LETTERS // (5 + max(map(len, names), default=0))))
    return columns, math.ceil(len(names) / columns)


def put_legend(figure: Figure, rest: str) -> None:
    """Put a legend below a figure, of what its axes have labelled."""
    labels = [text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]]
    figure.legend(
        loc="outside lower left", ncols=_columns(labels)[0], fontsize=8,
        title=rest.removeprefix(" and ") or None, title_fontsize=8, alignment="left",
    )  # fmt: skip


def legend_height(labels: Iterable[str]) -> float:
    """Return the height of a legend, in inches."""
    return 0.12 + 0.18 * _columns(labels)[1]


_LETTERS = 110  # of a legend's line


def draw_picture(
    name: str, alternative: str, draw: Callable[[Figure], None], size: tuple[float, float]
) -> Picture:
    """Return a picture.

    Args:
        name: of its file, without a suffix.
        alternative: what it shows, in words.
        draw: what draws it.
        size: width and height in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_RC, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg ") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', _short, svg)
    return Picture(name, alternative, re.sub(r"\s*\n\s*", "\n", svg))


def _short(attribute: re.Match[str]) -> str:
    """Return an attribute with two decimals for each number, which no eye can tell."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def _recoloured(svg: str, colours: Mapping[str, str]) -> str:
    for role, colour in colours.items():
        svg = svg.replace(role, colour)
    return svg
