"""Every back end computes what the reference does: states and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.nn import (
    BackendName,
    Cell,
    GRUCell,
    LSTMCell,
    Named,
    PeepholeLSTMCell,
    RNNCell,
    backends_for,
)
from seqbench.plugins.fgr import FGRCell
from seqbench.plugins.gru import ResetBeforeGRUCell


class FreeCell(Cell):
    """Nothing feeds back through weights: a filter of each unit's own."""

    gates = ("f", "g")
    states = ("h", "c")
    feedback = {}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        f = torch.sigmoid(a.f)
        c = f * s.c + (1 - f) * a.g
        return {"h": torch.tanh(c - s.h), "c": c}


class CrossCell(Cell):
    """Two sources that see different gates in another order, a separate one of one source only.

    No bias; a state that feeds back is not h, and one state passes unchanged.
    """

    gates = ("r", "z", "n")
    states = ("h", "m", "kept")
    vectors = {"scale": 1.0}
    has_bias = False
    separate = ("n",)
    feedback = {"m": ("n", "r"), "h": ("z", "r")}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        r, z = torch.sigmoid(a.r), torch.sigmoid(a.z)
        m = torch.tanh(a.n_x + r * a.n_h * p.scale) + s.kept
        return {"h": z * s.h + (1 - z) * m, "m": 0.5 * m, "kept": s.kept}


