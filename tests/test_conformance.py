"""No prediction sees what its task hides: every visibility, model and depth, on real batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from typing import Any

import pytest

from seqbench.api import Task, Visibility
from seqbench.config.machine import data_folder
from seqbench.registry.plugins import registry
from seqbench.testing import (
    MODEL_CHECKS,
    TASK_CHECKS,
    ModelSubject,
    TaskSubject,
    check_counting,
    check_visibility,
    make_predictor,
    run_checks,
    small_batch,
    small_examples,
)

TASKS = [*{item.target: item.name for item in registry().all("task")}.values()]
SHAPES = [
    {"num_layers": num_layers, "bidirectional": bidirectional}
    for num_layers, bidirectional in ((1, False), (1, True), (2, True), (3, True))
]
BASIC = ("rnn", "lstm", "peephole", "gru", "bilstm", "attention_lstm")
"""Models of every depth on every task; others differ from them in their cell, and have one shape
or, where they choose neither layers nor directions, their own."""
MODELS = [
    (name, shape)
    for name in registry().names("model")
    for shape in (SHAPES if name in BASIC else [{"num_layers": 2, "bidirectional": True}])
]


OF_THIS_FILE = [name for name in TASKS if name.startswith(("data", "music", "speech"))]
"""Tasks whose contract no other test checks."""
STEPS = 8
"""Of a batch: more than the three layers, and than what is padded, need to show."""


@cache
def prepared(name: str) -> Task:
    """Each task once in a process, with its data."""
    task: Task = registry().get("task", name).load()()
    task.prepare()
    return task


def pairs() -> list[Any]:
    """Every model and shape on every task; by day only on one task of each visibility.

    Which one takes turns, so that every task meets every kind of model.
    """
    alike: dict[Visibility, list[str]] = {}
    for name in TASKS:
        alike.setdefault(registry().get("task", name).load().visibility, []).append(name)
    by_day = {
        (names[number % len(names)], number)
        for names in alike.values()
        for number in range(len(MODELS))
    }
    return [
        pytest.param(
            task,
            *MODELS[number],
            id="-".join([task, MODELS[number][0], *map(str, MODELS[number][1].values())]),
            marks=() if (task, number) in by_day else pytest.mark.nightly,
        )
        for task, number in product(TASKS, range(len(MODELS)))
    ]


def by_night(names: Iterable[str], by_day: Sequence[str]) -> list[Any]:
    """Return names, those to be left to the night but for some: their own tests check them too."""
    return [
        pytest.param(name, marks=() if name in by_day else pytest.mark.nightly) for name in names
    ]


@pytest.mark.parametrize("name", by_night(registry().names("model"), ("lstm", "attention_lstm")))
def test_model_keeps_its_contract(name: str) -> None:
    """Every check of the suite that `seqbench check model=NAME` runs."""
    registration = registry().get("model", name)
    subject = ModelSubject(registration.load(), {}, registration)
    found = list(run_checks(MODEL_CHECKS, subject))
    assert [] == [outcome for outcome in found if outcome.status == "broken"]


@pytest.mark.parametrize("name", by_night(TASKS, OF_THIS_FILE))
def test_task_keeps_its_contract(name: str) -> None:
    """Every check of the suite that `seqbench check task=NAME` runs."""
    registration = registry().get("task", name)
    subject = TaskSubject(registration.load()(), registration, data_folder())
    found = list(run_checks(TASK_CHECKS, subject))
    assert [] == [outcome for outcome in found if outcome.status == "broken"]


@pytest.mark.parametrize(("task_name", "model", "shape"), pairs())
def test_no_leak(task_name: str, model: str, shape: dict[str, int]) -> None:
    """Hidden steps, padding and neighbours in the batch change nothing; padding is not counted.

    A model that has no layers or directions to choose is checked as it is.
    """
    task = prepared(task_name)
    registration = registry().get("model", model)
    known = {parameter.name for parameter in registration.source().parameters}
    splits = task.splits(task.folds()[0])
    train = splits.train
    predictor = make_predictor(
        registration.load(),
        {"hidden_size": 4} | {name: value for name, value in shape.items() if name in known},
        task.input_spec(train),
        task.output_spec(train),
        task.visibility,
    )
    check_visibility(predictor, small_batch(task, splits.test, STEPS).inputs)
    check_counting(task, predictor, small_examples(task, splits.test, STEPS))
