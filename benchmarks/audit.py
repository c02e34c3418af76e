"""What an audit costs beside the training, and whether one ever fails an honest model.

``python benchmarks/audit.py cost [TASK,...] [MODEL,...]`` trains each pair of
``docs/results/results.csv`` for an epoch of one fold, under the conditions of its table, and audits
it. It prints the audit's seconds, on the clock and of processors, and the training's on the clock.
The share is the processor seconds of the audits of all folds, divided by the pair's median
``cost/seconds`` in the results.

``python benchmarks/audit.py honest [COUNT]`` audits the built-in and example models on all tasks,
COUNT times (1000), with weights, sizes, layers and back ends drawn anew, and counts the outcomes.
It exits with 1 if one failed.
"""

from __future__ import annotations

import collections
import csv
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqbench.api import Model, Task
from seqbench.config import searchpath
from seqbench.config.composition import compose, settings
from seqbench.registry.plugins import add_plugin_file, registry
from seqbench.testing import make_predictor
from seqbench.training.audit import Audit, audit
from seqbench.training.data import TrialData
from seqbench.training.fit import build_predictor, fit
from seqbench.training.predictor import Predictor, batch_loss
from seqbench.training.scoring import model_rows
from seqbench.trials.trial import load

ROOT = Path(__file__).parents[1]
EXAMPLES = (
    "seqbench/templates/my_model.py",
    "examples/seqbench-plugin-example/seqbench_example/mgu.py",
)
WEIGHTS = ("random", "initial", "trained", "large")
SCORED = 48
"""Sequences of each split, of which the audit chooses its own."""


def honest(count: int) -> int:
    """Audit honest models; returns how many failed."""
    for name in EXAMPLES:
        add_plugin_file(str(ROOT / name))
    tasks = sorted({item.target: item.name for item in registry().all("task")}.values())
    models = registry().names("model")
    found: collections.Counter[str] = collections.Counter()
    for number in range(count):
        task, model = tasks[number % len(tasks)], models[number // len(tasks) % len(models)]
        outcome, about = one_audit(task, model, number)
        found[outcome.status] += 1
        print(number, task, model, about, outcome, flush=True)
    print(dict(found))
    return found["failed"]


@cache
def prepared(name: str) -> Task:
    """Each task once, with its data."""
    task: Task = registry().get("task", name).load()()
    task.prepare()
    return task


def one_audit(task_name: str, model_name: str, seed: int) -> tuple[Audit, str]:
    """Audit a model, drawn by the seed, on the test split of one of a task's folds."""
    draw = random.Random(seed)
    task, registration = prepared(task_name), registry().get("model", model_name)
    parameters = drawn_parameters(registration, draw)
    weights = draw.choice(WEIGHTS)
    size = draw.choice((1, 4, 16, 64))
    data = TrialData(task, size, seed, SCORED, draw.choice(task.folds()))
    data.unseal()
    predictor = with_weights(weights, task, registration.load(), parameters, data, seed)
    scored = list(model_rows(predictor, data.test()))
    about = " ".join([weights, *(f"{name}={value}" for name, value in parameters.items())])
    return audit(predictor, data.splits.test, seed, size, scored), about


def drawn_parameters(registration: Any, draw: random.Random) -> dict[str, Any]:
    """Return parameters that a model takes, drawn at random."""
    choices: dict[str, tuple[Any, ...]] = {
        "hidden_size": (2, 5, 16, 32),
        "num_layers": (1, 1, 2),
        "bidirectional": (False, False, True),
        "backend": ("auto", "auto", "auto", "reference"),
    }
    known = {parameter.name for parameter in registration.source().parameters}
    return {name: draw.choice(values) for name, values in choices.items() if name in known}


def with_weights(
    weights: str,
    task: Task,
    model: type[Model],
    parameters: dict[str, Any],
    data: TrialData,
    seed: int,
) -> Predictor:
    """Return a predictor with weights of one kind of :data:`WEIGHTS`."""
    train = data.splits.train
    if weights == "random":
        specs = task.input_spec(train), task.output_spec(train)
        return make_predictor(model, parameters, *specs, task.visibility, torch.float32)
    predictor = build_predictor(task, model, parameters, data, seed)
    if weights == "large":  # small differences grow from step to step
        for item in predictor.model.parameters():
            nn.init.normal_(item, std=1.0)
    if weights == "trained":
        optimiser = torch.optim.Adam(predictor.parameters(), 0.01)
        for _, batch in zip(range(8), data.train(), strict=False):
            optimiser.zero_grad()
            total, number = batch_loss(task, predictor, batch)
            (total / max(number, 1)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return predictor.eval()


def cost(tasks: list[str], models: list[str]) -> None:
    """Print what training and audit cost, of each pair of the results; no names are all."""
    searchpath.enable()
    print("task model | audit s, processor s, of all folds | training s | median s | share")
    for (task, model, *changes), median in pairs(tasks, models):
        words = [f"task={task}", f"model={model}", *changes]
        trial = load(settings(compose([*words, "trainer.progress=false", "recipe.max_epochs=1"])))
        folds = trial.data()
        data = folds[0]
        predictor = trial.predictor(data)
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(trial.training(data, predictor, Path(folder, "best.ckpt")))
        data.unseal()
        scored = list(model_rows(predictor, data.test()))
        recipe = trial.settings.recipe
        arguments = predictor, data.splits.test, 0, recipe.batch_size, scored
        seconds, processor = timed(lambda: audit(*arguments))  # noqa: B023 - called at once
        _, further = timed(lambda: audit(*arguments, thorough=False))  # noqa: B023
        total = processor + (len(folds) - 1) * further
        print(
            f"{task} {model} | {seconds:.3f}, {processor:.3f}, {total:.3f} | {fitted.seconds:.2f} "
            f"an epoch of a fold | {median:.1f} | {total / median:.1%}",
            flush=True,
        )


def timed(call: Callable[[], Audit]) -> tuple[float, float]:
    """Return the medians of three calls: seconds on the clock, and of processors."""
    found = []
    for _ in range(3):
        clock, processor = time.perf_counter(), time.process_time()
        outcome = call()
        found.append((time.perf_counter() - clock, time.process_time() - processor))
        if outcome.status != "passed":
            raise SystemExit(f"an audit of a built-in model: {outcome}")
    return statistics.median(one for one, _ in found), statistics.median(two for _, two in found)


def pairs(tasks: list[str], models: list[str]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield task, model and other conditions of each pair in the results, and its median seconds.

    The conditions are those that a table's name tells, and the visits, which were all.
    """
    seconds: dict[tuple[str, ...], list[float]] = collections.defaultdict(list)
    with (ROOT / "docs/results/results.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["task"] in (tasks or [row["task"]]) and row["model"] in (
                models or [row["model"]]
            ):
                changes = [
                    word for word in row["table"].split() if word.startswith(("recipe.", "task."))
                ]
                if row["task.visits"]:
                    changes.append(f"task.visits={row['task.visits']}")
                seconds[row["task"], row["model"], *changes].append(float(row["cost/seconds"]))
    for pair, values in sorted(seconds.items()):
        yield pair, statistics.median(values)


if __name__ == "__main__":
    if sys.argv[1:2] == ["honest"]:
        raise SystemExit(1 if honest(int((sys.argv[2:] or ["1000"])[0])) else 0)
    if sys.argv[1:2] != ["cost"]:
        raise SystemExit(__doc__)
    tasks, models = ([*words.split(",")] if words else [] for words in [*sys.argv[2:], "", ""][:2])
    cost(tasks, models)
