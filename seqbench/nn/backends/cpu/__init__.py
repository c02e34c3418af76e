"""The compiled loop over time for CPU: any cell with elementwise equations.

The equations and their derivative become vector instructions, and so do the products of matrices
between them: one call runs all steps of a range of sequences. Threads take ranges of the batch, and
for the weights' gradients ranges of columns; the result has the same bits for any number of them.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from seqbench.nn.backends.base import Backend
from seqbench.nn.backends.cpu import machine
from seqbench.nn.backends.cpu.kernel import Kernel, kernel
from seqbench.nn.backends.cpu.step import CPUStep
from seqbench.nn.backends.cpu.workspace import WORKSPACE
from seqbench.nn.backends.equations import Unsupported
from seqbench.nn.backends.lowering import check_tensors, refuse_second_derivative
from seqbench.nn.cell import Cell, State


class CPU(Backend):
    """The equations as machine code."""

    name = "cpu"
    does = "the loop over time as machine code made from the equations"
    runs = "elementwise equations, float32 and float64"
    devices = ("cpu",)
    default_on = ("cpu",)
    advice = "models run on the slow reference loop; install llvmlite again"

    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Compile the cell, if that has not been done before."""
        try:
            check_tensors(cell, values)
            kernel(cell, cell.weight_ih.dtype)
        except Unsupported as error:
            return str(error)
        return None

    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the hidden states ``[B, T, H]``, zero at padding, and the final states.

        Gradients cannot be differentiated again.
        """
        if lengths is None:
            lengths = torch.full((len(values),), values.shape[1], device=values.device)
        found = kernel(cell, values.dtype)
        if values.stride(2) != 1:
            values = values.contiguous()
        weights = found.structure.weights(cell)
        hidden, *final = _Recurrence.apply(  # type: ignore[no-untyped-call]  # torch's own
            found,
            values,
            lengths.to(torch.int64).contiguous(),
            torch.is_grad_enabled(),
            len(weights),
            len(cell.vectors),
            *weights,
            *cell.vector_values(),
            *state,
        )
        return hidden, tuple(final)

    def stepper(self, cell: Cell) -> CPUStep:
        """Return the loop's own code for single steps, with the weights packed."""
        return CPUStep(kernel(cell, cell.weight_ih.dtype), cell)

    def version(self) -> str:
        """Return what it compiles for."""
        return f"compiles for {machine.description()}"

    def storage(self) -> str:
        """Return the folder of compiled cells."""
        folder = machine.cache_folder()
        if folder is not None and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return f"compiled cells are kept in {folder}"
        place = "no home folder" if folder is None else folder
        return f"each run compiles again ({place} cannot keep cells): set SEQBENCH_CACHE"

    def release(self) -> None:
        """Let go of the buffers that nobody uses."""
        WORKSPACE.clear()


BACKEND = CPU()


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        found: Kernel,
        values: Tensor,
        lengths: Tensor,
        grad_enabled: bool,
        weights: int,
        vectors: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        parts = _split(tensors, weights, vectors)
        save = grad_enabled and any(ctx.needs_input_grad)
        hidden, final, saved = found.forward(values, lengths, *parts, save=save)
        if save:
            ctx.kernel, ctx.counts, ctx.saved = found, (weights, vectors), saved
            ctx.save_for_backward(values, lengths, *tensors)
        return hidden, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("cpu")
        weights, vectors = ctx.counts
        values, lengths, *tensors = ctx.saved_tensors
        d_values, d_weights, d_vectors, d_start = ctx.kernel.backward(
            values,
            lengths,
            *_split(tensors, weights, vectors)[:2],
            ctx.saved,
            gradients[0],
            gradients[1:],
            inputs_too=ctx.needs_input_grad[1],
        )
        return None, d_values, None, None, None, None, *d_weights, *d_vectors, *d_start


def _split(
    tensors: tuple[Tensor, ...] | list[Tensor], weights: int, vectors: int
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    values = list(tensors)
    return values[:weights], values[weights : weights + vectors], values[weights + vectors :]
