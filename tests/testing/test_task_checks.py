"""Each check of a task catches the bug that was planted for it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqbench.api import (
    Example,
    GroupCounts,
    InputSpec,
    MeanLoss,
    Metric,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.api.resampling import weighted_means
from seqbench.config.machine import DATA_VARIABLE
from seqbench.testing import (
    TASK_CHECKS,
    CheckResult,
    TaskSubject,
    run_checks,
)


def outcome(name: str, checks: Any, subject: Any) -> CheckResult:
    (check,) = (check for check in checks if check.name == name)
    (found,) = run_checks([check], subject)
    return found


class Honest(Task):
    """Sums of noise, in a file that is checked as it is read."""

    version = "1"
    visibility = Visibility.NEXT
    monitor = primary = Metric("loss", "min")
    citation = licence = "Made up."
    sizes = {"train": "6 sequences"}
    metric_help = {"loss": "mean squared difference"}
    file = "honest.npz"

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def prepare(self) -> None:
        if self.values:
            return
        path = Path(os.environ[DATA_VARIABLE]) / self.file
        if not self.is_sound(path):
            generator = np.random.default_rng(0)
            arrays = {f"{part}{at}": generator.normal(size=(3 + at, 2)).astype(np.float32)
                      for part in ("train", "valid", "test") for at in range(6)}  # fmt: skip
            np.savez(path, **arrays)
        for name, array in self.read(path).items():
            self.values.setdefault(name[:-1], []).append(torch.from_numpy(array))

    def is_sound(self, path: Path) -> bool:
        try:
            return len(self.read(path)) == 18
        except Exception:
            return False

    def read(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as opened, np.load(opened) as found:
            return {name: found[name] for name in found.files}

    def splits(self, fold: int = 0) -> Splits:
        parts = [
            [Example(values, values, group=f"{name}{at}") for at, values in enumerate(kept)]
            for name, kept in self.values.items()
        ]
        return Splits(*parts)

    def fingerprint(self) -> str:
        return f"{sum(float(v.sum()) for kept in self.values.values() for v in kept):.6f}"

    def input_spec(self, train: Any) -> InputSpec:
        return InputSpec(2)

    def output_spec(self, train: Any) -> OutputSpec:
        return OutputSpec(2)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets).square().sum(-1)

    def metrics(self) -> MeanLoss:
        return MeanLoss(self, "loss")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {"zero": [torch.zeros_like(example.values) for example in splits.test]}


class BatchMeans(MeanLoss):
    """The mean of batch means."""

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        self._total += float((predictions - targets).square().sum(-1).mean())
        self._count += 1


class SmallError(MeanLoss):
    """Sums in single precision: rounding that depends on the order."""

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        for loss in (predictions - targets).square().sum(-1):
            self._total = float(torch.tensor(self._total).float() + loss.float() * len(targets))
        self._count += len(targets)


class EqualSizes(MeanLoss):
    """Pieces of unlike length that are said to count alike."""

    def group_counts(self, metric: str) -> GroupCounts:
        return GroupCounts.of([1.0] * len(self._by_sequence))


class OneGroupTooMany(MeanLoss):
    def group_counts(self, metric: str) -> GroupCounts:
        found = super().group_counts(metric)
        return GroupCounts.of([*found.sizes, 1.0]) if found else GroupCounts(())


class OtherDraws(MeanLoss):
    """Draws that weigh groups otherwise than the score does."""

    def bootstrap_scores(self) -> dict[str, list[float]]:
        totals, counts = np.array(list(self._by_sequence.values())).T
        return {"loss": weighted_means(totals / counts, np.ones(len(counts)))}


class TooManyCases(MeanLoss):
    def group_counts(self, metric: str) -> GroupCounts:
        found = super().group_counts(metric)
        return GroupCounts(found.sizes, (1, len(found.sizes))) if found else GroupCounts(())


def unit_on_both_sides(self: Honest, fold: int = 0) -> Splits:
    found = Honest.splits(self)
    return Splits(found.train, found.valid, [Example(e.values + 1, e.targets, group=e.group)
                                             for e in found.train])  # fmt: skip


def sequence_on_both_sides(self: Honest, fold: int = 0) -> Splits:
    found = Honest.splits(self)
    twin = [Example(e.values.clone(), e.targets, group=f"other {e.group}") for e in found.train]
    return Splits(found.train, found.valid, twin)


def other_each_time(self: Honest, fold: int = 0) -> Splits:
    found = Honest.splits(self)
    return Splits([Example(e.values + random.random(), e.targets, group=e.group)
                   for e in found.train], found.valid, found.test)  # fmt: skip


def with_nan(self: Honest, fold: int = 0) -> Splits:
    found = Honest.splits(self)
    return Splits(
        [Example(e.values / 0 * 0, e.targets) for e in found.train], found.valid, found.test
    )


def writes_again(self: Honest) -> None:
    if not self.values:
        (Path(os.environ[DATA_VARIABLE]) / self.file).unlink(missing_ok=True)
    Honest.prepare(self)


PLANTED_TASKS: dict[str, list[dict[str, Any]]] = {
    "folds": [{"folds": lambda self: ()}, {"folds": lambda self: (1, 1)}],
    "examples": [{"splits": with_nan}],
    "leaks": [{"splits": unit_on_both_sides}, {"splits": sequence_on_both_sides}],
    "reproducible": [{"splits": other_each_time}, {"fingerprint": lambda self: str(id(self))}],
    "idempotent": [{"prepare": writes_again}],
    "specifications": [
        {"input_spec": lambda self, train: InputSpec(7)},
        {"input_spec": lambda self, train: InputSpec(2, mean=torch.zeros(3))},
        {"output_spec": lambda self, train: OutputSpec(0)},
    ],
    "loss": [{"loss": lambda self, p, t: (p - t).square().mean()}],
    "metrics": [
        {"metrics": lambda self: BatchMeans(self, "loss")},
        {"metrics": lambda self: SmallError(self, "loss")},
        {"metrics": lambda self: MeanLoss(self, "other")},
    ],
    "groups": [
        {"metrics": lambda self, made=made: made(self, "loss")}
        for made in (EqualSizes, OneGroupTooMany, OtherDraws, TooManyCases)
    ],
    "augmentation": [
        {"augment": lambda self, e, g: Example(torch.rand_like(e.values), e.targets)},
        {"augment": lambda self, e, g: Example(e.values.mul_(0.5), e.targets)},
    ],
    "baselines": [
        {"baselines": lambda self, splits: {}},
        {"baselines": lambda self, splits: {"zero": [e.values / 0 for e in splits.test]}},
    ],
    "damaged data": [
        # It believes whatever it can read, or fails with what NumPy says.
        {"is_sound": lambda self, path: path.exists()},
    ],
    "documentation": [
        {"licence": ""},
        {"citation": " "},
        {"metric_help": {}},
        {"sizes": {}},
        {"smallest_difference": (0.0, "why")},
        {"smallest_difference": (0.1, " ")},
    ],
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("check", "number"),
    [(name, at) for name, bugs in PLANTED_TASKS.items() for at in range(len(bugs))],
)
def test_a_planted_bug_of_a_task_is_caught(data: Path, check: str, number: int) -> None:
    task = type("Broken", (Honest,), {"__doc__": "Broken.", **PLANTED_TASKS[check][number]})
    found = outcome(check, TASK_CHECKS, TaskSubject(task(), None, data))
    assert "broken" == found.status
    assert found.seen
    assert found.expected


def test_an_honest_task_passes_every_check(data: Path) -> None:
    """What is not looked at is that its configuration fits, for it has no name."""
    found = {
        item.check: item for item in run_checks(TASK_CHECKS, TaskSubject(Honest(), None, data))
    }
    assert {"configuration"} == {name for name, item in found.items() if item.status == "skipped"}
    assert {"kept", "skipped"} == {item.status for item in found.values()}, found


def test_every_check_has_its_bug() -> None:
    """As for models: a check without a bug would prove nothing."""
    assert {check.name for check in TASK_CHECKS} == {*PLANTED_TASKS, "configuration"}
