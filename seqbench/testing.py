"""The conformance suite: what every task and every model must keep, built-in or not.

In a plugin's own tests::

    from seqbench.testing import check_alignment, check_model, check_task

    def test_my_model():
        check_model(MyModel)

Each check raises ``AssertionError`` with the promise that was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seqbench.api import (
    Alignment,
    Batch,
    Context,
    Example,
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Task,
    collate,
)
from seqbench.nn import zero_padding
from seqbench.training.predictor import Predictor, batch_loss

TOLERANCE = 1e-9
"""Largest difference between float64 predictions that must be equal; what remains is rounding."""

DEPENDENCE = 1e-14
"""Smallest difference that shows that a prediction depends on an input at all."""

BatchLoss = Callable[[Batch], tuple[Tensor, int]]
"""Sum of a batch's losses and the number of predictions that count in it."""


def check_model(model_class: type[Model], **parameters: Any) -> None:
    """Check a model's contract on random ragged sequences, in every alignment.

    Args:
        model_class: the model.
        parameters: of the model, where its defaults will not do.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([7, 1, 4, 6])
    values = torch.randn(4, 7, 3, generator=generator, dtype=torch.float64)
    inputs = SequenceInput(values, lengths)
    inputs = inputs.with_values(zero_padding(values, inputs.mask))
    for context in ("past", "all"):
        _check_encoding(model_class, parameters, inputs, context)
    for alignment in Alignment:
        predictor = make_predictor(model_class, parameters, InputSpec(3), OutputSpec(2), alignment)
        check_alignment(predictor, inputs)
        loss = predictor(inputs)[inputs.mask if alignment is not Alignment.SEQUENCE else ...].sum()
        loss.backward()
        for name, weight in predictor.named_parameters():
            _require(
                weight.grad is None or bool(weight.grad.isfinite().all()),
                f"the gradient of {name} is not finite",
            )


def check_task(task: Task) -> None:
    """Check a task's contract on its own data; fetches them if need be.

    Args:
        task: constructed.
    """
    task.prepare()
    splits = task.splits()
    named = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    step_targets = task.alignment is not Alignment.SEQUENCE
    owner: dict[str, str] = {}
    for name, examples in named.items():
        _require(len(examples) > 0, f"the {name} split is empty")
        for example in examples:
            _check_example(example, name, step_targets)
            taken = owner.setdefault(example.unit, name) if example.unit else name
            _require(taken == name, f"unit {example.unit} is in {taken} and in {name}")
    again = task.splits()
    for name, examples in named.items():
        _require(
            all(
                torch.equal(one.values, two.values) and torch.equal(one.targets, two.targets)
                for one, two in zip(examples, getattr(again, name), strict=True)
            ),
            f"splits() gives another {name} split the second time",
        )
    _require(task.fingerprint() == task.fingerprint(), "fingerprint() changes")
    _check_scores(task, splits.test[:8], task.output_spec(splits.train).size, step_targets)
    for name, scores in task.baselines(splits).items():
        _require(task.primary.name in scores, f"baseline {name} lacks {task.primary.name}")
    drawn = task.augment(splits.train[0], torch.Generator().manual_seed(0))
    drawn_again = task.augment(splits.train[0], torch.Generator().manual_seed(0))
    _check_example(drawn, "augmented train", step_targets)
    _require(torch.equal(drawn.values, drawn_again.values), "augment ignores its generator")
    _require(torch.equal(splits.train[0].values, again.train[0].values), "augment changes the data")


def check_alignment(predictor: Predictor, inputs: SequenceInput) -> None:
    """Check that no prediction sees what its alignment hides, and that it sees what it may.

    Args:
        predictor: in float64, see :func:`make_predictor`.
        inputs: a ragged batch in float64, zero at padding; best a real one.
    """
    predictor.eval()
    with torch.no_grad():
        expected = predictor(inputs)
        _check_padding(predictor, inputs, expected)
        if predictor.alignment is Alignment.NEXT:
            _check_next(predictor, inputs, expected)
        elif predictor.alignment is Alignment.ONLINE:
            _check_online(predictor, inputs, expected)
        else:
            changed = predictor(_with_noise(inputs, _last_steps(inputs)))
            _require(
                bool((changed - expected).abs().amax() > DEPENDENCE),
                "predictions do not depend on the last step",
            )


def check_counting(
    task: Task, predictor: Predictor, examples: Sequence[Example], loss: BatchLoss | None = None
) -> None:
    """Check that padding is not counted: a batch's loss is the sum over its sequences alone.

    Args:
        task: of the examples.
        predictor: in float64.
        examples: of different lengths.
        loss: what to check; the harness's own if None.
    """
    predictor.eval()
    loss = loss or (lambda batch: batch_loss(task, predictor, batch))
    step_targets = task.alignment is not Alignment.SEQUENCE
    doubles = [_double(example) for example in examples]
    with torch.no_grad():
        together, count = loss(collate(doubles, step_targets))
        alone = [loss(collate([example], step_targets)) for example in doubles]
    _require(sum(one[1] for one in alone) == count, "padded steps are counted")
    difference = float((sum(one[0] for one in alone) - together).abs())
    _require(
        difference <= TOLERANCE * max(1.0, float(together.abs())),
        f"a batch's loss differs by {difference:.1e} from the sum over its sequences",
    )


def make_predictor(
    model_class: type[Model],
    parameters: dict[str, Any],
    input_spec: InputSpec,
    output_spec: OutputSpec,
    alignment: Alignment,
) -> Predictor:
    """Return a predictor in float64 and evaluation mode, whose every weight is random.

    Weights that start at zero (peepholes, biases) would hide what goes through them.
    """
    torch.manual_seed(0)
    predictor = Predictor(model_class, parameters, input_spec, output_spec, alignment)
    with torch.no_grad():
        for weight in predictor.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return predictor.double().eval()


def double_inputs(inputs: SequenceInput) -> SequenceInput:
    """Return a batch in float64."""
    return replace(
        inputs,
        values=inputs.values.double(),
        delta=None if inputs.delta is None else inputs.delta.double(),
        static=None if inputs.static is None else inputs.static.double(),
    )


def _check_encoding(
    model_class: type[Model], parameters: dict[str, Any], inputs: SequenceInput, context: Context
) -> None:
    torch.manual_seed(0)
    size = inputs.values.shape[-1]
    model = model_class(size, context, **parameters).double().eval()
    with torch.no_grad():
        encoding = model(inputs)
    batch, steps = inputs.mask.shape
    _require(
        encoding.forward_steps.shape == (batch, steps, model.forward_size),
        "forward_steps is not [B, T, forward_size]",
    )
    _require(
        (encoding.backward_steps is None) == (model.backward_size == 0),
        "backward_steps and backward_size disagree",
    )
    _require(encoding.final.shape == (batch, model.final_size), "final is not [B, final_size]")
    for part in (encoding.forward_steps, encoding.backward_steps):
        if part is not None:
            _require(bool((part[~inputs.mask] == 0).all()), "states at padded steps are not zero")


def _check_padding(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    noisy = predictor(_with_noise(inputs, ~inputs.mask))
    _require_equal(inputs, noisy, expected, "a prediction depends on padding")
    for row, length in enumerate(inputs.lengths.tolist()):
        alone = predictor(_rows(inputs, row, length))[0]
        together = expected[row] if expected.dim() == 2 else expected[row, :length]
        _require(
            bool((alone - together).abs().amax() <= TOLERANCE),
            "a prediction depends on the other sequences of its batch",
        )


def _check_next(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    two_sided = predictor.context == "past+future"
    steps = torch.arange(inputs.mask.shape[1])
    for t in range(len(steps)):
        hidden = steps == t if two_sided else steps >= t
        changed = predictor(_with_noise(inputs, inputs.mask & hidden))
        shown = steps == t if two_sided else steps <= t
        mask = inputs.mask & shown
        difference = (changed - expected)[mask].abs().amax()
        _require(
            bool(difference <= TOLERANCE),
            f"the prediction of step {t} depends on a step it must not see (by {difference:.1e})",
        )
        for neighbour in (t - 1, t + 1) if two_sided else (t - 1,):
            if 0 <= neighbour < len(steps):
                both = inputs.mask[:, t] & inputs.mask[:, neighbour]
                seen = predictor(_with_noise(inputs, inputs.mask & (steps == neighbour)))
                _require(
                    not both.any() or bool((seen - expected)[both, t].abs().amax() > DEPENDENCE),
                    f"the prediction of step {t} does not depend on step {neighbour}",
                )


def _check_online(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    for t in range(inputs.mask.shape[1]):
        known = predictor(_truncated(inputs, t + 1))
        mask = inputs.mask[:, : t + 1]
        difference = (known - expected[:, : t + 1])[mask].abs().amax()
        _require(
            bool(difference <= TOLERANCE),
            f"a prediction at step <= {t} depends on what comes later (by {difference:.1e})",
        )
    changed = predictor(_with_noise(inputs, _last_steps(inputs)))
    _require(
        bool((changed - expected)[_last_steps(inputs)].abs().amax() > DEPENDENCE),
        "a prediction does not depend on its own step",
    )


def _check_example(example: Example, split: str, step_targets: bool) -> None:
    length = len(example.values)
    _require(length > 0, f"a sequence of the {split} split has no steps")
    _require(bool(example.values.isfinite().all()), f"{split}: a value is not finite")
    _require(
        not step_targets or len(example.targets) == length,
        f"{split}: a sequence of {length} steps has {len(example.targets)} targets"
        if step_targets
        else "",
    )
    _require(
        example.target_mask is None or (step_targets and example.target_mask.shape == (length,)),
        f"{split}: a target mask is not [T]",
    )


def _check_scores(
    task: Task, examples: Sequence[Example], outputs: int, step_targets: bool
) -> None:
    batch = collate(list(examples), step_targets)
    targets = batch.targets[batch.target_mask]
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randn(len(targets), outputs, generator=generator)
    losses = task.loss(predictions, targets)
    _require(losses.shape == (len(targets),), "loss() does not return one number per prediction")
    whole, parts = task.metrics(), task.metrics()
    whole.update(predictions, targets)
    middle = len(targets) // 2
    parts.update(predictions[:middle], targets[:middle])
    parts.update(predictions[middle:], targets[middle:])
    scores, scores_by_parts = whole.compute(), parts.compute()
    for metric in (task.monitor, task.primary):
        _require(metric.name in scores, f"metrics() lacks {metric.name}")
    for name, value in scores.items():
        _require(
            abs(value - scores_by_parts[name]) <= TOLERANCE * max(1.0, abs(value)),
            f"{name} depends on the batch size",
        )


def _with_noise(inputs: SequenceInput, where: Tensor) -> SequenceInput:
    """Return the batch with other values at some steps ``[B, T]``."""
    generator = torch.Generator().manual_seed(1)
    noise = 1 + torch.rand(inputs.values.shape, generator=generator, dtype=inputs.values.dtype)
    return inputs.with_values(torch.where(where[..., None], inputs.values + noise, inputs.values))


def _last_steps(inputs: SequenceInput) -> Tensor:
    steps = torch.arange(inputs.mask.shape[1])
    return steps == inputs.lengths[:, None] - 1


def _rows(inputs: SequenceInput, row: int, length: int) -> SequenceInput:
    rows = slice(row, row + 1)
    return _truncated(
        SequenceInput(
            inputs.values[rows],
            inputs.lengths[rows],
            None if inputs.observed is None else inputs.observed[rows],
            None if inputs.delta is None else inputs.delta[rows],
            None if inputs.static is None else inputs.static[rows],
        ),
        length,
    )


def _truncated(inputs: SequenceInput, length: int) -> SequenceInput:
    return replace(
        inputs,
        values=inputs.values[:, :length],
        lengths=inputs.lengths.clamp(max=length),
        observed=None if inputs.observed is None else inputs.observed[:, :length],
        delta=None if inputs.delta is None else inputs.delta[:, :length],
    )


def _double(example: Example) -> Example:
    return replace(
        example,
        values=example.values.double(),
        delta=None if example.delta is None else example.delta.double(),
        static=None if example.static is None else example.static.double(),
    )


def _require_equal(
    inputs: SequenceInput, predictions: Tensor, expected: Tensor, message: str
) -> None:
    difference = (predictions - expected).abs()
    if expected.dim() == 3:
        difference = difference[inputs.mask]
    _require(bool(difference.amax() <= TOLERANCE), message)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
