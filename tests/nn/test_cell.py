"""The contract of a cell: what follows from its equations, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.nn import (
    Cell,
    GRUCell,
    LSTMCell,
    Named,
    PeepholeLSTMCell,
    RNNCell,
    backends_for,
    fallback,
    inspect,
    unroll,
)
from seqbench.plugins.fgr import FGRCell
from seqbench.plugins.gru import ResetBeforeGRUCell

CELLS = (RNNCell, LSTMCell, GRUCell, PeepholeLSTMCell, ResetBeforeGRUCell, FGRCell)
EVERY_CELL = pytest.mark.parametrize("cell_class", CELLS)
Run = Callable[..., Any]


class Example(Cell):
    """A cell with some of everything; a test's subclass changes one thing."""

    gates = ("r", "z", "n")
    states = ("h", "m")
    vectors = {"scale": 0.5}
    bias_init = {"z": 1.0}
    separate = ("n",)
    feedback = {"m": ("n", "r"), "h": ("z",)}
    inner = {"q": ("z",)}

    def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Return r * h."""
        return {"q": torch.sigmoid(a.r) * s.h}

    def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
        """Advance by one step."""
        z = torch.sigmoid(a.z)
        m = torch.tanh(a.n_x + p.scale * a.n_h)
        return {"h": z * s.h + (1 - z) * m, "m": m, "z": z}


def test_parameters_follow_from_the_names() -> None:
    """A weight for each gate from inputs, for each pair of a source and a gate that sees it."""
    shapes = {name: tuple(weight.shape) for name, weight in Example(3, 4).named_parameters()}
    assert {
        "weight_ih": (12, 3),
        "recurrent_m": (8, 4),
        "weight_hh": (4, 4),
        "recurrent_q": (4, 4),
        "bias": (12,),
        "scale": (4,),
    } == shapes
    assert Example(3, 4).bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
    assert Example(3, 4).scale.tolist() == [0.5] * 4


def test_a_step_written_by_hand(randomised: Run) -> None:
    """Each gate gets its own block of every weight, in the order in which it is named."""
    cell = randomised(Example, (3, 4))
    x, h, m = torch.randn(2, 3).double(), torch.randn(2, 4).double(), torch.randn(2, 4).double()
    (w_r, w_z, w_n), (b_r, b_z, b_n) = cell.weight_ih.chunk(3), cell.bias.chunk(3)
    u_nm, u_rm = cell.recurrent_m.chunk(2)
    r = torch.sigmoid(x @ w_r.T + b_r + m @ u_rm.T)
    z = torch.sigmoid(x @ w_z.T + b_z + h @ cell.weight_hh.T + (r * h) @ cell.recurrent_q.T)
    new_m = torch.tanh(x @ w_n.T + b_n + cell.scale * (m @ u_nm.T))
    expected = (z * h + (1 - z) * new_m, new_m)
    torch.testing.assert_close(expected, cell.step(x, (h, m)), rtol=0, atol=1e-12)
    for backend in backends_for(Example):
        found = unroll(cell, x[:, None], state=(h, m), backend=backend).state
        torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)


@EVERY_CELL
def test_steps_one_by_one_equal_the_unroll(
    backend: str, cell_class: type[Cell], randomised: Run
) -> None:
    cell, values = randomised(cell_class, (3, 4)), torch.randn(2, 6, 3).double()
    state = cell.initial_state(2)
    hidden = []
    for x in values.unbind(1):
        state = cell.step(x, state)
        hidden.append(state[0])
    found = unroll(cell, values, backend=backend)
    torch.testing.assert_close(torch.stack(hidden, 1), found.hidden, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, found.state, rtol=0, atol=1e-12)


def test_windows_one_after_the_other_equal_the_whole(backend: str, randomised: Run) -> None:
    """A window's final states are the next one's initial states."""
    cell, values = randomised(LSTMCell, (3, 4)), torch.randn(2, 9, 3).double()
    whole = unroll(cell, values, backend=backend)
    first = unroll(cell, values[:, :4], backend=backend)
    second = unroll(cell, values[:, 4:], state=first.state, backend=backend)
    joined = torch.cat([first.hidden, second.hidden], dim=1)
    torch.testing.assert_close(whole.hidden, joined, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole.state, second.state, rtol=0, atol=1e-12)


def test_inspect_returns_what_the_equations_return(randomised: Run) -> None:
    """States and gates over time, zero at padding; states start where they are told to."""
    cell, values = randomised(LSTMCell, (3, 4)), torch.randn(2, 5, 3).double()
    lengths = torch.tensor([5, 2])
    state = tuple(torch.randn(2, 4).double() for _ in cell.states)
    trace = inspect(cell, values, lengths, state)
    assert {"h", "c", "i", "f", "g", "o"} == trace.keys()
    assert torch.equal(unroll(cell, values, lengths, state, "reference").hidden, trace["h"])
    before = torch.cat([state[1][:, None], trace["c"][:, :-1]], dim=1)
    expected = trace["f"] * before + trace["i"] * trace["g"]
    torch.testing.assert_close(expected[0], trace["c"][0], rtol=0, atol=1e-12)
    assert all(0 == steps[1, 2:].count_nonzero() for steps in trace.values())


@EVERY_CELL
def test_one_rule_initialises_every_cell(cell_class: type[Cell]) -> None:
    """Each gate's recurrent blocks are orthogonal, its input block within Glorot's bound."""
    cell = cell_class(3, 5)
    for source in cell.sources():
        name = "weight_hh" if source == "h" else f"recurrent_{source}"
        for block in cell.get_parameter(name).split(5):
            torch.testing.assert_close(torch.eye(5), block @ block.T, rtol=0, atol=1e-5)
    bound = (6 / (3 + 5)) ** 0.5
    for block in cell.weight_ih.chunk(len(cell.gates)):
        assert 0.5 * bound < block.abs().max() <= bound
    for gate, bias in zip(cell.gates, cell.bias.chunk(len(cell.gates)), strict=True):
        assert [cell.bias_init.get(gate, 0.0)] == bias.unique().tolist()


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no 'q' among the names here: i, f"):
        _ = Named(["i", "f"], [torch.ones(1), torch.ones(1)]).q

    class Unknown(Example):
        """A cell that uses a gate that it does not have."""

        def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
            """Advance by one step."""
            return {"h": torch.tanh(a.candidate), "m": s.m}

    with pytest.raises(AttributeError, match="no 'candidate' among the names here: n_x, r, z, n_h"):
        unroll(Unknown(3, 4), torch.ones(2, 5, 3))


@pytest.mark.parametrize("backend", ["auto", *backends_for(Cell)])
def test_a_state_that_is_not_returned(backend: str) -> None:
    class Forgetful(Example):
        """A cell that returns one of its two states."""

        def equations(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
            """Advance by one step."""
            return {"h": torch.tanh(a.z)}

    with pytest.raises(ValueError, match="the equations of Forgetful return no m"):
        unroll(Forgetful(3, 4), torch.ones(2, 5, 3), backend=backend)


def test_inner_values_do_not_see_what_waits_for_them(randomised: Run) -> None:
    """Neither as a sum nor as the recurrent term of a separate gate."""
    for gate in ("z", "n_h"):

        class Impatient(Example):
            """A cell whose inner value needs a gate that needs the inner value."""

            inner = {"q": ("z", "n")}
            needs = gate

            def between(self, a: Named, s: Named, p: Named) -> dict[str, Tensor]:
                """Return what cannot be known yet."""
                return {"q": torch.sigmoid(getattr(a, self.needs))}

        with pytest.raises(AttributeError, match=f"no '{gate}' among the names here"):
            unroll(randomised(Impatient, (3, 4)), torch.ones(2, 5, 3).double())


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("feedback", {"hh": ("r",)}, "feedback names 'hh', not one of h, m"),
        ("feedback", {"h": ("rr",)}, "feedback or inner names 'rr', not one of r, z, n"),
        ("inner", {"q": ("c",)}, "feedback or inner names 'c', not one of r, z, n"),
        ("separate", ("m",), "separate names 'm', not one of r, z, n"),
        ("bias_init", {"f": 1.0}, "bias_init names 'f', not one of r, z, n"),
        ("vectors", {"bias": 1.0}, "a vector cannot be called 'bias'"),
    ],
)
def test_names_that_a_cell_does_not_have(attribute: str, value: Any, message: str) -> None:
    wrong = type("Wrong", (Example,), {attribute: value, "__doc__": "A cell."})
    with pytest.raises(ValueError, match=f"Wrong: {message}"):
        wrong(3, 4)


def test_inner_values_need_their_equations() -> None:
    class Silent(RNNCell):
        """A cell that names an inner value and does not write between()."""

        inner = {"q": ("h",)}

    with pytest.raises(NotImplementedError, match="Silent names inner values: write between"):
        unroll(Silent(3, 4), torch.ones(2, 5, 3))


VALUES = torch.ones(2, 5, 3)
STATE = (torch.zeros(2, 4), torch.zeros(2, 4))


@pytest.mark.parametrize("backend", ["auto", *backends_for(LSTMCell)])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": VALUES[0]}, r"values must be \[B, T, 3\] for this LSTMCell, not \[5, 3\]"),
        ({"values": VALUES[..., :2]}, r"values must be \[B, T, 3\] .* not \[2, 5, 2\]"),
        ({"values": VALUES[:0]}, r"must have a sequence and a step, not \[0, 5, 3\]"),
        ({"values": VALUES[:, :0]}, r"must have a sequence and a step, not \[2, 0, 3\]"),
        ({"lengths": torch.tensor([5])}, r"lengths must be \[2\], not \[1\]"),
        ({"lengths": torch.tensor([5, 0])}, "lengths must be 1 to 5, not 0 to 5"),
        ({"lengths": torch.tensor([6, 2])}, "lengths must be 1 to 5, not 2 to 6"),
        ({"state": STATE[:1]}, r"state must be \(h, c\), each \[2, 4\], not \[\[2, 4\]\]"),
        ({"state": (*STATE, STATE[0])}, r"state must be \(h, c\)"),
        ({"state": (STATE[0], STATE[0][:1])}, r"each \[2, 4\], not \[\[2, 4\], \[1, 4\]\]"),
    ],
)
def test_impossible_arguments_of_unroll(changes: Any, message: str, backend: str) -> None:
    arguments = {"values": VALUES, "backend": backend, **changes}
    with pytest.raises(ValueError, match=message) as caught:
        unroll(LSTMCell(3, 4), **arguments)
    assert "\n" not in str(caught.value)


def test_impossible_back_ends() -> None:
    with pytest.raises(ValueError, match=r"must be one of auto, reference, cpu, .* not 'gpu' "):
        unroll(LSTMCell(3, 4), VALUES, backend="gpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not 'nativ' \(did you mean 'native'\?\)$"):
        unroll(LSTMCell(3, 4), VALUES, backend="nativ")  # type: ignore[arg-type]

    class Variant(LSTMCell):
        """A subclass is another cell, which torch has no kernel for."""

    with pytest.raises(ValueError, match="backend=native has no kernel for Variant; it runs LSTMC"):
        unroll(Variant(3, 4), VALUES, backend="native")
    assert fallback(Variant(3, 4), VALUES, "auto") is None
