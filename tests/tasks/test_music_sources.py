"""A user's own music: each form is written by the test, read, and refused where it is damaged."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import scipy.io

from seqbench.config.userdata import UserData
from seqbench.errors import Refused
from seqbench.tasks.music.pianoroll import KEYS, LOWEST, Grid
from seqbench.tasks.music.sources import Pieces, load_source


def load(path: Path, grid: Grid = "quarter", split_seed: int = 0) -> Pieces:
    return load_source(UserData(path), grid, split_seed)


SPLITS = ("train", "valid", "test")
# two frames, then three with a silence, for each split; MIDI notes
NOTES = {
    "train": [[[60, 64], [62]], [[21, 108], [], [72]]],
    "valid": [[[50], [51]]],
    "test": [[[52], [53, 57, 60]], [[54]]],
}


def roll_of(frames: list[list[int]]) -> np.ndarray:
    roll = np.zeros((len(frames), KEYS))
    for step, frame in enumerate(frames):
        for note in frame:
            roll[step, note - LOWEST] = 1
    return roll


ROLLS = {split: [roll_of(piece) for piece in pieces] for split, pieces in NOTES.items()}


def cells(rolls: list[np.ndarray]) -> np.ndarray:
    """Return a Matlab cell array."""
    array = np.empty((1, len(rolls)), dtype=object)
    array[0] = rolls
    return array


def write_mat(path: Path, rolls: dict[str, list[np.ndarray]]) -> Path:
    scipy.io.savemat(path, {f"{split}data": cells(pieces) for split, pieces in rolls.items()})
    return path


def write_pickle(path: Path, data: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(data, protocol))
    return path


def write_npz(path: Path, **changed: Any) -> Path:
    arrays: dict[str, Any] = {}
    for split, pieces in ROLLS.items():
        arrays[split] = np.concatenate(pieces).astype(np.uint8)
        arrays[f"{split}_lengths"] = [len(piece) for piece in pieces]
    arrays.update(changed)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_midi(path: Path, notes: list[tuple[int, int, int]], ticks: int = 96) -> Path:
    """Write notes (onset and offset in ticks, pitch) on channel 1, in two tracks."""
    file = mido.MidiFile(ticks_per_beat=ticks)
    for part in (notes[::2], notes[1::2]):
        events = [(on, "note_on", pitch) for on, _, pitch in part]
        events += [(off, "note_off", pitch) for _, off, pitch in part]
        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=700_000)])
        now = 0
        for tick, kind, pitch in sorted(events):
            track.append(mido.Message(kind, note=pitch, time=tick - now))
            now = tick
        file.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def assert_is_notes(pieces: Pieces) -> None:
    assert list(SPLITS) == list(pieces)
    for split in SPLITS:
        for expected, piece in zip(ROLLS[split], pieces[split], strict=True):
            np.testing.assert_array_equal(expected, piece.roll)
            assert np.uint8 == piece.roll.dtype
    names = [piece.name for split in SPLITS for piece in pieces[split]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_mat(tmp_path: Path, dtype: type) -> None:
    rolls = {split: [roll.astype(dtype) for roll in pieces] for split, pieces in ROLLS.items()}
    assert_is_notes(load(write_mat(tmp_path / "x.mat", rolls), "quarter", 0))


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("form", ["notes", "tuples", "numpy notes", "rolls"])
def test_pickle(tmp_path: Path, form: str, protocol: int) -> None:
    """Frames of notes in any container, or rolls, in every protocol."""
    forms = {
        "notes": NOTES,
        "tuples": {s: [[tuple(f) for f in piece] for piece in p] for s, p in NOTES.items()},
        "numpy notes": {
            s: [[list(map(np.int64, f)) for f in q] for q in p] for s, p in NOTES.items()
        },
        "rolls": ROLLS,
    }
    path = write_pickle(tmp_path / "x.pkl", forms[form], protocol)
    assert_is_notes(load(path, "quarter", 0))
    assert_is_notes(load(path.rename(tmp_path / "x.PICKLE"), "quarter", 0))


def test_npz(tmp_path: Path) -> None:
    assert_is_notes(load(write_npz(tmp_path / "x.npz"), "quarter", 0))


class Attack:
    """A pickle of this runs a command where it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    """Whatever is not data is refused by name, before it is called."""
    proof = tmp_path / "proof"
    path = write_pickle(tmp_path / "x.pkl", {**NOTES, "extra": Attack(proof)})
    with pytest.raises(Refused, match=r"x\.pkl': it cannot be read: it names \w+\.system; only"):
        load(path, "quarter", 0)
    assert not proof.exists()
    # a name that is allowed to numpy, from elsewhere
    path.write_bytes(b"cos\nscalar\n.")
    with pytest.raises(Refused, match=r"it names os\.scalar"):
        load(path, "quarter", 0)


