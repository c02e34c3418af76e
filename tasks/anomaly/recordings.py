"""Wrist movements in seven shoulder exercises, and splices of one exercise into another."""

from __future__ import annotations

import codecs
import hashlib
import io
import pickle
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from seqbench.errors import Refused
from seqbench.tasks._archive import Archive, Arrays, cached_arrays, read_members
from seqbench.tasks.anomaly.series import Parts, Samples, Series

ARCHIVE = Archive(
    package="seglearn",
    version="1.2.5",
    filename="seglearn-1.2.5-py3-none-any.whl",
    sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
    size=11_320_941,
    members=r"seglearn/data/watch_dataset\.npy",
    members_sha256="acae76eacfd5efe7fd8f7760b83a4a9111559fcd26c1ce3c693aa25c33a06bbf",
)
PARSER_VERSION = "1"
"""Changes whenever the same archive would give other recordings."""
EXERCISES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""In the order of the archive's numbers."""
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
"""Acceleration in g and angular velocity in rad/s, along the watch's axes."""
RATE = 50
"""Samples per second."""
TRAIN, VALID, TEST = (1, 2, 3, 4, 5), (6,), (7, 8, 9, 10)
"""Subjects."""
COPIES = 5
"""Of each training recording: the n-th begins n * LATER samples later, all but the first turned."""
LATER = 10
TURN = 8.0
"""Standard deviation of the angle about each axis by which a copy is turned, in degrees."""
SPLICES = 3
SHORTEST, LONGEST = 100, 200
"""Samples of a splice."""
APART = 100
"""Samples, at least, between splices and to the recording's ends."""


class Key(NamedTuple):
    """Whose recording of what: one each."""

    subject: int
    exercise: int
    side: int
    """0 is left, 1 is right."""


Recordings = dict[Key, Samples]


def load_recordings() -> Recordings:
    """Return the 140 recordings ``[T, 6]``, fetched, parsed and cached the first time.

    Raises:
        Refused: no place has the archive, or the cache folder cannot be written.
    """
    arrays = cached_arrays(f"watch-{PARSER_VERSION}.npz", _parse)
    parts = np.split(arrays["samples"].astype(np.float64), np.cumsum(arrays["lengths"])[:-1])
    keys = [Key(*row) for row in arrays["keys"].tolist()]
    return dict(zip(keys, parts, strict=True))


def watch_parts(
    recordings: Recordings,
    exercise: int,
    train: tuple[int, ...] = TRAIN,
    valid: tuple[int, ...] = VALID,
    test: tuple[int, ...] = TEST,
) -> Parts:
    """Return one exercise of some subjects, both sides each; the test subjects' have splices."""

    def normal(subject: int, side: int) -> Series:
        values = recordings[Key(subject, exercise, side)]
        return Series(values, np.zeros(len(values), dtype=bool), f"subject {subject}")

    def copies(subject: int, side: int) -> list[Series]:
        whole = normal(subject, side)
        return [
            Series(
                turned(whole.values, Key(subject, exercise, side), copy)[copy * LATER :],
                whole.labels[copy * LATER :],
                whole.group,
            )
            for copy in range(COPIES)
        ]

    return Parts(
        [copy for subject in train for side in (0, 1) for copy in copies(subject, side)],
        [normal(subject, side) for subject in valid for side in (0, 1)],
        [splice(recordings, Key(subject, exercise, side)) for subject in test for side in (0, 1)],
    )


def turned(values: Samples, key: Key, copy: int) -> Samples:
    """Return a recording as a watch gives it that sits a little differently on the wrist.

    Acceleration and angular velocity are turned by one rotation, whose rotation vector is normally
    distributed and drawn by a hash of the key.

    Args:
        values: ``[T, 6]``.
        key: of the recording.
        copy: number of the copy; 0 is left as it is.
    """
    if copy == 0:
        return values
    grains = 1 << 32
    draws = [_draw(key, f"turn {copy} {axis}", grains) for axis in "xyz"]
    angles = [NormalDist().inv_cdf((draw + 0.5) / grains) for draw in draws]
    x, y, z = np.deg2rad(TURN) * np.array(angles)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.sqrt(x * x + y * y + z * z)
    # Rodrigues' formula
    rotation = (
        np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross)
    )
    return np.concatenate([values[:, :3] @ rotation.T, values[:, 3:] @ rotation.T], axis=1)


def splice(recordings: Recordings, key: Key) -> Series:
    """Return a recording with three stretches replaced by another exercise, labelled.

    The other exercise is of the same subject and side, so that no stretch differs by who wears the
    watch and how. Lengths, places and exercises are drawn by hashes of the key: everyone's data are
    the same.
    """
    values = recordings[key].copy()
    labels = np.zeros(len(values), dtype=bool)
    lengths = [
        SHORTEST + _draw(key, f"length {number}", LONGEST - SHORTEST + 1)
        for number in range(SPLICES)
    ]
    free = len(values) - sum(lengths) - APART * (SPLICES + 1)
    gaps = sorted(_draw(key, f"gap {number}", free + 1) for number in range(SPLICES))
    for number, (gap, length) in enumerate(zip(gaps, lengths, strict=True)):
        start = gap + APART * (number + 1) + sum(lengths[:number])
        other = (key.exercise + 1 + _draw(key, f"exercise {number}", 6)) % len(EXERCISES)
        source = recordings[key._replace(exercise=other)]
        begin = _draw(key, f"begin {number}", len(source) - length + 1)
        values[start : start + length] = source[begin : begin + length]
        labels[start : start + length] = True
    return Series(values, labels, f"subject {key.subject}")


def _draw(key: Key, what: str, count: int) -> int:
    """Return a number in ``0..count - 1`` that is always the same for the key and what is drawn."""
    text = f"{key.subject} {key.exercise} {key.side} {what}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % count


def _parse() -> Arrays:
    (data,) = read_members(ARCHIVE).values()
    try:
        contents = _read_object(data)
        samples = [np.asarray(part, dtype=np.float32) for part in contents["X"]]
        keys = np.stack([contents["subject"], contents["y"], contents["side"]], axis=1).astype(int)
    except (pickle.UnpicklingError, ValueError, KeyError, EOFError) as error:
        raise Refused(f"cannot read the recordings of {ARCHIVE.filename}: {error}") from error
    return {
        "samples": np.concatenate(samples),
        "lengths": np.array([len(part) for part in samples]),
        "keys": keys,
    }


def _read_object(data: bytes) -> Any:
    """Return the one object of an ``.npy`` file; no code of its pickle runs."""
    file = io.BytesIO(data)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return _Unpickler(file).load().item()


class _Unpickler(pickle.Unpickler):
    """Knows what numpy arrays are rebuilt of, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what an allowed name stands for.

        Raises:
            pickle.UnpicklingError: it is not allowed.
        """
        known = {
            "numpy.core.multiarray _reconstruct": np.empty(0).__reduce__()[0],
            "numpy ndarray": np.ndarray,
            "numpy dtype": np.dtype,
            "_codecs encode": codecs.encode,
        }
        try:
            return known[f"{module} {name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None
