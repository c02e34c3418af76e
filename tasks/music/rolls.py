"""Piano rolls in the forms of the papers' files: Matlab, pickle and npz, none of them trusted.

A file may be damaged or made to do harm. So the size of what it declares is known before memory is
asked for, and a pickle names nothing but numbers and arrays.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqbench.config.userdata import Bad
from seqbench.tasks.music.matfile import read_lists
from seqbench.tasks.music.pianoroll import KEYS, LOWEST, MOST_FRAMES, SHARES, Roll
from seqbench.tasks.music.pickles import load_pickle

SPLITS = tuple(SHARES)
"""``train``, ``valid``, ``test``."""
MOST_BYTES = 2**29
"""Of a file, once it is unpacked."""
MOST_PIECES = 200_000
_TOO_LARGE = f"it unpacks to more than {MOST_BYTES // 2**20} MiB; keep fewer pieces, or uint8"
_SHOWN = 150  # letters of another library's message


def read_rolls(path: Path) -> dict[str, Sequence[Any]]:
    """Return the pieces of each split as the file holds them, for :func:`checked_roll`.

    Raises:
        Bad: the file is damaged, too large, or lacks a split.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise Bad(_TOO_LARGE)
    try:
        found = READERS[path.suffix.lower()](path.read_bytes())
    except Bad:
        raise
    except Exception as error:  # a damaged file can raise anything inside its reader
        raise Bad(f"it cannot be read: {_one_line(error)}") from error
    for split, pieces in found.items():
        if not isinstance(pieces, Sequence | np.ndarray) or isinstance(pieces, str | bytes):
            raise Bad(f"{split} is a {type(pieces).__name__}, no list of pieces")
    empty = [split for split, pieces in found.items() if not len(pieces)]
    if empty:
        raise Bad(f"{', '.join(empty)}: no pieces")
    if sum(map(len, found.values())) > MOST_PIECES:
        raise Bad(f"it has more than {MOST_PIECES:,} pieces")
    return found


def checked_roll(piece: Any) -> Roll:
    """Return the roll of a ``[T, 88]`` array, or of a list of frames of MIDI notes.

    Raises:
        Bad: it is neither.
    """
    if isinstance(piece, np.ndarray) and piece.dtype != object:
        if piece.ndim != 2 or piece.shape[1] != KEYS or not len(piece):
            raise Bad(f"its shape is {list(piece.shape)}, not [T, {KEYS}]")
        if piece.dtype.kind not in "biuf":
            raise Bad(f"it holds {piece.dtype}, not 0 and 1")
        _check_length(piece)
        wrong = np.argwhere(~np.isin(piece, (0, 1)))
        if len(wrong):
            frame, key = wrong[0]
            raise Bad(
                f"frame {frame}: key {key} is {piece[frame, key]}, not 0 or 1{_and_more(wrong)}"
            )
        return piece.astype(np.uint8)
    if not isinstance(piece, list | tuple | np.ndarray):
        kind = type(piece).__name__
        raise Bad(f"it is a {kind}, neither a [T, {KEYS}] array nor a list of frames of notes")
    if not len(piece):
        raise Bad("it has no frames")
    _check_length(piece)
    return _roll_of_notes(piece)


def _roll_of_notes(frames: Collection[Any]) -> Roll:
    roll = np.zeros((len(frames), KEYS), dtype=np.uint8)
    problems = []
    for step, frame in enumerate(frames):
        notes = frame.tolist() if isinstance(frame, np.ndarray) else frame
        if not isinstance(notes, list | tuple | set | frozenset) or len(notes) > KEYS:
            problems.append(f"frame {step} is no list of at most {KEYS} MIDI notes")
            continue
        for note in notes:
            if not isinstance(note, int | float) or not LOWEST <= note < LOWEST + KEYS:
                allowed = f"MIDI notes are {LOWEST}..{LOWEST + KEYS - 1}"
                problems.append(f"frame {step} has the note {_short(note)}; {allowed}")
            elif note != int(note):
                problems.append(f"frame {step} has the note {note}, no whole number")
            else:
                roll[step, int(note) - LOWEST] = 1
    if problems:
        raise Bad(problems[0] + _and_more(problems))
    return roll


