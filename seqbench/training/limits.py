"""What a trial may use at most: its time and its memory."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from seqbench.errors import TrialFailed
from seqbench.settings import Limits

_GIB = 2**30
_STATUS = Path("/proc/self/status")
_OUT_OF_MEMORY = re.compile("allocate memory|out of memory|bad_alloc", re.IGNORECASE)


class LimitCheck(Callback):
    """Ends training once it has used more than it may; looked at after each batch.

    Args:
        limits: what it may use.
        seconds: that it has trained so far.
    """

    def __init__(self, limits: Limits, seconds: Callable[[], float]) -> None:
        self._limits = limits
        self._seconds = seconds

    def on_train_batch_end(self, *_: Any) -> None:
        """Look at the clock and at the memory."""
        self.check()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Look at the clock and at the memory."""
        self.check()

    def check(self) -> None:
        """Raise if more was used.

        Raises:
            TrialFailed: its status is TIMEOUT or OOM.
        """
        minutes, gib = self._limits.minutes, self._limits.gib
        if minutes is not None and self._seconds() > 60 * minutes:
            raise TrialFailed(f"trained longer than limits.minutes={minutes:g}", "TIMEOUT")
        if gib is not None and (used := peak_memory() / _GIB) > gib:
            raise TrialFailed(f"used {used:.2f} GiB of memory, limits.gib={gib:g}", "OOM")


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
    _forget_peak()
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
        with suppress(ValueError, OSError):  # a stricter limit of the user's own stands
            resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def peak_memory() -> int:
    """Return the most memory in bytes that was in use since :func:`memory_limit` began.

    Of the GPU where there is a context on one; on macOS since the process began.
    """
    if _on_gpu():
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there was no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def _forget_peak() -> None:
    if _on_gpu():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # not Linux, or a container that does not allow it
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _on_gpu() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


def _status(name: str) -> int:
    """Return a number of bytes from ``/proc/self/status``, see proc_pid_status(5)."""
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
