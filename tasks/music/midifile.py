"""The notes of a user's MIDI file, and nothing else of it: each byte of a track is checked.

A reader of its own, because others refuse a whole file for a key signature that makes no sense and
that no roll shows, or take whatever size a damaged file declares. Standard: MIDI Manufacturers
Association, Standard MIDI Files 1.0 (RP-001).
"""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from pathlib import Path

from seqbench.config.userdata import Bad
from seqbench.tasks.music.pianoroll import MOST_FRAMES, STEPS_PER_QUARTER, Note

MOST_BYTES = 5_000_000
"""Of a file. Hours of music take some hundred thousand."""
MOST_QUARTERS = MOST_FRAMES // max(STEPS_PER_QUARTER.values())
"""Length of a piece in quarter notes."""

_DAMAGED = "it is damaged: export or copy it anew"
_DRUMS = 9  # MIDI channel 10, counted from 0
_NOTE_OFF, _NOTE_ON = 0x8, 0x9  # upper halves of a status byte
_ONE_BYTE = (0xC, 0xD)  # program change and channel pressure: one byte follows, not two
_META, _SYSTEM, _END_OF_TRACK = 0xFF, (0xF0, 0xF7), 0x2F


def read_midi(path: Path) -> tuple[list[list[Note]], int]:
    """Return the notes of each piece of a MIDI file, and its ticks per quarter note.

    The tracks of a file of type 0 or 1 sound together: one piece. Each track of a file of type 2 is
    a piece, be it without a note. Every channel but the drums' (channel 10) counts; tempo and the
    sustain pedal do not matter. A note that never ends is left out.

    Raises:
        Bad: the file is damaged, counts time in seconds (SMPTE), or is longer than
            :data:`MOST_QUARTERS`.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Bad(f"it has {size:,} bytes; a MIDI file has at most {MOST_BYTES:,}")
    content = path.read_bytes()
    kind, ticks, tracks = _tracks(content)
    pieces: list[list[Note]] = []
    problems: list[str] = []
    for start, end in tracks:
        try:
            pieces.append(_notes(content[start:end], start, ticks))
        except Bad as error:
            problems += error.problems
    if problems:
        raise Bad(*problems)
    if kind != 2:
        pieces = [[note for notes in pieces for note in notes]]
    return pieces, ticks


def _tracks(content: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Return a file's type, its ticks per quarter note, and where its tracks begin and end."""
    if not content:
        raise Bad("it is empty")
    if content[:4] != b"MThd":
        raise Bad(f"byte 0: it begins with {content[:4]!r}, not with b'MThd': it is no MIDI file")
    if len(content) < 14:
        raise Bad(f"byte {len(content)}: it ends inside its header; {_DAMAGED}")
    size, kind, count, division = struct.unpack_from(">IHHH", content, 4)
    if size < 6:
        raise Bad(f"byte 4: its header declares {size} bytes, not 6; {_DAMAGED}")
    if kind > 2:
        raise Bad(f"byte 8: its type is {kind}; MIDI files are of type 0, 1 or 2")
    if division & 0x8000:
        raise Bad(
            "byte 12: it counts time in seconds (SMPTE); export it with ticks per quarter note"
        )
    if not division:
        raise Bad(f"byte 12: it declares 0 ticks per quarter note; {_DAMAGED}")
    if not count:
        raise Bad("byte 10: it declares no track")
    tracks: list[tuple[int, int]] = []
    at = 8 + size
    while len(tracks) < count:
        name, held = content[at : at + 4], content[at + 4 : at + 8]
        if len(held) < 4:
            raise Bad(
                f"byte {len(content):,}: it ends after {len(tracks)} of the {count} tracks that it"
                f" declares; {_DAMAGED}"
            )
        start, end = at + 8, at + 8 + int.from_bytes(held, "big")
        if end > len(content):
            raise Bad(
                f"byte {at:,}: track {len(tracks) + 1} declares {end - start:,} bytes and holds"
                f" {len(content) - start:,}; {_DAMAGED}"
            )
        if name == b"MTrk":
            tracks.append((start, end))
        elif not (name.isascii() and name.decode().isprintable()):  # a chunk of another kind
            raise Bad(f"byte {at:,}: no track begins here, but {name!r}; {_DAMAGED}")
        at = end
    if content[at : at + 4] == b"MTrk":
        raise Bad(f"byte {at:,}: another track follows the {count} that it declares; {_DAMAGED}")
    return kind, division, tracks


def _notes(track: bytes, start: int, ticks: int) -> list[Note]:
    """Return the notes of a track's events.

    Args:
        track: its bytes.
        start: where they begin in the file, for messages.
        ticks: per quarter note.
    """
    notes: list[Note] = []
    sounding: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    at = now = status = 0
    try:
        while at < len(track):
            event = at
            wait, at = _number(track, at, start)
            now += wait
            first = track[at]
            if first == _META or first in _SYSTEM:
                kind = track[at + 1] if first == _META else None
                length, at = _number(track, at + 1 + (first == _META), start)
                at += length
                if at > len(track):
                    raise IndexError
                if kind == _END_OF_TRACK:
                    break
                if first != _META:  # the standard lets both end a running status; files do not
                    status = 0
                continue
            if first > _META - 0x10:
                raise Bad(f"byte {start + at:,}: {first:#x} begins no event; {_DAMAGED}")
            if first & 0x80:
                status = first
                at += 1
            elif not status:
                raise Bad(f"byte {start + at:,}: {first:#x} begins no event; {_DAMAGED}")
            kind, channel = status >> 4, status & 0xF
            parameters = track[at : at + (1 if kind in _ONE_BYTE else 2)]
            at += 1 if kind in _ONE_BYTE else 2
            if at > len(track):
                raise IndexError
            if max(parameters) > 0x7F:
                raise Bad(
                    f"byte {start + event:,}: an event holds {max(parameters)}, more than 127;"
                    f" {_DAMAGED}"
                )
            if kind not in (_NOTE_OFF, _NOTE_ON) or channel == _DRUMS:
                continue
            pitch, velocity = parameters
            begun = sounding[channel, pitch]
            if kind == _NOTE_ON and velocity:
                begun.append(now)
            elif begun:
                if now > MOST_QUARTERS * ticks:
                    raise Bad(
                        f"byte {start + event:,}: a note ends after {now // ticks:,} quarter notes;"
                        f" a piece has at most {MOST_QUARTERS:,}"
                    )
                notes.append(Note(begun.popleft(), now, pitch))
    except IndexError:
        where = start + len(track)
        raise Bad(f"byte {where:,}: a track ends inside an event; {_DAMAGED}") from None
    if any(track[at:]):  # zeros may fill it up
        raise Bad(f"byte {start + at:,}: events follow the end of a track; {_DAMAGED}")
    return notes


def _number(track: bytes, at: int, start: int) -> tuple[int, int]:
    """Return a number of variable length, at most four bytes, and where it ends."""
    value = 0
    for place in range(at, at + 4):
        value = value << 7 | track[place] & 0x7F
        if track[place] < 0x80:
            return value, place + 1
    raise Bad(f"byte {start + at:,}: a number has more than four bytes; {_DAMAGED}")
