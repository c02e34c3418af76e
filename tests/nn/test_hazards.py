"""What would make generated code read the wrong memory, or run equations that are no longer so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqbench.nn import (
    Cell,
    LSTMCell,
    Named,
    PeepholeLSTMCell,
    RNNCell,
    backends_for,
    fallback,
    inspect,
    unroll,
)
from seqbench.nn.backends.cpu import machine

Run = Callable[..., Any]
VALUES = torch.linspace(-1, 1, 2 * 5 * 3).reshape(2, 5, 3)


class Sloped(Cell):
    """``h' = tanh(slope (W x + U h + b))``, the slope kept in one place or another."""

    gates = ("u",)
    slope: Any = 0.5

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        slope = self.slope[0] if isinstance(self.slope, list | tuple) else self.slope
        return {"h": torch.tanh(slope * a.u)}


def _shared_scale(cell: PeepholeLSTMCell) -> None:
    cell.peephole_i = nn.Parameter(torch.ones(1))


def _short_bias(cell: PeepholeLSTMCell) -> None:
    cell.bias = nn.Parameter(torch.zeros(4))


def _half_weight(cell: PeepholeLSTMCell) -> None:
    cell.weight_hh.data = cell.weight_hh.data.bfloat16()


def _elsewhere(cell: PeepholeLSTMCell) -> None:
    cell.peephole_o = nn.Parameter(torch.zeros(4, device="meta"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_shared_scale, "peephole_i is [1], not [4]"),
        (_short_bias, "bias is [4], not [16]"),
        (_half_weight, "weight_hh is torch.bfloat16, weight_ih torch.float32"),
        (_elsewhere, "peephole_o is on meta, the data on cpu"),
    ],
)
def test_weights_that_generated_code_would_misread(
    change: Callable[[PeepholeLSTMCell], None], reason: str
) -> None:
    """They never reach it: the reference runs, and says no or broadcasts as torch does."""
    cell = PeepholeLSTMCell(3, 4)
    change(cell)
    assert f"cpu: {reason}" == fallback(cell, VALUES, "cpu")


def test_a_shared_scale_is_broadcast_by_the_reference() -> None:
    cell = PeepholeLSTMCell(3, 4)
    _shared_scale(cell)
    expected = unroll(cell, VALUES, backend="reference").hidden
    assert torch.equal(expected, unroll(cell, VALUES).hidden)


def test_another_default_device() -> None:
    """Buffers are made where the data are, not where torch would make them by default."""
    cell, lengths = LSTMCell(3, 4), torch.tensor([5, 2])
    expected = unroll(cell, VALUES, lengths, backend="cpu").hidden
    with torch.device("meta"):
        found = unroll(cell, VALUES, lengths, backend="cpu").hidden
        whole = unroll(cell, VALUES, backend="cpu").hidden
        whole.sum().backward()
    assert torch.equal(expected, found)
    assert cell.weight_ih.grad.device.type == "cpu"


def _instance(cell: Sloped, slope: float) -> None:
    cell.slope = slope


def _in_a_list(cell: Sloped, slope: float) -> None:
    cell.slope = [slope]


def _of_the_class(cell: Sloped, slope: float) -> None:
    type(cell).slope = slope


def _other_equations(cell: Sloped, slope: float) -> None:
    type(cell).equations = lambda self, a, s, p: {  # type: ignore[method-assign]
        "h": torch.tanh(slope * a.u)
    }


@pytest.mark.parametrize("change", [_instance, _in_a_list, _of_the_class, _other_equations])
def test_what_changes_is_traced_again(change: Callable[[Sloped, float], None]) -> None:
    cell = type("Changing", (Sloped,), {"__doc__": "A cell."})(3, 4)
    hidden = []
    for slope in (0.5, 2.0):
        change(cell, slope)
        assert fallback(cell, VALUES, "cpu") is None
        expected, found = (unroll(cell, VALUES, backend=b).hidden for b in ("reference", "cpu"))
        torch.testing.assert_close(expected, found, rtol=0, atol=1e-6)
        hidden.append(found)
    assert not torch.allclose(*hidden)


def test_what_may_change_unseen_is_not_compiled() -> None:
    """A tensor that is no parameter can be written to in place."""
    cell = Sloped(3, 4)
    cell.slope = torch.tensor(0.5)
    assert "may use a Tensor, which may change" in str(fallback(cell, VALUES, "cpu"))


def test_equations_that_change_the_cell_are_not_compiled() -> None:
    class Counting(Sloped):
        """A cell that counts its steps."""

        count = 0

        def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
            """Advance by one step."""
            self.count += 1
            return {"h": torch.tanh(a.u * self.count)}

    assert "its equations change the cell" in str(fallback(Counting(3, 4), VALUES, "cpu"))


def test_a_number_that_always_changes_ends_on_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seqbench.nn.backends.lowering.MOST_TRACES", 2)
    cell = type("Annealed", (Sloped,), {"__doc__": "A cell."})(3, 4)
    reasons = []
    for number in range(3):
        cell.slope = 0.5 + number
        reasons.append(fallback(cell, VALUES, "cpu"))
    assert [None, None] == reasons[:2]
    assert "change too often" in str(reasons[2])


