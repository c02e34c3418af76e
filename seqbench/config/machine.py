"""What this machine offers: its processors, and a place for data. No torch."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

DATA_VARIABLE = "SEQBENCH_DATA"
"""Environment variable that says where data are kept; tasks read it too."""


def usable_cpus() -> int:
    """Return how many CPUs this process may use, which can be fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return how many threads a trial computes with that leaves it open."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else usable_cpus()


def why_unwritable(folder: Path) -> str:
    """Return why nothing can be written in a folder, which may not exist yet; empty if it can.

    It is tried with a file that has no name: what the permissions say is not all, as for root.
    """
    absolute = folder.absolute()
    existing = next(path for path in (absolute, *absolute.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=existing):
            return ""
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()


def data_folder() -> Path:
    """Return where data are kept: ``SEQBENCH_DATA``, or else the user's cache; it may not exist."""
    import platformdirs

    override = os.environ.get(DATA_VARIABLE)
    return Path(override).expanduser() if override else platformdirs.user_cache_path("seqbench")