def _check_length(piece: Collection[Any]) -> None:
    if len(piece) > MOST_FRAMES:
        raise Bad(f"it has {len(piece):,} frames; a piece has at most {MOST_FRAMES:,}: cut it")


def _read_mat(content: bytes) -> dict[str, Any]:
    names = {split: f"{split}data" for split in SPLITS}
    found = read_lists(content, names.values(), MOST_BYTES)
    _check_names(names.values(), found)
    return {split: found[name] for split, name in names.items()}


def _read_npz(content: bytes) -> dict[str, Any]:
    sequences = {}
    if not content.startswith(b"PK\3\4"):
        raise Bad(
            f"byte 0: it begins with {content[:4]!r}, not with b'PK\\x03\\x04': it is no npz file"
        )
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        names = [name for split in SPLITS for name in (split, f"{split}_lengths")]
        _check_names(names, [name.removesuffix(".npy") for name in file.namelist()])
        if sum(file.getinfo(f"{name}.npy").file_size for name in names) > MOST_BYTES:
            raise Bad(_TOO_LARGE)
        arrays = {name: _array(file.read(f"{name}.npy"), name) for name in names}
    for split in SPLITS:
        frames, lengths = arrays[split], arrays[f"{split}_lengths"]
        if frames.ndim != 2 or frames.shape[1] != KEYS:
            raise Bad(f"the shape of {split} is {list(frames.shape)}, not [T, {KEYS}]")
        total = len(frames)
        if (
            lengths.ndim != 1
            or lengths.dtype.kind not in "iu"
            or ((lengths < 0) | (lengths > total)).any()
            or lengths.sum() != total
        ):
            raise Bad(f"{split}_lengths are not whole numbers that add up to len({split}), {total}")
        sequences[split] = np.split(frames, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return sequences


def _array(content: bytes, name: str) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, once its header agrees with its size."""
    opened = io.BytesIO(content)
    version = np.lib.format.read_magic(opened)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise Bad(f"{name} is of version {version} of the npy format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        shape, _, dtype = readers[version](opened)
        held = len(content) - opened.tell()
        if dtype.kind not in "biuf":
            raise Bad(f"{name} holds {dtype}, not numbers")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != held:
            raise Bad(
                f"{name} declares the shape {list(shape)} of {dtype} and holds {held:,} bytes"
            )
        opened.seek(0)
        found: NDArray[Any] = np.lib.format.read_array(opened, allow_pickle=False)
    return found


def _read_pickle(content: bytes) -> dict[str, Any]:
    data = load_pickle(content)
    if not isinstance(data, dict):
        raise Bad(f"it holds a {type(data).__name__}, not a dict of {', '.join(SPLITS)}")
    _check_names(SPLITS, data)
    return {split: data[split] for split in SPLITS}


READERS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    ".mat": _read_mat,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
    ".npz": _read_npz,
}
"""Of the bytes of a file, by its suffix."""


def _check_names(names: Collection[str], found: Collection[Any]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        there = _short(", ".join(map(str, found))) or "none of them"
        raise Bad(f"it has no {', '.join(missing)}; it has {there}")


def _and_more(found: Collection[Any]) -> str:
    return f" (and {len(found) - 1:,} more like it)" if len(found) > 1 else ""


def _short(value: object) -> str:
    """Return a value of a user's file in a few letters."""
    try:
        text = str(value)
    except ValueError:  # a whole number of thousands of digits
        return f"a {type(value).__name__}"
    return _printable(text if len(text) <= 40 else f"{text[:40]}...")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:_SHOWN]
    return _printable(text) or type(error).__name__


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
