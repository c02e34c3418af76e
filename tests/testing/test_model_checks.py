"""The suite's own proof: each check catches the bug that it is for, and accuses nobody else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqbench.api import (
    Encoding,
    Model,
    RecurrentModel,
    SequenceInput,
)
from seqbench.nn import Cell, last_step, zero_padding
from seqbench.plugins.lstm import LSTM
from seqbench.registry.plugins import add_plugin_file, registry
from seqbench.registry.registration import Registration
from seqbench.testing import (
    MODEL_CHECKS,
    TASK_CHECKS,
    CheckResult,
    ModelSubject,
    run_checks,
)


class Changed(LSTM):
    """An LSTM whose forward states are changed."""

    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return states

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        return encoding._replace(forward_steps=self.change(encoding.forward_steps, inputs))


class NotZeroAtPadding(Changed):
    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return states + 1


class DeadWeight(LSTM):
    def __init__(self, input_size: int, context: Any, *, hidden_size: int = 4) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        self.forgotten = nn.Parameter(torch.zeros(3))


class NotANumber(Changed):
    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return states / 0 * 0


class AveragesPadding(LSTM):
    """Its summary is a mean over all steps, padded ones included."""

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        return encoding._replace(final=encoding.forward_steps.mean(dim=1))


class NormalisesOverTheBatch(Changed):
    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return zero_padding(states - states.mean(dim=0), inputs.mask)


class MixedStack(Model):
    """Two layers of `nn.LSTM(bidirectional)` given as two separate directions."""

    citation = "The classic leak."

    def __init__(self, input_size: int, context: Any, *, num_layers: int = 1) -> None:
        super().__init__(input_size, context)
        self.lstm = nn.LSTM(input_size, 4, num_layers, bidirectional=True, batch_first=True)
        self.forward_size = self.backward_size = 4
        self.final_size = 8

    def encode(self, inputs: SequenceInput) -> Encoding:
        packed = nn.utils.rnn.pack_padded_sequence(
            inputs.values, inputs.lengths, batch_first=True, enforce_sorted=False
        )
        steps, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        forward, backward = steps.chunk(2, dim=-1)
        final = torch.cat([last_step(forward, inputs.lengths), backward[:, 0]], dim=-1)
        return Encoding(forward, backward, final)


class ReadsTooLate(Changed):
    """A state that has not seen its own step yet: an off-by-one that costs, and never leaks."""

    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return zero_padding(torch.cat([0 * states[:, :1], states[:, :-1]], dim=1), inputs.mask)


class DrawsElsewhere(LSTM):
    def __init__(self, input_size: int, context: Any, *, hidden_size: int = 4) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        start = np.random.normal(size=hidden_size)
        self.shift = nn.Parameter(torch.from_numpy(start).float())

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        shifted = zero_padding(encoding.forward_steps + self.shift, inputs.mask)
        return encoding._replace(forward_steps=shifted, final=encoding.final + self.shift)


class RandomInEvaluation(Changed):
    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return zero_padding(states + torch.randn(states.shape[-1]), inputs.mask)


class KeepsAWeightInAList(Changed):
    def __init__(self, input_size: int, context: Any, *, hidden_size: int = 4) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        self.shifts = [torch.randn(hidden_size)]

    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return zero_padding(states + self.shifts[0].to(states.dtype), inputs.mask)


class StepsOtherwise(Cell):
    gates = ("u",)

    def equations(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"h": torch.tanh(a.u)}

    def step(self, values: Tensor, state: Any) -> Any:
        (h,) = super().step(values, state)
        return (0.5 * h,)


class StreamsOtherwise(RecurrentModel):
    citation = "None."
    cell = StepsOtherwise


class OnlySingle(Changed):
    def change(self, states: Tensor, inputs: SequenceInput) -> Tensor:
        return states.float()


class FrozenCell(Cell):
    """Its equations draw a number: the loop draws one for each step, what is compiled has one."""

    gates = ("u",)

    def equations(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"h": torch.tanh(a.u) * random.uniform(0.5, 1.0)}


class Impure(RecurrentModel):
    citation = "None."
    cell = FrozenCell


class TakesEverything(LSTM):
    def __init__(self, input_size: int, context: Any, *, num_layers: int = 1) -> None:
        super().__init__(input_size, context, hidden_size=4, num_layers=max(1, num_layers))


class Unpublished(LSTM):
    citation = ""


PLANTED_MODELS: dict[str, list[type[Model]]] = {
    "shapes": [NotZeroAtPadding],
    "gradients": [DeadWeight, NotANumber],
    "padding": [AveragesPadding],
    "batches": [NormalisesOverTheBatch],
    "past and future": [MixedStack],
    "reading": [ReadsTooLate],
    "determinism": [DrawsElsewhere, RandomInEvaluation],
    "state dict": [KeepsAWeightInAList],
    "streaming": [StreamsOtherwise],
    "dtype": [OnlySingle],
    "back ends": [Impure],
    "impossible values": [TakesEverything],
    "documentation": [Unpublished],
}
"""The bugs that are planted for each check; that of `configuration` needs a file, see below."""


def outcome(name: str, checks: Any, subject: Any) -> CheckResult:
    (check,) = (check for check in checks if check.name == name)
    (found,) = run_checks([check], subject)
    return found


@pytest.mark.parametrize(
    ("check", "model"),
    [(name, model) for name, models in PLANTED_MODELS.items() for model in models],
)
def test_a_planted_bug_of_a_model_is_caught(check: str, model: type[Model]) -> None:
    """By its own check, which says what was seen, what was expected, and where to read."""
    found = outcome(check, MODEL_CHECKS, ModelSubject(model))
    assert "broken" == found.status
    assert found.seen
    assert found.expected
    assert f"docs/conformance.md#{check.replace(' ', '-')}" == found.read


def test_an_honest_model_passes_every_check() -> None:
    subject = ModelSubject(LSTM, {}, registry().get("model", "lstm"))
    assert {"kept"} == {found.status for found in run_checks(MODEL_CHECKS, subject)}


Register = Callable[[str], Registration]


@pytest.fixture
def register(tmp_path: Path) -> Register:
    """Write a model of a file, and register it."""
    numbers = iter(range(100))

    def write(constructor: str) -> Registration:
        name = f"planted_{next(numbers)}"
        file = tmp_path / f"{name}.py"
        class_name = name.replace("_", "").capitalize()
        file.write_text(
            "from seqbench.plugins.lstm import LSTM\n\n\n"
            f"class {class_name}(LSTM):\n"
            '    """An LSTM.\n\n    Args:\n        size: units.\n    """\n\n'
            f"    def __init__(self, input_size, context, *, {constructor}) -> None:\n"
            "        super().__init__(input_size, context, hidden_size=size)\n"
        )
        add_plugin_file(str(file))
        return registry().get("model", name)

    return write


@pytest.mark.parametrize(
    ("constructor", "yaml", "seen"),
    [
        ("size: int", "", "parameter size has no default"),
        ("size=4", "", "parameter size has no type"),
        ("size: int = 4", "size: wide\n", "model.size"),
        ("size: int = 4", "width: 4\n", "model.width"),
        ("size: int = 4", "[]\n", "holds no mapping"),
    ],
)
def test_a_configuration_that_does_not_fit(
    register: Register, constructor: str, yaml: str, seen: str
) -> None:
    item = register(constructor)
    if yaml:
        Path(item.origin).with_suffix(".yaml").write_text(yaml)
    found = outcome("configuration", MODEL_CHECKS, ModelSubject(LSTM, {}, item))
    assert "broken" == found.status
    assert seen in found.seen


def test_a_parameter_that_nobody_explains(register: Register) -> None:
    item = register("size: int = 4, other: int = 3")
    found = outcome("documentation", MODEL_CHECKS, ModelSubject(LSTM, {}, item))
    assert "nothing says what other means" == found.seen


def test_every_check_has_its_bug() -> None:
    """That list is the proof; a check without a bug would prove nothing."""
    assert {check.name for check in MODEL_CHECKS} == {*PLANTED_MODELS, "configuration"}


def test_every_check_is_explained() -> None:
    """Under a heading of its name."""
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    for check in (*MODEL_CHECKS, *TASK_CHECKS):
        assert f"\n### {check.name}\n" in page
