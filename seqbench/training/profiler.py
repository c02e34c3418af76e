"""Lightning's profiler, off."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measures nothing, at a third of what Lightning's own way of measuring nothing costs.

    Lightning opens a context for every callback at every hook, some fifty times a step.
    """

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing, the same one every time."""
        return _NOTHING
