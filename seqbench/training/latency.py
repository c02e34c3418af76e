"""How long one more step of several models takes: in one process, turn by turn.

A model that streams is timed on the path that a deployed model takes, at batch 1: its cells' single
steps, compiled, over a real sequence. Input scaling and the head, alike for all models, are left
out. Any other model has to encode the whole sequence again for one more step, so that is its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from seqbench.api import Example, SequenceInput, collate
from seqbench.training.predictor import Predictor
from seqbench.training.streaming import Stream, streams

BLOCKS, FEWEST = 24, 8
"""Turns of each model, and of slow ones."""

_TURN = 0.032  # seconds of a turn
_BURST = 0.001  # seconds that are timed at once
_COPIES = 8  # of a stream, each with its packed weights elsewhere in memory
_BYTES = 2**26  # that the weights of all of them may take
_SLOW = 0.15  # seconds of a turn, one burst at least, from which on a model counts as slow


Run = Callable[[int], object]
"""Runs so many steps; where a model does not stream, whole sequences."""


class ReadyModel(NamedTuple):
    """A model that is ready to be timed."""

    copies: Sequence[Run]
    """Of one model, its packed weights elsewhere in memory: that makes differences of a tenth, so
    each block takes the next one."""
    streams: bool
    """Whether it goes on from its state."""


def median_inputs(examples: Sequence[Example]) -> SequenceInput:
    """Return the sequence of median length, on which costs are measured, as a batch of one."""
    by_length = sorted(examples, key=lambda example: len(example.values))
    return collate([by_length[len(by_length) // 2]], step_targets=False).inputs


def make_ready(predictor: Predictor, inputs: SequenceInput) -> ReadyModel:
    """Return what runs a trained predictor on a sequence.

    Args:
        predictor: in evaluation mode.
        inputs: one sequence, on the predictor's device; a stream begins again where it ends.
    """
    if not streams(predictor):

        def encode(times: int) -> None:
            with torch.inference_mode():
                for _ in range(times):
                    predictor(inputs)

        return ReadyModel([encode], streams=False)
    size = sum(item.numel() * item.element_size() for item in predictor.model.parameters())
    copies = [Stream(predictor) for _ in range(max(1, min(_COPIES, _BYTES // size)))]
    with torch.inference_mode():
        steps = [step.contiguous() for step in predictor.scaled(inputs).values.unbind(dim=1)]

    def read(stream: Stream, times: int) -> None:
        with torch.inference_mode():
            state = start = stream.initial_states(1)
            for number in range(times):
                at = number % len(steps)
                state = stream.advance(steps[at], start if at == 0 else state)

    return ReadyModel([partial(read, stream) for stream in copies], streams=True)


def interleaved(
    models: Sequence[Sequence[Run]], device: str, blocks: int = BLOCKS
) -> list[list[float]]:
    """Time models in turns, so that whatever slows the machine slows all of them.

    A turn is many bursts of about a millisecond, and what counts is the fastest: a burst that the
    system interrupts says nothing of the model. Who begins changes from block to block.

    Args:
        models: the copies of each, see :class:`ReadyModel`.
        device: ``cpu`` or ``cuda``.
        blocks: turns of each; where a turn takes long, ``FEWEST`` of them at most.

    Returns:
        Of each the seconds of a step, block by block.
    """
    counts = []
    slowest = 0.0
    for copies in models:
        _seconds(copies[0], 1, device)  # compiles, where there is something to compile
        once = min(_seconds(copies[0], 1, device) for _ in range(3))
        counts.append(max(1, round(_BURST / max(once, 1e-9))))
        slowest = max(slowest, once)
    if slowest > _SLOW:
        blocks = min(blocks, FEWEST)
    found: list[list[float]] = [[] for _ in models]
    for block in range(blocks):
        for turn in range(len(models)):
            number = (block + turn) % len(models)
            run, count = models[number][block % len(models[number])], counts[number]
            until = time.perf_counter() + _TURN
            best = _seconds(run, count, device)
            while time.perf_counter() < until:
                best = min(best, _seconds(run, count, device))
            found[number].append(best / count)
    return found


def _seconds(run: Run, times: int, device: str) -> float:
    began = time.perf_counter()
    run(times)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
