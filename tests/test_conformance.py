"""No prediction sees what its task hides: every task, model and depth, on real batches."""

from __future__ import annotations

import pytest

from seqbench.api import Task
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


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Each task, prepared."""
    prepared: Task = registry().get("task", request.param).load()()
    prepared.prepare()
    return prepared


@pytest.mark.parametrize("name", registry().names("model"))
def test_model_keeps_its_contract(name: str) -> None:
    """Every check of the suite that `seqbench check model=NAME` runs."""
    registration = registry().get("model", name)
    subject = ModelSubject(registration.load(), {}, registration)
    found = list(run_checks(MODEL_CHECKS, subject))
    assert [] == [outcome for outcome in found if outcome.status == "broken"]


@pytest.mark.parametrize("name", TASKS)
def test_task_keeps_its_contract(name: str) -> None:
    """Every check of the suite that `seqbench check task=NAME` runs."""
    registration = registry().get("task", name)
    subject = TaskSubject(registration.load()(), registration, data_folder())
    found = list(run_checks(TASK_CHECKS, subject))
    assert [] == [outcome for outcome in found if outcome.status == "broken"]


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_no_leak(task: Task, model: str, shape: dict[str, int]) -> None:
    """Hidden steps, padding and neighbours in the batch change nothing; padding is not counted.

    A model that has no layers or directions to choose is checked as it is.
    """
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
    check_visibility(predictor, small_batch(task, splits.test).inputs)
    check_counting(task, predictor, small_examples(task, splits.test))
