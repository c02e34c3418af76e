"""Single steps as a deployed model takes them: the numbers of the loop over time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from seqbench.nn import (
    Cell,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    RecurrentModel,
    RNNCell,
    State,
    Step,
    fallback,
    stepper,
    unroll,
)
from seqbench.nn.backends.cpu import CPU
from seqbench.nn.backends.cpu.step import CPUStep
from seqbench.plugins.fgr import FGRCell
from seqbench.plugins.gru import ResetBeforeGRUCell
from seqbench.registry.plugins import registry

Randomised = Callable[..., Cell]


def built_in_cells() -> list[type[Cell]]:
    """Return the cell of every built-in recurrent model, and the GRU's other one."""
    found: dict[type[Cell], None] = {ResetBeforeGRUCell: None}
    for item in registry().all("model"):
        model = item.load()
        if issubclass(model, RecurrentModel):
            built = model(2, "past", hidden_size=3)
            found |= {type(cell): None for cell in built.modules() if isinstance(cell, Cell)}
    return list(found)


def stepped(step: Step, values: Tensor, state: State) -> tuple[Tensor, State]:
    """Return the hidden states ``[B, T, H]`` and the last states, step by step."""
    hidden = []
    for t in range(values.shape[1]):
        state = step(values[:, t], state)
        hidden.append(state[0])
    return torch.stack(hidden, dim=1), state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell_class", built_in_cells(), ids=lambda cell: cell.__name__)
def test_steps_are_the_unroll(
    cell_class: type[Cell], dtype: torch.dtype, randomised: Randomised
) -> None:
    """Of one sequence and of several, from any states; where they are compiled, bit for bit."""
    cell = randomised(cell_class, (5, 19), dtype)
    step = stepper(cell)
    exact = isinstance(step, CPUStep)
    assert exact == (fallback(cell, torch.zeros(1), "auto") is None)
    tolerance = 0 if exact else 1e-12 if dtype == torch.float64 else 1e-5
    for batch in (1, 4, 1):
        values = torch.randn(batch, 6, 5, dtype=dtype)
        start = tuple(torch.randn(batch, 19, dtype=dtype) for _ in cell.states)
        with torch.no_grad():
            expected = unroll(cell, values, state=start)
        assert expected.state is not None
        hidden, final = stepped(step, values, start)
        for one, other in zip((expected[0], *expected.state), (hidden, *final), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
        assert not hidden.requires_grad


def test_nearly_all_built_in_cells_are_compiled() -> None:
    cells = built_in_cells()
    assert {RNNCell, LSTMCell, GRUCell, PeepholeLSTMCell, ResetBeforeGRUCell} <= set(cells)
    plain = [cell for cell in cells if not isinstance(stepper(cell(2, 3)), CPUStep)]
    assert ["LayerNormLSTMCell"] == [cell.__name__ for cell in plain]


@pytest.mark.parametrize("cell_class", [FGRCell, ResetBeforeGRUCell])
def test_many_sequences_on_any_number_of_threads(
    cell_class: type[Cell], randomised: Randomised, threads: Callable[[int], None]
) -> None:
    cell, values = randomised(cell_class, (64, 64), torch.float32), torch.randn(80, 3, 64)
    found = []
    for number in (1, 2, 3):
        threads(number)
        found.append(stepped(stepper(cell), values, cell.initial_state(80))[0])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_was_returned_stays(randomised: Randomised) -> None:
    """A state can be gone on from twice, is not written to, and belongs to who asked for it."""
    cell = randomised(LSTMCell, (3, 5), torch.float32)
    step, values = stepper(cell), torch.randn(2, 1, 3)
    first = step(values[0], cell.initial_state(1))
    copies = [part.clone() for part in first]
    one, other = step(values[1], first), step(values[1], first)
    assert all(torch.equal(a, b) for a, b in zip(copies, first, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert one[0].data_ptr() != other[0].data_ptr()
    with torch.inference_mode():
        inside = step(values[1], first)
    assert torch.equal(inside[0], step(values[1], first)[0])


def test_tensors_of_any_layout_and_dtype(randomised: Randomised) -> None:
    cell = randomised(GRUCell, (3, 5), torch.float32)
    step, values, state = stepper(cell), torch.randn(4, 3), (torch.randn(4, 5),)
    expected = step(values, state)[0]
    strided = values.t().contiguous().t()
    assert torch.equal(expected, step(strided, (state[0].t().contiguous().t(),))[0])
    assert torch.equal(expected, step(values.double(), (state[0].double(),))[0])
    assert torch.equal(expected, step(values.requires_grad_(), state)[0])


def test_shapes_that_do_not_fit() -> None:
    """They are refused: the code would read what is not there."""
    cell = LSTMCell(3, 5)
    step, state = stepper(cell), cell.initial_state(2)
    for values, given, message in (
        (torch.zeros(2, 4), state, r"values must be \[B, 3\] for this LSTMCell, not \[2, 4\]"),
        (torch.zeros(3), state, r"not \[3\]"),
        (torch.zeros(0, 3), cell.initial_state(0), r"not \[0, 3\]"),
        (torch.zeros(1, 3), state, r"state must be \[1, 5\] each, not \[2, 5\]"),
        (torch.zeros(2, 3), state[:1], r"state must be \(h, c\), not 1 tensors"),
    ):
        with pytest.raises(ValueError, match=message):
            step(values, given)


def test_weights_are_those_of_when_it_was_made(randomised: Randomised) -> None:
    cell = randomised(PeepholeLSTMCell, (3, 5), torch.float32)
    step, values, state = stepper(cell), torch.randn(1, 3), PeepholeLSTMCell(3, 5).initial_state(1)
    before = step(values, state)[0]
    with torch.no_grad():
        for weight in cell.parameters():
            weight += 1.0
    assert torch.equal(before, step(values, state)[0])
    assert torch.equal(
        before, step(values.repeat(3, 1), tuple(p.repeat(3, 1) for p in state))[0][:1]
    )
    assert not torch.equal(before, stepper(cell)(values, state)[0])


def test_python_threads_share_one(randomised: Randomised) -> None:
    cell = randomised(LSTMCell, (3, 33), torch.float32)
    step, values = stepper(cell), torch.randn(64, 1, 20, 3)

    def run(own: Tensor) -> Tensor:
        return stepped(step, own, cell.initial_state(1))[0]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, values))
    assert all(torch.equal(run(own), one) for own, one in zip(values, found, strict=True))


@pytest.mark.parametrize("way", ["reference", "refused", "nothing"])
def test_plain_torch_where_nothing_is_compiled(
    way: str, randomised: Randomised, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for, because there is no compiler, or where a back end has no steps."""
    if way == "refused":
        monkeypatch.setattr(CPU, "check", lambda *_: "no compiler")
    if way == "nothing":
        monkeypatch.setattr(CPU, "stepper", lambda *_: None)
    cell, values = randomised(LSTMCell, (3, 5)), torch.randn(2, 4, 3, dtype=torch.float64)
    step = stepper(cell, "reference" if way == "reference" else "auto")
    assert not isinstance(step, CPUStep)
    hidden, _ = stepped(step, values, cell.initial_state(2))
    expected = unroll(cell, values, backend="reference").hidden
    torch.testing.assert_close(expected, hidden, rtol=0, atol=1e-12)
    assert not hidden.requires_grad
