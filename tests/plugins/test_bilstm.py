"""Bidirectional LSTM."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seqbench.api import SequenceInput
from seqbench.plugins.bilstm import BiLSTM
from seqbench.testing import check_model


def test_keeps_the_contract_of_models(shape: dict[str, Any]) -> None:
    check_model(BiLSTM, **shape)


def test_equals_torch_one_sequence_at_a_time(ragged: SequenceInput) -> None:
    """A mixed two-layer stack is `torch.nn.LSTM(bidirectional=True)` run without any padding."""
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True).double()
    ours = BiLSTM(3, "all", hidden_size=4, num_layers=2).double()
    with torch.no_grad():
        for layer in range(2):
            for cells, suffix in ((ours.forward_cells, ""), (ours.backward_cells, "_reverse")):
                weights = dict(theirs.named_parameters())
                end = f"_l{layer}{suffix}"
                cells[layer].weight_ih.copy_(weights["weight_ih" + end])
                cells[layer].weight_hh.copy_(weights["weight_hh" + end])
                cells[layer].bias.copy_(weights["bias_ih" + end] + weights["bias_hh" + end])
    encoding = ours(ragged)
    for row, length in enumerate(ragged.lengths.tolist()):
        expected = theirs(ragged.values[row : row + 1, :length])[0][0]
        steps = torch.cat([encoding.forward_steps, encoding.backward_steps], dim=-1)
        torch.testing.assert_close(expected, steps[row, :length], rtol=0, atol=1e-12)


def test_hidden_size_counts_one_direction() -> None:
    model = BiLSTM(3, "all", hidden_size=4)
    assert (model.forward_size, model.backward_size, model.final_size) == (4, 4, 8)


def test_mixed_directions_are_refused_where_they_would_leak() -> None:
    with pytest.raises(ValueError, match="directions=mixed"):
        BiLSTM(3, "past", directions="mixed")
