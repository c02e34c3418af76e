"""What a plugin's own tests look like: the conformance suite, and what is particular to it."""

from __future__ import annotations

import torch
from seqbench_example.latch import Latch
from seqbench_example.mgu import MGU, MGUCell

from seqbench.testing import check_model, check_task


def test_model_conforms():
    """No prediction sees what its alignment hides, in one direction and in two."""
    check_model(MGU)
    check_model(MGU, bidirectional=True, num_layers=2)


def test_task_conforms():
    """Splits are disjoint and repeatable, scores do not depend on the batch size."""
    check_task(Latch(lag=5, sequences=16))


def test_closed_gate_keeps_the_state():
    """With a bias that closes the gate, the state does not move."""
    cell = MGUCell(2, 3).double()
    with torch.no_grad():
        cell.bias.chunk(2)[0].fill_(-1e9)
    before = torch.tensor([[0.5, -0.25, 1.0]], dtype=torch.float64)
    projected = cell.project(torch.ones(1, 2, dtype=torch.float64))
    assert torch.equal(before, cell.step(projected, (before,)).h)
