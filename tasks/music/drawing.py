"""Piano rolls as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from seqbench.tasks.music.midi import Held

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NATURALS = dict(zip((2, 4, 5, 7, 9), "DEFGA", strict=True))
"""Letters by semitones above C; a B's would touch the C's."""


class Layer(NamedTuple):
    """Notes of one colour."""

    label: str
    colour: str
    notes: Sequence[Held]
    height: float = 0.8
    """Of a bar, in semitones."""


def draw_notes(axes: Axes, layers: Iterable[Layer], steps_per_quarter: int) -> None:
    """Draw notes as bars over time in quarter notes, with a line and a label for each octave."""
    layers = list(layers)
    for label, colour, notes, height in layers:
        axes.barh(
            [note.pitch for note in notes],
            [(note.last - note.first) / steps_per_quarter for note in notes],
            left=[note.first / steps_per_quarter for note in notes],
            height=height, label=label,
            color=colour, edgecolor="white", linewidth=0.6, zorder=2,
        )  # fmt: skip
    pitches = [note.pitch for layer in layers for note in layer.notes] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    shown = range(low, high + 1)
    octaves = [pitch for pitch in shown if pitch % 12 == 0]
    others = [pitch for pitch in shown if pitch % 12 in _NATURALS]
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves], weight="bold")
    axes.set_yticks(others, [_NATURALS[pitch % 12] for pitch in others], minor=True, fontsize=6)
    axes.tick_params(axis="y", which="minor", length=2)
    axes.grid(axis="y", which="major", color="#9ca3af", linewidth=0.9, zorder=0)
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.set_xlabel("quarter notes")
    axes.set_ylabel("pitch (C4 is middle C)")
    axes.spines[["top", "right"]].set_visible(False)
