"""No prediction sees what its task hides: every task, model and depth, on real batches."""

from __future__ import annotations

import pytest

from seqbench.api import Task
from seqbench.registry import registry
from seqbench.testing import (
    check_alignment,
    check_counting,
    check_task,
    make_predictor,
    small_batch,
)

TASKS = [*{item.target: item.name for item in registry().all("task")}.values()]
MODELS = registry().names("model")


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Each task, prepared."""
    prepared: Task = registry().get("task", request.param).load()()
    prepared.prepare()
    return prepared


def test_task_keeps_its_contract(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_no_leak(task: Task, model: str, num_layers: int, bidirectional: bool) -> None:
    """Hidden steps, padding and neighbours in the batch change nothing; padding is not counted."""
    splits = task.splits(task.folds()[0])
    train = splits.train
    predictor = make_predictor(
        registry().get("model", model).load(),
        {"hidden_size": 4, "num_layers": num_layers, "bidirectional": bidirectional},
        task.input_spec(train),
        task.output_spec(train),
        task.alignment,
    )
    check_alignment(predictor, small_batch(task, splits.test).inputs)
    check_counting(task, predictor, splits.test[:3])