def test_midi_notes_stand_on_the_grid(tmp_path: Path) -> None:
    """Ticks become quarters or sixteenths whatever the tempo; tracks are merged, drums are not."""
    notes = [(0, 96, 60), (0, 192, 64), (48, 96, 62), (96, 120, 67), (96, 192, 120)]
    for split in SPLITS:
        path = write_midi(tmp_path / split / "deep" / "a.MID", notes)
    file = mido.MidiFile(path)
    drums = [
        mido.Message("note_on", channel=9, note=40),
        mido.Message("note_off", channel=9, note=40, time=96),
    ]
    file.tracks.append(mido.MidiTrack(drums))
    file.save(path)
    coarse = load(tmp_path, "quarter", 0)
    fine = load(tmp_path, "sixteenth", 0)
    for split in SPLITS:
        assert [[p.name for p in x[split]] for x in (coarse, fine)] == [
            [f"{split}/deep/a.MID"],
            [f"{split}/deep/a.MID"],
        ]
        np.testing.assert_array_equal(roll_of([[60, 64], [64, 67]]), coarse[split][0].roll)
        expected = [[60, 64]] * 2 + [[60, 62, 64]] * 2 + [[64, 67]] + [[64]] * 3
        np.testing.assert_array_equal(roll_of(expected), fine[split][0].roll)


def test_midi_notes_that_begin_with_velocity_0_end(tmp_path: Path) -> None:
    """Running status ends notes so; a note that begins twice ends in order."""
    track = mido.MidiTrack(
        [
            mido.Message("note_on", note=60),
            mido.Message("note_on", note=60, time=96),
            mido.Message("note_on", note=60, velocity=0, time=96),
            mido.Message("note_off", note=60, time=96),
            mido.Message("note_off", note=61, time=96),  # never began
        ]
    )
    for split in SPLITS:
        (tmp_path / split).mkdir()
        mido.MidiFile(tracks=[track], ticks_per_beat=96).save(tmp_path / split / "a.mid")
    roll = load(tmp_path, "quarter", 0)["test"][0].roll
    np.testing.assert_array_equal(roll_of([[60]] * 3), roll)


def tune(seed: int, shift: int = 0, chords: int = 20) -> list[tuple[int, int, int]]:
    generator = np.random.default_rng(seed)
    return [
        (96 * beat, 96 * beat + 96, int(pitch) + shift)
        for beat in range(chords)
        for pitch in generator.choice(np.arange(50, 70), 3, replace=False)
    ]


