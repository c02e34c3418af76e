"""The conformance suite catches the bugs it is there for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqbench.api import (
    Batch,
    Encoding,
    Example,
    InputSpec,
    MeanLoss,
    Metric,
    Model,
    OutputSpec,
    Predictions,
    SequenceInput,
    Splits,
    Task,
    Visibility,
)
from seqbench.nn import last_step, zero_padding
from seqbench.plugins.bilstm import BiLSTM
from seqbench.plugins.lstm import LSTM
from seqbench.testing import (
    check_counting,
    check_model,
    check_task,
    check_visibility,
    make_predictor,
)
from seqbench.training.predictor import Predictor, batch_loss


class MixedStack(Model):
    """Two-layer `nn.LSTM(bidirectional)` given as two separate directions: the classic leak."""

    def __init__(self, input_size: int, context: str, *, num_layers: int = 2) -> None:
        super().__init__(input_size, context)
        self.lstm = nn.LSTM(
            input_size, 4, num_layers=num_layers, bidirectional=True, batch_first=True
        )
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


class KnowsTheLength(LSTM):
    """A causal model that is told how far the end is: the next step's existence, and more."""

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        steps = torch.arange(inputs.mask.shape[1])
        left = (inputs.lengths[:, None] - steps)[..., None] / 10
        return encoding._replace(
            forward_steps=zero_padding(encoding.forward_steps + left, inputs.mask)
        )


class BatchNormed(LSTM):
    """A model whose training mixes steps, sequences and padding through batch statistics."""

    def __init__(self, input_size: int, context: str, *, hidden_size: int = 4) -> None:
        super().__init__(input_size, context, hidden_size=hidden_size)
        self.norm = nn.BatchNorm1d(hidden_size)

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        normed = self.norm(encoding.forward_steps.transpose(1, 2)).transpose(1, 2)
        return encoding._replace(forward_steps=zero_padding(normed, inputs.mask))


class Unmasked(LSTM):
    """A model whose summary is taken at the padded end."""

    def encode(self, inputs: SequenceInput) -> Encoding:
        encoding = super().encode(inputs)
        return encoding._replace(final=encoding.forward_steps.mean(dim=1))


class ShiftedBy(Predictor):
    """A predictor whose visibility is off by one, one way or the other."""

    steps = 0

    def forward(self, inputs: SequenceInput) -> Tensor:
        forward = self.model(self.scaled(inputs)).forward_steps
        shifted = torch.zeros_like(forward)
        if self.steps:
            shifted[:, self.steps :] = forward[:, : -self.steps]
        else:
            shifted = forward
        return self.head(shifted)


class Ones(Task):
    """A task of counting ones, small enough to break on purpose."""

    version = "1"
    visibility = Visibility.NEXT
    monitor = primary = Metric("loss", "min")
    citation = licence = "Made up."
    sizes = {"train": "6 sequences"}
    metric_help = {"loss": "mean squared difference"}

    def prepare(self) -> None:
        pass

    def splits(self, fold: int = 0) -> Splits:
        generator = torch.Generator().manual_seed(0)
        parts = []
        for name in ("train", "valid", "test"):
            examples = []
            for index in range(6):
                values = torch.rand(3 + index, 2, generator=generator)
                examples.append(Example(values, values, group=f"{name}{index}"))
            parts.append(examples)
        return Splits(*parts)

    def fingerprint(self) -> str:
        return "ones"

    def input_spec(self, train: list[Example]) -> InputSpec:
        return InputSpec(2)

    def output_spec(self, train: list[Example]) -> OutputSpec:
        return OutputSpec(2)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets).square().sum(-1)

    def metrics(self) -> MeanLoss:
        return MeanLoss(self, "loss")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {"zero": [torch.zeros_like(example.values) for example in splits.test]}


class CachedOnes(Ones):
    """The same task, which hands out the same objects every time."""

    def splits(self, fold: int = 0) -> Splits:
        if "_kept" not in self.__dict__:
            self._kept = super().splits(fold)
        return self._kept


def predictor_of(model_class: type[Model], kind: type[Predictor] = Predictor) -> Predictor:
    torch.manual_seed(0)
    return kind(model_class, {}, InputSpec(3), OutputSpec(2), Visibility.NEXT).double().eval()


def test_mixed_stack_of_two_layers_is_caught(ragged: SequenceInput) -> None:
    with pytest.raises(AssertionError, match="must not see"):
        check_visibility(predictor_of(MixedStack), ragged)


