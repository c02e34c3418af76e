"""LSTM with additive attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqbench.api import SequenceInput
from seqbench.nn import AdditiveAttention, attention
from seqbench.plugins.attention_lstm import AttentionLSTM
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(shape: dict[str, Any]) -> None:
    check_model(AttentionLSTM, attention_size=3, **shape)


def test_keeps_the_contract_with_a_window() -> None:
    check_model(AttentionLSTM, hidden_size=4, attention_size=3, window=2, bidirectional=True)


def test_equals_the_equations_step_by_step() -> None:
    """Causal attention, computed query by query from Bahdanau's equations."""
    torch.manual_seed(0)
    module = AdditiveAttention(4, 3, causal=True).double()
    states = torch.randn(1, 6, 4, dtype=torch.float64)
    contexts = module(states, torch.ones(1, 6, dtype=torch.bool))
    for t in range(6):
        scores = torch.stack(
            [
                module.score.weight[0]
                @ torch.tanh(
                    module.query.weight @ states[0, t]
                    + module.query.bias
                    + module.key.weight @ states[0, j]
                )
                for j in range(t + 1)
            ]
        )
        expected = torch.softmax(scores, dim=0) @ states[0, : t + 1]
        torch.testing.assert_close(expected, contexts[0, t], rtol=0, atol=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, ragged: SequenceInput) -> None:
    """Queries taken in chunks give the same outputs and gradients."""
    torch.manual_seed(0)
    model = AttentionLSTM(3, "all", hidden_size=4).double()
    results = []
    for limit in (1 << 23, 7 * 11 * 64 * 2):
        monkeypatch.setattr(attention, "CHUNK_ELEMENTS", limit)
        model.zero_grad()
        steps = model(ragged).forward_steps
        steps.square().sum().backward()
        results.append((steps, model.forward_attention.query.weight.grad))
    (whole, whole_gradient), (chunks, chunks_gradient) = results
    torch.testing.assert_close(whole, chunks, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole_gradient, chunks_gradient, rtol=0, atol=1e-12)


def test_window_hides_what_is_further_away(ragged: SequenceInput) -> None:
    """With window 1 a step attends to itself alone: its context is its own state."""
    model = AttentionLSTM(3, "all", hidden_size=4, window=1).double()
    states, contexts = model(ragged).forward_steps.chunk(2, dim=-1)
    torch.testing.assert_close(states, contexts, rtol=0, atol=1e-12)


@pytest.mark.parametrize("parameters", [{"attention_size": 0}, {"window": 0}])
def test_impossible_values_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        AttentionLSTM(3, "past", **parameters)
