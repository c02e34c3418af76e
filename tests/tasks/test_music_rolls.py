"""Damaged and hostile files of rolls: refused, or read as another reader reads them."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused
from seqbench.tasks.music import rolls, sources
from seqbench.tasks.music.pianoroll import KEYS, LOWEST
from seqbench.tasks.music.rolls import checked_roll, read_rolls

SPLITS = ("train", "valid", "test")
Check = Callable[..., None]
Rolls = dict[str, list[np.ndarray]]

NOTES = {
    "train": [[[60, 64], [62]], [[21, 108], [], [72]]],
    "valid": [[[50], [51]]],
    "test": [[[52], [53, 57, 60]], [[54]]],
}


def roll_of(frames: Any) -> np.ndarray:
    roll = np.zeros((len(frames), KEYS), np.uint8)
    for step, frame in enumerate(frames):
        for note in frame:
            roll[step, int(note) - LOWEST] = 1
    return roll


ROLLS = {split: [roll_of(piece) for piece in pieces] for split, pieces in NOTES.items()}


def equal(found: Rolls, expected: Rolls) -> bool:
    return found.keys() == expected.keys() and all(
        len(found[name]) == len(expected[name])
        and all(map(np.array_equal, found[name], expected[name]))
        for name in found
    )


def reader_of(path: Path) -> Callable[[bytes], Rolls]:
    """Return the task's reader of rolls; a bad piece refuses the file."""

    def read(content: bytes) -> Rolls:
        path.write_bytes(content)
        found = read_rolls(path)
        return {split: [checked_roll(piece) for piece in found[split]] for split in SPLITS}

    return read


# npz


def npz_files() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        for kind in (np.uint8, np.float64):
            arrays: dict[str, Any] = {}
            for split, pieces in ROLLS.items():
                arrays[split] = np.concatenate(pieces).astype(kind)
                arrays[f"{split}_lengths"] = np.array([len(piece) for piece in pieces])
            buffer = io.BytesIO()
            save(buffer, **arrays)
            found.append(buffer.getvalue())
    return found


def numpy_reads(content: bytes) -> Rolls:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {
            split: np.split(file[split], np.cumsum(file[f"{split}_lengths"])[:-1])
            for split in SPLITS
        }


def test_npz(tmp_path: Path, hostile: Check) -> None:
    hostile(npz_files(), reader_of(tmp_path / "x.npz"), numpy_reads, equal)


