"""Which inputs a prediction depends on: change inputs, and see whether predictions change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seqbench.api import (
    Batch,
    Example,
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Task,
    Visibility,
    collate,
)
from seqbench.testing.checklist import require
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.probes import as_dtype, padded

TOLERANCE = 1e-9
"""Largest difference between float64 predictions that must be equal; the rest is rounding."""

SINGLE_TOLERANCE = 1e-4
"""The same between float32 predictions, relative to the largest one."""

DEPENDENCE = 1e-14
"""Smallest difference that shows that a prediction depends on an input at all."""

BatchLoss = Callable[[Batch], tuple[Tensor, int]]
"""Sum of a batch's losses and the number of predictions that count in it."""

Look = Callable[[Predictor, SequenceInput, Tensor], None]
"""Takes a predictor, a ragged batch and its predictions; raises if a promise is broken."""


def check_visibility(
    predictor: Predictor, inputs: SequenceInput, *, dependence: bool = True
) -> None:
    """Check that no prediction sees hidden steps, and that each sees the steps it may see.

    The check runs in evaluation mode and, with dropout 0, in training mode. A model that still
    draws random numbers in training mode is checked in evaluation mode only.

    Args:
        predictor: in float64, see :func:`make_predictor`; in float32 less is found.
        inputs: a ragged batch of the same dtype, zero at padding; preferably of real data.
        dependence: whether predictions must also depend on the visible steps next to hidden ones.

    Raises:
        ConformanceError: a promise is broken.
    """
    looks: list[Look] = [ignores_padding, ignores_neighbours, sees_no_hidden_step]
    look_at(predictor, inputs, *looks, *([sees_what_it_may] if dependence else []))


def look_at(predictor: Predictor, inputs: SequenceInput, *looks: Look) -> None:
    """Apply looks to a predictor in evaluation mode and, with dropout 0, in training mode."""
    with _without_dropout(predictor), torch.no_grad():
        for training in (False, True):
            predictor.train(training)
            expected = predictor(inputs)
            if training and not torch.equal(expected, predictor(inputs)):
                break  # it draws random numbers even so
            for look in looks:
                look(predictor, inputs, expected)


@contextmanager
def _without_dropout(predictor: Predictor) -> Iterator[None]:
    dropouts = [module for module in predictor.modules() if isinstance(module, nn.Dropout)]
    rates = [module.p for module in dropouts]
    try:
        for module in dropouts:
            module.p = 0.0
        yield
    finally:
        for module, rate in zip(dropouts, rates, strict=True):
            module.p = rate
        predictor.eval()


def tolerance(expected: Tensor) -> float:
    """Return the largest difference between predictions that must be equal."""
    if expected.dtype is torch.float64:
        return TOLERANCE
    return SINGLE_TOLERANCE * max(1.0, float(expected.abs().amax()))


