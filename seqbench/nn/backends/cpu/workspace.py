"""Large buffers that are used again from step to step.

Memory fresh from the system costs a page fault for every 4 KiB when it is first written, which for
long sequences is a fifth of a training step.
"""

from __future__ import annotations

import math
from threading import RLock

import torch
from torch import Tensor


class Workspace:
    """A pool of buffers.

    Args:
        idle: how many buffers are kept while nobody uses them.
    """

    def __init__(self, idle: int = 8) -> None:
        self._idle = idle
        self._free: list[Tensor] = []
        self._lock = RLock()  # the garbage collector may give back while this thread borrows

    def borrow(self, *shape: int, dtype: torch.dtype) -> Loan:
        """Lend a tensor with any content."""
        size = math.prod(shape) * dtype.itemsize
        with self._lock:
            fitting = [b for b in self._free if size <= len(b) <= 4 * size]
            buffer = min(fitting, key=len) if fitting else None
            if buffer is not None:
                self._free = [b for b in self._free if b is not buffer]
        if buffer is None:
            step = 1 << max(12, size.bit_length() - 3)  # batches of nearly one size share buffers
            buffer = torch.empty(-(-size // step) * step, dtype=torch.uint8, device="cpu")
        return Loan(self, buffer, buffer[:size].view(dtype).view(shape))

    def give_back(self, buffer: Tensor) -> None:
        """Take a buffer back; the one that has waited longest goes if there are too many."""
        with self._lock:
            self._free = [*self._free, buffer][-self._idle :]

    def clear(self) -> None:
        """Let go of the buffers that nobody uses."""
        with self._lock:
            self._free = []


class Loan:
    """A borrowed tensor, given back when nothing refers to the loan any more."""

    def __init__(self, workspace: Workspace, buffer: Tensor, tensor: Tensor) -> None:
        self._workspace = workspace
        self._buffer = buffer
        self.tensor = tensor

    def __del__(self) -> None:
        self._workspace.give_back(self._buffer)


WORKSPACE = Workspace()
"""Of this process."""
