"""The chorales: MusicXML, rolls, near-duplicates and the split.

The corpus itself is fetched once into the user's cache, or read from there.
"""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from seqbench.errors import Refused
from seqbench.tasks._archive import read_members
from seqbench.tasks.music import chorales as chorales_module
from seqbench.tasks.music.chorales import (
    ARCHIVE,
    VOICES,
    Chorales,
    load_chorales,
    parse_musicxml,
)
from seqbench.tasks.music.pianoroll import (
    KEYS,
    LOWEST,
    OVERLAP,
    SHARES,
    Grid,
    Note,
    Roll,
    near_duplicate_groups,
    split_by_group,
    to_line,
    to_roll,
)


@pytest.fixture(scope="module")
def corpus() -> Chorales:
    return load_chorales("quarter")


def midi(name: str) -> int:
    """Return a note's MIDI number: ``midi("C#5")`` is 73."""
    letters = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    return letters[name[0]] + 12 * (int(name[-1]) + 1) + name.count("#")


# Read off the scores, beat by beat from the upbeat: what sounds when the beat begins.
BARS = {
    "bwv253": (
        "A2 E4 A4 C#5|A3 E4 A4 C#5|G#3 E4 B4 E5|A3 E4 A4 C#5|F#3 E4 A4|"
        "G3 D4 G4 B4|A3 E4 C#5|D3 A3 F#4 D5|A2 A3 E4 C#5"
    ),
    "bwv269": (
        "G2 B3 D4 G4|G3 B3 D4 G4|E3 C4 E4 G4|F#3 A3 D4 D5|"
        "G3 D4 B4|D3 F#3 D4 B4|E3 G3 B3 G4|C3 C4 E4 G4"
    ),
    "bwv66.6": (
        "A3 E4 C#5|F#3 C#4 F#4 A4|G#3 B3 E4 B4|A3 E4 C#5|G#3 B3 E4 E5|"
        "A3 E4 C#5|E3 E4 G#4 B4|A2 C#4 E4 A4|F3 C#4 G#4 C#5"
    ),
}


@pytest.mark.parametrize("name", BARS)
def test_first_bars_are_those_of_the_score(name: str, corpus: Chorales) -> None:
    roll = corpus.rolls[corpus.names.index(name)]
    expected = [sorted(map(midi, chord.split())) for chord in BARS[name].split("|")]
    assert (
        expected == [(np.flatnonzero(frame) + LOWEST).tolist() for frame in roll][: len(expected)]
    )


def test_the_sixteenth_grid_shows_passing_notes(corpus: Chorales) -> None:
    """BWV 66.6 begins with eighths in three voices over E4; every fourth frame is a beat."""
    fine = load_chorales("sixteenth")
    roll = fine.rolls[fine.names.index("bwv66.6")]
    first = sorted(map(midi, ("A3", "E4", "C#5")))
    second = sorted(map(midi, ("G#3", "B3", "E4", "B4")))
    chords = [(np.flatnonzero(frame) + LOWEST).tolist() for frame in roll[:4]]
    assert [first, first, second, second] == chords
    assert (corpus.names, corpus.groups, corpus.quarters) == (
        fine.names,
        fine.groups,
        fine.quarters,
    )
    for quarter, sixteenth in zip(corpus.rolls, fine.rolls, strict=True):
        np.testing.assert_array_equal(quarter, sixteenth[::4])


def test_the_corpus_is_whole(corpus: Chorales) -> None:
    """365 chorales, 19,864 quarter notes; at most four notes at once, in a choir's compass."""
    assert 365 == len(set(corpus.names)) == len(corpus.names)
    assert 19_864 == sum(corpus.quarters) == sum(map(len, corpus.rolls))
    frames = np.concatenate(corpus.rolls)
    assert frames.sum(axis=1).max() == 4
    sounding = np.flatnonzero(frames.any(axis=0)) + LOWEST
    assert (midi("C2"), midi("A5")) == (sounding[0], sounding[-1])


# The same, by voice from above; soprano and alto meet on the fifth beat of BWV 253.
VOICES_OF_BARS = {
    "bwv253": ["C#5 C#5 E5 C#5 A4", "A4 A4 B4 A4 A4", "E4 E4 E4 E4 E4", "A2 A3 G#3 A3 F#3"],
    "bwv269": ["G4 G4 G4 D5 B4", "D4 D4 E4 D4 D4", "B3 B3 C4 A3 G3", "G2 G3 E3 F#3 G3"],
}


