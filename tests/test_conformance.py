"""No prediction sees what its task hides: every task, model and depth, on real batches."""

from __future__ import annotations

import pytest

from seqbench.api import Alignment, Example, Task, collate
from seqbench.registry import registry
from seqbench.testing import (
    check_alignment,
    check_counting,
    check_task,
    double_inputs,
    make_predictor,
)

TASKS = registry().names("task")
MODELS = registry().names("model")
STEPS = 12


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Each task, prepared."""
    prepared: Task = registry().get("task", request.param).load()()
    prepared.prepare()
    return prepared


def real_examples(task: Task) -> list[Example]:
    """Return four test sequences, cut to ragged lengths of at most STEPS steps."""
    examples = []
    for index, example in enumerate(task.splits().test[:4]):
        stop = min(len(example.values), STEPS - 3 * index)
        step_targets = task.alignment is not Alignment.SEQUENCE
        examples.append(
            Example(
                example.values[:stop],
                example.targets[:stop] if step_targets else example.targets,
                None if example.target_mask is None else example.target_mask[:stop],
                None if example.observed is None else example.observed[:stop],
                None if example.delta is None else example.delta[:stop],
                example.static,
            )
        )
    return examples


def test_task_keeps_its_contract(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_no_leak(task: Task, model: str, num_layers: int, bidirectional: bool) -> None:
    """Hidden steps, padding and neighbours in the batch change nothing; padding is not counted."""
    train = task.splits().train
    predictor = make_predictor(
        registry().get("model", model).load(),
        {"hidden_size": 4, "num_layers": num_layers, "bidirectional": bidirectional},
        task.input_spec(train),
        task.output_spec(train),
        task.alignment,
    )
    examples = real_examples(task)
    batch = collate(examples, task.alignment is not Alignment.SEQUENCE)
    check_alignment(predictor, double_inputs(batch.inputs))
    check_counting(task, predictor, examples)
