"""What stands between a task and a model: input scaling, visibility in time, and the head.

Built alike for every model, so that comparisons are made under equal conditions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqbench.api import (
    Batch,
    Context,
    Encoding,
    InputSpec,
    Model,
    OutputSpec,
    SequenceInput,
    Sight,
    Task,
    Visibility,
)

RARE = 0.1
"""Least standard deviation by which a flag is divided: that of one in a hundred."""


class Predictor(nn.Module):
    """A model between the harness's input scaling and its linear head.

    Args:
        model_class: the model; it is built here, with the input size and the context it is to have.
        model_parameters: the model's own parameters.
        input_spec: of the task.
        output_spec: of the task.
        visibility: what a prediction may see, see :class:`~seqbench.api.Visibility`.

    Raises:
        ValueError: the model refuses its parameters.
    """

    input_mean: Tensor
    input_std: Tensor
    observed_mean: Tensor
    observed_std: Tensor
    output_scale: Tensor | None

    def __init__(
        self,
        model_class: type[Model],
        model_parameters: dict[str, Any],
        input_spec: InputSpec,
        output_spec: OutputSpec,
        visibility: Visibility,
    ) -> None:
        super().__init__()
        size = input_spec.size + input_spec.static_size
        if not model_class.consumes_missingness:
            size += 2 * input_spec.size * input_spec.missing
        self.model = model_class(size, model_context(visibility), **model_parameters)
        self.visibility = visibility
        mean = torch.zeros(input_spec.size) if input_spec.mean is None else input_spec.mean
        std = torch.ones(input_spec.size) if input_spec.std is None else input_spec.std
        self.register_buffer("input_mean", mean)
        self.register_buffer("input_std", torch.where(std > 0, std, 1.0))
        rate = input_spec.observed_rate
        if rate is None:
            rate, spread = torch.zeros(input_spec.size), torch.ones(input_spec.size)
        else:
            spread = (rate * (1 - rate)).sqrt().clamp(min=RARE)
        self.register_buffer("observed_mean", rate)
        self.register_buffer("observed_std", spread)
        two_sided = self.model.backward_size > 0
        self._from_final = visibility is Visibility.SEQUENCE or (
            visibility is Visibility.ONLINE and two_sided
        )
        step_size = self.model.forward_size + self.model.backward_size
        self.head = nn.Linear(
            self.model.final_size if self._from_final else step_size, output_spec.size
        )
        nn.init.xavier_uniform_(self.head.weight)
        scale = output_spec.scale
        self.register_buffer("output_scale", scale)
        bias = torch.zeros(output_spec.size) if output_spec.bias is None else output_spec.bias
        with torch.no_grad():
            self.head.bias.copy_(bias if scale is None else bias / scale)
        self.context = sights(visibility)[two_sided and visibility is Visibility.NEXT]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.weight.device

    @property
    def parameter_count(self) -> int:
        """Trainable numbers in model and head."""
        return sum(item.numel() for item in self.parameters() if item.requires_grad)

    def forward(self, inputs: SequenceInput) -> Tensor:
        """Predict.

        Returns:
            ``[B, K]`` for ``sequence`` tasks, ``[B, T, K]`` for the others; what stands at padded
            steps has no meaning.
        """
        inputs = self.scaled(inputs)
        if self.visibility is Visibility.ONLINE and self._from_final:
            return self._on_each_prefix(inputs)
        encoding: Encoding = self.model(inputs)
        if self._from_final:
            return self.outputs(encoding.final)
        forward, backward = encoding.forward_steps, encoding.backward_steps
        if self.visibility is Visibility.NEXT:
            # Step t is predicted from the state after t - 1 and, if there is one, the state that
            # has read back to t + 1. The state before the first step and after the last is zero.
            forward = F.pad(forward[:, :-1], (0, 0, 1, 0))
            backward = None if backward is None else F.pad(backward[:, 1:], (0, 0, 0, 1))
        steps = forward if backward is None else torch.cat([forward, backward], dim=-1)
        return self.outputs(steps)

    def outputs(self, encoded: Tensor) -> Tensor:
        """Return the head's predictions ``[..., K]`` from what a model has encoded."""
        predictions: Tensor = self.head(encoded)
        return predictions if self.output_scale is None else predictions * self.output_scale

    def scaled(self, inputs: SequenceInput) -> SequenceInput:
        """Return what the model reads: scaled values, missingness and static features."""
        values = (inputs.values - self.input_mean) / self.input_std
        observed, delta = inputs.observed, inputs.delta
        parts = [values]
        if not self.model.consumes_missingness:
            if observed is not None:
                parts.append((observed.to(values.dtype) - self.observed_mean) / self.observed_std)
            if delta is not None:
                parts.append(torch.log1p(delta))
        if inputs.static is not None:
            parts.append(inputs.static[:, None].expand(-1, values.shape[1], -1))
            padding = (0, inputs.static.shape[-1])
            observed = None if observed is None else F.pad(observed, padding, value=True)
            delta = None if delta is None else F.pad(delta, padding)
        values = torch.cat(parts, dim=-1) if len(parts) > 1 else values
        values = values.masked_fill(~inputs.mask[..., None], 0.0)
        return SequenceInput(values, inputs.lengths, observed, delta)

    def _on_each_prefix(self, inputs: SequenceInput) -> Tensor:
        """Encode x_1..x_t for every real step t, so that no state has seen what comes after."""
        rows, steps = inputs.mask.nonzero(as_tuple=True)
        prefixes = SequenceInput(
            inputs.values[rows],
            steps + 1,
            None if inputs.observed is None else inputs.observed[rows],
            None if inputs.delta is None else inputs.delta[rows],
        )
        prefixes = prefixes.with_values(prefixes.values.masked_fill(~prefixes.mask[..., None], 0.0))
        encoding: Encoding = self.model(prefixes)
        final = encoding.final
        batch, length = inputs.mask.shape
        scattered = final.new_zeros(batch, length, final.shape[-1])
        return self.outputs(scattered.index_put((rows, steps), final))


def model_context(visibility: Visibility) -> Context:
    """Return the context a model is built with: ``all`` where a prediction may see every step."""
    return "all" if visibility in (Visibility.SEQUENCE, Visibility.STEP) else "past"


def sights(visibility: Visibility) -> tuple[Sight, ...]:
    """Return what predictors of a task can see: of a model with one direction, then with two."""
    if visibility is Visibility.NEXT:
        return "past", "past+future"
    return ("past",) if visibility is Visibility.ONLINE else ("all",)


def counted(predictions: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the predictions ``[N, K]`` that count and their targets ``[N, ...]``; no padding."""
    return predictions[batch.target_mask], batch.targets[batch.target_mask]


def batch_loss(task: Task, predictor: Predictor, batch: Batch) -> tuple[Tensor, int]:
    """Return the sum of the losses that count in a batch, and how many they are."""
    predictions, targets = counted(predictor(batch.inputs), batch)
    return task.loss(predictions, targets).sum(), len(predictions)
