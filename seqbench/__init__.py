"""seqbench: the bench on which recurrent sequence models are compared honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seqbench.interface import Result, results, run, sweep

__all__ = ["Result", "__version__", "results", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is used: the command line starts without it."""
    if name in __all__:
        from seqbench import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'seqbench' has no attribute '{name}'")
