"""What a trained model costs: operations counted by hand, states, latencies, memory."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from seqbench.api import InputSpec, Model, OutputSpec, Visibility
from seqbench.config.composition import compose, settings
from seqbench.nn import Cell
from seqbench.nn.counts import step_cost
from seqbench.plugins.attention_lstm import AttentionLSTM
from seqbench.plugins.bilstm import BiLSTM
from seqbench.plugins.gru import GRU
from seqbench.plugins.grud import GRUD
from seqbench.plugins.lstm import LSTM
from seqbench.testing import make_predictor
from seqbench.training.costs import flops_per_step, measure_costs
from seqbench.trials.trial import load, new_record

F, H, K = 5, 7, 3


def counted(model: type[Model], **parameters: Any) -> float:
    parameters = {"hidden_size": H, "backend": "auto", **parameters}
    return flops_per_step(model, parameters, InputSpec(F), OutputSpec(K), Visibility.STEP)


def elementwise(model: type[Model], **parameters: Any) -> int:
    predictor = make_predictor(
        model, {"hidden_size": H, **parameters}, InputSpec(F), OutputSpec(K), Visibility.STEP
    )
    cells = [module for module in predictor.modules() if isinstance(module, Cell)]
    return sum(step_cost(cell).elementwise for cell in cells)


@pytest.mark.parametrize(("model", "gates"), [(LSTM, 4), (GRU, 3)])
def test_operations_are_those_of_the_equations(model: type[Model], gates: int) -> None:
    """Two for each weight of gates and head, and the elementwise ones of the cell."""
    products = 2 * gates * H * (F + H) + 2 * H * K
    own = elementwise(model)
    assert own > 0
    assert products + own == counted(model)


def test_a_compiled_loop_is_counted_too() -> None:
    assert counted(LSTM, backend="reference") == counted(LSTM, backend="cpu")


def test_two_directions_and_layers_count_all_cells() -> None:
    """The second layer reads both directions of the first."""
    products = 2 * 2 * 4 * H * (F + H) + 2 * 2 * 4 * H * (2 * H + H) + 2 * 2 * H * K
    assert products + elementwise(BiLSTM, num_layers=2) == counted(BiLSTM, num_layers=2)


@pytest.mark.parametrize(
    ("model", "parameters", "numbers"),
    [
        (LSTM, {}, 2 * H),
        (LSTM, {"num_layers": 3}, 6 * H),
        (GRU, {}, H),
        (BiLSTM, {}, 4 * H),
        (GRUD, {}, H),
        (AttentionLSTM, {}, 2 * H + 10 * H),
        (AttentionLSTM, {"window": 4}, 2 * H + 4 * H),
    ],
)
def test_states(model: type[Model], parameters: dict[str, Any], numbers: int) -> None:
    """C and h of an LSTM, h of a GRU; attention keeps the states that it reads."""
    built = model(F, "all", hidden_size=H, **parameters)  # type: ignore[call-arg]
    assert numbers == built.state_numbers(10)


@pytest.mark.parametrize(("model", "streams"), [("lstm", True), ("bilstm", False)])
def test_costs_of_a_trial(model: str, streams: bool) -> None:
    """A model that can go on from its state pays for one step; another encodes all of it again."""
    words = ["task=music", f"model={model}", "experiment=smoke"]
    trial = load(settings(compose(words)))
    (data,) = trial.data()
    predictor = trial.predictor(data)
    data.unseal()
    parameters = trial.settings.model_parameters
    found = measure_costs(trial.task, trial.model_class, parameters, predictor, data, trial.device)
    assert {
        "flops_per_step", "state_bytes", "step_seconds", "sequence_seconds", "sequence_steps",
        "peak_bytes",
    } == set(found)  # fmt: skip
    assert all(value > 0 and math.isfinite(value) for value in found.values())
    assert 4 * (2 if streams else 4) * predictor.model.forward_size == found["state_bytes"]
    assert streams == (found["step_seconds"] != found["sequence_seconds"])
    lengths = sorted(len(example.values) for example in data.splits.test)
    assert lengths[len(lengths) // 2] == found["sequence_steps"]
    assert predictor.training


def test_frozen_numbers_and_buffers_are_counted_apart() -> None:
    """What is not trained is no parameter of the record; the harness's own buffers are not."""
    trial = load(settings(compose(["task=music", "model=lstm", "experiment=smoke"])))
    predictor = trial.predictor(trial.data()[0])
    plain = new_record(trial, predictor)
    assert (0, 0) == (plain.frozen, plain.buffers)
    predictor.head.weight.requires_grad_(False)
    predictor.model.register_buffer("kept", torch.zeros(3, 5))
    found = new_record(trial, predictor)
    assert (predictor.head.weight.numel(), 15) == (found.frozen, found.buffers)
    assert plain.parameters == found.parameters + found.frozen
