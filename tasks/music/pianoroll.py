"""Piano rolls: from notes to frames, near-duplicate pieces, and the split of a corpus.

Legend: T frames of a piece; 88 keys, MIDI notes 21 (A0) to 108 (C8). A roll is ``[T, 88]`` uint8, 1
where a key sounds.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.errors import Refused
from seqbench.records import DEAL, Deal

KEYS = 88
LOWEST = 21
"""MIDI note number of the first key."""
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
"""Each split's share of the frames."""
STEPS_PER_QUARTER = {"quarter": 1, "sixteenth": 4}
"""Frames per quarter note of each grid."""
MOST_FRAMES = 100_000
"""Length of a piece: seven hours of sixteenths at 60 quarters a minute. A damaged file asks for
more."""
SHINGLE = 3
"""Chords per shingle, see :func:`near_duplicate_groups`."""
OVERLAP = 0.3
"""Share of the shorter piece's shingles that makes two pieces near-duplicates."""

Grid = Literal["quarter", "sixteenth"]
Roll = NDArray[np.uint8]
Line = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""What a voice sings in each frame: MIDI note numbers ``[T]``, 0 where it rests; and ``[T]``, true
where that note is another than the frame's before, be it of the same pitch."""
Shingle = tuple[tuple[int, ...], ...]


class Note(NamedTuple):
    """A sounding note: it is heard at every instant t with ``onset <= t < offset``."""

    onset: int
    """Ticks from the beginning of the piece."""
    offset: int
    """Ticks from the beginning of the piece."""
    pitch: int
    """MIDI note number, 60 is middle C."""


def to_roll(notes: Iterable[Note], ticks_per_quarter: int, grid: Grid) -> Roll:
    """Return the roll ``[T, 88]``: frame k holds the notes that sound at the grid's k-th instant.

    Tied notes need no merging, since only what sounds counts. T covers the last note that sounds on
    the grid; notes off the keyboard are left out.
    """
    firsts, lasts, keys = [], [], []
    for note in notes:
        first, last = _frames(note, ticks_per_quarter, grid)
        if first < last and LOWEST <= note.pitch < LOWEST + KEYS:
            firsts.append(first)
            lasts.append(last)
            keys.append(note.pitch - LOWEST)
    # as many steps for each note, however long it is held
    changes = np.zeros((max(lasts, default=0) + 1, KEYS), dtype=np.int32)
    np.add.at(changes, (firsts, keys), 1)
    np.add.at(changes, (lasts, keys), -1)
    sounding: Roll = (changes.cumsum(axis=0, dtype=np.int32)[:-1] > 0).astype(np.uint8)
    return sounding


def to_line(notes: Iterable[Note], ticks_per_quarter: int, grid: Grid, frames: int) -> Line:
    """Return what a voice sings in each frame, see :func:`to_roll`.

    Args:
        notes: of the voice, one at a time, tied ones merged.
        ticks_per_quarter: of the notes.
        grid: frames per quarter note.
        frames: T, the piece's.
    """
    pitches = np.zeros(frames, dtype=np.uint8)
    begins = np.zeros(frames, dtype=np.bool_)
    for note in notes:
        first, last = _frames(note, ticks_per_quarter, grid)
        pitches[first:last] = note.pitch
        if first < last:
            begins[first] = True
    return pitches, begins


def near_duplicate_groups(rolls: Sequence[Roll]) -> list[int]:
    """Return a group number for each piece; pieces that are nearly the same share one.

    A piece's frames are read as a succession of chords, silences left out and repeated chords
    merged. A shingle is :data:`SHINGLE` chords in a row, each written as intervals above the lowest
    note of the first, so that a shingle is the same in every key. Two pieces are near-duplicates if
    they share at least :data:`OVERLAP` of the shorter one's set of shingles (overlap coefficient;
    unlike Jaccard's it also sees an excerpt). Groups are the connected components, numbered by
    their first piece. The method is w-shingling (Broder 1997, "On the resemblance and containment
    of documents") on chords.

    Args:
        rolls: one roll per piece, on the quarter grid: passing notes then do not hide a duplicate.
    """
    shingles = [_shingles(roll) for roll in rolls]
    holders: dict[Shingle, list[int]] = defaultdict(list)
    for piece, found in enumerate(shingles):
        for shingle in found:
            holders[shingle].append(piece)
    shared = Counter(
        pair for pieces in holders.values() for pair in itertools.combinations(pieces, 2)
    )
    parent = list(range(len(rolls)))

    def root(piece: int) -> int:
        while parent[piece] != piece:
            piece = parent[piece]
        return piece

    for (first, second), count in shared.items():
        if count >= OVERLAP * min(len(shingles[first]), len(shingles[second])):
            low, high = sorted((root(first), root(second)))
            parent[high] = low
    roots = [root(piece) for piece in range(len(rolls))]
    numbers = {piece: number for number, piece in enumerate(sorted(set(roots)))}
    return [numbers[piece] for piece in roots]


