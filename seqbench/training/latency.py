"""How long one more step of several models takes: in one process, turn by turn.

A model that streams is timed on the path that a deployed model takes, at batch 1: its cells' single
steps, compiled, over a real sequence. Input scaling and the head, alike for all models, are left
out. Any other model has to encode the whole sequence again for one more step, so that is its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from seqbench.api import Example, SequenceInput, collate
from seqbench.training.predictor import Predictor
from seqbench.training.streaming import Stream, streams

BLOCKS, FEWEST = 25, 9
"""Turns of each model, and of slow ones."""

_TURN = 0.016  # seconds of a turn
_BURST = 0.001  # seconds that are timed at once
_SLOW = 0.15  # seconds of a turn, one burst at least, from which on a model counts as slow


class Contender(NamedTuple):
    """A model that is ready to be timed."""

    run: Callable[[int], object]
    """Runs so many steps; where the model does not stream, whole sequences."""
    streams: bool
    """Whether it goes on from its state."""


def median_inputs(examples: Sequence[Example]) -> SequenceInput:
    """Return the sequence of median length, on which costs are measured, as a batch of one."""
    by_length = sorted(examples, key=lambda example: len(example.values))
    return collate([by_length[len(by_length) // 2]], step_targets=False).inputs


def contender(predictor: Predictor, inputs: SequenceInput) -> Contender:
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

        return Contender(encode, streams=False)
    stream = Stream(predictor)
    with torch.inference_mode():
        steps = [step.contiguous() for step in predictor.scaled(inputs).values.unbind(dim=1)]

    def read(times: int) -> None:
        with torch.inference_mode():
            for number in range(times):
                at = number % len(steps)
                state = stream.initial_states(1) if at == 0 else state
                state = stream.advance(steps[at], state)

    return Contender(read, streams=True)


def interleaved(
    runs: Sequence[Callable[[int], object]], device: str, blocks: int = BLOCKS
) -> list[list[float]]:
    """Time what is run, in turns, so that whatever slows the machine slows all of them.

    A turn is many bursts of about a millisecond, and what counts is the fastest: a burst that the
    system interrupts says nothing of the model. Who begins changes from block to block.

    Args:
        runs: each runs so many steps.
        device: ``cpu`` or ``cuda``.
        blocks: turns of each; where a turn takes long, ``FEWEST`` of them at most.

    Returns:
        Of each the seconds of a step, block by block.
    """
    counts = []
    slowest = 0.0
    for run in runs:
        _seconds(run, 1, device)  # compiles, where there is something to compile
        once = min(_seconds(run, 1, device) for _ in range(3))
        counts.append(max(1, round(_BURST / max(once, 1e-9))))
        slowest = max(slowest, once)
    if slowest > _SLOW:
        blocks = min(blocks, FEWEST)
    found: list[list[float]] = [[] for _ in runs]
    for block in range(blocks):
        for turn in range(len(runs)):
            number = (block + turn) % len(runs)
            run, count = runs[number], counts[number]
            until = time.perf_counter() + _TURN
            best = _seconds(run, count, device)
            while time.perf_counter() < until:
                best = min(best, _seconds(run, count, device))
            found[number].append(best / count)
    return found


def _seconds(run: Callable[[int], object], times: int, device: str) -> float:
    began = time.perf_counter()
    run(times)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
