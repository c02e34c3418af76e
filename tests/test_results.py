"""The results page is what its records say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from seqbench.records import MetricInfo, TrialRecord
from seqbench.registry import registry

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results() -> ModuleType:
    """The script that makes the page."""
    path = ROOT / "benchmarks" / "results.py"
    spec = importlib.util.spec_from_file_location("results", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_its_records_say(results: ModuleType) -> None:
    assert results.page(results.read()) == results.PAGE.read_text(encoding="utf-8")


def test_every_record_is_of_the_page(results: ModuleType) -> None:
    """No record is left over from another page, and every task and model of one exists."""
    found = set(results.by_trial(results.read()))
    assert found <= set(results.trials())
    assert {task.split()[0] for task, _, _ in found} <= set(registry().names("task"))
    assert {model for _, model, _ in found} <= set(registry().names("model"))


def records(model: str, scores: list[float], valid: float = 0.5, **more: object) -> list:
    return [
        TrialRecord(
            "k", "toy", model, seed, primary=MetricInfo("accuracy", "max"),
            monitor=MetricInfo("nll", "min"), context="all", baselines={"age": {"accuracy": 0.7}},
            metrics={"test/accuracy": score, "valid/nll": valid}, **more,
        )
        for seed, score in enumerate(scores)
    ]  # fmt: skip


def test_section_says_who_is_best_by_validation_and_who_beats_nothing(
    results: ModuleType,
) -> None:
    """The better one on test is not bold where validation prefers the other."""
    text = results.section("toy", [*records("a", [0.9, 0.8]), *records("b", [0.6, 0.7], 0.4)])
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0] for line in lines] == [
        "| a",
        "| age",
        "| **b** (not better than age)",
    ]
    assert "0.850 ± 0.071" in lines[0]


def test_trials_that_were_not_run_are_named(results: ModuleType) -> None:
    assert "bilstm seed 2, " in results.page([]).split("## Not run yet")[1]


def test_failed_trials_stand_on_the_page(results: ModuleType) -> None:
    failed = TrialRecord("", "toy", "c", 1, status="FAILED", reason="the loss became nan")
    text = results.section("toy", [*records("a", [0.9, 0.8]), failed])
    assert "c, seed 1: FAILED, the loss became nan" in text


def test_sign_flip_test(results: ModuleType) -> None:
    """Six differences of one sign give 2/64; one small one of the other sign gives 4/64."""
    scores = [0.6, 0.61, 0.62, 0.63, 0.64, 0.65]
    by_model = {"one": records("one", scores), "two": records("two", [0.5] * 6)}
    assert "p = 0.0312 (the smallest possible is 0.0312)" in results.paired(by_model, "one", "two")
    by_model["one"] = records("one", [0.499, *scores[1:]])
    assert "p = 0.0625" in results.paired(by_model, "one", "two")
