"""Piano rolls from a user's own files: the papers', an ``.npz``, or a folder of MIDI files."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from seqbench.errors import Refused
from seqbench.tasks.music.pianoroll import (
    KEYS,
    LOWEST,
    SHARES,
    Grid,
    Note,
    Roll,
    near_duplicate_groups,
    split_by_group,
    to_roll,
)

SPLITS = tuple(SHARES)
"""``train``, ``valid``, ``test``."""


class Piece(NamedTuple):
    """A piece of a user's file or folder."""

    name: str
    roll: Roll
    """``[T, 88]``, T at least 1."""


Pieces = dict[str, list[Piece]]
"""The pieces of each split."""


def load_source(path: Path, grid: Grid, split_seed: int) -> Pieces:
    """Return the pieces of each split, from whatever the path is.

    Args:
        path: a ``.mat``, ``.pkl``, ``.pickle`` or ``.npz`` file, or a folder of MIDI files.
        grid: of MIDI files; the other forms are rolls already.
        split_seed: of a MIDI folder without ``train``, ``valid`` and ``test`` subfolders.

    Raises:
        Refused: the path is missing, damaged, or not of the form; one line that names it.
    """
    if path.is_dir():
        return _load_midi_folder(path, grid, split_seed)
    if not path.exists():
        raise Refused(f"task.source '{path}' does not exist")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise Refused(f"task.source '{path}' is neither a {known} file nor a folder of MIDI files")
    try:
        sequences = reader(path)
        pieces = {split: _pieces(sequences, split) for split in SPLITS}
    except Exception as error:  # a damaged file can raise anything inside its reader
        raise Refused(f"task.source '{path}' cannot be read: {_one_line(error)}") from error
    return pieces


def read_midi(path: Path) -> tuple[list[Note], int]:
    """Return a MIDI file's notes, and its ticks per quarter note.

    Every track and channel but the drums' (channel 10) counts; tempo and the sustain pedal do not
    matter.

    Raises:
        Refused: the file cannot be read, or counts time in seconds (SMPTE).
    """
    import mido

    notes: list[Note] = []
    try:
        file = mido.MidiFile(path)
        if file.ticks_per_beat <= 0:
            raise ValueError("its time is in seconds (SMPTE), not in quarter notes")
        for track in file.tracks:
            now = 0
            sounding: dict[tuple[int, int], list[int]] = defaultdict(list)
            for message in track:
                now += message.time
                if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
                    continue
                key = (message.channel, message.note)
                if message.type == "note_on" and message.velocity:
                    sounding[key].append(now)
                elif sounding[key]:
                    notes.append(Note(sounding[key].pop(0), now, message.note))
    except Exception as error:  # a damaged file can raise anything inside mido
        raise Refused(f"MIDI file '{path}' cannot be read: {_one_line(error)}") from error
    return notes, file.ticks_per_beat


_DRUMS = 9  # MIDI channel 10, counted from 0


def _load_midi_folder(folder: Path, grid: Grid, split_seed: int) -> Pieces:
    given = [split for split in SPLITS if (folder / split).is_dir()]
    if given and len(given) < len(SPLITS):
        missing = ", ".join(split for split in SPLITS if split not in given)
        raise Refused(f"task.source '{folder}' has a subfolder {given[0]} but lacks {missing}")
    if given:
        return {split: _midi_pieces(folder / split, folder, grid)[0] for split in SPLITS}
    pieces, on_quarters = _midi_pieces(folder, folder, grid)
    groups = near_duplicate_groups(on_quarters)
    if len(set(groups)) < len(SPLITS):
        raise Refused(
            f"task.source '{folder}': {len(set(groups))} of its {len(pieces)} pieces differ;"
            f" a split needs {len(SPLITS)}"
        )
    names = [piece.name for piece in pieces]
    chosen = split_by_group(names, groups, [len(roll) for roll in on_quarters], split_seed)
    by_split: Pieces = {split: [] for split in SPLITS}
    for piece, split in zip(pieces, chosen, strict=True):
        by_split[split].append(piece)
    return by_split


