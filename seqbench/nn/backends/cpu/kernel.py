"""A cell compiled for this machine, and the calls of its functions on tensors.

Legend: B sequences, T steps, F input features, H hidden units, S slots (pre-activations).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from llvmlite import ir
from torch import Tensor

from seqbench.nn.backends.cpu.backward import BACKWARD, Backward
from seqbench.nn.backends.cpu.build import Code
from seqbench.nn.backends.cpu.forward import FORWARD, Forward, segments
from seqbench.nn.backends.cpu.gradients import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    GRADIENTS,
    define_gradients,
)
from seqbench.nn.backends.cpu.machine import Library, block, define_team, register_shape
from seqbench.nn.backends.cpu.matmul import define_matmul, define_pack, packed_size
from seqbench.nn.backends.cpu.shares import Shares, by_steps, evenly, threads_for
from seqbench.nn.backends.cpu.workspace import WORKSPACE, Loan
from seqbench.nn.backends.equations import Unsupported
from seqbench.nn.backends.lowering import Structure, structure
from seqbench.nn.cell import Cell

CACHE_NUMBERS = 1 << 16
"""Pre-activations that are computed at once and then used: as many as a core's cache holds."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of one run."""

    steps: int
    batch: int
    features: int
    hidden: int
    slots: int
    input_slots: int

    @property
    def row(self) -> int:
        """Numbers of all pre-activations of one sequence."""
        return self.slots * self.hidden

    @property
    def work(self) -> int:
        """Products of one run forward."""
        return self.steps * self.batch * self.row * (self.features + self.hidden)


@dataclass(frozen=True)
class Saved:
    """What backward needs of a run."""

    values: Loan
    """``[T, B * n * H]``, the values that the equations save."""
    states: list[Loan]
    """``[T + 1, B, H]``, each state, from the start on."""
    inner: list[Loan]
    """``[T + 1, B, H]``, each inner value."""


