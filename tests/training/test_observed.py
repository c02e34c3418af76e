"""What the harness makes of flags that say which features were observed."""

from __future__ import annotations

import torch

from seqbench.api import InputSpec, OutputSpec, SequenceInput, Visibility
from seqbench.plugins.grud import GRUD
from seqbench.plugins.lstm import LSTM
from seqbench.training.predictor import Predictor

RATE = torch.tensor([0.5, 0.8, 1.0, 0.999])


def seen_by(model: type, rate: torch.Tensor | None) -> tuple[SequenceInput, SequenceInput]:
    """Return a batch of two sequences, the second one shorter, and what the model is given."""
    generator = torch.Generator().manual_seed(0)
    inputs = SequenceInput(
        values=torch.randn(2, 5, 4, generator=generator),
        lengths=torch.tensor([5, 3]),
        observed=torch.rand(2, 5, 4, generator=generator) < 0.5,
        delta=torch.rand(2, 5, 4, generator=generator),
    )
    spec = InputSpec(4, missing=True, observed_rate=rate)
    predictor = Predictor(model, {"hidden_size": 3}, spec, OutputSpec(1), Visibility.SEQUENCE)
    found = []
    predictor.model.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0]))
    predictor(inputs)
    return inputs, found[0]


def test_flags_are_standardised() -> None:
    """By their rate; one that hardly ever changes is not blown up by more than ten."""
    inputs, seen = seen_by(LSTM, RATE)
    assert inputs.observed is not None
    spread = torch.tensor([0.5, 0.4, 0.1, 0.1])
    expected = (inputs.observed.float() - RATE) / spread
    assert torch.equal(inputs.values[0], seen.values[0, :, :4])
    torch.testing.assert_close(expected[0], seen.values[0, :, 4:8])
    torch.testing.assert_close(expected[1, :3], seen.values[1, :3, 4:8])
    assert not seen.values[1, 3:].any()


def test_flags_without_a_rate_are_left_as_they_are() -> None:
    inputs, seen = seen_by(LSTM, None)
    assert inputs.observed is not None
    assert torch.equal(inputs.observed[0].float(), seen.values[0, :, 4:8])


def test_a_model_that_knows_missingness_gets_the_flags_themselves() -> None:
    inputs, seen = seen_by(GRUD, RATE)
    assert (2, 5, 4) == seen.values.shape
    assert seen.observed is inputs.observed