def ignores_padding(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Check that predictions stay the same if padding changes or grows."""
    steps = inputs.mask.shape[1]
    for changed in (_with_noise(inputs, ~inputs.mask), padded(inputs, 3)):
        found = predictor(changed)
        difference = found - expected if expected.dim() == 2 else found[:, :steps] - expected
        if expected.dim() == 3:
            difference = difference[inputs.mask]
        largest = float(difference.abs().amax())
        require(
            largest <= tolerance(expected),
            f"a prediction depends on padding (by {largest:.1e})",
            "the same prediction whatever stands at padded steps, and however many there are",
        )


def ignores_neighbours(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Check that predictions for a sequence are the same alone and in the batch."""
    for row, length in enumerate(inputs.lengths.tolist()):
        alone = predictor(_rows(inputs, row, length))[0]
        together = expected[row] if expected.dim() == 2 else expected[row, :length]
        largest = float((alone - together).abs().amax())
        require(
            largest <= tolerance(expected),
            f"a prediction depends on the other sequences of its batch (by {largest:.1e})",
            "the same prediction for a sequence alone and in a batch",
        )


def sees_no_hidden_step(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Check that a step's prediction stays the same if hidden steps change or are cut off."""
    if predictor.context == "all":
        return
    steps = torch.arange(inputs.mask.shape[1])
    two_sided = predictor.context == "past+future"
    for t in range(len(steps)):
        if predictor.visibility is Visibility.NEXT:
            hidden = steps == t if two_sided else steps >= t
            changed = predictor(_with_noise(inputs, inputs.mask & hidden))
            mask = inputs.mask & (steps == t if two_sided else steps <= t)
            _require_unseen(t, (changed - expected)[mask], tolerance(expected))
        if not two_sided:
            cut = predictor(_truncated(inputs, t + 1))
            difference = (cut - expected[:, : t + 1])[inputs.mask[:, : t + 1]]
            _require_unseen(t, difference, tolerance(expected))


def _require_unseen(step: int, difference: Tensor, tolerated: float) -> None:
    largest = float(difference.abs().amax())
    require(
        largest <= tolerated,
        f"a prediction of step <= {step} depends on what it must not see (by {largest:.1e})",
        "the same prediction whatever stands at the steps that are hidden from it",
    )


def sees_what_it_may(predictor: Predictor, inputs: SequenceInput, expected: Tensor) -> None:
    """Check that a prediction changes if steps that it may see change."""
    if predictor.visibility is not Visibility.NEXT:
        changed = predictor(_with_noise(inputs, _last_steps(inputs)))
        difference = changed - expected
        if predictor.visibility is not Visibility.SEQUENCE:
            difference = difference[_last_steps(inputs)]
        require(
            difference.abs().amax() > DEPENDENCE,
            "predictions do not depend on the last step they may see",
            "a prediction that changes with every step that it may see",
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
            require(
                not both.any() or (changed - expected)[both, t].abs().amax() > DEPENDENCE,
                f"the prediction of step {t} does not depend on step {neighbour}",
                "a prediction that changes with the steps next to those hidden from it",
            )


def check_counting(
    task: Task, predictor: Predictor, examples: Sequence[Example], loss: BatchLoss | None = None
) -> None:
    """Check that padding is not counted: the loss of a batch is the sum over its sequences.

    Args:
        task: the task of the examples.
        predictor: in float64.
        examples: sequences of different lengths.
        loss: the loss to check; None for the harness's own.
    """
    predictor.eval()
    loss = loss or (lambda batch: batch_loss(task, predictor, batch))
    step_targets = task.visibility is not Visibility.SEQUENCE
    doubles = [_double(example) for example in examples]
    with torch.no_grad():
        together, count = loss(collate(doubles, step_targets))
        alone = [loss(collate([example], step_targets)) for example in doubles]
    counted = sum(one[1] for one in alone)
    require(
        counted == count,
        f"padded steps are counted: {count} predictions in a batch, {counted} in its sequences",
        "padding that counts for nothing",
    )
    difference = float((sum(one[0] for one in alone) - together).abs())
    require(
        difference <= TOLERANCE * max(1.0, float(together.abs())),
        f"a batch's loss differs by {difference:.1e} from the sum over its sequences",
        "a loss that is the sum over the sequences alone",
    )


def make_predictor(
    model_class: type[Model],
    parameters: dict[str, Any],
    input_spec: InputSpec,
    output_spec: OutputSpec,
    visibility: Visibility,
    dtype: torch.dtype = torch.float64,
) -> Predictor:
    """Return a predictor of a dtype, in evaluation mode and with random weights.

    Weights that start at zero (peepholes, biases) would hide what passes through them.
    """
    torch.manual_seed(0)
    predictor = Predictor(model_class, parameters, input_spec, output_spec, visibility)
    with torch.no_grad():
        for weight in predictor.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return predictor.to(dtype).eval()


def small_batch(
    task: Task, examples: Sequence[Example], steps: int = 12, dtype: torch.dtype = torch.float64
) -> Batch:
    """Return four examples of a dtype, cut to ragged lengths of at most ``steps``."""
    step_targets = task.visibility is not Visibility.SEQUENCE
    batch = collate(small_examples(task, examples, steps), step_targets)
    return replace(batch, inputs=as_dtype(batch.inputs, dtype))


def small_examples(task: Task, examples: Sequence[Example], steps: int = 12) -> list[Example]:
    """Return the examples of :func:`small_batch`, unpadded."""
    step_targets = task.visibility is not Visibility.SEQUENCE
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
