"""A picture of a task's data, as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.errors import Refused, why_not

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_picture(draw: Callable[[Figure], str], path: Path) -> str:
    """Draw into a file and return the caption.

    Args:
        draw: draws on an empty figure and returns its caption, empty if it draws nothing.
        path: the file to write; its suffix decides the format (``.png``, ``.svg``, ``.pdf``).

    Raises:
        Refused: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    caption = draw(figure)
    if caption:
        try:
            figure.savefig(path)
        except OSError as error:
            raise Refused(f"picture={path} cannot be written: {why_not(error)}") from error
        except ValueError as error:  # matplotlib's word for a suffix that it does not know
            raise Refused(f"picture={path} must end in .png, .svg or .pdf") from error
    return caption