@pytest.fixture(scope="module")
def scores() -> dict[str, bytes]:
    """Every four-part score's text."""
    found = {}
    for path, document in read_members(ARCHIVE).items():
        text = chorales_module._unzip(document) if path.endswith(".mxl") else document
        if text.count(b"<part id=") == 4:
            found[Path(path).stem] = text
    return found


def test_the_parts_are_a_choir(scores: dict[str, bytes], corpus: Chorales) -> None:
    """In every score: named so, in this order, as listed, at sounding pitch, one note at a time."""
    assert corpus.names == sorted(scores)
    for text in scores.values():
        parts = parse_musicxml(text)
        names = re.findall(rb"<part-name[^>]*>\s*(\w+)\s*</part-name>", text)
        assert list(VOICES) == [name.decode() for name in names]
        listed = re.findall(rb'<score-part id="([^"]*)"', text)
        assert listed == re.findall(rb'<part id="([^"]*)"', text)
        assert b"<transpose" not in text
        for part in parts:
            ordered = sorted(part)
            assert all(a.offset <= b.onset for a, b in itertools.pairwise(ordered))


@pytest.mark.parametrize("grid", ["quarter", "sixteenth"])
def test_voices_together_are_the_roll(grid: Grid) -> None:
    """No note is lost or moved to another voice's frame."""
    found = load_chorales(grid)
    for roll, pitches, begins in zip(found.rolls, found.pitches, found.begins, strict=True):
        together = np.zeros_like(roll)
        frames, voices = np.nonzero(pitches)
        together[frames, pitches[frames, voices] - LOWEST] = 1
        np.testing.assert_array_equal(roll, together)
        assert pitches.shape == begins.shape == (len(roll), len(VOICES))
        changed = np.diff(pitches.astype(int), axis=0, prepend=0) != 0
        # another pitch is another note, and none begins in a rest
        assert not (changed & (pitches > 0) & ~begins).any()
        assert not (begins & (pitches == 0)).any()


@pytest.mark.parametrize("name", ["bwv253", "bwv269"])
def test_each_voice_sings_its_own_line(name: str, corpus: Chorales) -> None:
    pitches = corpus.pitches[corpus.names.index(name)]
    for voice, line in enumerate(VOICES_OF_BARS[name]):
        assert [midi(pitch) for pitch in line.split()] == pitches[:5, voice].tolist()


# Rolls


def test_a_frame_holds_what_sounds_at_its_instant() -> None:
    """An onset counts at once, an offset no more; what falls between two instants is not heard."""
    notes = [
        Note(0, 10, 60),
        Note(10, 15, 62),  # ends between instants
        Note(11, 19, 64),  # between instants
        Note(15, 25, 66),
        Note(0, 40, 20),  # off the keyboard
        Note(0, 40, 109),
    ]
    roll = to_roll(notes, 10, "quarter")
    assert [(np.flatnonzero(frame) + LOWEST).tolist() for frame in roll] == [[60], [62], [66]]
    fine = to_roll([Note(0, 10, 60), Note(5, 10, 21), Note(5, 10, 108)], 10, "sixteenth")
    assert [np.flatnonzero(f).tolist() for f in fine] == [[39], [39], [0, 39, 87], [0, 39, 87]]
    assert to_roll([], 10, "quarter").shape == (0, KEYS)


def test_a_line_tells_notes_of_one_pitch_apart() -> None:
    """A note begins in its first frame; one that no instant hears begins nowhere."""
    notes = [Note(0, 20, 60), Note(20, 30, 60), Note(31, 39, 64), Note(45, 60, 62)]
    pitches, begins = to_line(notes, 10, "quarter", 7)
    assert [60, 60, 60, 0, 0, 62, 0] == pitches.tolist()
    assert [True, False, True, False, False, True, False] == begins.tolist()


# Near-duplicates and the split


def naive_shingles(roll: Roll) -> set[str]:
    chords: list[list[int]] = []
    for frame in roll:
        chord = [key for key in range(KEYS) if frame[key]]
        if chord and (not chords or chords[-1] != chord):
            chords.append(chord)
    return {
        repr([[key - three[0][0] for key in chord] for chord in three])
        for three in zip(chords, chords[1:], chords[2:], strict=False)
    }


def test_no_near_duplicates_in_two_splits(corpus: Chorales) -> None:
    """For several seeds, by an independent comparison of all pairs."""
    shingles = [naive_shingles(roll) for roll in corpus.rolls]
    alike = [
        (a, b)
        for a, b in itertools.combinations(range(len(shingles)), 2)
        if len(shingles[a] & shingles[b]) >= OVERLAP * min(len(shingles[a]), len(shingles[b]))
    ]
    assert len(alike) == 30
    for seed in range(5):
        chosen = split_by_group(corpus.names, corpus.groups, corpus.quarters, seed)
        assert all(chosen[a] == chosen[b] for a, b in alike)
        for split, share in SHARES.items():
            held = sum(n for n, s in zip(corpus.quarters, chosen, strict=True) if s == split)
            assert share == pytest.approx(held / sum(corpus.quarters), abs=0.01)


