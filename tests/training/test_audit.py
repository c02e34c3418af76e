"""The audit finds planted leaks of every kind; honest models pass, chaotic ones too."""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from seqbench.api import (
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Visibility,
)
from seqbench.training.audit import audit
from seqbench.training.predictor import Predictor

Change = Callable[[Model, SequenceInput], Tensor]
"""What a cheating model adds to its inputs ``[B, T, F]`` before it encodes them honestly."""


def _audited() -> ModuleType:
    """Load ``audited.py``, as test files import none of their neighbours."""
    path = Path(__file__).with_name("audited.py")
    spec = importlib.util.spec_from_file_location("audited", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audited = _audited()
Averages, TwoDirections, Chaotic = audited.Averages, audited.TwoDirections, audited.Chaotic
ahead, cheating, data, look = audited.ahead, audited.cheating, audited.data, audited.look
ONE_SIDED = [Visibility.NEXT, Visibility.ONLINE]
STEPWISE = [Visibility.NEXT, Visibility.ONLINE, Visibility.STEP]


def within_chunks(size: int) -> Change:
    """Each step but the last of a whole chunk gets the one after it."""

    def change(_: Model, inputs: SequenceInput) -> Tensor:
        values = inputs.values
        number = torch.arange(values.shape[1])
        whole = number < inputs.lengths[:, None] // size * size
        inside = (number % size != size - 1) & whole
        return ahead(values, 1) * inside[..., None]

    return change


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("longest", [1, 2, 9, 130])
def test_an_honest_model_passes(visibility: Visibility, missing: bool, longest: int) -> None:
    examples = data(longest=max(2, longest), missing=missing) if longest > 1 else data(3, 2)
    if longest == 1:
        examples = [
            replace(item, values=item.values[:1], targets=item.targets[:1]) for item in examples
        ]
    for batch_size in (1, 7, 64):
        assert "passed" == str(look(Averages, visibility, examples, batch_size))


def test_a_single_sequence_can_be_audited() -> None:
    assert "passed" == str(look(Averages, examples=data()[-1:]))
    assert "failed" == look(cheating(within_chunks(9)), examples=data()[-1:]).status


BY_DAY = (2, 3, 7, 16, 33, 64)


@pytest.mark.parametrize(
    "size",
    [pytest.param(n, marks=() if n in BY_DAY else pytest.mark.nightly) for n in range(2, 65)],
)
def test_a_leak_inside_chunks_of_any_size_is_found(size: int) -> None:
    """The step after the own one is seen, one step ahead at most."""
    found = look(cheating(within_chunks(size)), Visibility.ONLINE)
    assert "failed" == found.status
    assert "at least 1 step after its step" in found.reason


@pytest.mark.parametrize("reach", [1, 2, 7, 16, 31, 64, 100, 128])
def test_a_window_of_any_reach_is_found_and_measured(reach: int) -> None:
    found = look(cheating(lambda _, inputs: ahead(inputs.values, reach)), Visibility.ONLINE)
    assert "failed" == found.status
    measured = re.search(r"at least (\d+) steps? after its step", found.reason)
    assert measured is not None
    assert (reach if reach <= 64 else 1) <= int(measured[1]) <= reach  # few are longer


@pytest.mark.parametrize("visibility", ONE_SIDED)
@pytest.mark.parametrize("unit", [1, 2, 5, 13, 32, 64])
def test_the_length_is_hidden(visibility: Visibility, unit: int) -> None:
    """As what is left, as a count, as whether it is long."""

    def left(_: Model, inputs: SequenceInput) -> Tensor:
        steps = inputs.lengths[:, None] - torch.arange(inputs.mask.shape[1])
        return (steps.clamp(min=0) // unit)[..., None].float()

    def all_in_all(_: Model, inputs: SequenceInput) -> Tensor:
        return (inputs.lengths // unit)[:, None, None].float()

    for change in (left, all_in_all):
        assert "failed" == look(cheating(change), visibility).status


def mean_of_sequence(_: Model, inputs: SequenceInput) -> Tensor:
    return -inputs.values.sum(1, keepdim=True) / inputs.lengths[:, None, None]


def one_in_hundred(_: Model, inputs: SequenceInput) -> Tensor:
    late = torch.arange(inputs.mask.shape[1]) > 100
    return ahead(inputs.values, 1) * late[:, None]


def backwards(_: Model, inputs: SequenceInput) -> Tensor:
    return inputs.values.flip(1).cumsum(1).flip(1) / 10


def last_step(_: Model, inputs: SequenceInput) -> Tensor:
    index = (inputs.lengths - 1)[:, None, None].expand(-1, 1, inputs.values.shape[2])
    return inputs.values.gather(1, index)


LATER: dict[str, Change] = {
    "mean of the sequence": mean_of_sequence,
    "only late": one_in_hundred,
    "backwards": backwards,
    "last step": last_step,
    "tiny": lambda _, given: 1e-6 * ahead(given.values, 1),
    "sign": lambda _, given: ahead(given.values, 3).sign() / 100,
    "float32": lambda _, given: ahead(given.values, 1) * (given.values.dtype is torch.float32),
    "without gradients": lambda _, given: ahead(given.values, 1) * (not torch.is_grad_enabled()),
}


@pytest.mark.parametrize("visibility", ONE_SIDED)
@pytest.mark.parametrize("change", LATER)
def test_what_comes_later_is_hidden(visibility: Visibility, change: str) -> None:
    assert "failed" == look(cheating(LATER[change]), visibility).status


@pytest.mark.parametrize("part", ["observed", "delta"])
def test_what_is_known_of_later_steps_is_hidden_too(part: str) -> None:
    """A model that reads its values honestly may still look at when they were observed."""

    def change(_: Model, inputs: SequenceInput) -> Tensor:
        return ahead(getattr(inputs, part).float(), 1)

    model = cheating(change, consumes_missingness=True)
    for visibility in ONE_SIDED:
        assert "failed" == look(model, visibility, data(missing=True)).status


@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_model_of_two_directions_sees_all_but_the_step_that_it_predicts(
    visibility: Visibility,
) -> None:
    examples = data(12, 20)
    assert "passed" == str(look(TwoDirections, visibility, examples))
    mixed = cheating(lambda _, inputs: ahead(inputs.values, 1) / 5, TwoDirections)
    found = look(mixed, visibility, examples)
    if visibility is Visibility.NEXT:
        assert "it sees the step that it predicts" in found.reason
    else:  # all steps may be seen; online, each prefix is read on its own
        assert "passed" == found.status


def seldom(seen: Callable[[SequenceInput, Tensor], Tensor]) -> Change:
    """Let some steps see the next one: those of which ``seen(inputs, step numbers)`` is true."""

    def change(_: Model, inputs: SequenceInput) -> Tensor:
        where = seen(inputs, torch.arange(inputs.mask.shape[1]))
        return ahead(inputs.values, 1) * where.expand_as(inputs.mask)[..., None]

    return change


SELDOM = {
    "rare values": lambda given, _: given.values[..., 0] > 2.2,
    "a place in the batch": lambda given, _: (torch.arange(len(given.lengths)) == 12)[:, None],
    "a long sequence's last tenth": lambda given, step: step > 0.9 * given.lengths[:, None],
    "the shortest": lambda given, _: (given.lengths < 12)[:, None],
    "each 97th step": lambda _, step: step % 97 == 40,
}
"""About a step in a hundred sees the next one, or all of a sequence in forty."""


@pytest.mark.parametrize("visibility", ONE_SIDED)
@pytest.mark.parametrize("kind", SELDOM)
def test_what_happens_seldom_is_found_all_the_same(visibility: Visibility, kind: str) -> None:
    examples = data(200)
    assert "failed" == look(cheating(seldom(SELDOM[kind])), visibility, examples).status


@pytest.mark.parametrize("visibility", ONE_SIDED)
@pytest.mark.parametrize("firsts", [41, 5])
def test_what_was_kept_of_the_same_sequence_is_found(visibility: Visibility, firsts: int) -> None:
    """A mean of a whole sequence under a key of its first step answers for every other end.

    Also where several sequences begin alike, and get the mean of the first of them.
    """
    known: dict[bytes, Tensor] = {}

    def change(_: Model, inputs: SequenceInput) -> Tensor:
        kept = []
        for row, length in zip(inputs.values, inputs.lengths.tolist(), strict=True):
            key = row[0].numpy().tobytes()
            kept.append(known.setdefault(key, row[:length].mean(0)))
        return torch.stack(kept)[:, None]

    examples = data()
    for number, item in enumerate(examples):
        item.values[0] = examples[number % firsts].values[0]
    assert "failed" == look(cheating(change), visibility, examples).status


@pytest.mark.parametrize("visibility", ONE_SIDED)
def test_a_model_of_whole_numbers_passes_unless_it_leaks(visibility: Visibility) -> None:
    """What rounding does to numbers that are cut to integers is nothing, and excuses nothing."""
    examples = [replace(item, values=item.values.round()) for item in data()]

    def cut(reach: int) -> Change:
        return lambda _, given: 3 * ahead(given.values, reach).long() + given.values.long()

    def equal(_: Model, given: SequenceInput) -> Tensor:
        return (given.values == 1).float()

    for honest in (cut(0), equal):
        assert "passed" == str(look(cheating(honest), visibility, examples))
    assert "failed" == look(cheating(cut(1)), visibility, examples).status


OF_THE_BATCH: dict[str, Change] = {
    "the sequence before": lambda _, given: given.values.roll(1, 0),
    "mean": lambda _, given: -given.values.mean((0, 1)),
    "size": lambda _, given: (0 * given.values) + float(len(given.lengths) > 4),
    "the first sequence": lambda _, given: given.values[:1, :1] / 3,
    "padded length": lambda _, given: (0 * given.values) + given.values.shape[1] / 100,
    "place": lambda _, given: torch.arange(len(given.lengths))[:, None, None] / 5,
    "sorted, and not back": lambda _, given: given.values[given.lengths.argsort()] - given.values,
}


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("change", OF_THE_BATCH)
def test_the_batch_is_hidden(visibility: Visibility, change: str) -> None:
    assert "failed" == look(cheating(OF_THE_BATCH[change]), visibility).status


def test_static_features_of_a_neighbour_are_hidden() -> None:
    """They reach the model as columns of the values, and so do the neighbour's."""

    def change(_: Model, inputs: SequenceInput) -> Tensor:
        found = torch.zeros_like(inputs.values)
        found[..., -2:] = inputs.values[:, :1, -2:].roll(1, 0)
        return found

    for visibility in Visibility:
        assert "failed" == look(cheating(change), visibility, data(missing=True)).status


@pytest.mark.parametrize("visibility", list(Visibility))
def test_what_is_kept_from_call_to_call_is_found(visibility: Visibility) -> None:
    def before(model: Model, inputs: SequenceInput) -> Tensor:
        kept = getattr(model, "kept", torch.zeros(()))
        model.kept = inputs.values.mean()  # type: ignore[assignment]
        return kept.expand_as(inputs.values)

    def counted(model: Model, inputs: SequenceInput) -> Tensor:
        model.calls = getattr(model, "calls", 0) + 1  # type: ignore[assignment, operator]
        return torch.full_like(inputs.values, float(model.calls % 3))  # type: ignore[operator]

    for change in (before, counted):
        assert "failed" == look(cheating(change), visibility).status


@pytest.mark.parametrize("visibility", STEPWISE)
@pytest.mark.parametrize("mode", [torch.is_grad_enabled, torch.is_inference_mode_enabled])
def test_a_model_that_behaves_otherwise_where_gradients_are_recorded_is_found(
    visibility: Visibility, mode: Callable[[], bool]
) -> None:
    """What was trained is what is scored."""
    change = cheating(lambda _, inputs: torch.full_like(inputs.values, float(mode())))
    found = look(change, visibility)
    assert "failed" == found.status
    assert "grad" in found.reason


def test_what_was_scored_is_what_is_audited() -> None:
    """A model that cheats while its test split is scored, and never again, is found."""

    def change(model: Model, inputs: SequenceInput) -> Tensor:
        model.calls = getattr(model, "calls", 0) + 1  # type: ignore[assignment, operator]
        return torch.full_like(inputs.values, float(model.calls <= 2))  # type: ignore[operator]

    found = look(cheating(change))
    assert "failed" == found.status
    assert "scored" in found.reason


@pytest.mark.parametrize("draw", [torch.rand, None])
def test_random_predictions_cannot_be_audited(draw: Any) -> None:
    def change(_: Model, inputs: SequenceInput) -> Tensor:
        drawn = torch.rand(()) if draw else torch.tensor(random.random())
        return drawn.expand_as(inputs.values)

    torch.manual_seed(0)
    spec = InputSpec(3)
    predictor = Predictor(cheating(change), {}, spec, OutputSpec(2), Visibility.NEXT)
    found = audit(predictor, data(), 0, 32)
    assert "not possible" == found.status
    assert "random" in found.reason


def test_predictions_that_are_not_finite_cannot_be_audited() -> None:
    found = look(cheating(lambda _, inputs: inputs.values * torch.inf))
    assert "not possible: its predictions are not all finite" == str(found)


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("seed", range(3))
def test_a_chaotic_model_passes_unless_it_leaks(visibility: Visibility, seed: int) -> None:
    """Sums in another order change late predictions as much as a leak would: that is no leak."""
    assert "passed" == str(look(Chaotic, visibility, seed=seed))
    model = cheating(lambda _, inputs: ahead(inputs.values, 2), Chaotic)
    if visibility in ONE_SIDED:
        assert "failed" == look(model, visibility, seed=seed).status


def test_an_audit_leaves_the_predictor_and_the_random_state_as_they_were() -> None:
    torch.manual_seed(3)
    predictor = Predictor(Averages, {}, InputSpec(3), OutputSpec(2), Visibility.NEXT)
    before = torch.get_rng_state(), random.getstate()
    weights = {name: value.clone() for name, value in predictor.state_dict().items()}
    for training in (True, False):
        predictor.train(training)
        assert "passed" == str(audit(predictor, data(), 0, 32))
        assert training is predictor.training
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert all(torch.equal(weights[key], value) for key, value in predictor.state_dict().items())
