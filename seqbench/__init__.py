"""seqbench: the bench on which recurrent sequence models are compared honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seqbench.interface import Result, compare, evaluate, load, report, results, run, sweep
    from seqbench.registry.hookspecs import Entry, hookimpl

__all__ = [
    "Entry",
    "Result",
    "__version__",
    "compare",
    "evaluate",
    "hookimpl",
    "load",
    "report",
    "results",
    "run",
    "sweep",
]

_OF_PLUGINS = ("Entry", "hookimpl")


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is used: the command line starts without it."""
    if name in _OF_PLUGINS:
        from seqbench.registry import hookspecs

        return getattr(hookspecs, name)
    if name in __all__:
        from seqbench import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'seqbench' has no attribute '{name}'")
