"""Cells, the unroll, masking and initialisation."""

from __future__ import annotations

import pytest
import torch

from seqbench.api import RecurrentModel, SequenceInput
from seqbench.nn import (
    Cell,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    RNNCell,
    last_step,
    resolve_backend,
    reverse_sequences,
    unroll,
    zero_padding,
)
from seqbench.registry import registry

RECURRENT = ("rnn", "lstm", "peephole", "gru", "bilstm", "attention_lstm")
CELLS = (RNNCell, LSTMCell, GRUCell, PeepholeLSTMCell)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("context", ["past", "all"])
@pytest.mark.parametrize("name", RECURRENT)
def test_ragged_batch_equals_single_sequences(
    name: str, context: str, dtype: torch.dtype, tolerance: float, ragged: SequenceInput
) -> None:
    """A batch of 7 ragged sequences gives what 7 batches of 1 give."""
    torch.manual_seed(0)
    model: RecurrentModel = registry().get("model", name).load()(3, context, hidden_size=6)
    model = model.to(dtype)
    inputs = ragged.with_values(ragged.values.to(dtype))
    together = model(inputs)
    for row, length in enumerate(inputs.lengths.tolist()):
        alone = model(SequenceInput(inputs.values[row : row + 1, :length], torch.tensor([length])))
        close = {"rtol": 0, "atol": tolerance}
        torch.testing.assert_close(alone.final[0], together.final[row], **close)
        torch.testing.assert_close(
            alone.forward_steps[0], together.forward_steps[row, :length], **close
        )
        if together.backward_steps is not None:
            torch.testing.assert_close(
                alone.backward_steps[0], together.backward_steps[row, :length], **close
            )


@pytest.mark.parametrize("cell_class", CELLS)
def test_one_rule_initialises_every_cell(cell_class: type[Cell]) -> None:
    """Each gate's recurrent block is orthogonal, its input block within Glorot's bound."""
    cell = cell_class(3, 5)
    for block in cell.weight_hh.chunk(cell.gates):
        torch.testing.assert_close(torch.eye(5), block @ block.T, rtol=0, atol=1e-5)
    bound = (6 / (3 + 5)) ** 0.5
    for block in cell.weight_ih.chunk(cell.gates):
        assert block.abs().max() <= bound
    biases = cell.bias.chunk(cell.gates)
    for gate, bias in enumerate(biases):
        assert float(gate == cell.keep_gate) == bias.unique().item()


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
def test_native_equals_reference(cell_class: type[Cell]) -> None:
    """Torch's kernel, given a cell's weights, computes the cell's equations and gradients."""
    torch.manual_seed(0)
    cell = cell_class(3, 5).double()
    with torch.no_grad():
        cell.bias.normal_()
    gradients = []
    for backend in ("reference", "native"):
        cell.zero_grad()
        values = torch.linspace(-1, 1, 2 * 9 * 3, dtype=torch.float64).reshape(2, 9, 3)
        values.requires_grad_()
        hidden = unroll(cell, values, backend)
        hidden.square().sum().backward()
        gradients.append([hidden, values.grad, *(weight.grad for weight in cell.parameters())])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)


def test_backend_of_each_cell() -> None:
    """`auto` takes torch's kernel where there is one, and a subclass is another cell."""

    class Variant(LSTMCell):
        """A cell that changes nothing, yet might."""

    assert resolve_backend(LSTMCell(1, 1), "auto") == "native"
    assert resolve_backend(LSTMCell(1, 1), "reference") == "reference"
    assert resolve_backend(PeepholeLSTMCell(1, 1), "auto") == "reference"
    assert resolve_backend(Variant(1, 1), "auto") == "reference"
    with pytest.raises(ValueError, match="no kernel for PeepholeLSTMCell"):
        resolve_backend(PeepholeLSTMCell(1, 1), "native")


def test_reverse_sequences_within_their_length() -> None:
    values = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])[..., None]
    expected = torch.tensor([[3, 2, 1, 0], [4, 0, 0, 0], [8, 7, 6, 5]])[..., None]
    assert torch.equal(expected, reverse_sequences(values, torch.tensor([3, 1, 4])))


def test_last_step_and_zero_padding() -> None:
    values = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]])[..., None]
    lengths = torch.tensor([2, 1])
    assert last_step(values, lengths).tolist() == [[2.0], [4.0]]
    mask = torch.arange(3) < lengths[:, None]
    expected = [[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]]
    assert expected == zero_padding(values, mask)[..., 0].tolist()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_size": -3}, "hidden_size must be at least 1, not -3"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
    ],
)
@pytest.mark.parametrize("name", RECURRENT)
def test_impossible_values_are_refused(
    name: str, parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        registry().get("model", name).load()(3, "past", **parameters)


@pytest.mark.parametrize("name", RECURRENT)
def test_dropout_acts_in_training_only(name: str, ragged: SequenceInput) -> None:
    """Dropout zeroes a share of the outputs of the last layer too."""
    torch.manual_seed(0)
    model = registry().get("model", name).load()(3, "past", hidden_size=50, dropout=0.5).double()
    zeros = (model(ragged).forward_steps[ragged.mask][:, :50] == 0).double().mean()
    assert 0.4 < zeros < 0.6
    assert bool((model.eval()(ragged).forward_steps[ragged.mask] != 0).all())
