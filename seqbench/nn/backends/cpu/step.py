"""One step at a time: the loop forward over a single step, with everything prepared but its data.

Legend: B sequences, F input features, H hidden units.
"""

from __future__ import annotations

from threading import Lock

import torch
from torch import Tensor

from seqbench.nn.backends.cpu.forward import FORWARD
from seqbench.nn.backends.cpu.kernel import Kernel, loop_arguments
from seqbench.nn.backends.cpu.machine import Arguments, block
from seqbench.nn.backends.cpu.shares import by_steps, threads_for
from seqbench.nn.cell import Cell, State


class CPUStep:
    """Advances a cell as it was when this was made: its weights are packed once.

    The numbers are those of the loop over time, bit for bit. What is written to the cell later is
    not seen. Nothing is recorded for gradients.

    Args:
        found: the cell's kernel.
        cell: whose weights are taken.
    """

    def __init__(self, found: Kernel, cell: Cell) -> None:
        self._kernel = found
        self._dtype = cell.weight_ih.dtype
        self._sizes = cell.input_size, cell.hidden_size
        self._name = type(cell).__name__
        # Buffers of inference mode could not be written outside it.
        with torch.inference_mode(mode=False), torch.no_grad():
            weights = found.structure.weights(cell)
            self._bias, self._packed = found.packed(weights, cell.hidden_size)
            self._bias = self._bias.clone()
            self._vectors = [vector.clone() for vector in cell.vector_values()]
        self._batch = 0
        self._calls: list[Arguments] = []
        self._lock = Lock()

    def __call__(self, values: Tensor, state: State) -> State:
        """Advance by one step.

        Args:
            values: ``[B, F]``.
            state: each ``[B, H]``, before the step.

        Returns:
            The states after it.

        Raises:
            ValueError: a shape is impossible.
        """
        features, hidden = self._sizes
        if values.dim() != 2 or values.shape[1] != features or not len(values):
            raise ValueError(
                f"values must be [B, {features}] for this {self._name}, not {list(values.shape)}"
            )
        shape = (len(values), hidden)
        if len(state) != len(self._kernel.structure.states):
            names = ", ".join(self._kernel.structure.states)
            raise ValueError(f"state must be ({names}), not {len(state)} tensors")
        given = [self._plain(values), *map(self._plain, state)]
        for part in given[1:]:
            if part.shape != shape:
                raise ValueError(f"state must be {list(shape)} each, not {list(part.shape)}")
        made = [torch.empty(shape, dtype=self._dtype) for _ in state]
        with self._lock:
            if self._batch != shape[0]:
                self._prepare(*shape)
            addresses = [tensor.data_ptr() for tensor in (*given, *made)]
            for call in self._calls:
                for place, address in zip(self._places, addresses, strict=True):
                    call[place] = address
            self._kernel.library.call("forward", self._calls)
        return tuple(made)

    def _plain(self, tensor: Tensor) -> Tensor:
        """Return a tensor as the code reads it; nearly always it is one."""
        if tensor.dtype is self._dtype and tensor.is_contiguous() and tensor.is_cpu:
            return tensor
        return tensor.to("cpu", self._dtype).contiguous()

    def _prepare(self, batch: int, hidden: int) -> None:
        """Lay out the arguments for a batch of this size."""
        found, structure = self._kernel, self._kernel.structure
        with torch.inference_mode(mode=False), torch.no_grad():
            values = torch.empty(batch, 1, self._sizes[0], dtype=self._dtype)
            size = found.sizes(values, hidden)
            lengths = torch.ones(batch, dtype=torch.int64)
            zeros = values.new_zeros(size.row)
            slots = values.new_empty(batch, size.row)
            saved = values.new_empty(batch, found.saved_values, hidden)
            inner = [values.new_empty(batch, hidden) for _ in structure.inner]
        named = loop_arguments(size, 1, lengths, zeros, values) | {
            "input_weight": self._packed[0].data_ptr(),
            "bias": self._bias.data_ptr(),
            "slots": slots.data_ptr(),
            "saved": saved.data_ptr(),
            "saved_step": 0,
        }
        weights = [tensor.data_ptr() for tensor in self._packed[1:]]
        states = [0] * (2 * len(structure.states))  # before and after: other ones in each call
        rest = [tensor.data_ptr() for tensor in (*self._vectors, *inner)]
        self._calls = [
            block([*(fields[name] for name in FORWARD), *weights, *states, *rest])
            for first, last in by_steps(lengths)(threads_for(size.work))
            if (fields := named | {"first": first, "last": last})
        ]
        start = len(FORWARD) + len(weights)
        self._places = [FORWARD.index("x"), *range(start, start + len(states))]
        self._kept = (lengths, zeros, slots, saved, inner)  # the calls hold their addresses
        self._batch = batch
