"""The tensors that pass from a task through the harness to a model.

Legend of shapes, here and everywhere: B sequences in a batch, T time steps, F input features,
S static features, K outputs per prediction, H hidden units of one direction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class SequenceInput:
    """A padded batch of sequences: what a model sees.

    Args:
        values: ``[B, T, F]`` float; missing values filled in, zero at padded steps.
        lengths: ``[B]`` int64, each in 1..T; steps at or beyond a sequence's length are padding.
        observed: ``[B, T, F]`` bool, True where a value was observed; None if the task has no
            missing values.
        delta: ``[B, T, F]`` float, time since the feature was last observed, in the task's unit;
            None if the task has no missing values.
        static: ``[B, S]`` float, features of the whole sequence, or None if there are none.
    """

    values: Tensor
    lengths: Tensor
    observed: Tensor | None = None
    delta: Tensor | None = None
    static: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        """``[B, T]`` bool: True at real steps, False at padding."""
        steps = torch.arange(self.values.shape[1], device=self.lengths.device)
        return steps < self.lengths[:, None]

    def with_values(self, values: Tensor) -> SequenceInput:
        """Return the same sequences with other values ``[B, T, F']``."""
        return replace(self, values=values)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SequenceInput:
        """Return the batch on another device."""
        return SequenceInput(
            self.values.to(device, non_blocking=non_blocking),
            self.lengths.to(device, non_blocking=non_blocking),
            _to(self.observed, device, non_blocking),
            _to(self.delta, device, non_blocking),
            _to(self.static, device, non_blocking),
        )


@dataclass(frozen=True)
class Batch:
    """A batch of sequences and their targets.

    Args:
        inputs: the sequences.
        targets: ``[B, ...]`` if the task labels sequences, ``[B, T, ...]`` if it labels steps.
        target_mask: bool, ``[B]`` or ``[B, T]``: True if a prediction counts; padding never does.
    """

    inputs: SequenceInput
    targets: Tensor
    target_mask: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on another device."""
        return Batch(
            self.inputs.to(device, non_blocking=non_blocking),
            self.targets.to(device, non_blocking=non_blocking),
            self.target_mask.to(device, non_blocking=non_blocking),
        )


@dataclass(frozen=True)
class Example:
    """One sequence of a data set, unpadded.

    Args:
        values: ``[T, F]`` float.
        targets: ``[...]`` for a label of the sequence, ``[T, ...]`` for a label of each step.
        target_mask: ``[T]`` bool, True at steps whose prediction counts; None if all count. Always
            None for a label of the sequence.
        observed: ``[T, F]`` bool or None, as in :class:`SequenceInput`.
        delta: ``[T, F]`` float or None, as in :class:`SequenceInput`.
        static: ``[S]`` float or None.
        group: the patient, speaker or piece that the sequence comes from. No group is in two
            splits, and the bootstrap resamples groups. Never shown if it could identify a person.
    """

    values: Tensor
    targets: Tensor
    target_mask: Tensor | None = None
    observed: Tensor | None = None
    delta: Tensor | None = None
    static: Tensor | None = None
    group: str = ""


def collate(examples: list[Example], step_targets: bool) -> Batch:
    """Pad examples to the longest one and stack them.

    Args:
        examples: at least one; all with the same optional fields.
        step_targets: whether targets are per step; they are then padded too.

    Raises:
        ValueError: an optional field is given for some of the examples only.
    """
    inputs = collate_inputs(examples)
    if not step_targets:
        targets = torch.stack([example.targets for example in examples])
        return Batch(inputs, targets, torch.ones(len(examples), dtype=torch.bool))
    target_mask = inputs.mask
    for row, example in enumerate(examples):
        if example.target_mask is not None:
            target_mask[row, : len(example.values)] &= example.target_mask
    return Batch(inputs, _pad([example.targets for example in examples]), target_mask)


def collate_inputs(examples: list[Example]) -> SequenceInput:
    """Pad examples to the longest one and stack them, without their targets; see :func:`collate`.

    Raises:
        ValueError: an optional field is given for some of the examples only.
    """
    return SequenceInput(
        _pad([example.values for example in examples]),
        torch.tensor([len(example.values) for example in examples]),
        _pad_optional([example.observed for example in examples]),
        _pad_optional([example.delta for example in examples]),
        _stack_optional([example.static for example in examples]),
    )


def _to(tensor: Tensor | None, device: torch.device | str, non_blocking: bool) -> Tensor | None:
    return None if tensor is None else tensor.to(device, non_blocking=non_blocking)


def _pad(tensors: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)


def _pad_optional(tensors: list[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        raise ValueError("observed or delta is given for some sequences of a batch and not for all")
    return _pad(present)


def _stack_optional(tensors: list[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    if len(present) != len(tensors):
        raise ValueError("static is given for some sequences of a batch and not for all")
    return torch.stack(present)