def split_by_group(
    names: Sequence[str], groups: Sequence[int], frames: Sequence[int], split_seed: int
) -> list[str]:
    """Return each piece's split, about 60/20/20 by frames; groups stay whole.

    Groups come in the order of a hash of the deal and their first name: the same on every machine.
    Each goes to the split that is least full for its share (:data:`SHARES`), and training is three
    parts of equal shares; the last groups go to parts that are empty. Of these five parts the
    seed's fold (:class:`~seqbench.records.Deal`) is for test, the next for validation, the others
    for training.

    Args:
        names: of the pieces, unique.
        groups: of each piece, from :func:`near_duplicate_groups`.
        frames: of each piece, its weight.
        split_seed: which deal, and which of its five folds is tested.

    Raises:
        Refused: there are too few groups for that fold.
    """
    deal = Deal.of(split_seed)
    members: dict[int, list[int]] = defaultdict(list)
    for piece, group in enumerate(groups):
        members[group].append(piece)

    def order(group: int) -> bytes:
        first = min(names[piece] for piece in members[group])
        return hashlib.sha256(f"{deal.number}:{first}".encode()).digest()

    filled, empty = [0] * DEAL, list(range(DEAL))
    chosen = [0] * len(names)
    for place, group in enumerate(sorted(members, key=order)):
        splits = {name: sum(filled[part] for part in parts) for name, parts in _PARTS.items()}
        split = min(SHARES, key=lambda name: splits[name] / SHARES[name])
        part = min(_PARTS[split], key=filled.__getitem__)
        if len(members) - place <= len(empty) and part not in empty:
            part = empty[0]
        if part in empty:
            empty.remove(part)
        for piece in members[group]:
            chosen[piece] = part
            filled[part] += frames[piece]
    roles = {deal.fold: "test", (deal.fold + 1) % DEAL: "valid"}
    found = [roles.get(part, "train") for part in chosen]
    if missing := [split for split in SHARES if split not in found]:
        raise Refused(
            f"task.split_seed={split_seed}: {len(members)} pieces that differ are too few for five"
            f" test folds: none is left for {missing[0]}; use more pieces, or"
            f" task.split_seed={deal.number * DEAL}"
        )
    return found


_PARTS = {"train": (2, 3, 4), "valid": (1,), "test": (0,)}
"""The parts of each split, for the first fold of a deal."""


def _frames(note: Note, ticks_per_quarter: int, grid: Grid) -> tuple[int, int]:
    """Return a note's first frame and the one after its last; they are equal if it has none."""
    steps = STEPS_PER_QUARTER[grid]
    # ceilings: the first instant not before the onset, and the first not before the offset
    first = -(-note.onset * steps // ticks_per_quarter)
    last = -(-note.offset * steps // ticks_per_quarter)
    return first, last


def _shingles(roll: Roll) -> set[Shingle]:
    chords = [np.flatnonzero(frame).tolist() for frame in roll]
    chords = [chord for chord, _ in itertools.groupby(chord for chord in chords if chord)]
    found = set()
    # a piece with fewer chords is one shingle
    for start in range(max(len(chords) - SHINGLE + 1, min(len(chords), 1))):
        lowest = chords[start][0]
        found.add(
            tuple(tuple(key - lowest for key in chord) for chord in chords[start : start + SHINGLE])
        )
    return found