def test_known_duplicates_are_found(corpus: Chorales) -> None:
    """Settings known to be the same music, also in other keys."""
    group = dict(zip(corpus.names, corpus.groups, strict=True))
    for one, other in [
        ("bwv18.5-lz", "bwv18.5-w"),
        ("bwv227.1", "bwv227.11"),
        ("bwv20.7", "bwv20.11"),
        ("bwv244.15", "bwv244.17"),  # E major and E flat major
        ("bwv253", "bwv414"),
    ]:
        assert group[one] == group[other]
    assert len(set(corpus.groups)) == 338


def test_grouping_does_not_hear_the_key(corpus: Chorales) -> None:
    draw = random.Random(0)
    moved = [np.roll(roll, draw.randint(-6, 6), axis=1) for roll in corpus.rolls]
    assert corpus.groups == near_duplicate_groups(moved)


def test_a_planted_duplicate_is_caught(corpus: Chorales) -> None:
    """A transposed copy with a note changed in every eighth frame, and an excerpt."""
    index = corpus.names.index("bwv269")
    copy = np.roll(corpus.rolls[index], 5, axis=1)
    copy[::8] = np.roll(copy[::8], 1, axis=1)
    excerpt = corpus.rolls[index][20:40]
    *others, copied, excerpted = near_duplicate_groups([*corpus.rolls, copy, excerpt])
    assert [others[index]] * 2 == [copied, excerpted]
    assert corpus.groups == others


def test_silence_and_tiny_pieces_have_groups() -> None:
    """A piece of one chord equals its like; silent pieces are not alike."""
    chord = np.zeros((1, KEYS), dtype=np.uint8)
    chord[0, [40, 44, 47]] = 1
    silence = np.zeros((5, KEYS), dtype=np.uint8)
    assert near_duplicate_groups([chord, chord, silence, silence]) == [0, 0, 1, 2]


def test_the_split_follows_its_seed() -> None:
    """The same on every machine, another with another seed, and never an empty part."""
    names = [f"piece {number}" for number in range(6)]
    six = split_by_group(names, range(6), [10] * 6, 0)
    assert six == ["train", "train", "valid", "train", "test", "train"]
    assert six != split_by_group(names, range(6), [10] * 6, 1)
    shuffled = split_by_group(names[::-1], range(6), [10] * 6, 0)
    assert six == shuffled[::-1]
    for seed in (0, 1, 5, 6):
        assert set(SHARES) == set(split_by_group(names[:3], range(3), [1, 50, 1000], seed))


@pytest.mark.parametrize("frames", [[1000, 1, 1, 1, 1], [0] * 5, [1, 50, 1000, 3, 2]])
def test_five_groups_of_any_size_fill_five_folds(frames: list[int]) -> None:
    for deal in range(4):
        tested = []
        for fold in range(5):
            chosen = split_by_group(list("abcde"), range(5), frames, 5 * deal + fold)
            assert set(SHARES) == set(chosen)
            tested += [name for name, split in zip("abcde", chosen, strict=True) if split == "test"]
        assert sorted(tested) == list("abcde")


def test_too_few_groups_for_a_fold_are_refused_and_the_advice_works() -> None:
    with pytest.raises(Refused, match=r"task.split_seed=8: 3 pieces that differ are too few") as no:
        split_by_group(list("abc"), range(3), [1, 50, 1000], 8)
    advised = int(str(no.value).rpartition("=")[2])
    assert set(SHARES) == set(split_by_group(list("abc"), range(3), [1, 50, 1000], advised))


def test_split_seeds_are_disjoint_folds_of_a_deal(corpus: Chorales) -> None:
    """Each piece is tested by one seed of a deal, its group with it; another deal is another."""
    deals = []
    for deal in (0, 1):
        tests = []
        for seed in range(5 * deal, 5 * deal + 5):
            chosen = split_by_group(corpus.names, corpus.groups, corpus.quarters, seed)
            tests.append({n for n, s in zip(corpus.names, chosen, strict=True) if s == "test"})
        assert sorted(corpus.names) == sorted(itertools.chain(*tests))
        deals.append(tests)
    assert not any(test in deals[0] for test in deals[1])