class InnerSeparateCell(Cell):
    """An inner value that feeds back into a gate whose two terms stay apart."""

    gates = ("r", "n")
    separate = ("n",)
    feedback = {"h": ("r",)}
    inner = {"reset": ("n",)}

    def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return r * h."""
        return {"reset": torch.sigmoid(a.r) * s.h}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        return {"h": torch.tanh(a.n_x + torch.sigmoid(a.r) * a.n_h) + 0.1 * s.h}


CELLS = (
    RNNCell,
    LSTMCell,
    GRUCell,
    PeepholeLSTMCell,
    ResetBeforeGRUCell,
    FGRCell,
    FreeCell,
    CrossCell,
    InnerSeparateCell,
)


def every(cell: type[Cell]) -> list[BackendName]:
    """Return the back ends that run a cell on CPU tensors, ``reference`` first."""
    return backends_for(cell, portable=True)


def others(cell: type[Cell]) -> list[BackendName]:
    """Return those that are compared with ``reference``."""
    return every(cell)[1:]


PAIRS = [(backend, cell) for cell in CELLS for backend in others(cell)]

SHAPES: dict[str, tuple[int, int, int, int, list[int] | None]] = {  # B, T, F, H, lengths
    "full": (3, 7, 4, 5, None),
    "ragged": (5, 9, 3, 6, [4, 1, 9, 9, 2]),
    "one step": (4, 1, 3, 5, None),
    "one sequence": (1, 6, 3, 8, None),
    "one unit": (3, 5, 1, 1, [5, 2, 1]),
    # More columns than one tile has, more rows, and steps than one chunk; the rest of none is 0.
    "large": (9, 45, 7, 70, [45, 45, 45, 3, 20, 45, 1, 33, 30]),
}

Run = Callable[..., Any]
on_each_backend = pytest.mark.parametrize("backend", others(Cell))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize(("backend", "cell_class"), PAIRS)
def test_equals_reference(
    backend: str,
    cell_class: type[Cell],
    dtype: torch.dtype,
    shape: str,
    randomised: Run,
    results: Run,
    close: Run,
) -> None:
    """Hidden states, final states and every gradient, from states that were passed in."""
    batch, steps, features, hidden, real = SHAPES[shape]
    cell = randomised(cell_class, (features, hidden), dtype)
    lengths = None if real is None else torch.tensor(real)
    values = torch.randn(batch, steps, features, dtype=dtype)
    state = [torch.randn(batch, hidden, dtype=dtype) for _ in cell.states]

    def loss(hidden: Tensor, *final: Tensor) -> Tensor:
        # Torch's kernel does not know the final states of ragged batches.
        parts = (hidden,) if backend == "native" and lengths is not None else (hidden, *final)
        return sum((part.sin().sum() for part in parts), hidden.new_zeros(()))

    expected = results("reference", cell, values, lengths, state, loss)
    found = results(backend, cell, values, lengths, state, loss)
    if backend == "native":
        expected = {name: tensor for name, tensor in expected.items() if name in found}
    close(expected, found)


@on_each_backend
def test_equals_reference_on_random_shapes(
    backend: str, randomised: Run, results: Run, close: Run
) -> None:
    """25 draws of a cell, B, T, F, H and lengths."""
    draw = torch.Generator().manual_seed(3)

    def number(high: int) -> int:
        return int(torch.randint(1, high + 1, (), generator=draw))

    for _ in range(25):
        cell_class = CELLS[number(len(CELLS)) - 1]
        batch, steps, features, hidden = number(15), number(12), number(20), number(40)
        cell = randomised(cell_class, (features, hidden))
        values = torch.randn(batch, steps, features, dtype=torch.float64)
        lengths = torch.randint(1, steps + 1, (batch,), generator=draw)
        arguments = (cell, values, lengths if number(2) == 1 else None)
        close(results("reference", *arguments), results(backend, *arguments))


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {  # of [4, 6, 3]
    "step first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "feature first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every second step": lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
    "every second feature": lambda x: x.repeat_interleave(2, dim=2)[..., ::2],
    "one sequence for all": lambda x: x[:1].expand(4, -1, -1),
    "one step for all": lambda x: x[:, :1].expand(-1, 6, -1),
    "one number for all": lambda x: x[:1, :1, :1].expand(4, 6, 3),
    "reversed batch": lambda x: x[[3, 2, 1, 0]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", others(LSTMCell))
def test_takes_any_layout_of_the_values(
    backend: str, layout: str, randomised: Run, run: Run, close: Run
) -> None:
    cell = randomised(LSTMCell, (3, 5))
    lengths = torch.tensor([6, 2, 6, 3])
    found = []
    for name in ("reference", backend):
        base = torch.linspace(-1, 1, 72, dtype=torch.float64).view(4, 6, 3).requires_grad_()
        hidden = run(name, cell, LAYOUTS[layout](base), lengths).hidden
        (gradient,) = torch.autograd.grad(hidden.sin().sum(), base)
        found.append({"hidden": hidden.detach(), "d_values": gradient})
    close(*found)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "the last of the final states": lambda hidden, *final: final[-1].sin().sum(),
    "the final hidden state": lambda hidden, *final: final[0].sin().sum(),
    "one step": lambda hidden, *final: hidden[:, 2].sin().sum(),
    "one unit of one sequence": lambda hidden, *final: hidden[1, :, 0].sin().sum(),
    "a plain sum": lambda hidden, *final: hidden.sum(),  # its gradient is one expanded number
    "plain sums of final states": lambda hidden, *final: sum(part.sum() for part in final),
    "features first": lambda hidden, *final: (
        (hidden.permute(2, 0, 1).contiguous() ** 2).cumsum(0).sum()
    ),
}


@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 1, 3])], ids=["full", "ragged"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cell_class", [PeepholeLSTMCell, ResetBeforeGRUCell])
@on_each_backend
def test_gradient_of_a_part_of_what_it_returns(
    backend: str,
    cell_class: type[Cell],
    loss: str,
    lengths: Tensor | None,
    randomised: Run,
    results: Run,
    close: Run,
) -> None:
    cell, values = randomised(cell_class, (3, 5)), torch.randn(3, 5, 3).double()
    state = [torch.randn(3, 5).double() for _ in cell.states]
    arguments = (cell, values, lengths, state, LOSSES[loss])
    close(results("reference", *arguments), results(backend, *arguments))


@on_each_backend
def test_gradient_of_some_arguments_only(backend: str, randomised: Run, run: Run) -> None:
    """No gradient for values or frozen weights changes no other."""
    cell, values = randomised(LSTMCell, (3, 5)), torch.randn(3, 5, 3).double()
    weights = (cell.weight_hh, cell.bias)
    expected = torch.autograd.grad(run("reference", cell, values).hidden.sin().sum(), weights)
    cell.weight_ih.requires_grad_(False)
    found = torch.autograd.grad(run(backend, cell, values).hidden.sin().sum(), weights)
    torch.testing.assert_close(expected, found, rtol=1e-10, atol=1e-10)
    assert not run(backend, cell.requires_grad_(False), values).hidden.requires_grad


@on_each_backend
def test_without_gradients(backend: str, randomised: Run, run: Run) -> None:
    """Under no_grad and inference_mode it computes the same, and training goes on after these."""
    cell, values = randomised(LSTMCell, (8, 64)), torch.randn(16, 50, 8).double()
    expected = run("reference", cell, values)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = run(backend, cell, values)
        assert not found.hidden.requires_grad
        torch.testing.assert_close(expected, found, rtol=1e-10, atol=1e-10, check_stride=False)
    hidden = run(backend, cell, values).hidden
    torch.testing.assert_close(expected.hidden, hidden, rtol=1e-10, atol=1e-10)
    hidden.sum().backward()


@on_each_backend
def test_two_runs_before_their_gradients(
    backend: str, randomised: Run, run: Run, results: Run, close: Run
) -> None:
    """What one run keeps for its gradients is its own, and serves twice with retain_graph."""
    cell = randomised(PeepholeLSTMCell, (8, 64))
    batches = [torch.randn(16, 20, 8, dtype=torch.float64) for _ in range(2)]
    expected = [results("reference", cell, batch, None, None, _sum) for batch in batches]
    leaves = [batch.clone().requires_grad_() for batch in batches]
    runs = [run(backend, cell, leaf) for leaf in leaves]
    for number in (1, 0, 0, 1):
        hidden, final = runs[number]
        inputs = [leaves[number], *cell.parameters()]
        gradients = torch.autograd.grad(_sum(hidden, *final), inputs, retain_graph=True)
        names = ["d_values", *(f"d_{name}" for name, _ in cell.named_parameters())]
        wanted = {name: expected[number][name] for name in names}
        close(wanted, dict(zip(names, gradients, strict=True)))


@on_each_backend
def test_gradient_again_after_the_first_is_refused(backend: str, randomised: Run, run: Run) -> None:
    """Without retain_graph, torch's own message; with create_graph, one that names reference."""
    cell, values = randomised(GRUCell, (3, 5)), torch.randn(3, 5, 3).double()
    loss = run(backend, cell, values).hidden.sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()
    loss = run(backend, cell, values).hidden.sum()
    message = f"double backward .* not supported by backend={backend}; use backend=reference"
    with pytest.raises(RuntimeError, match=message):
        torch.autograd.grad(loss, list(cell.parameters()), create_graph=True)


