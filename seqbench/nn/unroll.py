"""The loop over time, and the choice of what runs it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqbench.errors import did_you_mean
from seqbench.nn.backends import BACKENDS, BackendName
from seqbench.nn.backends.base import Backend, Step
from seqbench.nn.backends.reference import trace
from seqbench.nn.cell import Cell, State


class Unrolled(NamedTuple):
    """What a cell makes of a batch of sequences."""

    hidden: Tensor
    """Hidden states ``[B, T, H]``, zero at padding."""
    state: State | None
    """The states after each sequence's last real step; None where the back end cannot tell."""


def unroll(
    cell: Cell,
    values: Tensor,
    lengths: Tensor | None = None,
    state: State | None = None,
    backend: BackendName = "auto",
) -> Unrolled:
    """Run a cell over padded sequences.

    Args:
        cell: the recurrent cell.
        values: ``[B, T, F]``; what stands at padding is never read.
        lengths: ``[B]`` integers, real steps of each sequence, which start at step 0; None: all T.
        state: the states before the first step; None: :meth:`Cell.initial_state`.
        backend: what runs it, one of :data:`~seqbench.nn.backends.BACKENDS`; ``auto``: the default
            of the values' device. Where it cannot run a cell, ``reference`` does, see
            :func:`fallback`. The first run of a new cell compiles, for about a second.

    Raises:
        ValueError: the back end runs certain cells only, and this is none of them; or a shape, a
            length or the back end's name is impossible.
    """
    check_backend(cell, backend)
    values, real, start = _prepare(cell, values, lengths, state)
    chosen = _chosen(values, backend)
    reason = _reason(chosen, cell, values)
    if chosen is None or reason is not None:
        return Unrolled(*BACKENDS["reference"](cell, values, real, start, reason))
    return Unrolled(*chosen(cell, values, real, start))


def stepper(cell: Cell, backend: BackendName = "auto") -> Step:
    """Return what advances a cell by single steps, as a deployed model does; without gradients.

    Compiled code where the device's default back end has it and can run the cell, with the weights
    as they are now: what is written to the cell later need not be seen. Otherwise, and with
    ``backend="reference"``, :meth:`Cell.step`. The numbers are those of :func:`unroll`.

    Args:
        cell: the recurrent cell; one on the CPU is compiled, for about a second if it is new.
        backend: as for :func:`unroll`.
    """
    values = cell.weight_ih.new_empty(1, 1, cell.input_size)
    chosen = None if backend == "reference" else _chosen(values, "auto")
    if chosen is not None and chosen.reason(cell, values) is None:
        found = chosen.stepper(cell)
        if found is not None:
            return found
    return torch.inference_mode()(cell.step)


def inspect(
    cell: Cell, values: Tensor, lengths: Tensor | None = None, state: State | None = None
) -> dict[str, Tensor]:
    """Return everything that the equations return, over time: states and gates by name.

    Args:
        cell: the recurrent cell; it runs on the reference loop.
        values: ``[B, T, F]``.
        lengths: ``[B]``, as for :func:`unroll`.
        state: the states before the first step; None: :meth:`Cell.initial_state`.

    Returns:
        ``[B, T, H]`` for each name, zero at padding.
    """
    return trace(cell, *_prepare(cell, values, lengths, state))


def check_backend(cell: Cell, backend: BackendName) -> None:
    """Raise ``ValueError`` if the back end does not exist, or is not made for the cell."""
    known = ("auto", *BACKENDS)
    if backend not in known:
        hint = did_you_mean(backend, known)
        raise ValueError(f"backend must be one of {', '.join(known)}, not '{backend}'{hint}")
    only = () if backend == "auto" else BACKENDS[backend].only
    if only and type(cell) not in only:
        names = ", ".join(kind.__name__ for kind in only)
        raise ValueError(
            f"backend={backend} has no kernel for {type(cell).__name__}; it runs {names}"
        )


def fallback(cell: Cell, values: Tensor, backend: BackendName) -> str | None:
    """Return why ``reference`` runs the cell in the place of a back end, or None.

    Args:
        cell: what is to be run.
        values: ``[B, T, F]``; the device matters and what they are does not.
        backend: as for :func:`unroll`.
    """
    return _reason(_chosen(values, backend), cell, values)


def backends_for(
    cell: type[Cell], device: str = "cpu", *, portable: bool = False
) -> list[BackendName]:
    """Return the back ends that are made for a cell on a device, in the order of the table.

    Args:
        cell: its class; :func:`fallback` tells whether one can really run it.
        device: a type of torch's devices.
        portable: return those too that run on the CPU for the sake of their tests.
    """
    return [
        name
        for name, item in BACKENDS.items()
        if not item.only or cell in item.only
        if not item.devices or device in item.devices or (portable and item.portable)
    ]


def release_memory() -> None:
    """Let go of memory that the back ends keep for their next run."""
    for backend in BACKENDS.values():
        backend.release()


def _chosen(values: Tensor, backend: BackendName) -> Backend | None:
    """Return the back end asked for; None where the device has no default."""
    if backend != "auto":
        return BACKENDS[backend]
    device = values.device.type
    return next((item for item in BACKENDS.values() if device in item.default_on), None)


def _reason(chosen: Backend | None, cell: Cell, values: Tensor) -> str | None:
    if chosen is None:
        return f"{values.device.type}: no compiled back end for {values.device.type}"
    reason = chosen.reason(cell, values)
    return None if reason is None else f"{chosen.name}: {reason}"


def _prepare(
    cell: Cell, values: Tensor, lengths: Tensor | None, state: State | None
) -> tuple[Tensor, Tensor | None, State]:
    """Check what a run is given; lengths become None where no sequence is padded."""
    _check_shapes(cell, values, lengths, state)
    ragged = lengths is not None and bool((lengths < values.shape[1]).any())
    dtype = cell.weight_ih.dtype
    start = cell.initial_state(len(values)) if state is None else tuple(s.to(dtype) for s in state)
    return values.to(dtype), lengths if ragged else None, start


def _check_shapes(cell: Cell, values: Tensor, lengths: Tensor | None, state: State | None) -> None:
    if values.dim() != 3 or values.shape[2] != cell.input_size:
        raise ValueError(
            f"values must be [B, T, {cell.input_size}] for this {type(cell).__name__}, "
            f"not {list(values.shape)}"
        )
    batch, steps, _ = values.shape
    if batch == 0 or steps == 0:
        raise ValueError(f"values must have a sequence and a step, not {list(values.shape)}")
    if lengths is not None:
        if not isinstance(lengths, Tensor) or lengths.is_floating_point():
            raise ValueError(f"lengths must be a tensor of whole numbers, not {lengths}")
        if lengths.shape != (batch,):
            raise ValueError(f"lengths must be [{batch}], not {list(lengths.shape)}")
        low, high = torch.aminmax(lengths)
        if low < 1 or high > steps:
            raise ValueError(f"lengths must be 1 to {steps}, not {int(low)} to {int(high)}")
    if state is not None:
        shapes = [list(part.shape) for part in state]
        if shapes != [[batch, cell.hidden_size]] * len(cell.states):
            wanted = ", ".join(cell.states)
            raise ValueError(
                f"state must be ({wanted}), each {[batch, cell.hidden_size]}, not {shapes}"
            )
