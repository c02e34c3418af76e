"""Checks of a task's files: preparing twice, and damaged files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seqbench.config.machine import DATA_VARIABLE
from seqbench.errors import Refused
from seqbench.testing.checklist import ConformanceError, require
from seqbench.testing.subjects import TaskSubject


def check_fingerprint(one: str, other: str) -> None:
    """Check that two fingerprints of the same data agree."""
    require(
        one == other, f"fingerprint() changes: {one}, then {other}", "one hash for the same data"
    )


def check_idempotence(subject: TaskSubject) -> None:
    """Check that preparing again changes neither the data nor the files."""
    before = subject.task.fingerprint()
    if subject.data is None:  # where its files are is not known
        again = subject.fresh()
        again.prepare()
        again.prepare()
        check_fingerprint(before, again.fingerprint())
        return
    with _copied(subject.data) as folder:  # others may be filling the folder itself
        files = _files(folder)
        again = subject.fresh()
        again.prepare()
        again.prepare()
        found = again.fingerprint()
        changed = sorted(name for name, when in _files(folder).items() if files.get(name) != when)
    check_fingerprint(before, found)
    require(
        not changed,
        f"prepare() wrote {', '.join(changed)} again",
        "nothing to do where the data are there",
    )


def _files(folder: Path) -> dict[str, int]:
    """Return when each file or link of a folder was written; locks are no data."""
    paths = (path for path in folder.iterdir() if path.is_file() and path.suffix != ".lock")
    return {path.name: path.lstat().st_mtime_ns for path in paths}


def check_damage(subject: TaskSubject) -> str | None:
    """Check that a truncated file is refused in one line or made again, on a copy of the data."""
    expected = subject.task.fingerprint()
    if subject.data is None:
        return "where its data are kept is not known"
    if not subject.data.is_dir():
        return f"it keeps no file in {DATA_VARIABLE}"
    with _copied(subject.data) as folder:
        used = _used(subject, folder)
        if not used:
            return f"it keeps no file in {DATA_VARIABLE}"
        for name in used:
            _cut(folder / name)
            try:
                task = subject.fresh()
                task.prepare()
                found = task.fingerprint()
            except Refused as refused:
                line = str(refused)
                require("\n" not in line, f"{name} cut short: {line!r}", "one line")
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                raise ConformanceError(
                    f"with {name} cut short it raises {text}",
                    "seqbench.errors.Refused with what to do, or the file made again",
                ) from error
            else:
                require(
                    found == expected,
                    f"with {name} cut short other data are taken without a word",
                    "seqbench.errors.Refused with what to do, or the file made again",
                )
    return None


@contextmanager
def _copied(data: Path) -> Iterator[Path]:
    """Let tasks keep their data in a folder that has links to what is there."""
    before = os.environ.get(DATA_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="seqbench-check-") as name:
        folder = Path(name)
        for path in data.iterdir() if data.is_dir() else ():
            if path.is_file() and path.suffix != ".lock":
                (folder / path.name).symlink_to(path)
        os.environ[DATA_VARIABLE] = name
        try:
            yield folder
        finally:
            if before is None:
                del os.environ[DATA_VARIABLE]
            else:
                os.environ[DATA_VARIABLE] = before


def _used(subject: TaskSubject, folder: Path) -> list[str]:
    """Return the files that a task makes in a folder which holds fetched archives alone."""
    kept = {path: path.readlink() for path in folder.iterdir() if path.suffix != ".whl"}
    for path in kept:
        path.unlink()
    try:
        subject.fresh().prepare()
        found = _files(folder).keys() - {path.name for path in folder.glob("*.whl")}
    except Exception:  # it cannot be made again from archives alone: any file may be one of its own
        found = {path.name for path in kept}
    for path, target in kept.items():
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    return sorted(found)


def _cut(path: Path) -> None:
    """Put half of a file into its place, without touching what it links to."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
