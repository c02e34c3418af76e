"""Reading a store that cannot be written: SQLite makes files beside a database even to read it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_PARTS = ("", "-wal")  # the file, and what was written since it was brought up to date
_copies: dict[Path, tuple[list[tuple[int, int]], Path]] = {}  # when each was made, and where it is


def readable(database: Path) -> Path:
    """Return a SQLite file that can be read: itself, or a copy where it or its folder is read-only.

    A copy lives as long as this process, or until the file has changed.

    Raises:
        OSError: it cannot be read.
    """
    if _may(database, os.W_OK) and _may(database.parent, os.W_OK | os.X_OK):
        return database
    parts = [database.with_name(f"{database.name}{part}") for part in _PARTS]
    found = [path.stat() for path in parts if path.exists()]
    state = [(item.st_mtime_ns, item.st_size) for item in found]
    before, copy = _copies.get(database, ([], None))
    if copy is None or before != state:
        if copy is not None:
            shutil.rmtree(copy.parent, ignore_errors=True)
        copy = Path(tempfile.mkdtemp(prefix="seqbench-"), database.name)
        atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
        for path in parts:
            if path.exists():
                shutil.copyfile(path, copy.with_name(path.name))
        _copies[database] = (state, copy)
    return copy


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
