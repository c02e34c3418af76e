"""Models of recurrent cells: ragged batches, dropout, impossible values; masking."""

from __future__ import annotations

import pytest
import torch

from seqbench.api import SequenceInput
from seqbench.nn import (
    LSTMCell,
    RecurrentModel,
    backends_for,
    last_step,
    reverse_sequences,
    zero_padding,
)
from seqbench.registry.plugins import registry

RECURRENT = ("rnn", "lstm", "peephole", "gru", "fgr", "bilstm", "attention_lstm")


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


@pytest.mark.parametrize("directions", ["separate", "mixed"])
@pytest.mark.parametrize("backend", backends_for(LSTMCell)[1:])
def test_models_of_two_layers_and_directions(
    backend: str, directions: str, ragged: SequenceInput
) -> None:
    """The same seed gives the same weights, dropout and gradients on every back end."""

    class Deep(RecurrentModel):
        """Two layers of an LSTM."""

        cell = LSTMCell

    found = []
    for name in ("reference", backend):
        torch.manual_seed(0)
        model = Deep(
            3,
            "all",
            hidden_size=6,
            num_layers=2,
            bidirectional=True,
            directions=directions,
            dropout=0.4,
            backend=name,
        ).double()
        encoding = model(ragged)
        outputs = (encoding.forward_steps, encoding.backward_steps, encoding.final)
        gradients = torch.autograd.grad(
            sum(part.sin().sum() for part in outputs), model.parameters()
        )
        found.append((*outputs, *gradients))
    for expected, other in zip(*found, strict=True):
        torch.testing.assert_close(expected, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_size": -3}, "hidden_size must be at least 1, not -3"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
        ({"backend": "gpu"}, "backend must be one of auto, .* not 'gpu'"),
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


def test_reverse_sequences_within_their_length() -> None:
    values = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])[..., None]
    expected = torch.tensor([[3, 2, 1, 0], [4, 0, 0, 0], [8, 7, 6, 5]])[..., None]
    assert torch.equal(expected, reverse_sequences(values, torch.tensor([3, 1, 4])))


def test_last_step_and_zero_padding() -> None:
    values = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]])[..., None]
    lengths = torch.tensor([2, 1])
    assert [[2.0], [4.0]] == last_step(values, lengths).tolist()
    mask = torch.arange(3) < lengths[:, None]
    expected = [[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]]
    assert expected == zero_padding(values, mask)[..., 0].tolist()
