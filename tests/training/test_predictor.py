"""What stands between a task and a model: what reaches the model, and what it may see."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqbench.api import (
    Encoding,
    Example,
    InputSpec,
    OutputSpec,
    SequenceInput,
    Visibility,
    collate,
)
from seqbench.plugins.bilstm import BiLSTM
from seqbench.plugins.lstm import LSTM
from seqbench.testing import check_visibility, make_predictor
from seqbench.training.predictor import Predictor


@pytest.mark.parametrize("model", [LSTM, BiLSTM])
@pytest.mark.parametrize("visibility", list(Visibility))
def test_missingness_reaches_models_that_do_not_consume_it(
    model: Any, visibility: Visibility
) -> None:
    """Observed, delta and static are concatenated, and every visibility keeps its promise."""
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 1, 3)
    examples = [
        Example(
            torch.randn(length, 2, generator=generator, dtype=torch.float64),
            torch.zeros(length) if visibility is not Visibility.SEQUENCE else torch.zeros(()),
            observed=torch.rand(length, 2, generator=generator) > 0.5,
            delta=torch.rand(length, 2, generator=generator, dtype=torch.float64),
            static=torch.randn(3, generator=generator, dtype=torch.float64),
        )
        for length in lengths
    ]
    inputs = collate(examples, visibility is not Visibility.SEQUENCE).inputs
    spec = InputSpec(2, static_size=3, missing=True)
    predictor = make_predictor(model, {"hidden_size": 4}, spec, OutputSpec(2), visibility)
    assert predictor.model.input_size == 2 + 2 + 2 + 3
    check_visibility(predictor, inputs)
    expected = predictor(inputs)
    for name in ("observed", "delta", "static"):
        assert inputs.__dict__[name] is not None
        changed = {**inputs.__dict__, name: inputs.__dict__[name] * 0}
        assert not torch.equal(expected, predictor(SequenceInput(**changed)))


def test_a_model_that_consumes_missingness_is_given_it() -> None:
    """Static features are columns that are always observed, now; observed and delta are its own."""

    class Consumer(LSTM):
        consumes_missingness = True

        def encode(self, inputs: SequenceInput) -> Encoding:
            self.seen = inputs
            return super().encode(inputs)

    inputs = SequenceInput(
        torch.tensor([[[3.0], [5.0]]]),
        torch.tensor([2]),
        torch.tensor([[[True], [False]]]),
        torch.tensor([[[0.0], [7.0]]]),
        torch.tensor([[9.0]]),
    )
    spec = InputSpec(1, static_size=1, missing=True, mean=torch.ones(1), std=2 * torch.ones(1))
    predictor = Predictor(Consumer, {}, spec, OutputSpec(1), Visibility.ONLINE)
    predictor(inputs)
    seen = predictor.model.seen
    assert [[[1.0, 9.0], [2.0, 9.0]]] == seen.values.tolist()
    assert [[[True, True], [False, True]]] == seen.observed.tolist()
    assert [[[0.0, 0.0], [7.0, 0.0]]] == seen.delta.tolist()
    assert seen.static is None


def test_context_labels() -> None:
    labels = {
        (model.__name__, visibility): make_predictor(
            model, {"hidden_size": 2}, InputSpec(2), OutputSpec(2), visibility
        ).context
        for model in (LSTM, BiLSTM)
        for visibility in Visibility
    }
    assert labels == {
        ("LSTM", Visibility.SEQUENCE): "all",
        ("LSTM", Visibility.STEP): "all",
        ("LSTM", Visibility.ONLINE): "past",
        ("LSTM", Visibility.NEXT): "past",
        ("BiLSTM", Visibility.SEQUENCE): "all",
        ("BiLSTM", Visibility.STEP): "all",
        ("BiLSTM", Visibility.ONLINE): "past",
        ("BiLSTM", Visibility.NEXT): "past+future",
    }


@pytest.mark.parametrize("visibility", list(Visibility))
def test_outputs_have_the_tasks_scale_and_keep_it_with_the_weights(visibility: Visibility) -> None:
    """A head learns numbers near 1, and a stored model keeps the unit it was trained in."""
    bias, scale = torch.tensor([3.0, -80.0]), torch.tensor([0.5, 1000.0])
    parts = (LSTM, {"hidden_size": 4}, InputSpec(2))
    plain = make_predictor(*parts, OutputSpec(2, bias / scale), visibility)
    scaled = make_predictor(*parts, OutputSpec(2, bias, scale), visibility)
    fresh = Predictor(*parts, OutputSpec(2, bias, scale), visibility)
    torch.testing.assert_close(fresh.head.bias * fresh.output_scale, bias)
    values = torch.randn(3, 5, 2, dtype=torch.float64)
    inputs = SequenceInput(values, torch.tensor([5, 5, 5]))
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            weight.copy_(scaled.get_parameter(name))
    torch.testing.assert_close(scaled(inputs), plain(inputs) * scale.double())
    assert "output_scale" not in plain.state_dict()
    other = make_predictor(*parts, OutputSpec(2, bias, torch.ones(2)), visibility)
    other.load_state_dict(scaled.state_dict())
    assert torch.equal(other(inputs), scaled(inputs))