@pytest.mark.parametrize("backend", backends_for(Cell, portable=True))
def test_equations_without_a_derivative_at_zero(backend: str, randomised: Run, run: Run) -> None:
    """Padding is zero, and a derivative that is infinite there must not reach a gradient."""

    class Root(Cell):
        """A cell that takes a square root."""

        gates = ("u",)
        has_bias = False
        feedback = {}

        def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
            """Advance by one step."""
            return {"h": torch.sqrt(a.u.abs())}

    cell, lengths = randomised(Root, (3, 4)), torch.tensor([5, 2])
    values = VALUES.double().clone()
    values[1, 2:] = 0
    run(backend, cell, values, lengths).hidden.sum().backward()
    assert bool(cell.weight_ih.grad.isfinite().all())


def test_weights_may_be_substituted() -> None:
    """As torch.func, pruning and parametrizations do."""
    cell = LSTMCell(3, 4)
    weights = {name: weight.detach() * 0.5 for name, weight in cell.named_parameters()}
    halved = LSTMCell(3, 4)
    halved.load_state_dict(weights)

    class Whole(nn.Module):
        """A model around the cell."""

        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, values: Tensor) -> Tensor:
            """Return the hidden states."""
            return unroll(self.cell, values).hidden

    substituted = {f"cell.{name}": weight for name, weight in weights.items()}
    found = torch.func.functional_call(Whole(), substituted, (VALUES,))
    assert torch.equal(unroll(halved, VALUES).hidden, found)


def test_a_transform_of_torch_func_runs_on_the_reference() -> None:
    cell = RNNCell(3, 4)
    gradient = torch.func.grad(lambda values: unroll(cell, values).hidden.sum())(VALUES)
    leaf = VALUES.clone().requires_grad_()
    unroll(cell, leaf, backend="reference").hidden.sum().backward()
    torch.testing.assert_close(leaf.grad, gradient, rtol=0, atol=1e-6)


def test_initial_states_are_tensors_of_their_own() -> None:
    h, c = LSTMCell(3, 4).initial_state(2)
    c[:, 0] = 1.0
    assert 0 == h.count_nonzero()


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SEQBENCH_CACHE", raising=False)
    monkeypatch.setattr(machine, "user_cache_path", nowhere)
    assert machine.cache_folder() is None
    cell = type("Homeless", (Sloped,), {"slope": 0.75, "__doc__": "A cell."})(3, 4)
    assert fallback(cell, VALUES, "cpu") is None
    assert unroll(cell, VALUES).hidden.isfinite().all()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"gates": ()}, "gates must name at least one"),
        ({"gates": "gate"}, "gates must be a tuple of names, not 'gate'"),
        ({"gates": ("u", "u")}, "the name 'u' is used twice"),
        ({"gates": ("u", "_v")}, "the name '_v' is used twice, or begins with _"),
        ({"states": ("h", "h")}, "the name 'h' is used twice"),
        ({"gates": ("n", "n_x"), "separate": ("n",)}, "the name 'n_x' is used twice"),
        ({"feedback": {"h": ("u", "u")}}, "the name 'u' is used twice"),
        ({"inner": {"h": ("u",)}}, "the name 'h' is used twice"),
        ({"vectors": ("v",)}, r"vectors must be a dict by name, not \('v',\)"),
        ({"vectors": {"weight_hh": 1.0}}, "a vector cannot be called 'weight_hh'"),
    ],
)
def test_impossible_names(attributes: dict[str, Any], message: str) -> None:
    wrong = type("Wrong", (Sloped,), {**attributes, "__doc__": "A cell."})
    with pytest.raises(ValueError, match=f"Wrong: {message}") as caught:
        wrong(3, 4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("sizes", "name"), [((0, 4), "input_size"), ((3, 0), "hidden_size")])
def test_impossible_sizes(sizes: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        RNNCell(*sizes)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "return a NoneType, not a dict by name"),
        ({"h": 1.0}, r"return h as float, not \[B, H\]"),
        ({"h": torch.ones(2, 1)}, r"return h as \[2, 1\], not \[B, H\]"),
    ],
)
def test_what_equations_cannot_return(backend: Any, returned: Any, message: str) -> None:
    wrong = type("Wrong", (Sloped,), {"equations": lambda *_: returned, "__doc__": "A cell."})
    with pytest.raises(ValueError, match=f"the equations of Wrong {message}"):
        unroll(wrong(3, 4), VALUES, backend=backend)


@pytest.mark.parametrize("lengths", [[5, 2], torch.tensor([5.0, 2.5])])
@pytest.mark.parametrize("run_cell", [unroll, inspect])
def test_lengths_are_whole_numbers(run_cell: Run, lengths: Any) -> None:
    with pytest.raises(ValueError, match="lengths must be a tensor of whole numbers"):
        run_cell(RNNCell(3, 4), VALUES, lengths)
