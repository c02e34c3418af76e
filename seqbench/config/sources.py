"""What a user's own data are: the bytes of a file or folder, wherever it lies.

Hashing large data takes seconds, so what was hashed is kept beside the data of tasks, by path, size
and times. A file that was changed just now is hashed again the next time: it may be changed once
more without a change of its times.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqbench.config.machine import data_folder
from seqbench.config.userdata import files_below
from seqbench.errors import Refused

FOLDER = "hashes"
"""Where hashes are kept, in :func:`seqbench.config.machine.data_folder`; one file for a source."""

_SETTLED = 2 * 10**9  # nanoseconds without a change, after which a file's times tell of the next
_ATTEMPTS = 3

_Stamp = list[int]
_Known = dict[str, tuple[_Stamp, str]]


@dataclass(frozen=True)
class Reading:
    """What a task reads of its ``source`` beside the bytes.

    Args:
        beside: files outside the source, relative to the folder that the source lies in.
        is_named: whether the name of a single file counts.
    """

    beside: tuple[str, ...] = ()
    is_named: bool = False


PLAIN = Reading()


def content_hash(source: str, reading: Reading = PLAIN) -> str:
    """Return the hash of a task's ``source``, 16 hexadecimal digits.

    Of a file its bytes and its suffix count, of a folder the names inside it and their bytes, but
    for hidden files. What is no path, such as the name of a data set, counts as it is written. Of
    a file beside it that the task reads, the bytes count and the way from there to the source.

    Args:
        source: as it was given.
        reading: what else the task reads.

    Raises:
        Refused: a file cannot be read.
    """
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            names = sorted(
                found.relative_to(path) for found in files_below(path) if found.is_file()
            )
            files = {name.as_posix(): path / name for name in names}
        elif path.is_file():
            files = {path.name if reading.is_named else path.suffix: path}
        else:
            return _digest(["no file", source])
        whole = Path(os.path.abspath(path))
        for name in reading.beside:
            beside = Path(os.path.normpath(whole.parent / name))
            if beside.is_file():
                way = Path(os.path.relpath(whole, beside.parent)).as_posix()
                files[f"{beside.name} of {way}"] = beside
        return _of_files(path, files)
    except OSError as error:
        raise Refused(f"cannot read task.source={source}: {error.strerror}") from error


def byte_count(source: str) -> int:
    """Return the size of a file, or of all files in a folder; 0 of what is none."""
    path = Path(source).expanduser()
    with suppress(OSError):
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(found.stat().st_size for found in files if found.is_file())
    return 0


def whole_path(source: str) -> str:
    """Return where a source lies, whatever the working directory; what is no path as it is."""
    try:
        path = Path(source).expanduser().absolute()
        return os.path.normpath(path) if path.exists() else source
    except (OSError, RuntimeError):  # unreadable, or of an unknown user
        return source


def _of_files(source: Path, files: dict[str, Path]) -> str:
    cache = data_folder() / FOLDER / f"{_digest(str(source.resolve()))}.json"
    known = _read(cache)
    found: _Known = {name: _hashed(path, known.get(name)) for name, path in files.items()}
    now = time.time_ns()
    settled = {name: kept for name, kept in found.items() if now - max(kept[0][1:]) > _SETTLED}
    if settled != known:
        _write(cache, settled)
    return _digest([[name, text] for name, (_, text) in sorted(found.items())])


def _hashed(path: Path, known: tuple[_Stamp, str] | None) -> tuple[_Stamp, str]:
    """Return a file's size and times, and the hash of its bytes."""
    stamp = _stamp(path)
    if known is not None and known[0] == stamp:
        return known
    for _ in range(_ATTEMPTS):
        with path.open("rb") as stream:
            text = hashlib.file_digest(stream, "sha256").hexdigest()
        before, stamp = stamp, _stamp(path)
        if before == stamp:
            break
    return stamp, text


def _stamp(path: Path) -> _Stamp:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def _read(path: Path) -> _Known:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): ([int(number) for number in stamp], str(text))
            for name, (stamp, text) in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # none, or damaged
        return {}


def _write(path: Path, known: _Known) -> None:
    """Keep hashes in one move: other processes read the file before or after it."""
    draft = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # what cannot be kept is hashed again
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(path)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
