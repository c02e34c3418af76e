"""A picture of a user's sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqbench.tasks.data.collection import Collection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 4
"""Columns of a sequence, at most."""


def draw_series(figure: Figure, collection: Collection) -> str:
    """Draw the first columns of two sequences, of different labels if there are any.

    Returns:
        A sentence that says what is to be seen.
    """
    first = collection.series[0]
    second = next(
        (item for item in collection.series if item.labels[:1] != first.labels[:1]),
        collection.series[-1],
    )
    panels = figure.subplots(1, 2, sharey=True)
    for axes, item in zip(panels, (first, second), strict=True):
        for place, name in enumerate(collection.columns[:SHOWN]):
            axes.plot(np.arange(len(item.values)), item.values[:, place], label=name)
        label = f": {item.labels[0]}" if len(item.labels) == 1 else ""
        axes.set_title(f"{item.name}{label}"[:40], fontsize=10)
        axes.set_xlabel("step")
    panels[1].legend(frameon=False, fontsize=8)
    return f"Two of the {len(collection.series)} sequences: up to {SHOWN} of their columns."
