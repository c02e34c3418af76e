"""The numbers of short trials over every task, model and back end are what they were."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from seqbench.registry.plugins import registry
from seqbench.registry.registration import BUILT_IN


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    """The script that runs and compares golden trials."""
    path = Path(__file__).with_name("trials.py")
    spec = importlib.util.spec_from_file_location("golden_trials", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_no_number_moves_without_a_new_protocol(golden: ModuleType) -> None:
    lines, how = golden.compare(golden.measure())
    assert [] == lines, "\n".join(lines)
    assert how.startswith("torch-")


def test_every_built_in_task_and_model_has_golden_numbers(golden: ModuleType) -> None:
    tasks = {item.target: item.name for item in registry().all("task") if item.origin == BUILT_IN}
    assert set(golden.TASKS) == set(tasks.values())
    models = {item.name for item in registry().all("model") if item.origin == BUILT_IN}
    assert {*golden.MODELS, "lstm"} == models
    known = json.loads(golden.table_path().read_text(encoding="utf-8"))["trials"]
    assert golden.trials().keys() == known.keys()


def test_a_moved_number_is_told(golden: ModuleType) -> None:
    """One bit is enough where the processor has AVX2; elsewhere a millionth."""
    table = json.loads(golden.table_path().read_text(encoding="utf-8"))["trials"]
    name = min(table)
    for factor, exact, moved in ((1 + 2**-52, True, 1), (1 + 2**-52, False, 0), (1.1, False, 1)):
        metrics = {key: value * factor for key, value in table[name]["metrics"].items()}
        found = table | {name: table[name] | {"metrics": metrics}}
        assert moved == len(golden.differences(table, found, exact))
    assert {name} == golden.differences(
        table, {k: table[k] for k in table if k != name}, True
    ).keys()
