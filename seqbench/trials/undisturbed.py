"""What code of plugins changes in this process is put back, so that no trial changes the next."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from seqbench.registry.plugins import registry

_Switch = tuple[Callable[[], Any], Callable[[Any], object]]


def _attribute(owner: Any, name: str) -> _Switch:
    return (lambda: getattr(owner, name)), (lambda value: setattr(owner, name, value))


def _deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


_SWITCHES: dict[str, _Switch] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "grad": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomalies": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "matmul": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "deterministic": (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _deterministic,
    ),
    "cudnn": _attribute(torch.backends.cudnn, "enabled"),
    "cudnn's choice": _attribute(torch.backends.cudnn, "benchmark"),
    "cudnn's order": _attribute(torch.backends.cudnn, "deterministic"),
    "cudnn's TF32": _attribute(torch.backends.cudnn, "allow_tf32"),
    "numpy's errors": (np.geterr, lambda state: np.seterr(**state)),
}
"""Settings of the whole process that results depend on: how to read and to set each."""

_of_imports: dict[str, dict[str, Any]] = {}


def _switches() -> dict[str, Any]:
    return {name: read() for name, (read, _) in _SWITCHES.items()}


def _set(wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        read, write = _SWITCHES[name]
        if read() != value:
            write(value)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back, afterwards, torch's settings, random states, environment and working directory."""
    registry()  # what it adds to the path for plugins' files stays
    switches, folder = _switches(), os.getcwd()
    environment, path = dict(os.environ), list(sys.path)
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        _set(switches)
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        sys.path[:] = path
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        with suppress(OSError):  # it is gone
            os.chdir(folder)


@contextmanager
def in_folder() -> Iterator[None]:
    """Come back to the working directory afterwards: it says where the store is."""
    folder = os.getcwd()
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(folder)


@contextmanager
def importing(target: str) -> Iterator[None]:
    """Have a module's import set in every trial what it sets in the first, which imports it.

    Args:
        target: ``module:Class``.
    """
    before = _switches()
    yield
    found = {name: value for name, value in _switches().items() if value != before[name]}
    _set(_of_imports.setdefault(target, {}) | found)
    _of_imports[target].update(found)


def notify(hook: str, **arguments: object) -> None:
    """Call a lifecycle hook of every plugin, see :meth:`seqbench.registry.plugins.Registry.notify`.

    Args:
        hook: its name.
        arguments: of the hook.
    """
    known = registry()
    if any(known.implementations(hook)):
        with undisturbed():
            known.notify(hook, **arguments)
