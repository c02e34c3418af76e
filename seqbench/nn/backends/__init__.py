"""The table of back ends. Each is a module of its name beside this one, and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, get_args

from seqbench.nn.backends.base import Backend

BackendName = Literal[
    "auto",  # the default of the values' device
    "reference",
    "cpu",
    "cuda",
    "native",
]
"""What ``backend=`` takes. ``seqbench describe`` and the checks of a configuration read it from
this source, without importing torch; everything else asks :data:`BACKENDS`."""

BACKENDS: dict[BackendName, Backend] = {
    name: import_module(f"{__name__}.{name}").BACKEND for name in get_args(BackendName)[1:]
}
"""The back ends by name, in the order of the table."""
