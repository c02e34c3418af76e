"""What a plugin's own tests look like: the conformance suite, and what is particular to it."""

from __future__ import annotations

import torch
from seqbench_example.calibration import Calibration
from seqbench_example.latch import Latch
from seqbench_example.mgu import MGU, MGUCell

from seqbench.nn import unroll
from seqbench.testing import check_model, check_task


def test_model_conforms() -> None:
    """No prediction sees what its visibility hides, in one direction and in two."""
    check_model(MGU)
    check_model(MGU, bidirectional=True, num_layers=2)


def test_task_conforms() -> None:
    """Splits are disjoint and repeatable, scores do not depend on the batch size."""
    check_task(Latch(lag=5, sequences=16))


def test_calibration_by_hand() -> None:
    """Of three predictions of .85 two are right, and one of .65 is: (|2.55 - 2| + .35) / 4."""
    found = Calibration(Latch())
    logits = torch.logit(torch.tensor([0.85, 0.85, 0.15, 0.65], dtype=torch.float64))[:, None]
    found.update(logits, torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.arange(4))
    assert abs(found.compute()["error"] - (0.55 + 0.35) / 4) < 1e-12


def test_cell_equals_its_equations() -> None:
    """The candidate sees the gated state; loop, gradients and the rest are seqbench's."""
    torch.manual_seed(0)
    cell = MGUCell(2, 3).double()
    values = torch.randn(4, 5, 2, dtype=torch.float64)
    h = torch.zeros(4, 3, dtype=torch.float64)
    for x in values.unbind(1):
        x_f, x_n = (x @ cell.weight_ih.T + cell.bias).chunk(2, dim=1)
        f = torch.sigmoid(x_f + h @ cell.weight_hh.T)
        h = (1 - f) * h + f * torch.tanh(x_n + (f * h) @ cell.recurrent_gated.T)
    torch.testing.assert_close(h, unroll(cell, values).hidden[:, -1], rtol=0, atol=1e-12)


def test_closed_gate_keeps_the_state() -> None:
    """With a bias that closes the gate, the state does not move."""
    cell = MGUCell(2, 3).double()
    with torch.no_grad():
        cell.bias[:3].fill_(-1e9)
    before = torch.tensor([[0.5, -0.25, 1.0]], dtype=torch.float64)
    (after,) = cell.step(torch.ones(1, 2, dtype=torch.float64), (before,))
    assert torch.equal(before, after)
