"""What ``recurrence.py`` times: training steps of the engine and of what it is compared with.

Legend of shapes: B sequences, T steps, H hidden units.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqbench.nn import (
    BackendName,
    Cell,
    GRUCell,
    LSTMCell,
    Named,
    PeepholeLSTMCell,
    fallback,
    unroll,
)

INPUT = 64
TURN = 0.05
"""Seconds that a turn goes on for, after its first step."""


class Shape(NamedTuple):
    """B, T and H."""

    batch: int
    steps: int
    hidden: int


SHAPES = [Shape(b, t, h) for b, t in ((32, 100), (16, 1000)) for h in (32, 64, 128, 256)]
LONG = [Shape(16, 1000, hidden) for hidden in (64, 256)]
"""Also timed with twice the steps."""
RAGGED = [Shape(b, t, h) for b, t in ((32, 100), (16, 1000)) for h in (64, 128)]
QUICK = [Shape(32, 100, 64), Shape(32, 100, 128)]

Step = Callable[[], float]
"""Runs one training step and returns its seconds."""


class SLSTMCell(Cell):
    """A user's cell, which nobody tuned the engine for: sLSTM (Beck et al. 2024, section 2.2).

    Input and forget gates are exponential, n normalises and m keeps the exponents small::

        m' = max(f + m, i)
        c' = exp(f + m - m') * c + exp(i - m') * tanh(z)
        n' = exp(f + m - m') * n + exp(i - m')
        h' = sigmoid(o) * c' / n'
    """

    gates = ("z", "i", "f", "o")
    states = ("h", "c", "n", "m")

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        m = torch.maximum(a.f + s.m, a.i)
        i, f = torch.exp(a.i - m), torch.exp(a.f + s.m - m)
        c, n = f * s.c + i * torch.tanh(a.z), f * s.n + i
        return {"h": torch.sigmoid(a.o) * c / n, "c": c, "n": n, "m": m}


ENGINE: dict[str, type[Cell]] = {
    "lstm": LSTMCell,
    "peephole": PeepholeLSTMCell,
    "sLSTM": SLSTMCell,
    "gru": GRUCell,
}
"""Cells on the compiled back end."""


def lengths(shape: Shape) -> Tensor:
    """Return lengths ``[B]`` spread evenly from 1 to T, in no order."""
    spread = torch.linspace(1, shape.steps, shape.batch).round().long()
    return spread[torch.randperm(shape.batch, generator=torch.Generator().manual_seed(0))]


def training(forward: Callable[[], Tensor], layer: nn.Module, shape: Shape) -> Step:
    """Time forward and backward from a dense gradient ``[B, T, H]``."""
    gradient = torch.randn(shape)

    def step() -> float:
        layer.zero_grad(set_to_none=True)
        began = time.perf_counter()
        torch.autograd.backward(forward(), gradient)
        return time.perf_counter() - began

    return step


def engine(
    cell_class: type[Cell], shape: Shape, backend: BackendName, *, ragged: bool = False
) -> Step:
    """Return a step of a cell on a back end of ours."""
    cell = cell_class(INPUT, shape.hidden)
    values = torch.randn(shape.batch, shape.steps, INPUT)
    real = lengths(shape) if ragged else None
    reason = fallback(cell, values, backend)
    if reason is not None:
        raise SystemExit(f"{cell_class.__name__} does not run on backend={backend}: {reason}")
    return training(lambda: unroll(cell, values, real, backend=backend).hidden, cell, shape)


def vendor(layer_class: type[nn.LSTM | nn.GRU], shape: Shape) -> Step:
    """Return a step of torch's own layer."""
    layer = layer_class(INPUT, shape.hidden, batch_first=True)
    values = torch.randn(shape.batch, shape.steps, INPUT)
    return training(lambda: layer(values)[0], layer, shape)


def packed(shape: Shape) -> Step:
    """Return a step of ``nn.LSTM`` on a packed ragged batch, padded again afterwards."""
    layer = nn.LSTM(INPUT, shape.hidden, batch_first=True)
    values, real = torch.randn(shape.batch, shape.steps, INPUT), lengths(shape)

    def forward() -> Tensor:
        sequences = pack_padded_sequence(values, real, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(layer(sequences)[0], batch_first=True)
        return hidden

    return training(forward, layer, shape)


def floor(shape: Shape) -> Step:
    """Return the matrix products of an LSTM's training step."""
    batch, steps, hidden = shape
    gates, rows = 4 * hidden, shape.steps * shape.batch
    x, states = torch.randn(rows, INPUT), torch.randn(steps, batch, hidden)
    slots, d_slots = torch.empty(steps, batch, gates), torch.randn(steps, batch, gates)
    weight, bias, recurrent = (
        torch.randn(INPUT, gates),
        torch.randn(gates),
        torch.eye(hidden, gates),
    )
    transposed = recurrent.t().contiguous()
    d_weight, d_recurrent = torch.empty(gates, INPUT), torch.empty(gates, hidden)
    d_state = torch.empty(batch, hidden)
    by_step = list(zip(slots.unbind(0), states.unbind(0), d_slots.unbind(0), strict=True))
    flat = d_slots.view(rows, gates).t()

    def step() -> float:
        began = time.perf_counter()
        torch.addmm(bias, x, weight, out=slots.view(rows, gates))
        for a, h, _ in by_step:
            torch.addmm(a, h, recurrent, out=a)
        for _, _, d_a in reversed(by_step):
            torch.mm(d_a, transposed, out=d_state)
        torch.mm(flat, x, out=d_weight)
        torch.mm(flat, states.view(rows, hidden), out=d_recurrent)
        return time.perf_counter() - began

    return step


def steps_to_time(quick: bool) -> Iterator[tuple[str, Shape, Step]]:
    """Yield every row at every shape, rows of one shape after each other."""
    for shape in QUICK if quick else SHAPES:
        yield "nn.LSTM", shape, vendor(nn.LSTM, shape)
        yield "floor", shape, floor(shape)
        for name, cell in ENGINE.items():
            yield name, shape, engine(cell, shape, "cpu")
        yield "nn.GRU", shape, vendor(nn.GRU, shape)
        if shape.steps <= 100:  # beyond, the loop takes longer than all others together
            yield "loop", shape, engine(PeepholeLSTMCell, shape, "reference")
        if shape in RAGGED:
            yield "packed nn.LSTM", shape, packed(shape)
            yield "ragged peephole", shape, engine(PeepholeLSTMCell, shape, "cpu", ragged=True)
        if shape in LONG:
            double = shape._replace(steps=2 * shape.steps)
            yield "peephole", double, engine(PeepholeLSTMCell, double, "cpu")


def turn(step: Step) -> float:
    """Return the median seconds of a step, in the caches and buffers of the step before."""
    step()
    began = time.perf_counter()
    seconds = [step()]
    while time.perf_counter() - began < TURN:
        seconds.append(step())
    return statistics.median(seconds)