def test_separate_stacks_are_not_accused(ragged: SequenceInput) -> None:
    """One layer of the same `nn.LSTM` is separate, and so are BiLSTM's three layers."""
    one_layer = make_predictor(
        MixedStack, {"num_layers": 1}, InputSpec(3), OutputSpec(2), Visibility.NEXT
    )
    check_visibility(one_layer, ragged)
    three = make_predictor(BiLSTM, {"num_layers": 3}, InputSpec(3), OutputSpec(2), Visibility.NEXT)
    check_visibility(three, ragged)


@pytest.mark.parametrize(("steps", "message"), [(0, "must not see"), (2, "does not depend")])
def test_off_by_one_shift_is_caught(steps: int, message: str, ragged: SequenceInput) -> None:
    kind = type("Shifted", (ShiftedBy,), {"steps": steps})
    with pytest.raises(AssertionError, match=message):
        check_visibility(predictor_of(LSTM, kind), ragged)


def test_right_shift_is_not_accused(ragged: SequenceInput) -> None:
    check_visibility(predictor_of(LSTM, type("Shifted", (ShiftedBy,), {"steps": 1})), ragged)


def test_counted_padding_is_caught() -> None:
    """A loss averaged over padded steps too is told from the harness's."""
    task = Ones()
    predictor = make_predictor(LSTM, {}, InputSpec(2), OutputSpec(2), Visibility.NEXT)

    def padded(batch: Batch) -> tuple[Tensor, int]:
        everything = torch.ones_like(batch.target_mask)
        return batch_loss(task, predictor, Batch(batch.inputs, batch.targets, everything))

    check_counting(task, predictor, task.splits().test)
    with pytest.raises(AssertionError, match="padded steps are counted"):
        check_counting(task, predictor, task.splits().test, padded)


def test_summary_over_padding_is_caught() -> None:
    with pytest.raises(AssertionError, match="depends on"):
        check_model(Unmasked, hidden_size=4)


def test_length_leak_is_caught(ragged: SequenceInput) -> None:
    """Cutting a sequence after t must leave the predictions up to t."""
    with pytest.raises(AssertionError, match="must not see"):
        check_visibility(predictor_of(KnowsTheLength), ragged)


def test_leak_in_training_mode_alone_is_caught(ragged: SequenceInput) -> None:
    with pytest.raises(AssertionError, match="depends on"):
        check_visibility(predictor_of(BatchNormed), ragged)


def test_dropout_is_not_taken_for_a_leak() -> None:
    check_model(LSTM, hidden_size=4, dropout=0.5)


def test_honest_task_passes() -> None:
    check_task(Ones())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("splits", lambda self, fold: Splits(*[Ones().splits().train] * 3), "group"),
        ("loss", lambda self, p, t: (p - t).square().mean(), "one number per prediction"),
        ("baselines", lambda self, splits: {"zero": [e.values / 0 for e in splits.test]}, "finite"),
        ("folds", lambda self: (), "empty"),
        ("folds", lambda self: (1, 1), "twice"),
        ("input_spec", lambda self, train: InputSpec(7), "input_spec"),
        ("fingerprint", lambda self: str(id(self)), "fingerprint"),
        ("augment", lambda self, e, g: Example(torch.rand_like(e.values), e.targets), "generator"),
        ("augment", lambda self, e, g: Example(e.values.mul_(0.5), e.targets), "changes the data"),
        (
            "splits",
            lambda self, fold: Splits([], Ones().splits().valid, Ones().splits().test),
            "empty",
        ),
    ],
)
def test_broken_tasks_are_caught(name: str, value: object, message: str) -> None:
    broken = type("Broken", (CachedOnes,), {name: value})
    with pytest.raises(AssertionError, match=message):
        check_task(broken())


def test_metric_averaged_over_batches_is_caught() -> None:
    """The mean of batch means depends on the batch size."""

    class BatchMeans(MeanLoss):
        def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
            self._total += float((predictions - targets).square().sum(-1).mean())
            self._count += 1

    broken = type("Broken", (Ones,), {"metrics": lambda self: BatchMeans(self, "loss")})
    with pytest.raises(AssertionError, match="depends on the batch size"):
        check_task(broken())


def test_states_at_padded_steps_must_be_zero(ragged: SequenceInput) -> None:
    class Loose(LSTM):
        def encode(self, inputs: SequenceInput) -> Encoding:
            encoding = super().encode(inputs)
            return encoding._replace(forward_steps=encoding.forward_steps + 1)

    assert bool((zero_padding(ragged.values, ragged.mask) == ragged.values).all())
    with pytest.raises(AssertionError, match="not zero"):
        check_model(Loose, hidden_size=4)
