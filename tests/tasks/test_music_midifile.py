"""A user's MIDI files, byte by byte: what is read, what is refused, and where."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import mido
import numpy as np
import pytest

from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused
from seqbench.tasks.music import Music
from seqbench.tasks.music.midifile import MOST_QUARTERS, read_midi
from seqbench.tasks.music.pianoroll import KEYS, LOWEST, MOST_FRAMES, to_roll
from seqbench.tasks.music.sources import load_source

END = b"\0\xff\x2f\0"
NOTE = bytes([0, 0x90, 60, 64, 96, 0x80, 60, 0])  # middle C for 96 ticks
KEY_OF_NOTHING = b"\0\xff\x59\x02\x70\x05"  # a key signature of 112 sharps


def chunk(content: bytes, name: bytes = b"MTrk") -> bytes:
    return name + struct.pack(">I", len(content)) + content


def midi(*tracks: bytes, kind: int = 1, division: int = 96, count: int | None = None) -> bytes:
    header = struct.pack(">HHH", kind, len(tracks) if count is None else count, division)
    return chunk(header, b"MThd") + b"".join(map(chunk, tracks))


def tune(seed: int) -> bytes:
    """Return a track of 40 quarters with chords of two notes."""
    generator = np.random.default_rng(seed)
    events = b""
    for _ in range(40):
        first, second = sorted(generator.choice(np.arange(50, 80), 2, replace=False).tolist())
        events += bytes([0, 0x90, first, 64, 0, second, 64, 96, first, 0, 0, second, 0])
    return events + END


def read(folder: Path, content: bytes) -> tuple[list[list[tuple[int, int, int]]], int]:
    (folder / "x.mid").write_bytes(content)
    pieces, ticks = read_midi(folder / "x.mid")
    return [[tuple(note) for note in notes] for notes in pieces], ticks


C = (0, 96, 60)


@pytest.mark.parametrize(
    "track",
    [
        NOTE + END,
        NOTE,  # no end of track
        NOTE + END + b"\0\0\0",  # filled up
        KEY_OF_NOTHING + NOTE + END,
        b"\0\xff\x01\x81\x80\0" + b"x" * 16_384 + NOTE + END,  # a long text
        b"\0\xff\x51\0" + b"\0\xff\x7f\x01\xff" + NOTE + END,  # no tempo; a maker's own
        b"\0\xff\x01\x02\xe9\x80" + NOTE + END,  # letters of an old code page
        b"\0\xf0\x03\x43\x12\xf7" + b"\0\xf7\x01\xf3" + NOTE + END,  # system exclusive, escape
        bytes([0, 0x90, 60, 64, 96, 60, 0]) + END,  # running status
        bytes([0, 0x90, 60, 64]) + KEY_OF_NOTHING + bytes([96, 60, 0]) + END,  # across a meta event
        bytes([0, 0xC0, 5, 0, 0xD0, 3, 0, 0xE0, 0, 64, 0, 0xB0, 64, 127, 0, 0xA0, 60, 1]) + NOTE,
        bytes([0, 0x99, 40, 64, 0, 0x89, 40, 0]) + NOTE + END,  # drums
        NOTE + bytes([0, 0x90, 70, 64]) + END,  # a note that never ends
        NOTE + bytes([0, 0x80, 70, 64]) + END,  # one that never began
    ],
)
def test_middle_c_is_read_whatever_stands_around_it(tmp_path: Path, track: bytes) -> None:
    assert read(tmp_path, midi(track)) == ([[C]], 96)


def test_chunks_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    content = midi(NOTE + END, count=2) + chunk(b"?" * 7, b"XFIH") + chunk(NOTE + END) + b"\0\0"
    assert read(tmp_path, content) == ([[C, C]], 96)


@pytest.mark.parametrize("kind", [0, 1])
def test_tracks_of_types_0_and_1_sound_together(tmp_path: Path, kind: int) -> None:
    high = NOTE.replace(b"\x3c", b"\x48")
    assert read(tmp_path, midi(NOTE + END, high + END, kind=kind))[0] == [[C, (0, 96, 72)]]


def test_each_track_of_type_2_is_a_piece(tmp_path: Path) -> None:
    """Named after file and track; a track without notes is none, and that is said."""
    for number in range(4):
        tracks = [tune(3 * number), END, tune(3 * number + 1)]
        (tmp_path / f"{number}.mid").write_bytes(midi(*tracks, kind=2))
    data = UserData(tmp_path)
    pieces = load_source(data, "quarter", 0)
    names = sorted(piece.name for found in pieces.values() for piece in found)
    assert names == [f"{number}.mid#{track}" for number in range(4) for track in (1, 3)]
    assert {len(piece.roll) for found in pieces.values() for piece in found} == {40}
    assert dict(data.left_out) == {
        f"{number}.mid#2": "the track has no notes" for number in range(4)
    }


GOOD = midi(NOTE + END)
LONG = bytes([0, 0x90, 60, 64]) + b"\xff\xff\xff\x7f" + bytes([0x80, 60, 0]) + END
BAD = {
    "empty": (b"", "it is empty"),
    "text": (b"once upon a time", "byte 0: it begins with b'once', not with b'MThd'"),
    "RIFF": (b"RIFF\x10\0\0\0RMID", "byte 0: it begins with b'RIFF'"),
    "half a header": (GOOD[:10], "byte 10: it ends inside its header"),
    "no tracks": (GOOD[:14], "byte 14: it ends after 0 of the 1 tracks that it declares"),
    "half a track": (GOOD[:-4], "byte 14: track 1 declares 12 bytes and holds 8"),
    "a track is missing": (midi(NOTE + END, count=3), "ends after 1 of the 3 tracks"),
    "a track too many": (midi(NOTE, NOTE, count=1), "another track follows the 1 that it declares"),
    "short header": (b"MThd\0\0\0\x04" + GOOD[8:], "byte 4: its header declares 4 bytes, not 6"),
    "type 3": (midi(NOTE, kind=3), "byte 8: its type is 3; MIDI files are of type 0, 1 or 2"),
    "SMPTE": (midi(NOTE, division=0xE728), "byte 12: it counts time in seconds (SMPTE); export"),
    "no ticks": (midi(NOTE, division=0), "byte 12: it declares 0 ticks per quarter note"),
    "declares none": (midi(), "byte 10: it declares no track"),
    "no chunk": (midi(NOTE, count=2) + b"\x01\x02\x03\x04\0\0\0\0", "no track begins here"),
    "inside an event": (midi(NOTE[:-1]), "byte 29: a track ends inside an event"),
    "inside a text": (midi(b"\0\xff\x01\x20abc"), "byte 29: a track ends inside an event"),
    "no status": (midi(bytes([0, 60, 64])), "byte 23: 0x3c begins no event"),
    "status of none": (midi(bytes([0, 0xF4, 64])), "byte 23: 0xf4 begins no event"),
    "no note": (midi(bytes([0, 0x90, 0xA0, 64])), "byte 22: an event holds 160, more than 127"),
    "after system": (midi(NOTE + b"\0\xf0\0" + bytes([0, 60, 0])), "byte 34: 0x3c begins no event"),
    "after the end": (midi(NOTE + END + NOTE), "byte 34: events follow the end of a track"),
    "long number": (midi(b"\xff\xff\xff\xff\x7f" + NOTE), "byte 22: a number has more than four"),
    "long wait": (
        midi(LONG, division=1),
        f"a note ends after 268,435,455 quarter notes; a piece has at most {MOST_QUARTERS:,}",
    ),
    "two bad tracks": (midi(LONG, NOTE[:-1], division=1), "byte 52: a track ends inside"),
    "large": (
        b"MThd" + bytes(5_000_000),
        "it has 5,000,004 bytes; a MIDI file has at most 5,000,0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_file_says_what_and_where(tmp_path: Path, case: str) -> None:
    content, reason = BAD[case]
    with pytest.raises(Bad) as bad:
        read(tmp_path, content)
    assert any(reason in problem for problem in bad.value.problems)
    assert all(len(problem) < 200 and "\n" not in problem for problem in bad.value.problems)
    assert len(bad.value.problems) == (2 if case == "two bad tracks" else 1)


def test_many_long_notes_take_no_time(tmp_path: Path) -> None:
    """Each of 20,000 notes is held through the whole of the longest piece."""
    length = MOST_QUARTERS * 96
    wait = bytes([0x80 | length >> 14 & 0x7F | 0, 0x80 | length >> 7 & 0x7F, length & 0x7F])
    wait = bytes([0x80 | length >> 21]) + wait
    notes, ends = bytes([0, 0x90, 60, 64]) + bytes([0, 60, 64]) * 20_000, bytes([0, 60, 0]) * 20_000
    (tmp_path / "x.mid").write_bytes(midi(notes + wait + bytes([60, 0]) + ends))
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "x.mid").write_bytes((tmp_path / "x.mid").read_bytes())
    data = UserData(tmp_path)
    roll = load_source(data, "sixteenth", 0)["test"][0].roll
    assert roll.shape == (MOST_FRAMES, 88)
    assert roll.sum() == roll[:, 60 - LOWEST].sum() == MOST_FRAMES
    assert dict(data.left_out) == {"x.mid": "it lies outside train, valid, test"}


def test_all_bad_files_are_said_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    """Twelve good files and three bad ones, one of them twice."""
    for number in range(12):
        (tmp_path / f"{number}.mid").write_bytes(midi(tune(number)))
    (tmp_path / "empty.MID").write_bytes(b"")
    (tmp_path / "cut.midi").write_bytes(midi(tune(20))[:-40])
    (tmp_path / "cut again.midi").write_bytes(midi(tune(20))[:-40])
    (tmp_path / "between.mid").write_bytes(midi(bytes([24, 0x90, 60, 9, 24, 60, 0]) + END))
    with pytest.raises(Refused, match=r"4 of 16 files cannot be used; task.skip_bad=true") as no:
        Music(source=str(tmp_path)).prepare()
    damaged = (
        "byte 14: track 1 declares 524 bytes and holds 484; it is damaged: export or copy it anew"
    )
    fine = (
        "none of its 1 notes is on the quarter grid of an 88-key piano;"
        " task.grid=sixteenth is finer"
    )
    assert no.value.details == (
        f"  between.mid: {fine}",
        f"  cut again.midi: {damaged}",
        "  empty.MID: it is empty",
        "  cut.midi: it has the same bytes as cut again.midi",
    )
    task = Music(source=str(tmp_path), skip_bad=True)
    task.prepare()
    assert sorted(item.name for item in task.left_out()) == [
        "between.mid",
        "cut again.midi",
        "cut.midi",
        "empty.MID",
    ]
    splits = task.splits()
    assert sum(map(len, (splits.train, splits.valid, splits.test))) == 12
    fine = Music(source=str(tmp_path), skip_bad=True, grid="sixteenth")
    fine.prepare()
    assert "between.mid" not in {item.name for item in fine.left_out()}


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Train", "VALID", "Test")])
def test_subfolders_are_splits_whatever_their_case(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        (tmp_path / name / ".ipynb_checkpoints").mkdir(parents=True)
        (tmp_path / name / "a.mid").write_bytes(midi(tune(number)))
        (tmp_path / name / ".ipynb_checkpoints" / "a.mid").write_bytes(midi(tune(number)))
    (tmp_path / "bad.mid").write_bytes(b"")  # nobody asks for it
    (tmp_path / names[0] / "bad.mid").write_bytes(b"")
    task = Music(source=str(tmp_path), skip_bad=True)
    task.prepare()
    assert [example.group for example in task.splits().valid] == [f"{names[1]}/a.mid"]
    assert {item.name: item.reason for item in task.left_out() if "/." not in item.name} == {
        "bad.mid": f"it lies outside {', '.join(names)}",
        f"{names[0]}/bad.mid": "it is empty",
    }
    assert len(task.left_out()) == 5


def test_subfolders_that_miss_a_split_are_refused_with_the_nearest_name(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / name).mkdir()
    message = r"folders test, train but lacks valid \(did you mean 'validation'\?\); it takes all"
    with pytest.raises(Refused, match=message):
        Music(source=str(tmp_path)).prepare()


def test_a_split_of_bad_files_alone_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "valid", "test")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mid").write_bytes(midi(tune(number)) if number else b"")
    with pytest.raises(Refused, match=r"has no piece of train that can be used") as refusal:
        Music(source=str(tmp_path), skip_bad=True).prepare()
    assert refusal.value.details == ("  train/a.mid: it is empty",)


def test_a_wrong_path_is_answered_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "chorales").mkdir()
    with pytest.raises(Refused, match=r"does not exist \(did you mean '.*/chorales'\?\)"):
        Music(source=str(tmp_path / "chorale")).prepare()
    (tmp_path / "a.mid").write_bytes(GOOD)
    with pytest.raises(Refused, match=r"nor a folder of MIDI files; give the folder of a MIDI"):
        Music(source=str(tmp_path / "a.mid")).prepare()


def test_skip_bad_needs_a_source() -> None:
    with pytest.raises(ValueError, match=r"task\.skip_bad=true needs a task\.source"):
        Music(skip_bad=True)


# Another reader


def midi_files() -> list[bytes]:
    """Return files of types 0, 1 and 2, with every kind of event."""
    found = []
    for kind in (0, 1, 2):
        file = mido.MidiFile(type=kind, ticks_per_beat=24)
        for number in range(1 if kind == 0 else 2):
            track = mido.MidiTrack()
            track.append(mido.MetaMessage("track_name", name="a tune"))
            track.append(mido.MetaMessage("key_signature", key="Eb"))
            track.append(mido.MetaMessage("set_tempo", tempo=400_000))
            track.append(mido.Message("program_change", program=3))
            track.append(mido.Message("sysex", data=(1, 2, 3)))
            for note in (60 + number, 64, 67, 64):
                track.append(mido.Message("note_on", note=note, channel=number, time=6))
                track.append(mido.Message("pitchwheel", pitch=100, time=1))
                track.append(mido.Message("note_off", note=note, channel=number, time=30))
                track.append(mido.Message("note_on", channel=9, note=35))
            file.tracks.append(track)
        buffer = io.BytesIO()
        file.save(file=buffer)
        found.append(buffer.getvalue())
    return found


def small_midi_parser(content: bytes) -> list[np.ndarray]:
    """Return the rolls of a file's pieces on sixteenths, from the standard's own words."""
    kind, count, ticks = struct.unpack(">HHH", content[8:14])
    at = 8 + int.from_bytes(content[4:8], "big")
    tracks: list[set[tuple[int, int]]] = []
    while len(tracks) < count:
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "big")
        if name == b"MTrk":
            tracks.append(small_track_parser(list(content[at + 8 : at + 8 + size]), ticks))
        at += 8 + size
    pieces = tracks if kind == 2 else [set().union(*tracks)]
    return [roll_of_places(places) for places in pieces]


def small_track_parser(data: list[int], ticks: int) -> set[tuple[int, int]]:
    """Return (frame, key) of all that sounds; the bytes are used up."""

    def number() -> int:
        byte = data.pop(0)
        value = byte & 127
        while byte > 127:
            byte = data.pop(0)
            value = value * 128 + (byte & 127)
        return value

    places, now, running = set(), 0, 0
    on: list[tuple[int, int, int]] = []
    while data:
        now += number()
        status = data.pop(0)
        if status == 255:
            last = data.pop(0) == 47
            del data[: number()]
            if last:
                break
        elif status in (240, 247):
            del data[: number()]
        else:
            if status < 128:
                data.insert(0, status)
                status = running
            running = status
            values = [data.pop(0) for _ in range(1 if 192 <= status < 224 else 2)]
            if status // 16 == 9 and values[1] and status != 153:
                on.append((status % 16, values[0], now))
            elif status // 16 in (8, 9) and status % 16 != 9:
                held = [note for note in on if note[:2] == (status % 16, values[0])]
                if held:
                    on.remove(held[0])
                    first = math.ceil(Fraction(held[0][2] * 4, ticks))
                    last_frame = math.ceil(Fraction(now * 4, ticks))
                    places |= {(frame, values[0]) for frame in range(first, last_frame)}
    return {(frame, key) for frame, key in places if 21 <= key <= 108}


def roll_of_places(places: set[tuple[int, int]]) -> np.ndarray:
    roll = np.zeros((max((frame for frame, _ in places), default=-1) + 1, KEYS), np.uint8)
    for frame, key in places:
        roll[frame, key - LOWEST] = 1
    return roll


def equal(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_hostile_midi_files(tmp_path: Path, hostile: Callable[..., None]) -> None:
    def read(content: bytes) -> list[np.ndarray]:
        (tmp_path / "x.mid").write_bytes(content)
        pieces, ticks = read_midi(tmp_path / "x.mid")
        return [to_roll(notes, ticks, "sixteenth") for notes in pieces]

    hostile(midi_files(), read, small_midi_parser, equal)