class Kernel:
    """A cell's compiled functions.

    Attributes:
        structure: of the cell.
        library: the functions.
        saved_values: numbers of each unit that a step saves for :meth:`backward`.
    """

    def __init__(self, structure: Structure, dtype: torch.dtype) -> None:
        self.structure = structure
        self.shape = register_shape(dtype)
        between = structure.between
        self.saved_values = structure.equations.saved + (between.saved if between else 0)

        def generate() -> Code:
            code = Code(ir.FloatType() if dtype == torch.float32 else ir.DoubleType(), self.shape)
            define_pack(code)
            matmul = define_matmul(code)
            Forward(code, structure, matmul).define()
            Backward(code, structure, matmul).define()
            define_gradients(code, matmul)
            define_team(code)
            return code

        names = ("pack", "forward", "backward", "gradients", "team")
        self.library = Library(f"{dtype} {structure!s}", generate, names)

    def sizes(self, values: Tensor, hidden: int) -> Sizes:
        """Return the sizes of a run on ``[B, T, F]`` inputs."""
        batch, steps, features = values.shape
        slots, input_slots = len(self.structure.slots), self.structure.input_slots
        return Sizes(steps, batch, features, hidden, slots, input_slots)

    def forward(
        self,
        values: Tensor,
        lengths: Tensor,
        weights: Sequence[Tensor],
        vectors: Sequence[Tensor],
        start: Sequence[Tensor],
        *,
        save: bool,
    ) -> tuple[Tensor, list[Tensor], Saved]:
        """Run all steps.

        Args:
            values: ``[B, T, F]``, the last axis without gaps.
            lengths: ``[B]``, int64.
            weights: input weights, their bias and recurrent weights, see
                :meth:`~seqbench.nn.backends.lowering.Structure.weights`.
            vectors: each ``[H]``.
            start: each ``[B, H]``, the states before the first step.
            save: whether :meth:`backward` will follow.

        Returns:
            The hidden states ``[B, T, H]``, zero after a sequence's end; the final states, each
            ``[B, H]``; and what :meth:`backward` needs.
        """
        structure = self.structure
        size = self.sizes(values, start[0].shape[1])
        chunk = max(1, CACHE_NUMBERS // (size.batch * size.row))
        slots = values.new_empty(chunk, size.batch, size.row)
        width = size.batch * size.hidden * self.saved_values
        steps = (size.steps + 1, size.batch, size.hidden)
        dtype = values.dtype
        saved = Saved(
            WORKSPACE.borrow(size.steps if save else 1, width, dtype=dtype),
            [WORKSPACE.borrow(*steps, dtype=dtype) for _ in structure.states],
            [WORKSPACE.borrow(*steps, dtype=dtype) for _ in structure.inner],
        )
        states = [loan.tensor for loan in saved.states]
        for state, before in zip(states, start, strict=True):
            state[0] = before
        bias, packed = self.packed(weights, size.hidden)
        zeros = values.new_zeros(size.row)
        vectors = [vector.contiguous() for vector in vectors]
        named = loop_arguments(size, chunk, lengths, zeros, values) | {
            "input_weight": packed[0].data_ptr(),
            "bias": bias.data_ptr(),
            "slots": slots.data_ptr(),
            "saved": saved.values.tensor.data_ptr(),
            "saved_step": width if save else 0,
        }
        inner = [loan.tensor for loan in saved.inner]
        lists = (packed[1:], states, [state[1:] for state in states], vectors, inner)
        self._spread("forward", FORWARD, named, lists, size.work, by_steps(lengths))
        # A copy even where one sequence alone would be contiguous: the buffer is only borrowed.
        hidden = states[0][1:].transpose(0, 1).clone(memory_format=torch.contiguous_format)
        rows = torch.arange(size.batch, device=lengths.device)
        return hidden, [state[lengths, rows] for state in states], saved

    def backward(
        self,
        values: Tensor,
        lengths: Tensor,
        weights: Sequence[Tensor],
        vectors: Sequence[Tensor],
        saved: Saved,
        d_hidden: Tensor,
        d_final: Sequence[Tensor],
        *,
        inputs_too: bool,
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor], list[Tensor]]:
        """Run all steps backwards.

        Args:
            values: as in :meth:`forward`, like the next three.
            lengths: see there.
            weights: see there.
            vectors: see there.
            saved: what :meth:`forward` returned last.
            d_hidden: ``[B, T, H]``, gradient of the hidden states.
            d_final: each ``[B, H]``, gradients of the final states.
            inputs_too: whether the gradient of ``values`` is wanted.

        Returns:
            Gradients of values, weights, vectors and start.
        """
        structure = self.structure
        states = [loan.tensor for loan in saved.states]
        size = self.sizes(values, states[0].shape[2])
        chunk = max(1, CACHE_NUMBERS // (size.batch * size.row))
        input_weight, _, *recurrent = weights
        sources = (*structure.fed, *structure.inner)
        zeros = values.new_zeros(max(size.row, size.features))
        loan = WORKSPACE.borrow(size.steps, size.batch, size.row, dtype=values.dtype)
        d_slots = loan.tensor
        d_values = values.new_empty(values.shape) if inputs_too else None
        d_states = [part.contiguous().clone() for part in d_final]
        d_vectors = [values.new_zeros(size.batch, size.hidden) for _ in vectors]
        d_inner = [values.new_empty(size.batch, size.hidden) for _ in structure.inner]
        if d_hidden.stride(2) != 1:
            d_hidden = d_hidden.contiguous()
        packed = [self._pack(weight) for weight in recurrent]
        packed_input = self._pack(input_weight) if inputs_too else None
        vectors = [vector.contiguous() for vector in vectors]
        x = values if d_values is None else d_values
        named = loop_arguments(size, chunk, lengths, zeros, x) | {
            "input_weight": 0 if packed_input is None else packed_input.data_ptr(),
            "saved": saved.values.tensor.data_ptr(),
            "saved_step": saved.values.tensor.stride(0),
            "d_slots": d_slots.data_ptr(),
            "d_hidden": d_hidden.data_ptr(),
            "d_batch": d_hidden.stride(0),
            "d_step": d_hidden.stride(1),
        }
        lists = (packed, states, vectors, d_states, d_vectors, d_inner)
        self._spread("backward", BACKWARD, named, lists, size.work, by_steps(lengths))
        rows = _rows(lengths, size)
        d_weight, d_bias = self._gradient(
            size, rows, d_slots, 0, size.input_slots, values, values.stride()[:2]
        )
        d_weights = [d_weight, d_bias]
        for source, operand in zip(sources, self._operands(states, saved), strict=True):
            strides = (size.hidden, size.batch * size.hidden)
            d_weights.append(
                self._gradient(size, rows, d_slots, source.start, source.stop, operand, strides)[0]
            )
        return d_values, d_weights, [d_vector.sum(0) for d_vector in d_vectors], d_states

    def packed(self, weights: Sequence[Tensor], hidden: int) -> tuple[Tensor, list[Tensor]]:
        """Return weights of :meth:`forward` as its code reads them.

        Returns:
            The bias ``[S * H]``, and packed: the input weights, and those of each segment.
        """
        input_weight, bias, *recurrent = weights
        missing = len(self.structure.slots) * hidden - len(bias)
        if missing:
            bias = torch.cat([bias, bias.new_zeros(missing)])
        found = [self._pack(input_weight.t())]
        for source, weight in zip(
            (*self.structure.fed, *self.structure.inner), recurrent, strict=True
        ):
            for begin, end, _ in segments(self.structure, source):
                first, last = ((n - source.start) * hidden for n in (begin, end))
                found.append(self._pack(weight[first:last].t()))
        return bias.contiguous(), found

    def _pack(self, matrix: Tensor) -> Tensor:
        """Pack the right operand ``[K, N]`` of a product in panels."""
        depth, columns = matrix.shape
        packed = matrix.new_empty(packed_size(depth, columns, self.shape))
        arguments = [matrix.data_ptr(), *matrix.stride(), depth, columns, packed.data_ptr()]
        self.library.call("pack", [block(arguments)])
        return packed

    def _operands(self, states: list[Tensor], saved: Saved) -> list[Tensor]:
        names = self.structure.states
        fed = [states[names.index(source.name)] for source in self.structure.fed]
        return [*fed, *(loan.tensor for loan in saved.inner)]

    def _gradient(
        self,
        size: Sizes,
        rows: Tensor,
        d_slots: Tensor,
        start: int,
        stop: int,
        operand: Tensor,
        strides: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of a weight ``[(stop - start) * H, N]`` and the slots' sums."""
        columns, width = (stop - start) * size.hidden, operand.shape[-1]
        result = operand.new_zeros(columns, width)
        sums = operand.new_zeros(columns)
        named = {
            "rows": rows.data_ptr(),
            "count": len(rows),
            "batch": size.batch,
            "d_slots": d_slots.data_ptr() + start * size.hidden * d_slots.element_size(),
            "d_slots_row": size.row,
            "operand": operand.data_ptr(),
            "operand_batch": strides[0],
            "operand_step": strides[1],
            "width": width,
            "result": result.data_ptr(),
            "bias": sums.data_ptr(),
        }
        room = packed_size(BLOCK_ROWS, width, self.shape)
        scratch = operand.new_empty(torch.get_num_threads(), room + BLOCK_ROWS * BLOCK_COLUMNS)

        def own(thread: int) -> dict[str, int]:
            panel = scratch[thread].data_ptr()
            return {"panel": panel, "copy": panel + room * scratch.element_size()}

        work = len(rows) * columns * width
        self._spread("gradients", GRADIENTS, named, (), work, evenly(columns), own)
        return result, sums

    def _spread(
        self,
        function: str,
        fields: Sequence[str],
        named: dict[str, int],
        lists: Sequence[Sequence[Tensor]],
        work: int,
        shares: Shares,
        own: Callable[[int], dict[str, int]] = lambda thread: {},
    ) -> None:
        """Call a function for each share of what there is to do, each on its own thread.

        Args:
            function: its name.
            fields: its arguments' names in order.
            named: the arguments that all threads have in common, but for the lists.
            lists: tensors whose addresses follow the named arguments.
            work: products to be computed, which tells whether a second thread is worth while.
            shares: from a number of threads to the first and last of each share.
            own: from a thread's number to the arguments that are its own.
        """
        threads = threads_for(work)
        addresses = [tensor.data_ptr() for tensors in lists for tensor in tensors]
        calls = []
        for thread, (first, last) in enumerate(shares(threads)):
            mine = named | {"first": first, "last": last} | own(thread)
            calls.append(block([*(mine[field] for field in fields), *addresses]))
        self.library.call(function, calls)


def kernel(cell: Cell, dtype: torch.dtype) -> Kernel:
    """Return a cell's kernel, compiled when it is first wanted.

    Raises:
        Unsupported: the cell cannot be compiled for CPU.
    """
    if dtype not in (torch.float32, torch.float64):
        raise Unsupported(f"{str(dtype).removeprefix('torch.')} is not compiled")
    found = structure(cell, dtype)
    if found not in _KERNELS:
        try:
            _KERNELS[found] = _compiled(found, dtype)
        except Unsupported as error:
            _KERNELS[found] = Unsupported(str(error))  # without the frames that it refers to
        except Exception as error:  # a gap in the generator, or LLVM's refusal: reference can do it
            reason = str(error).strip().partition("\n")[0]
            _KERNELS[found] = Unsupported(f"no code can be made of it ({reason})")
    known = _KERNELS[found]
    if isinstance(known, Unsupported):
        raise Unsupported(str(known))
    return known


def _compiled(found: Structure, dtype: torch.dtype) -> Kernel:
    """Compile once for all cells with the same equations."""
    key = f"{dtype} {found!s}"
    if key not in _COMPILED:
        _COMPILED[key] = Kernel(found, dtype)
    return _COMPILED[key]


_KERNELS: dict[Structure, Kernel | Unsupported] = {}
_COMPILED: dict[str, Kernel] = {}


def loop_arguments(
    size: Sizes, chunk: int, lengths: Tensor, zeros: Tensor, x: Tensor
) -> dict[str, int]:
    """Return the arguments that both loops have, but for the range of sequences."""
    return {
        "steps": size.steps,
        "batch": size.batch,
        "features": size.features,
        "hidden": size.hidden,
        "chunk": chunk,
        "lengths": lengths.data_ptr(),
        "zeros": zeros.data_ptr(),
        "x": x.data_ptr(),
        "x_batch": x.stride(0),
        "x_step": x.stride(1),
    }


def _rows(lengths: Tensor, size: Sizes) -> Tensor:
    """Return the indices t * B + b of real steps."""
    if int(lengths.min()) == size.steps:
        return _all_rows(size.steps * size.batch)
    steps = torch.arange(size.steps, device=lengths.device)
    return (steps[:, None] < lengths).flatten().nonzero().flatten()


@lru_cache(maxsize=8)
def _all_rows(count: int) -> Tensor:
    return torch.arange(count, device="cpu")
