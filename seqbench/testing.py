"""The conformance suite: what every task and every model must keep, built-in or not.

In a plugin's own tests::

    from seqbench.testing import check_alignment, check_model, check_task

    def test_my_model():
        check_model(MyModel)

Each check raises ``AssertionError`` with the promise that was broken.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.api import (
    Alignment,
    Batch,
    Context,
    Example,
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Splits,
    Task,
    collate,
)
from seqbench.nn import zero_padding
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.scoring import score_baselines

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
    fresh = copy.deepcopy(task)
    task.prepare()
    fresh.prepare()
    folds = task.folds()
    _require(len(folds) > 0, "folds() is empty")
    _require(len(set(folds)) == len(folds), "folds() names a fold twice")
    for fold in folds:
        splits = task.splits(fold)
        _check_fold(task, splits, fresh.splits(fold))
    _require(task.fingerprint() == fresh.fingerprint(), "fingerprint() changes")
    _check_baselines(task, splits)


def _check_fold(task: Task, splits: Splits, again: Splits) -> None:
    step_targets = task.alignment is not Alignment.SEQUENCE
    owner: dict[str, str] = {}
    for name in ("train", "valid", "test"):
        examples = getattr(splits, name)
        _require(len(examples) > 0, f"the {name} split is empty")
        for example in examples:
            _check_example(example, name, step_targets)
            taken = owner.setdefault(example.unit, name) if example.unit else name
            _require(taken == name, f"a unit of the {name} split is in {taken} too")
        _require(
            _equal(examples, getattr(again, name)),
            f"splits() of another task with the same parameters gives another {name} split",
        )
    _check_input_spec(task.input_spec(splits.train), splits.train[0])
    _check_scores(task, splits.test[:64], task.output_spec(splits.train).size, step_targets)
    drawn = task.augment(splits.train[0], torch.Generator().manual_seed(0))
    drawn_again = task.augment(splits.train[0], torch.Generator().manual_seed(0))
    _check_example(drawn, "augmented train", step_targets)
    _require(_equal([drawn], [drawn_again]), "augment ignores its generator")
    _require(_equal(splits.train[:1], again.train[:1]), "augment changes the data")


def _check_baselines(task: Task, splits: Splits) -> None:
    found = score_baselines(task, [task.baselines(splits)], [splits.test])
    for name, scores in found.items():
        primary = scores.compute().get(task.primary.name, math.nan)
        _require(math.isfinite(primary), f"baseline {name} has no finite {task.primary.name}")


def check_alignment(
    predictor: Predictor, inputs: SequenceInput, *, dependence: bool = True
) -> None:
    """Check that no prediction sees what its alignment hides, and that it sees what it may.

    Both in evaluation and, with dropout at 0, in training mode; a model that draws random numbers
    even so is checked in evaluation mode alone.

    Args:
        predictor: in float64, see :func:`make_predictor`.
        inputs: a ragged batch in float64, zero at padding; best a real one.
        dependence: whether predictions must also depend on the steps next to those hidden.
    """
    dropouts = [module for module in predictor.modules() if isinstance(module, nn.Dropout)]
    rates = [module.p for module in dropouts]
    try:
        for module in dropouts:
            module.p = 0.0
        for training in (False, True):
            predictor.train(training)
            with torch.no_grad():
                expected = predictor(inputs)
                if training and not torch.equal(expected, predictor(inputs)):
                    break
                _check_padding(predictor, inputs, expected)
                _check_hidden_steps(predictor, inputs, expected)
                if dependence:
                    _check_dependence(predictor, inputs, expected)
    finally:
        for module, rate in zip(dropouts, rates, strict=True):
            module.p = rate
        predictor.eval()


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


def small_batch(task: Task, examples: Sequence[Example], steps: int = 12) -> Batch:
    """Return four examples in float64, cut to ragged lengths of at most ``steps``."""
    step_targets = task.alignment is not Alignment.SEQUENCE
    return collate(small_examples(task, examples, steps), step_targets)


def small_examples(task: Task, examples: Sequence[Example], steps: int = 12) -> list[Example]:
    """Return what :func:`small_batch` puts together."""
    step_targets = task.alignment is not Alignment.SEQUENCE
    cut = []
    for index, example in enumerate(examples[:4]):
        stop = max(1, min(len(example.values), steps - 3 * index))
        doubled = _double(example)
        cut.append(
            replace(
                doubled,
                values=doubled.values[:stop],
                targets=example.targets[:stop] if step_targets else example.targets,
                target_mask=None if example.target_mask is None else example.target_mask[:stop],
                observed=None if example.observed is None else example.observed[:stop],
                delta=None if doubled.delta is None else doubled.delta[:stop],
            )
        )
    return cut


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


def _check_hidden_steps(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Change what is hidden from a step, or cut it off: its prediction must stay."""
    if predictor.context == "all":
        return
    steps = torch.arange(inputs.mask.shape[1])
    two_sided = predictor.context == "past+future"
    for t in range(len(steps)):
        if predictor.alignment is Alignment.NEXT:
            hidden = steps == t if two_sided else steps >= t
            changed = predictor(_with_noise(inputs, inputs.mask & hidden))
            mask = inputs.mask & (steps == t if two_sided else steps <= t)
            _require_unseen(t, (changed - expected)[mask])
        if not two_sided:
            cut = predictor(_truncated(inputs, t + 1))
            _require_unseen(t, (cut - expected[:, : t + 1])[inputs.mask[:, : t + 1]])


