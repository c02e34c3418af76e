"""A piano roll as a MIDI file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqbench.tasks.music.pianoroll import KEYS, LOWEST, STEPS_PER_QUARTER, Grid, Roll

QUARTERS_PER_MINUTE = 80
TICKS = 480
"""Ticks per quarter note."""
VELOCITY = 80
"""How hard every key is struck, of 127."""


class Held(NamedTuple):
    """A key that sounds through frames ``first``, ``first + 1``, ... ``last - 1``."""

    first: int
    last: int
    pitch: int
    """MIDI note number."""


def held_notes(roll: Roll) -> Iterator[Held]:
    """Yield a roll's notes, key by key from below; frames in a row are one note.

    A roll does not say whether a key was struck again: it is taken to be held.
    """
    for key in range(KEYS):
        changes = np.flatnonzero(np.diff(roll[:, key], prepend=0, append=0)).tolist()
        for first, last in zip(changes[::2], changes[1::2], strict=True):
            yield Held(first, last, key + LOWEST)


def write_midi(roll: Roll, grid: Grid, given: int, path: Path) -> None:
    """Write a roll as one piano track.

    Args:
        roll: ``[T, 88]``.
        grid: frames per quarter note; the tempo is :data:`QUARTERS_PER_MINUTE`.
        given: the frame that a marker "continuation" stands at.
        path: the file.

    Raises:
        OSError: it cannot be written.
    """
    import mido

    ticks = TICKS // STEPS_PER_QUARTER[grid]
    events = [(given * ticks, 1, mido.MetaMessage("marker", text="continuation"))]
    for first, last, pitch in held_notes(roll):
        on = mido.Message("note_on", note=pitch, velocity=VELOCITY)
        events.append((first * ticks, 2, on))
        # before what begins at the same tick, so that a key is free when it is struck again
        events.append((last * ticks, 0, mido.Message("note_off", note=pitch)))
    events.append((len(roll) * ticks, 3, mido.MetaMessage("end_of_track")))
    track = mido.MidiTrack(
        [
            mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(QUARTERS_PER_MINUTE)),
            mido.Message("program_change", program=0),  # acoustic grand piano
        ]
    )
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    mido.MidiFile(tracks=[track], ticks_per_beat=TICKS).save(path)
