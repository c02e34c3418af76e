"""The four-part chorales of J. S. Bach from music21's corpus: MusicXML to rolls and voices."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.errors import Refused
from seqbench.tasks._archive import Archive, Arrays, cached_arrays, read_members
from seqbench.tasks.music.pianoroll import (
    KEYS,
    Grid,
    Note,
    Roll,
    near_duplicate_groups,
    to_line,
    to_roll,
)

ARCHIVE = Archive(
    package="music21",
    version="10.5.1",
    filename="music21-10.5.1-py3-none-any.whl",
    sha256="dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    size=20_118_992,
    members=r"music21/corpus/bach/bwv[^/]*\.(mxl|xml)",
    members_sha256="47a5b6db7988e0dcc44a931db785876e361c7180041d0f9bacd6e74cfb6d3249",
)
PARSER_VERSION = "2"
"""Changes whenever the same archive would give other arrays."""
VOICES = ("Soprano", "Alto", "Tenor", "Bass")
"""The parts of every score in four parts, by their names in the scores, in order."""
TICKS = 10_080
"""Ticks per quarter note; every ``<divisions>`` of the corpus divides it."""

# The elements that place notes in time, in document order. A note that this cannot read is caught
# by the last line.
_ELEMENT = re.compile(
    rb"""
      <(?P<opened>part|measure)[\s>]
    | <divisions>(?P<divisions>\d+)
    | <transpose[\s>](?P<transpose>.*?)</transpose>
    | <(?P<move>backup|forward)>\s*<duration>(?P<distance>\d+)
    | <note(?:\s[^>]*)?>\s*(?:
          (?P<grace><grace)
        | (?P<chord><chord\s*/>\s*)?
          (?: <pitch>\s*<step>(?P<step>[A-G])</step>\s*
              (?:<alter>(?P<alter>-?\d+)</alter>\s*)?<octave>(?P<octave>\d)</octave>\s*</pitch>
            | <rest[^>]*>(?:\s*<display-\w+>\w+</display-\w+>)*(?:\s*</rest>)? )
          \s*<duration>(?P<duration>\d+)</duration>
          (?P<ties>(?:\s*<tie\s[^>]*>)*) )
    | <(?P<unreadable>note|backup|forward)[\s>]
    """,
    re.DOTALL | re.VERBOSE,
)
_CHROMATIC = re.compile(rb"<chromatic>\s*(-?\d+)")
_OCTAVES = re.compile(rb"<octave-change>\s*(-?\d+)")
_SEMITONES = dict(zip(b"CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))


class Chorales(NamedTuple):
    """The corpus on one grid; the lists run alike, one item per piece, by name."""

    names: list[str]
    """For example ``bwv253``."""
    rolls: list[Roll]
    """``[T, 88]`` each."""
    groups: list[int]
    """Near-duplicates share a number; the same on every grid."""
    pitches: list[NDArray[np.uint8]]
    """``[T, 4]`` each, what :data:`VOICES` sing: MIDI note numbers, 0 where a voice rests."""
    begins: list[NDArray[np.bool_]]
    """``[T, 4]`` each, true where a voice's note is another than the frame's before."""
    quarters: list[int]
    """Frames on the quarter grid: the weight in the split, so that every grid is split alike."""


def load_chorales(grid: Grid) -> Chorales:
    """Return the chorales, from the cache if they were parsed before.

    Raises:
        Refused: the corpus cannot be fetched, or the cache folder cannot be written.
    """
    arrays = cached_arrays(f"chorales-{PARSER_VERSION}-{grid}.npz", lambda: _build(grid))
    frames = np.unpackbits(arrays["rolls"], axis=1, count=KEYS)
    ends = np.cumsum(arrays["lengths"])[:-1]
    return Chorales(
        names=arrays["names"].tolist(),
        rolls=np.split(frames, ends),
        groups=arrays["groups"].tolist(),
        pitches=np.split(arrays["pitches"], ends),
        begins=np.split(arrays["begins"], ends),
        quarters=arrays["quarters"].tolist(),
    )


def parse_corpus(members: Mapping[str, bytes]) -> dict[str, list[list[Note]]]:
    """Return the parts of every piece by name, for example ``bwv253``; any number of parts.

    Args:
        members: files by path; compressed (``.mxl``) or plain MusicXML.

    Raises:
        Refused: a file cannot be read.
    """
    pieces = {}
    for path in sorted(members):
        try:
            document = members[path]
            if path.endswith(".mxl"):
                document = _unzip(document)
            pieces[PurePosixPath(path).stem] = parse_musicxml(document)
        except (ValueError, zipfile.BadZipFile) as error:
            raise Refused(f"cannot read '{path}' of {ARCHIVE.filename}: {error}") from error
    return pieces


def parse_musicxml(document: bytes) -> list[list[Note]]:
    """Return the notes of each part of a partwise MusicXML score, at sounding pitch.

    Repeats are not expanded, grace notes are left out, ``<transpose>`` is added, tied notes are
    one.

    Raises:
        ValueError: an element cannot be read, or ``<divisions>`` does not divide :data:`TICKS`.
    """
    parts: list[list[Note]] = []
    ending: dict[tuple[int, int], int] = {}  # a part's notes by offset and pitch
    scale = transposition = now = chord_onset = furthest = 0
    for element in _ELEMENT.finditer(document):
        kind = element.lastgroup
        if kind == "opened":
            if element["opened"] == b"part":
                parts.append([])
                ending = {}
                scale = transposition = now = furthest = 0
            now = furthest  # a measure begins where the longest voice of the last one ended
        elif kind == "divisions":
            divisions = int(element["divisions"])
            if not divisions or TICKS % divisions:
                raise ValueError(f"<divisions> of {divisions} is not a divisor of {TICKS}")
            scale = TICKS // divisions
        elif kind == "transpose":
            transposition = _transposition(element["transpose"])
        elif kind == "distance":
            distance = int(element["distance"]) * scale
            now += distance if element["move"] == b"forward" else -distance
        elif kind == "ties":  # the last thing read of a note or rest
            duration = int(element["duration"]) * scale
            if not element["chord"]:
                chord_onset = now
                now += duration
            if element["step"]:
                pitch = 12 * (int(element["octave"]) + 1) + _SEMITONES[element["step"][0]]
                pitch += int(element["alter"] or 0) + transposition
                note = Note(chord_onset, chord_onset + duration, pitch)
                place = len(parts[-1])
                if b"stop" in element["ties"] and (note.onset, pitch) in ending:
                    place = ending.pop((note.onset, pitch))
                    note = note._replace(onset=parts[-1][place].onset)
                parts[-1][place : place + 1] = [note]
                ending[note.offset, pitch] = place
        elif kind == "unreadable":
            start = element.start()
            raise ValueError(f"unreadable element {document[start : start + 60]!r}")
        furthest = max(furthest, now)
    return parts


def _build(grid: Grid) -> Arrays:
    pieces = {
        name: parts
        for name, parts in parse_corpus(read_members(ARCHIVE)).items()
        if len(parts) == len(VOICES)
    }
    together = [[note for part in parts for note in part] for parts in pieces.values()]
    on_quarters = [to_roll(notes, TICKS, "quarter") for notes in together]
    rolls = [to_roll(notes, TICKS, grid) for notes in together]
    lines = [
        [to_line(part, TICKS, grid, len(roll)) for part in parts]
        for parts, roll in zip(pieces.values(), rolls, strict=True)
    ]
    return {
        "names": np.array(list(pieces)),
        "rolls": np.packbits(np.concatenate(rolls), axis=1),
        "lengths": np.array([len(roll) for roll in rolls]),
        "groups": np.array(near_duplicate_groups(on_quarters)),
        "pitches": np.concatenate([np.stack([x[0] for x in piece], axis=1) for piece in lines]),
        "begins": np.concatenate([np.stack([x[1] for x in piece], axis=1) for piece in lines]),
        "quarters": np.array([len(roll) for roll in on_quarters]),
    }


def _unzip(document: bytes) -> bytes:
    """Return the one score inside a compressed MusicXML file."""
    with zipfile.ZipFile(io.BytesIO(document)) as file:
        scores = [
            name
            for name in file.namelist()
            if name.endswith((".xml", ".musicxml")) and not name.startswith("META-INF/")
        ]
        if len(scores) != 1:
            raise ValueError(f"{len(scores)} scores in one file")
        return file.read(scores[0])


def _transposition(body: bytes) -> int:
    """Return semitones from written to sounding pitch."""
    chromatic, octaves = _CHROMATIC.search(body), _OCTAVES.search(body)
    return (int(chromatic[1]) if chromatic else 0) + 12 * (int(octaves[1]) if octaves else 0)
