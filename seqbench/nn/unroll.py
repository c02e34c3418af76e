"""The loop over time, and the choice of what runs it."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from seqbench.nn.backends import cpu, cuda, native, reference
from seqbench.nn.backends.equations import Unsupported
from seqbench.nn.cell import Cell, State

Backend = Literal["auto", "reference", "cpu", "cuda", "native"]


class Unrolled(NamedTuple):
    """What a cell makes of a batch of sequences."""

    hidden: Tensor
    """Hidden states ``[B, T, H]``, zero at padding."""
    state: State | None
    """The states after each sequence's last real step; None where a native kernel, which does not
    know of padding, cannot tell."""


def unroll(
    cell: Cell,
    values: Tensor,
    lengths: Tensor | None = None,
    state: State | None = None,
    backend: Backend = "auto",
) -> Unrolled:
    """Run a cell over padded sequences.

    Args:
        cell: the recurrent cell.
        values: ``[B, T, F]``; what stands at padding is never read.
        lengths: ``[B]`` integers, real steps of each sequence, which start at step 0; None: all T.
        state: the states before the first step; None: :meth:`Cell.initial_state`.
        backend: what runs it. ``reference``: the equations, step by step, under autograd; ``cpu``
            and ``cuda``: compiled from the equations; ``native``: torch's own kernel;
            ``auto``: ``cpu`` or ``cuda`` by the device. Where ``cpu`` or ``cuda`` cannot run a
            cell, ``reference`` does, see :func:`fallback`. The first run of a new cell compiles,
            for about a second.

    Raises:
        ValueError: ``native`` was asked for and torch has no kernel for the cell; or a shape, a
            length or the back end's name is impossible.
    """
    check_backend(cell, backend)
    values, real, start = _prepare(cell, values, lengths, state)
    if backend == "native":
        return Unrolled(*native.run(cell, values, real, start))
    if backend == "reference":
        return Unrolled(*reference.run(cell, values, real, start))
    reason = fallback(cell, values, backend)
    if reason is not None:
        return Unrolled(*reference.run(cell, values, real, start, reason))
    run = cuda.run if _compiled(values, backend) == "cuda" else cpu.run
    return Unrolled(*run(cell, values, real, start))


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
    return reference.trace(cell, *_prepare(cell, values, lengths, state))


def check_backend(cell: Cell, backend: str) -> None:
    """Raise ``ValueError`` if the back end does not exist, or cannot run the cell at all."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, not '{backend}'")
    if backend == "native" and not native.has_kernel(cell):
        raise ValueError(f"backend=native: torch has no kernel for {type(cell).__name__}")


def fallback(cell: Cell, values: Tensor, backend: Backend) -> str | None:
    """Return why ``reference`` runs the cell in the place of a compiled back end, or None."""
    name = _compiled(values, backend)
    try:
        if name not in ("cpu", "cuda"):
            raise Unsupported(f"no compiled back end for {values.device.type}")
        (cuda if name == "cuda" else cpu).check(cell, values)
    except Unsupported as error:
        return f"{name}: {error}"
    return None


def _compiled(values: Tensor, backend: Backend) -> str:
    return values.device.type if backend == "auto" else backend


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