def _require_unseen(step: int, difference: Tensor) -> None:
    largest = float(difference.abs().amax())
    _require(
        largest <= TOLERANCE,
        f"a prediction of step <= {step} depends on what it must not see (by {largest:.1e})",
    )


def _check_dependence(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Change the steps that a prediction may see: it must change."""
    if predictor.alignment is not Alignment.NEXT:
        changed = predictor(_with_noise(inputs, _last_steps(inputs)))
        difference = changed - expected
        if predictor.alignment is not Alignment.SEQUENCE:
            difference = difference[_last_steps(inputs)]
        _require(
            bool(difference.abs().amax() > DEPENDENCE),
            "predictions do not depend on the last step they may see",
        )
        return
    steps = torch.arange(inputs.mask.shape[1])
    neighbours = (-1, 1) if predictor.context == "past+future" else (-1,)
    for t in range(len(steps)):
        for neighbour in (t + offset for offset in neighbours):
            if not 0 <= neighbour < len(steps):
                continue
            both = inputs.mask[:, t] & inputs.mask[:, neighbour]
            changed = predictor(_with_noise(inputs, inputs.mask & (steps == neighbour)))
            _require(
                not both.any() or bool((changed - expected)[both, t].abs().amax() > DEPENDENCE),
                f"the prediction of step {t} does not depend on step {neighbour}",
            )


def _check_input_spec(spec: InputSpec, example: Example) -> None:
    _require(spec.size == example.values.shape[1], "input_spec().size is not the values' width")
    static_size = 0 if example.static is None else len(example.static)
    _require(spec.static_size == static_size, "input_spec().static_size is not the static width")
    given = example.observed is not None and example.delta is not None
    _require(spec.missing == given, "input_spec().missing does not say what examples hold")
    for name, statistic in (("mean", spec.mean), ("std", spec.std)):
        _require(
            statistic is None or statistic.shape == (spec.size,), f"input_spec().{name} is not [F]"
        )


def _equal(ones: Sequence[Example], twos: Sequence[Example]) -> bool:
    return len(ones) == len(twos) and all(
        torch.equal(one.values, two.values) and torch.equal(one.targets, two.targets)
        for one, two in zip(ones, twos, strict=True)
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
    sequences = batch.target_mask.nonzero()[:, 0]
    whole.update(predictions, targets, sequences)
    middle = len(targets) // 2
    parts.update(predictions[:middle], targets[:middle], sequences[:middle])
    parts.update(predictions[middle:], targets[middle:], sequences[middle:])
    scores, scores_by_parts = whole.compute(), parts.compute()
    for metric in (task.monitor, task.primary):
        _require(metric.name in scores, f"metrics() lacks {metric.name}")
    for name, value in scores.items():
        _require(
            math.isclose(value, scores_by_parts[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            or (math.isnan(value) and math.isnan(scores_by_parts[name])),
            f"{name} depends on the batch size",
        )


def _with_noise(inputs: SequenceInput, where: Tensor) -> SequenceInput:
    """Return the batch with other values, and other times since, at some steps ``[B, T]``."""
    generator = torch.Generator().manual_seed(1)
    noise = 1 + torch.rand(inputs.values.shape, generator=generator, dtype=inputs.values.dtype)
    noise = noise * where[..., None]
    return replace(
        inputs,
        values=inputs.values + noise,
        delta=None if inputs.delta is None else inputs.delta + noise,
    )


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