def npz_of(**arrays: tuple[str, bytes]) -> bytes:
    """Return an npz file of headers and contents that need not fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for split in SPLITS:
            for name in (split, f"{split}_lengths"):
                header, content = arrays.get(
                    name,
                    ("'|u1', 'fortran_order': False, 'shape': (1, 88)", bytes(88))
                    if name == split
                    else ("'|u1', 'fortran_order': False, 'shape': (1,)", b"\1"),
                )
                text = f"{{'descr': {header}}}".encode()
                start = b"\x93NUMPY\1\0" + struct.pack("<H", len(text))
                file.writestr(f"{name}.npy", start + text + content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("header", "content", "problem"),
    [
        (
            "'<f8', 'fortran_order': False, 'shape': (10000000000, 88)",
            b"",
            r"train declares .* 0 b",
        ),
        (
            "'|u1', 'fortran_order': False, 'shape': (-1, 88)",
            bytes(88),
            r"train declares the shape",
        ),
        ("'|u1', 'fortran_order': False, 'shape': (12000, 88)", bytes(12_000 * 88), "512 MiB"),
        ("'|O', 'fortran_order': False, 'shape': (1, 88)", bytes(704), r"train holds object, not"),
        ("'|u1', 'fortran_order': False, 'shape': (88,)", bytes(88), r"shape of train is \[88\]"),
        ("'|u1', 'fortran_order': False, 'shape': ()", bytes(1), r"shape of train is \[\]"),
    ],
)
def test_an_npz_that_asks_for_too_much(
    tmp_path: Path,
    header: str,
    content: bytes,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rolls, "MOST_BYTES", 2**20)
    with pytest.raises(Bad, match=problem):
        reader_of(tmp_path / "x.npz")(npz_of(train=(header, content)))


@pytest.mark.parametrize("lengths", [b"\2\xff", b"\0\1\1", b"\x80\x81", b""])
def test_lengths_that_do_not_add_up_or_are_negative(tmp_path: Path, lengths: bytes) -> None:
    header = f"'|i1', 'fortran_order': False, 'shape': ({len(lengths)},)"
    with pytest.raises(Bad, match="train_lengths are not whole numbers that add up to len"):
        reader_of(tmp_path / "x.npz")(npz_of(train_lengths=(header, lengths)))


# Matlab


def mat_files() -> list[bytes]:
    found = []
    for compressed in (False, True):
        contents = {}
        for split, pieces in ROLLS.items():
            cells = np.empty((1, len(pieces)), dtype=object)
            cells[0] = [piece.astype(float if compressed else np.uint8) for piece in pieces]
            contents[f"{split}data"] = cells
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, contents, do_compression=compressed)
        found.append(buffer.getvalue())
    return found


def scipy_reads(content: bytes) -> Rolls:
    file = scipy.io.loadmat(io.BytesIO(content))
    return {split: list(file[f"{split}data"].ravel()) for split in SPLITS}


def test_mat(tmp_path: Path, hostile: Check) -> None:
    hostile(mat_files(), reader_of(tmp_path / "x.mat"), scipy_reads, equal)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM", "HDF5 .*option -v7"),
        (b"\0\0\0\0" * 40, "no Matlab file of version 5 to 7; save it with the option -v7"),
        (b"\0" + mat_files()[0][1:], "no Matlab file of version 5 to 7"),
        (b"", "no Matlab file"),
    ],
)
def test_a_mat_file_of_another_version(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(Bad, match=problem):
        reader_of(tmp_path / "x.mat")(content)


def test_a_mat_file_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolls, "MOST_BYTES", 2**20)
    packed = zlib.compress(bytes(2**22), 9)
    head = mat_files()[0][:128]
    with pytest.raises(Bad, match="unpacks to more than 1 MiB"):
        reader_of(tmp_path / "x.mat")(head + struct.pack("<II", 15, len(packed)) + packed)
    half = packed[: len(packed) // 8]
    with pytest.raises(Bad, match="byte 136: a compressed variable is cut off"):
        reader_of(tmp_path / "x.mat")(head + struct.pack("<II", 15, len(half)) + half)


# Pickles


class Attack:
    """A pickle of this makes a file where it is loaded."""

    proof = Path("proof")

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


class _NumpyUnpickler(pickle.Unpickler):
    """Loads real arrays."""

    def find_class(self, module: str, name: str) -> Any:
        data = module in ("builtins", "__builtin__") and name in ("set", "frozenset", "bytes")
        assert data or module.startswith("numpy") or (module, name) == ("_codecs", "encode")
        return super().find_class(module, name)


def numpy_unpickles(content: bytes) -> Rolls:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a module's former name
        data = _NumpyUnpickler(io.BytesIO(content), encoding="latin1").load()

    def roll(piece: Any) -> np.ndarray:
        is_roll = isinstance(piece, np.ndarray) and piece.dtype != object
        return piece if is_roll else roll_of(piece)

    return {split: [roll(piece) for piece in data[split]] for split in SPLITS}


def pickle_files() -> list[bytes]:
    objects = {split: np.empty(len(pieces), object) for split, pieces in NOTES.items()}
    for split, pieces in NOTES.items():
        objects[split][:] = [roll_of(piece).astype(">i4") for piece in pieces]
    forms: list[Any] = [
        NOTES,
        ROLLS,
        objects,
        {s: [[{*map(np.int64, f)} for f in piece] for piece in p] for s, p in NOTES.items()},
        {s: [tuple(np.array(f) for f in piece) for piece in p] for s, p in NOTES.items()},
        {s: [np.asfortranarray(roll, np.float32) for roll in p] for s, p in ROLLS.items()},
    ]
    return [pickle.dumps(form, protocol) for form in forms for protocol in (0, 2, 4, 5)]


def test_pickles(tmp_path: Path, hostile: Check) -> None:
    hostile(pickle_files(), reader_of(tmp_path / "x.pkl"), numpy_unpickles, equal)


def test_no_pickle_runs_code(
    tmp_path: Path, hostile: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacks of every protocol are joined to valid files, and changed."""
    proof = tmp_path / "proof"
    monkeypatch.setattr(Attack, "proof", proof)
    attacks = [pickle.dumps({**NOTES, "extra": Attack()}, protocol) for protocol in range(6)]
    read = reader_of(tmp_path / "x.pkl")

    def read_any(content: bytes) -> Rolls:
        if content in attacks:
            with pytest.raises(Bad, match="only containers, numbers and numpy arrays are allowed"):
                read(content)
            return {}
        return read(content)

    def second(content: bytes) -> Rolls:
        return {} if content in attacks else numpy_unpickles(content)

    hostile([*pickle_files(), *attacks], read_any, second, equal)
    assert not proof.exists()


HUGE = struct.pack("<Q", 2**36)
BOMBS = {
    "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "text memo": b"Np99999999999\n.",
    "bytes": b"\x80\x04\x8e" + HUGE + b"abc.",
    "bytearray": b"\x80\x05\x96" + HUGE + b"abc.",
    "frame": b"\x80\x04\x95" + HUGE + b"N.",
    "array": pickle.dumps(np.zeros(3)).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
    "reconstruct": b"cnumpy\nndarray\n(I99999999999\ntR.",
    "dtype": b"cnumpy\ndtype\n(S'V99999999999'\ntR.",
    "state of a function": b"c_codecs\nencode\n}S'x'\nI1\nsb.",
    "state of a class": b"cnumpy\nndarray\n}S'real'\nI1\nsb.",
    "a class by itself": b"cnumpy\nndarray\n)\x81.",
    "persistent": b"\x80\x02K\x01Q.",
    "decoder": b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    "records": b"cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI63\ntb.",
    "million": b"(lp0\n" + b"(lp1\n" * 1000 + b"a" * 1000 + b".",
    "many digits": b"I" + b"9" * 10_000 + b"\n.",
    "builtin": b"cbuiltins\neval\n(S'1'\ntR.",
    "deep name": b"\x80\x04\x8c\x05numpy\x8c\x0bf2py.os.sys\x93.",
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_pickle_that_asks_for_much_or_names_what_is_no_data(tmp_path: Path, case: str) -> None:
    with pytest.raises(Bad) as bad:
        reader_of(tmp_path / "x.pkl")(BOMBS[case])
    (problem,) = bad.value.problems
    assert len(problem) < 250


def test_one_piece_many_times_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle of a few kilobytes that stands for ten million frames."""
    for module in (rolls, sources):
        monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    piece = np.zeros((1000, KEYS), np.uint8)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"train": [piece] * 10_000, "valid": [piece], "test": [piece]}))
    with pytest.raises(Refused, match=r"has more than 11,999 frames"):
        sources.load_source(UserData(path), "quarter", 0)
