"""How large a predictor is, to compare models of one size: parameters, or operations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seqbench.api import InputSpec, Model, OutputSpec, SequenceInput, Visibility
from seqbench.config.settings import Match
from seqbench.training.predictor import Predictor


class Uncounted(Exception):  # noqa: N818 - the fact is its name
    """A model's operations cannot be counted."""


STEPS = 64
"""T of the sequence whose operations are counted; the cost of attention depends on it."""


def size(
    measure: Match,
    model_class: type[Model],
    parameters: dict[str, Any],
    input_spec: InputSpec,
    output_spec: OutputSpec,
    visibility: Visibility,
) -> int:
    """Return how large a model is on a task, with its head.

    Args:
        measure: ``params``: trainable numbers, see :func:`parameter_count`; ``flops``: operations
            forward, see :func:`flops`.
        model_class: the model.
        parameters: its own.
        input_spec: of the task; its sizes alone are used.
        output_spec: of the task; likewise.
        visibility: of the task.

    Raises:
        ValueError: the model refuses its parameters.
        Uncounted: its operations cannot be counted.
    """
    sizes = InputSpec(input_spec.size, input_spec.static_size, input_spec.missing)
    arguments = (model_class, parameters, sizes, OutputSpec(output_spec.size), visibility)
    with torch.random.fork_rng(devices=[]):  # a trial's own draws must not depend on this
        if measure == "flops":
            return flops(Predictor(*arguments), sizes)
        try:
            with torch.device("meta"):
                return parameter_count(Predictor(*arguments))
        except ValueError:
            raise
        except Exception:  # a plugin that computes with its initial weights
            return parameter_count(Predictor(*arguments))


def parameter_count(predictor: Predictor) -> int:
    """Return the trainable numbers of model and head, with one bias for each gate.

    ``torch.nn.LSTM`` and ``RNN`` have two that are added; the second is not counted. Of
    ``torch.nn.GRU`` that of the candidate is, for the reset gate scales it: ``b_hn``, which this
    project's own GRU has too.
    """
    count = predictor.parameter_count
    for module in predictor.modules():
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            twice = sum(
                item.numel()
                for name, item in module.named_parameters(recurse=False)
                if name.startswith("bias_hh") and item.requires_grad
            )
            count -= twice * 2 // 3 if isinstance(module, nn.GRU | nn.GRUCell) else twice
    return count


def flops(predictor: Predictor, input_spec: InputSpec) -> int:
    """Return the operations of one sequence of :data:`STEPS` steps, forward.

    Two for each multiply-add of a matrix product, in the model and in the head; what is elementwise
    is left out. Where the harness runs a model on every prefix of a sequence, one run is counted.

    Args:
        predictor: on the CPU; a model of this project's cells with ``backend=reference``, for what
            compiled loops do cannot be seen.
        input_spec: of the task.

    Raises:
        Uncounted: there seem to be none.
    """
    model = predictor.model
    values = torch.zeros(1, STEPS, model.input_size)
    observed = delta = None
    if input_spec.missing and model.consumes_missingness:
        observed, delta = torch.ones_like(values, dtype=torch.bool), torch.zeros_like(values)
    inputs = SequenceInput(values, torch.tensor([STEPS]), observed, delta)
    before = predictor.training
    counter = FlopCounterMode(display=False)
    # torch's counter does not know the fused LSTM of oneDNN; without it an LSTM is products.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), counter:
            model.eval()(inputs)
    predictor.train(before)
    if not counter.get_total_flops():
        raise Uncounted("torch's counter of operations finds no matrix product in it")
    steps = 1 if predictor.visibility is Visibility.SEQUENCE else STEPS
    weight: Tensor = predictor.head.weight
    return int(counter.get_total_flops()) + 2 * weight.numel() * steps


def countable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's parameters with which its operations can be seen: no compiled loop.

    Args:
        parameters: all of its own, as a trial's settings have them.
    """
    return {**parameters, **({"backend": "reference"} if "backend" in parameters else {})}