def test_a_folder_of_midi_files_is_split_by_group(tmp_path: Path) -> None:
    """About 60/20/20; a transposed copy lies with its original, and the seed changes the rest."""
    for number in range(20):
        write_midi(tmp_path / "a" / f"{number}.mid", tune(number))
        write_midi(tmp_path / "b" / f"{number}.midi", tune(number, shift=3))
    found = load(tmp_path, "quarter", 0)
    assert [len(found[split]) for split in SPLITS] == [24, 8, 8]
    for split in SPLITS:
        stems = [Path(piece.name) for piece in found[split]]
        folders = {folder: {p.stem for p in stems if p.parts[0] == folder} for folder in "ab"}
        assert folders["a"] == folders["b"]
    again, other = load(tmp_path, "sixteenth", 0), load(tmp_path, "quarter", 1)
    names = [{p.name for p in pieces["test"]} for pieces in (found, again, other)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_a_split_that_is_given_has_no_seed(tmp_path: Path) -> None:
    """Of a file, and of a folder with one for each split."""
    file = write_npz(tmp_path / "cut.npz")
    for number, split in enumerate(SPLITS):
        write_midi(tmp_path / "given" / split / "a.mid", tune(number))
    for path in (file, tmp_path / "given"):
        assert all(load(path, "quarter", 0).values())
        with pytest.raises(Refused, match=r"task.split_seed=3 changes nothing: the (file|folder)"):
            load(path, "quarter", 3)


def damaged(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return paths that cannot be used, each with what the refusal says beside the path."""
    mat = write_mat(folder / "cut.mat", ROLLS)
    mat.write_bytes(mat.read_bytes()[:300])
    pkl = write_pickle(folder / "cut.pkl", NOTES)
    pkl.write_bytes(pkl.read_bytes()[:-20])
    npz = write_npz(folder / "cut.npz")
    npz.write_bytes(npz.read_bytes()[:-50])
    (folder / "text.mat").write_text("not a matrix")
    (folder / "music.wav").write_bytes(b"RIFF")
    (folder / "empty").mkdir()
    for split in ("train", "valid"):
        write_midi(folder / "half" / split / "a.mid", tune(0))
    for number in range(3):
        write_midi(folder / "same" / f"{number}.mid", tune(0, shift=number))
    write_midi(folder / "silent" / "a.mid", [])
    cut = write_midi(folder / "midi" / "cut.mid", tune(0))
    cut.write_bytes(cut.read_bytes()[:60])
    seconds = write_midi(folder / "smpte" / "a.mid", tune(0))
    header = bytearray(seconds.read_bytes())
    header[12] = 0xE7  # 25 frames a second
    seconds.write_bytes(header)
    wide = {**ROLLS, "valid": [np.zeros((3, 87))]}
    grey = {**ROLLS, "test": [np.full((3, 88), 0.5)]}
    hollow = {**ROLLS, "train": [np.zeros((0, 88))]}
    named = {
        "missing": (folder / "txt.mat", f"does not exist (did you mean '{folder / 'text.mat'}'?)"),
        "cut mat": (mat, "byte 128: a variable declares 3,688 bytes and holds 164"),
        "text": (folder / "text.mat", "it is no Matlab file of version 5 to 7"),
        "cut pickle": (pkl, "cannot be read"),
        "cut npz": (npz, "cannot be read"),
        "form": (folder / "music.wav", "neither a .mat, .pkl, .pickle, .npz file nor a folder"),
        "empty folder": (folder / "empty", "holds no MIDI files"),
        "half": (folder / "half", "has folders train, valid but lacks test"),
        "same": (folder / "same", "1 of its 3 pieces differ; a split needs 3"),
        "silent": (folder / "silent", "a.mid: it has no notes; drums do not count"),
        "cut midi": (folder / "midi", "cut.mid: byte 14: track 1 declares 231 bytes and holds 38"),
        "smpte": (folder / "smpte", "a.mid: byte 12: it counts time in seconds (SMPTE); export it"),
        "names": (folder / "names.mat", "it has no testdata"),
        "wide": (write_mat(folder / "wide.mat", wide), "valid-0: its shape is [3, 87], not"),
        "grey": (
            write_mat(folder / "grey.mat", grey),
            "test-0: frame 0: key 0 is 0.5, not 0 or 1 (and",
        ),
        "hollow": (write_mat(folder / "hollow.mat", hollow), "train-0: its shape is [0, 88]"),
        "list": (write_pickle(folder / "list.pkl", []), "it holds a list, not a dict"),
        "split": (write_pickle(folder / "split.pkl", {"train": []}), "it has no valid, test"),
        "no pieces": (write_pickle(folder / "none.pkl", {**NOTES, "test": []}), "test: no pieces"),
        "no frames": (
            write_pickle(folder / "short.pkl", {**NOTES, "test": [[]]}),
            "test-0: it has no",
        ),
        "note": (
            write_pickle(folder / "note.pkl", {**NOTES, "test": [[[60], [109]]]}),
            "test-0: frame 1 has the note 109; MIDI notes are 21..108",
        ),
        "number": (write_pickle(folder / "number.pkl", {**NOTES, "test": 3}), "test is a int, no"),
        "lengths": (write_npz(folder / "lengths.npz", test_lengths=[1]), "test_lengths are not"),
        "no lengths": (write_npz(folder / "no.npz", test_lengths=None), "it has no test_lengths"),
        "objects": (write_npz(folder / "obj.npz", test=np.array([[1], {}], object)), "test holds"),
    }
    scipy.io.savemat(
        named["names"][0], {"traindata": cells(ROLLS["train"]), "validdata": cells([])}
    )
    return named


def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path) -> None:
    """The line names the source, and why if that is one file; else the lines below say why."""
    for case, (path, reason) in damaged(tmp_path).items():
        with pytest.raises(Refused) as refusal:
            load(path)
        message, details = str(refusal.value), refusal.value.details
        assert "\n" not in message, case
        assert f"'{path}'" in message, case
        assert reason in "\n".join([message, *details]), case
        assert all(len(line) < 300 for line in details), case


def test_all_bad_pieces_of_a_file_are_said_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    bad = {
        "train": [*NOTES["train"], [[200, 3]], "text"],
        "valid": [*NOTES["valid"], [], [[60.5]], [["c4"]]],
        "test": [*NOTES["test"], np.full((2, 88), np.nan), [[True, float("nan")], [10**5000]]],
    }
    path = write_pickle(tmp_path / "x.pkl", bad)
    with pytest.raises(Refused, match=r"7 of 12 pieces cannot be used; task\.skip_bad=true") as no:
        load(path)
    assert no.value.details == (
        "  train-2: frame 0 has the note 200; MIDI notes are 21..108 (and 1 more like it)",
        "  train-3: it is a str, neither a [T, 88] array nor a list of frames of notes",
        "  valid-1: it has no frames",
        "  valid-2: frame 0 has the note 60.5, no whole number",
        "  valid-3: frame 0 has the note c4; MIDI notes are 21..108",
        "  test-2: frame 0: key 0 is nan, not 0 or 1 (and 175 more like it)",
        "  test-3: frame 0 has the note True; MIDI notes are 21..108 (and 2 more like it)",
    )
    data = UserData(path, skip_bad=True)
    assert_is_notes(load_source(data, "quarter", 0))
    assert [item.name for item in data.left_out] == [
        "train-2", "train-3", "valid-1", "valid-2", "valid-3", "test-2", "test-3",
    ]  # fmt: skip


def test_a_split_without_a_piece_that_can_be_used_is_named(tmp_path: Path) -> None:
    path = write_pickle(tmp_path / "x.pkl", {**NOTES, "valid": [[[3]]]})
    with pytest.raises(Refused, match=r"has no piece of valid that can be used$") as refusal:
        load_source(UserData(path, skip_bad=True), "quarter", 0)
    assert refusal.value.details == ("  valid-0: frame 0 has the note 3; MIDI notes are 21..108",)