@pytest.mark.parametrize("backend", every(GRUCell))
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_padding_reaches_nothing(backend: str, poison: float, randomised: Run, run: Run) -> None:
    """Neither what stands there, nor the gradient of what stands there; its own gradient is 0."""
    cell, lengths = randomised(GRUCell, (3, 5)), torch.tensor([5, 1, 3])
    padding = torch.arange(5) >= lengths[:, None]
    values = torch.randn(3, 5, 3).double().masked_fill(padding[..., None], 0.0)
    dirty = values.masked_fill(padding[..., None], poison).requires_grad_()
    gradient = torch.randn(3, 5, 5).double()
    clean = run("reference", cell, values, lengths).hidden
    wanted = torch.autograd.grad(clean, list(cell.parameters()), gradient)
    hidden = run(backend, cell, dirty, lengths).hidden
    torch.testing.assert_close(clean, hidden, rtol=1e-10, atol=1e-10)
    gradient = gradient.masked_fill(padding[..., None], poison)
    d_values, *found = torch.autograd.grad(hidden, [dirty, *cell.parameters()], gradient)
    torch.testing.assert_close(wanted, tuple(found), rtol=1e-10, atol=1e-10)
    assert 0 == d_values[padding].count_nonzero()
    assert 0 == hidden[padding].count_nonzero()


@pytest.mark.parametrize("backend", every(LSTMCell))
def test_final_state_is_not_a_view_of_the_hidden_states(
    backend: str, randomised: Run, run: Run
) -> None:
    """Who resets the state between two windows in place does not change the first's outputs."""
    cell = randomised(LSTMCell, (3, 5))
    with torch.no_grad():
        hidden, final = run(backend, cell, torch.randn(2, 4, 3).double())
        before = hidden.clone()
        for part in final:
            part.zero_()
    assert torch.equal(before, hidden)


@pytest.mark.parametrize("backend", every(Cell))
def test_mixed_precision(backend: str, randomised: Run, run: Run) -> None:
    """Under autocast, forward and backward run and stay near single precision's results."""
    cell = randomised(LSTMCell, (3, 5), torch.float32)
    values = torch.randn(2, 4, 3)
    expected = run("reference", cell, values).hidden
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(backend, cell, values.bfloat16()).hidden
    found.float().sum().backward()
    torch.testing.assert_close(expected, found.float(), rtol=0.05, atol=0.05)
    assert bool(cell.weight_hh.grad.isfinite().all())


@pytest.mark.parametrize("backend", every(Cell))
def test_values_of_another_precision(backend: str, randomised: Run, run: Run) -> None:
    """The weights' precision is that of the result."""
    cell, values = randomised(LSTMCell, (3, 5), torch.float32), torch.randn(2, 4, 3)
    found = run(backend, cell, values.double()).hidden
    torch.testing.assert_close(run("reference", cell, values).hidden, found, rtol=0, atol=1e-6)


def _sum(hidden: Tensor, *final: Tensor) -> Tensor:
    return sum((part.sin().sum() for part in final), hidden.cos().sum())
