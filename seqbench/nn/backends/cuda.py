"""The structure's loop over time in torch operations, with the equations fused where they can be.

For GPUs: the inputs' product and the weights' gradients are one product each, and a step is one
product for each state that feeds back and one kernel for the equations. It runs on any device,
which is how it is tested; without Triton the equations run operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.utils._triton import has_triton

from seqbench.nn.backends.base import Backend
from seqbench.nn.backends.equations import Equations, Unsupported
from seqbench.nn.backends.lowering import (
    Source,
    Structure,
    check_tensors,
    refuse_second_derivative,
    structure,
)
from seqbench.nn.cell import Cell, State

Pointwise = Callable[..., tuple[Tensor, ...]]


class CUDA(Backend):
    """The loop over time in torch operations."""

    name = "cuda"
    does = "the same structure in torch operations, the equations one fused kernel"
    runs = "elementwise equations; tested on CPU tensors only so far"
    devices = ("cuda",)
    default_on = ("cuda",)
    portable = True
    advice = "models run on the slow reference loop"

    def check(self, cell: Cell, values: Tensor) -> str | None:
        """Trace the cell's equations, if that has not been done before."""
        try:
            check_tensors(cell, values)
            structure(cell, cell.weight_ih.dtype)
        except Unsupported as error:
            return str(error)
        return None

    def run(
        self, cell: Cell, values: Tensor, lengths: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the hidden states ``[B, T, H]``, zero at padding, and the final states.

        Gradients cannot be differentiated again.
        """
        found = structure(cell, values.dtype)
        weights = found.weights(cell)
        running = None
        if lengths is not None:
            steps = torch.arange(values.shape[1], device=values.device)
            running = (steps[:, None] < lengths)[..., None]
            values = values.masked_fill(~running.transpose(0, 1), 0.0)
        with torch.autocast(
            values.device.type, enabled=False
        ):  # sums of the loop are kept in dtype
            hidden, *final = _Recurrence.apply(  # type: ignore[no-untyped-call]  # torch's own
                found,
                values,
                running,
                torch.is_grad_enabled(),
                len(weights),
                len(cell.vectors),
                *weights,
                *cell.vector_values(),
                *state,
            )
        return hidden.transpose(0, 1), tuple(final)

    def version(self) -> str:
        """Return torch's version, and whether it can fuse the equations."""
        fused = "fused by Triton" if has_triton() else "operation by operation"
        return f"torch {torch.__version__}, equations {fused}"


BACKEND = CUDA()


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        found: Structure,
        values: Tensor,
        running: Tensor | None,
        grad_enabled: bool,
        weight_count: int,
        vector_count: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        loop = _Loop(found, tensors, weight_count, vector_count)
        state = list(tensors[weight_count + vector_count :])
        projected = torch.addmm(
            loop.bias, values.transpose(0, 1).flatten(0, 1), loop.input_weight.t()
        ).view(values.shape[1], len(values), -1)
        history, inner_history, saved = [], [], []
        for step in range(len(projected)):
            history.append(state)
            slots = loop.slots(projected[step], state)
            early, made = loop.between(slots, state)
            inner_history.append(made)
            new, kept = loop.values(loop.with_inner(slots, made), state)
            saved.append((early, kept))
            if running is not None:
                new = [
                    torch.where(running[step], n, old) for n, old in zip(new, state, strict=True)
                ]
            state = new
        if grad_enabled and any(ctx.needs_input_grad):
            ctx.loop, ctx.running = loop, running
            ctx.saved, ctx.history, ctx.inner_history = saved, history, inner_history
            ctx.save_for_backward(values, *tensors)
        hidden = torch.stack([*(states[0] for states in history[1:]), state[0]])
        if running is not None:
            hidden = hidden.masked_fill(~running, 0.0)
        return hidden, *state

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("cuda")
        values = ctx.saved_tensors[0]
        loop: _Loop = ctx.loop
        d_hidden, *d_state = gradients
        d_vectors = [torch.zeros_like(vector) for vector in loop.vectors]
        d_steps = []
        for step in reversed(range(len(ctx.history))):
            mask = None if ctx.running is None else ctx.running[step]
            outer = d_hidden[step] if mask is None else torch.where(mask, d_hidden[step], 0.0)
            d_slots, d_old, d_rows = loop.derivative(
                ctx.saved[step], ctx.history[step], [d_state[0] + outer, *d_state[1:]]
            )
            if mask is not None:
                d_slots = torch.where(mask, d_slots, 0.0)
                d_old = [torch.where(mask, n, o) for n, o in zip(d_old, d_state, strict=True)]
                d_rows = [torch.where(mask, rows, 0.0) for rows in d_rows]
            d_state = loop.feed_back(d_slots, d_old)
            for total, rows in zip(d_vectors, d_rows, strict=True):
                total += rows.sum(0)
            d_steps.append(d_slots)
        d_slots = torch.stack(d_steps[::-1]).flatten(0, 1)
        d_inputs = d_slots[:, : len(loop.bias)]
        flat = values.transpose(0, 1).flatten(0, 1)
        d_values = None
        if ctx.needs_input_grad[1]:
            d_values = (d_inputs @ loop.input_weight).view(len(ctx.history), len(values), -1)
            d_values = d_values.transpose(0, 1)
        d_weights = [d_inputs.t() @ flat, d_inputs.sum(0)]
        for source, operand in loop.operands(ctx.history, ctx.inner_history):
            d_weights.append(loop.columns(d_slots, source).t() @ operand)
        return None, d_values, None, None, None, None, *d_weights, *d_vectors, *d_state


class _Loop:
    """One step of a structure on tensors, forwards and backwards."""

    def __init__(
        self, found: Structure, tensors: Sequence[Tensor], weight_count: int, vector_count: int
    ) -> None:
        self.structure = found
        self.input_weight, self.bias, *recurrent = tensors[:weight_count]
        self.vectors = list(tensors[weight_count : weight_count + vector_count])
        sources = (*found.fed, *found.inner)
        self.weights = {s.name: w for s, w in zip(sources, recurrent, strict=True)}
        self.hidden = len(self.bias) // found.input_slots
        fuse = self.bias.device.type == "cuda" and has_triton()
        self.equations = _fused(found.equations, fuse)
        self.inner_equations = None if found.between is None else _fused(found.between, fuse)

    def slots(self, projected: Tensor, state: Sequence[Tensor]) -> Tensor:
        """Return the pre-activations ``[B, S * H]``, without what inner values add."""
        missing = len(self.structure.slots) * self.hidden - projected.shape[1]
        slots = torch.cat([projected, projected.new_zeros(len(projected), missing)], dim=1)
        for source in self.structure.fed:
            value = state[self.structure.states.index(source.name)]
            self.columns(slots, source).addmm_(value, self.weights[source.name].t())
        return slots

    def with_inner(self, slots: Tensor, made: Sequence[Tensor]) -> Tensor:
        """Add what inner values feed back."""
        for source, value in zip(self.structure.inner, made, strict=True):
            self.columns(slots, source).addmm_(value, self.weights[source.name].t())
        return slots

    def between(self, slots: Tensor, state: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what to save for the inner values, and the inner values."""
        if self.inner_equations is None:
            return [], []
        made = list(self.inner_equations[0](*self._split(slots), *state, *self._rows(slots)))
        count = len(self.structure.inner)
        # The slots are written to after this, so what is saved of them must not be a view.
        return [value.clone() for value in made[count:]], made[:count]

    def values(self, slots: Tensor, state: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the new states, and what to save for their derivative."""
        made = list(self.equations[0](*self._split(slots), *state, *self._rows(slots)))
        count = len(self.structure.states)
        return made[:count], made[count:]

    def derivative(
        self,
        saved: tuple[list[Tensor], list[Tensor]],
        state: Sequence[Tensor],
        d_new: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the gradients of the slots, of the states through the equations, of vectors."""
        early, kept = saved
        rows = self._rows(state[0])
        made = list(self.equations[1](*kept, *state, *rows, *d_new))
        if self.inner_equations is not None:
            d_slots = torch.cat(made[: len(self.structure.slots)], dim=1)
            d_inner = [
                self.columns(d_slots, source) @ self.weights[source.name]
                for source in self.structure.inner
            ]
            more = self.inner_equations[1](*early, *state, *rows, *d_inner)
            made = [one + other for one, other in zip(made, more, strict=True)]
        slots, states = len(self.structure.slots), len(self.structure.states)
        d_slots = torch.cat(made[:slots], dim=1)
        return d_slots, made[slots : slots + states], made[slots + states :]

    def feed_back(self, d_slots: Tensor, d_state: Sequence[Tensor]) -> list[Tensor]:
        """Add what comes back through the weights."""
        found = list(d_state)
        for source in self.structure.fed:
            n = self.structure.states.index(source.name)
            found[n] = found[n] + self.columns(d_slots, source) @ self.weights[source.name]
        return found

    def operands(
        self, history: Sequence[Sequence[Tensor]], inner: Sequence[Sequence[Tensor]]
    ) -> list[tuple[Source, Tensor]]:
        """Return what each recurrent weight was multiplied with, ``[T * B, H]``."""
        found = []
        for source in self.structure.fed:
            n = self.structure.states.index(source.name)
            found.append((source, torch.cat([states[n] for states in history])))
        for n, source in enumerate(self.structure.inner):
            found.append((source, torch.cat([made[n] for made in inner])))
        return found

    def columns(self, slots: Tensor, source: Source) -> Tensor:
        """Return the slots that see a source."""
        return slots[:, source.start * self.hidden : source.stop * self.hidden]

    def _split(self, slots: Tensor) -> tuple[Tensor, ...]:
        return torch.split(slots, self.hidden, dim=1)

    def _rows(self, like: Tensor) -> list[Tensor]:
        return [vector.expand(len(like), -1) for vector in self.vectors]


_FUSED: WeakKeyDictionary[GraphModule, Pointwise] = WeakKeyDictionary()


def _fused(equations: Equations, fuse: bool) -> tuple[Pointwise, Pointwise]:
    """Return the equations and their derivative as one kernel each, if that is possible."""
    if not fuse:
        return equations.forward, equations.backward
    found = []
    for graph in (equations.forward, equations.backward):
        if graph not in _FUSED:
            _FUSED[graph] = torch.compile(graph, fullgraph=True, dynamic=True)
        found.append(_FUSED[graph])
    return found[0], found[1]
