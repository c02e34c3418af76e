"""What a plugin's own tests look like: the conformance suite, and what is particular to it."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from seqbench_example.calibration import Calibration
from seqbench_example.latch import Latch
from seqbench_example.mgu import MGU, MGUCell
from seqbench_example.worst import write_worst

from seqbench.api import Example, collate
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


class Half:
    """Predicts the logit 0.5 for every sequence, of a batch or for each of its steps."""

    device = torch.device("cpu")

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __call__(self, inputs: object) -> torch.Tensor:
        """Return it in the shape that the test wants."""
        return torch.full(self.shape, 0.5)


def test_the_worst_sequence_is_written(tmp_path: Path) -> None:
    """Of three labels the one that the logit 0.5 contradicts: loss log(1 + exp(0.5))."""
    values = torch.zeros(3, 1)
    batch = collate([Example(values, torch.tensor(label)) for label in (1.0, 0.0, 1.0)], False)
    write_worst(Latch(), Half(3, 1), [batch], tmp_path / "worst.csv")
    (row,) = csv.DictReader((tmp_path / "worst.csv").open())
    expected = {"sequence": 1, "step": 0, "loss": 0.9740770, "target": 0, "prediction": 0.5}
    assert list(expected) == list(row)
    assert all(abs(float(row[name]) - value) < 1e-6 for name, value in expected.items())


def test_steps_that_do_not_count_are_left_out(tmp_path: Path) -> None:
    """A row for each step of the sequence that counts; a column for each of several outputs."""

    class Steps(Latch):
        def loss(self, predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return (predictions - targets).square().sum(-1)

    counts = torch.tensor([True, False, True])
    examples = [
        Example(torch.zeros(2, 1), torch.zeros(2, 2)),
        Example(torch.zeros(3, 1), torch.ones(3, 2) * 4, target_mask=counts),
    ]
    batch = collate(examples, True)
    write_worst(Steps(), Half(2, 3, 2), [batch], tmp_path / "worst.csv")
    found = [tuple(row.values()) for row in csv.DictReader((tmp_path / "worst.csv").open())]
    assert [("1", step, "24.5", "4.0", "4.0", "0.5", "0.5") for step in ("0", "2")] == found