def _midi_pieces(folder: Path, source: Path, grid: Grid) -> tuple[list[Piece], list[Roll]]:
    """Return a folder's pieces on the grid, named by their path in the source, and on quarters."""
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi", ".kar")
    )
    if not paths:
        raise Refused(f"folder '{folder}' holds no MIDI files (.mid, .midi)")
    pieces, on_quarters = [], []
    for path in paths:
        notes, ticks = read_midi(path)
        roll = to_roll(notes, ticks, grid)
        if not len(roll):
            raise Refused(f"MIDI file '{path}' has no note on the {grid} grid of an 88-key piano")
        pieces.append(Piece(path.relative_to(source).as_posix(), roll))
        on_quarters.append(to_roll(notes, ticks, "quarter"))
    return pieces, on_quarters


def _read_mat(path: Path) -> Mapping[str, Any]:
    import scipy.io

    file = scipy.io.loadmat(path)
    names = {split: f"{split}data" for split in SPLITS}
    missing = [name for name in names.values() if name not in file]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    return {split: file[name].ravel() for split, name in names.items()}


def _read_npz(path: Path) -> Mapping[str, Any]:
    sequences = {}
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        wanted = [name for split in SPLITS for name in (split, f"{split}_lengths")]
        missing = [name for name in wanted if name not in file]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        for split in SPLITS:
            frames, lengths = file[split], file[f"{split}_lengths"]
            if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.sum() != len(frames):
                raise ValueError(f"{split}_lengths are not integers that add up to len({split})")
            sequences[split] = np.split(frames, np.cumsum(lengths)[:-1])
    return sequences


def _read_pickle(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        data = _DataUnpickler(file).load()
    if not isinstance(data, dict):
        raise ValueError(f"it holds a {type(data).__name__}, not a dict of train, valid, test")
    missing = [split for split in SPLITS if split not in data]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    return data


_READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    ".mat": _read_mat,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
    ".npz": _read_npz,
}


class _DataUnpickler(pickle.Unpickler):
    """Loads plain containers, numbers and numpy arrays; every other class or function is refused.

    A pickle is a program: one that names ``os.system`` runs it. Here only what rebuilds arrays can
    be named.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the papers' files

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed object, or raise ``UnpicklingError``."""
        allowed = _allowed_globals().get(name)
        if allowed is None or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(
                f"it names {module}.{name}; only containers, numbers and numpy arrays are allowed"
            )
        return allowed


def _allowed_globals() -> dict[str, Any]:
    import codecs

    # numpy's own reducers, by whichever private module of numpy they are pickled
    return {
        "ndarray": np.ndarray,
        "dtype": np.dtype,
        "_reconstruct": np.zeros(1).__reduce__()[0],
        "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
        "scalar": np.float64(0).__reduce__()[0],
        "encode": codecs.encode,
    }


def _pieces(sequences: Mapping[str, Any], split: str) -> list[Piece]:
    pieces = []
    for index, sequence in enumerate(sequences[split]):
        name = f"{split}-{index}"
        pieces.append(Piece(name, _checked_roll(sequence, name)))
    if not pieces:
        raise ValueError(f"{split} is empty")
    return pieces


def _checked_roll(sequence: Any, name: str) -> Roll:
    """Return the roll of a ``[T, 88]`` array, or of a list of frames of MIDI notes."""
    if not isinstance(sequence, np.ndarray):
        return _roll_of_notes(sequence, name)
    if sequence.ndim != 2 or sequence.shape[1] != KEYS or not len(sequence):
        raise ValueError(f"{name} is of shape {list(sequence.shape)}, not [T, {KEYS}]")
    if sequence.dtype.kind not in "biuf" or not np.isin(sequence, (0, 1)).all():
        raise ValueError(f"{name} holds values other than 0 and 1")
    return sequence.astype(np.uint8)


def _roll_of_notes(frames: Any, name: str) -> Roll:
    roll = np.zeros((len(frames), KEYS), dtype=np.uint8)
    if not len(roll):
        raise ValueError(f"{name} has no frames")
    for step, frame in enumerate(frames):
        for note in frame:
            if not LOWEST <= note < LOWEST + KEYS or note != int(note):
                raise ValueError(
                    f"{name} has the note {note} at frame {step}; MIDI notes are"
                    f" {LOWEST}..{LOWEST + KEYS - 1}"
                )
            roll[step, int(note) - LOWEST] = 1
    return roll


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
