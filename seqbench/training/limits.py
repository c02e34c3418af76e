"""What a trial may use at most: its time and its memory."""

from __future__ import annotations

import ctypes
import errno
import gc
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from seqbench.config.settings import Limits
from seqbench.errors import Refused, TrialFailed
from seqbench.nn import release_memory

_GIB = 2**30
_STATUS = Path("/proc/self/status")
_OUT_OF_MEMORY = re.compile(
    "allocate memory|out of memory|bad_alloc|can't start new thread", re.IGNORECASE
)
_ASKED = re.compile(r"(?:tried|unable) to allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


class LimitCheck:
    """Ends training once it has used more than it may.

    Args:
        minutes: of training at most; None sets no limit.
        gib: of memory in GiB at most; None sets no limit.
        device: ``cpu`` or ``cuda``, whose memory is meant.
        seconds: that it has trained so far.
    """

    def __init__(
        self,
        minutes: float | None,
        gib: float | None,
        device: str,
        seconds: Callable[[], float],
    ) -> None:
        self._minutes = minutes
        self._gib = gib
        self._device = device
        self._seconds = seconds

    def check(self) -> None:
        """Raise if more was used.

        Raises:
            TrialFailed: its status is TIMEOUT or OOM.
        """
        minutes, gib = self._minutes, self._gib
        if minutes is not None and self._seconds() > 60 * minutes:
            raise TrialFailed(f"trained longer than limits.minutes={minutes:g}", "TIMEOUT")
        if gib is not None and (used := peak_memory(self._device) / _GIB) > gib:
            raise TrialFailed(f"used {used:.2f} GiB of memory, limits.gib={gib:g}", "OOM")


def start_counting(gib: float | None, device: str) -> None:
    """Give back what earlier trials of this process left, and forget the most that they used.

    Args:
        gib: that the trial may use; None sets no limit.
        device: ``cpu`` or ``cuda``.

    Raises:
        Refused: the process uses more before the trial has begun.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        release_memory()
        with suppress(AttributeError, OSError):  # of glibc alone
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # not Linux, or a container that does not allow it
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if gib is not None and (used := peak_memory(device) / _GIB) >= gib:
        raise Refused(
            f"limits.gib={gib:g} is too little: {used:.2f} GiB are in use before the trial begins"
        )


@contextmanager
def memory_limit(gib: float | None, device: str) -> Iterator[None]:
    """Let what is done inside allocate so much memory, and no more.

    What asks for more at once is refused by the system (``RLIMIT_DATA``, on Linux) or by torch (on
    a GPU), so that neither the machine nor the other trials of a sweep suffer. The system counts
    what is asked for and not what is used: it grants half as much again, and :class:`LimitCheck`
    looks at what is used.

    Args:
        gib: of the process in GiB, or of the GPU; None sets no limit.
        device: ``cpu`` or ``cuda``.
    """
    if gib is None:
        yield
        return
    if device == "cuda":
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * _GIB / total))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if _STATUS.exists():
        room = max(0.0, gib * _GIB - _status("VmRSS"))
        most = _status("VmData") + int(1.5 * room) + _GIB // 4
        stricter = [limit for limit in before if limit != resource.RLIM_INFINITY]
        with suppress(OverflowError):  # more than any machine has
            resource.setrlimit(resource.RLIMIT_DATA, (min([most, *stricter]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def peak_memory(device: str) -> int:
    """Return the most memory in bytes that was in use since :func:`start_counting`.

    Args:
        device: ``cpu``, of this process; on macOS since it began. ``cuda``, of the GPU.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def out_of_memory(error: BaseException, limits: Limits) -> TrialFailed | None:
    """Return what an exception says if that is that there was no memory left, in one line."""
    text = str(error)
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    memory |= isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(text))
    memory |= isinstance(error, OSError) and error.errno == errno.ENOMEM
    if not memory:
        return None
    asked = _ASKED.search(text)
    if asked:
        gib = float(asked[1]) * _UNITS[asked[2].lower()] / _GIB
        reason = f"could not allocate {gib:.3g} GiB of memory"
    else:
        first = (text.strip().splitlines() or [""])[0]
        reason = f"out of memory: {type(error).__name__}: {first}".removesuffix(": ")
    if limits.gib is not None:
        reason += f", limits.gib={limits.gib:g}"
    return TrialFailed(reason, "OOM")


def _status(name: str) -> int:
    """Return a number of bytes from ``/proc/self/status``, see proc_pid_status(5)."""
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
