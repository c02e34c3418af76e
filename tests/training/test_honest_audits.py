"""No honest model fails its audit: built-in ones on their tasks, as in ``benchmarks/audit.py``.

Daily: a task of each visibility. Nightly: every model on every task.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seqbench.registry.plugins import registry

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
TASKS = sorted({item.target: item.name for item in registry().all("task")}.values())
DAILY = {
    ("anomaly/watch", "gru"),
    ("health/pbc", "rnn"),
    ("health/pbc", "bilstm"),
    ("music", "lstm"),
    ("music", "bilstm"),
    ("music/harmonize", "attention_lstm"),
    ("speech/japanese_vowels", "peephole"),
}
PAIRS = [(task, model) for task in TASKS for model in registry().names("model")]


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import audit

        yield audit
        sys.modules.pop("audit", None)


def params() -> list[Any]:
    """Return each pair with a number, which draws its weights, sizes and fold."""
    return [
        pytest.param(*pair, number, marks=() if pair in DAILY else pytest.mark.nightly)
        for number, pair in enumerate(PAIRS)
    ]


@pytest.mark.parametrize(("task", "model", "number"), params())
def test_a_built_in_model_passes(benchmark: ModuleType, task: str, model: str, number: int) -> None:
    found, about = benchmark.one_audit(task, model, number)
    assert "passed" == str(found), about


def test_the_daily_pairs_are_pairs() -> None:
    assert set(PAIRS) >= DAILY
