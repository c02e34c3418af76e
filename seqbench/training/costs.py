"""What a trained model costs to use: operations, state, time and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from seqbench.api import (
    Example,
    InputSpec,
    Model,
    OutputSpec,
    Task,
    Visibility,
)
from seqbench.nn import Cell, step_cost
from seqbench.training.data import TrialData
from seqbench.training.latency import interleaved, make_ready, median_inputs
from seqbench.training.limits import peak_memory
from seqbench.training.predictor import Predictor
from seqbench.training.size import STEPS, Uncounted, countable, size

_SECONDS = 0.05  # spent on the latency of a sequence
_LEAST, _MOST = 3, 50  # repeats
_TURNS = 3  # of the latency of a step


def measure_costs(
    task: Task,
    model_class: type[Model],
    model_parameters: Mapping[str, Any],
    predictor: Predictor,
    data: TrialData,
    device: str,
) -> dict[str, float]:
    """Return what a trained predictor costs, by name.

    * ``flops_per_step``: operations forward of one step of one sequence, mean over
      :data:`~seqbench.training.size.STEPS` steps: two for each multiply-add of every matrix
      product, the head's too, and one for each number that an elementwise operation of a recurrent
      cell makes. Cells are counted from their equations, whatever back end runs them.
    * ``state_bytes``: what must be kept of a sequence to read on, after as many steps.
    * ``sequence_seconds``: time of the test sequence of median length, ``sequence_steps`` long, at
      batch 1 and in evaluation mode.
    * ``step_seconds``: time of one more step at batch 1: of a model that streams, its cells' own
      step, see :mod:`seqbench.training.latency`; any other encodes the whole sequence again for
      that. Trials are timed one by one, so these times tell orders of magnitude: ``seqbench costs``
      measures models together.
    * ``peak_bytes``: the most memory that the process, or the GPU, has used since the trial began.

    Args:
        task: prepared.
        model_class: the model.
        model_parameters: its own.
        predictor: trained, on its device.
        data: of a fold, unsealed.
        device: ``cpu`` or ``cuda``.
    """
    found: dict[str, float] = {}
    train = data.splits.train
    try:
        flops = flops_per_step(
            model_class,
            model_parameters,
            task.input_spec(train),
            task.output_spec(train),
            task.visibility,
        )
    except Uncounted:
        pass
    else:
        found["flops_per_step"] = flops
    state = predictor.model.state_numbers(STEPS)
    if state is not None:
        found["state_bytes"] = state * predictor.head.weight.element_size()
    found |= _latencies(predictor, data.splits.test, device)
    found["peak_bytes"] = peak_memory(device)
    return found


def flops_per_step(
    model_class: type[Model],
    parameters: Mapping[str, Any],
    inputs: InputSpec,
    outputs: OutputSpec,
    visibility: Visibility,
) -> float:
    """Return the operations of one step of one sequence, see :func:`measure_costs`.

    Args:
        model_class: the model.
        parameters: its own.
        inputs: of the task.
        outputs: of the task.
        visibility: of the task.

    Raises:
        Uncounted: there seem to be none.
    """
    arguments = (model_class, countable(parameters), inputs, outputs, visibility)
    products = size("flops", *arguments)
    with torch.random.fork_rng(devices=[]):
        built = Predictor(*arguments)
    cells = [module for module in built.modules() if isinstance(module, Cell)]
    elementwise = sum(step_cost(cell).elementwise for cell in cells)
    return products / STEPS + elementwise


def _latencies(predictor: Predictor, examples: Sequence[Example], device: str) -> dict[str, float]:
    inputs = median_inputs(examples).to(predictor.device)
    before = predictor.training
    predictor.eval()
    with torch.inference_mode():
        sequence = step = _median_seconds(lambda: predictor(inputs), device)
    found = make_ready(predictor, inputs)
    if found.streams:
        (turns,) = interleaved([found.copies], device, _TURNS)
        step = statistics.median(turns)
    predictor.train(before)
    return {
        "sequence_seconds": sequence,
        "sequence_steps": int(inputs.lengths),
        "step_seconds": step,
    }


def _median_seconds(run: Callable[[], object], device: str) -> float:
    def timed() -> float:
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    timed()  # compiles, where there is something to compile
    times: list[float] = []
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _SECONDS):
        times.append(timed())
    return statistics.median(times)
