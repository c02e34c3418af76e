"""What tests of the recurrence engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from seqbench.nn import BACKENDS, Cell, State, Unrolled, fallback, unroll

Results = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Unrolled]:
    """Run a cell on the back end that was asked for, which must not fall back.

    Those that are portable run on the CPU too once they are offered there.
    """
    for item in BACKENDS.values():
        if item.portable:
            monkeypatch.setattr(type(item), "devices", ())

    def run_on(
        backend: str,
        cell: Cell,
        values: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
    ) -> Unrolled:
        assert fallback(cell, values, backend) is None
        return unroll(cell, values, lengths, state, backend)

    return run_on


@pytest.fixture
def randomised() -> Callable[..., Cell]:
    """Make a cell all of whose weights, vectors too, are random."""

    def make(
        cell_class: type[Cell], sizes: tuple[int, int], dtype: torch.dtype = torch.float64
    ) -> Cell:
        cell = cell_class(*sizes).to(dtype)
        with torch.no_grad():
            for weight in cell.parameters():
                weight.normal_(std=min(0.5, 1 / cell.hidden_size**0.5))  # more would be chaotic
        return cell

    return make


@pytest.fixture
def results(run: Callable[..., Unrolled]) -> Callable[..., Results]:
    """Run a cell forwards and backwards: hidden states, final states and every gradient by name.

    ``loss`` is called with hidden and final states, and is by default a sum of all of these with
    different weights for each number.
    """

    def compute(
        backend: str,
        cell: Cell,
        values: Tensor,
        lengths: Tensor | None = None,
        state: Sequence[Tensor] | None = None,
        loss: Callable[..., Tensor] | None = None,
    ) -> Results:
        values = values.detach().requires_grad_()
        start = None if state is None else [part.detach().requires_grad_() for part in state]
        hidden, final = run(backend, cell, values, lengths, start)
        final = final or ()
        (loss or _weighted)(hidden, *final).backward()
        gradients: dict[str, Tensor | None] = {"d_values": values.grad}
        for number, part in enumerate(start or ()):
            gradients[f"d_start_{number}"] = part.grad
        for name, weight in cell.named_parameters():
            gradients[f"d_{name}"] = weight.grad
            weight.grad = None
        found = {"hidden": hidden, **{f"final_{n}": part for n, part in enumerate(final)}}
        # A weight that a loss does not reach has no gradient on one back end and zeros on another.
        known = {name: g for name, g in gradients.items() if g is not None and g.count_nonzero()}
        return {name: tensor.detach() for name, tensor in {**found, **known}.items()}

    return compute


@pytest.fixture
def close() -> Callable[[Results, Results], None]:
    """Compare results of two back ends: 1e-10 in double precision, 1e-5 in single."""

    def compare(expected: Results, found: Results) -> None:
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            tolerance = 1e-10 if tensor.dtype == torch.float64 else 1e-5
            # Sums over all steps are as large as their terms are many.
            scale = max(1.0, tensor.abs().max().item())
            torch.testing.assert_close(
                tensor,
                found[name],
                rtol=tolerance,
                atol=tolerance * scale,
                msg=lambda text, name=name: f"{name}: {text}",
            )

    return compare


def _weighted(hidden: Tensor, *final: Tensor) -> Tensor:
    total = hidden.new_zeros(())
    for part in (hidden, *final):
        weights = torch.linspace(-1, 1, part.numel(), dtype=part.dtype).view(part.shape)
        total = total + (part * weights).sum()
    return total
