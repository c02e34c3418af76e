"""What a compiled back end cannot run, the reference does, and says why."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqbench.nn import BACKENDS, Cell, LSTMCell, Named, RNNCell, fallback, unroll
from seqbench.nn.backends.base import RAN


class Plain(Cell):
    """``h' = f(W x + U h + b)``; a subclass says what f is."""

    gates = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.full((hidden_size,), 0.5))
        self.normal = nn.LayerNorm(hidden_size)

    def f(self, a: Tensor) -> Tensor:
        """Return the new hidden state."""
        return torch.tanh(a)

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        return {"h": self.f(a.h)}


def _branch(cell: Plain, a: Tensor) -> Tensor:
    return torch.tanh(a) if a.sum() > 0 else torch.sin(a)


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "layer norm": (lambda cell, a: nn.functional.layer_norm(a, a.shape[-1:]), "not elementwise"),
    "softmax": (lambda cell, a: torch.softmax(a, dim=-1), "softmax"),
    "sum over units": (lambda cell, a: a - a.mean(-1, keepdim=True), "not elementwise"),
    "cumulative sum": (lambda cell, a: torch.cumsum(a, -1).tanh(), "cumsum.* not elementwise"),
    "product": (lambda cell, a: torch.tanh(a @ a.mT @ a), "not elementwise|matmul|mm"),
    "roll": (lambda cell, a: torch.roll(a, 1, -1).tanh(), "not elementwise"),
    "no instruction": (lambda cell, a: torch.lgamma(a.abs() + 1), "no instruction for .*lgamma"),
    "truth values": (lambda cell, a: (a > 0) * a, "truth values"),
    "own parameter": (lambda cell, a: torch.tanh(a * cell.scale), "no vector of the cell"),
    "submodule": (lambda cell, a: cell.normal(a), "not elementwise|no vector of the cell"),
    "a tensor": (lambda cell, a: a * torch.tensor(0.5), "no vector of the cell"),
    "branch": (_branch, "cannot be traced .*data-dependent control flow"),
    "noise": (lambda cell, a: a + 0 * torch.rand_like(a), "rand.* not elementwise"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_unsupported_equations(name: str) -> None:
    """The reason is named and counted, and the result is the reference's."""
    function, reason = FUNCTIONS[name]
    cell_class = type("Unsupported", (Plain,), {"f": function, "__doc__": "A cell."})
    cell, values = cell_class(3, 4), torch.randn(2, 5, 3)
    found = fallback(cell, values, "auto")
    assert found is not None
    assert found.startswith("cpu: ")
    assert re.search(reason, found), found
    before = RAN.copy()
    results = [unroll(cell, values, backend=backend) for backend in ("auto", "cpu", "reference")]
    assert {f"reference ({found})": 2, "reference": 1} == dict(RAN - before)
    if name != "noise":
        assert torch.equal(results[2].hidden, results[0].hidden)
    results[0].hidden.sum().backward()
    assert cell.weight_ih.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights(dtype: torch.dtype) -> None:
    cell, values = LSTMCell(3, 4).to(dtype), torch.randn(2, 5, 3, dtype=dtype)
    reason = f"cpu: {str(dtype).removeprefix('torch.')} is not compiled"
    assert reason == fallback(cell, values, "auto")
    before = RAN.copy()
    unrolled = unroll(cell, values)
    assert {f"reference ({reason})": 1} == dict(RAN - before)
    assert dtype == unrolled.hidden.dtype
    unrolled.hidden.sum().backward()


def test_back_ends_say_what_ran() -> None:
    """Each counts what it runs, whoever calls it."""
    cell, values = RNNCell(3, 5), torch.randn(2, 4, 3)
    before = RAN.copy()
    unroll(cell, values)
    for backend in BACKENDS.values():
        backend(cell, values, None, cell.initial_state(2))
    assert {**dict.fromkeys(BACKENDS, 1), "cpu": 2} == dict(RAN - before)


def test_another_device() -> None:
    cell, values = RNNCell(3, 4), torch.randn(2, 5, 3)
    assert "cuda: the data is on cpu" == fallback(cell, values, "cuda")
    assert "cpu: the data is on meta" == fallback(cell, values.to("meta"), "cpu")
    assert "meta: no compiled back end for meta" == fallback(cell, values.to("meta"), "auto")
    before = RAN.copy()
    unroll(cell, values, backend="cuda")
    assert {"reference (cuda: the data is on cpu)": 1} == dict(RAN - before)


def test_a_width_that_equations_look_at() -> None:
    """What is traced for one width is not what another runs."""

    class ByWidth(Cell):
        """A cell that divides by its width."""

        gates = ("h",)

        def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
            """Advance by one step."""
            return {"h": torch.tanh(a.h) / a.h.shape[-1]}

    for width in (2, 7):
        cell, values = ByWidth(3, width).double(), torch.randn(2, 5, 3).double()
        expected, found = (unroll(cell, values, backend=b).hidden for b in ("reference", "cpu"))
        torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)


def test_falling_back_keeps_nothing_alive() -> None:
    """Neither the batches nor the cell: a reason that is kept does not refer to its frames."""
    cell = type("Soft", (Plain,), {"f": FUNCTIONS["softmax"][0], "__doc__": "A cell."})(3, 4)
    seen = []
    for _ in range(3):
        values = torch.randn(2, 5, 3)
        unroll(cell, values)
        seen.append(weakref.ref(values))
    seen.append(weakref.ref(cell))
    del values, cell
    gc.collect()
    assert [None] * 4 == [reference() for reference in seen]
