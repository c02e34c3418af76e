"""What a report reads of runs whose files are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqbench.records import TrialRecord
from seqbench.reporting.comparison import compare
from seqbench.reporting.page import labels_of
from seqbench.reporting.trials import make_trials
from seqbench.settings import TrackingSettings
from seqbench.tracking.logged import LoggedTrial, logged_trials, trial_runs
from seqbench.tracking.store import CONFIGURATION, Store


def read(folder: Path, run_id: str) -> LoggedTrial:
    """Read one run as a report does."""
    settings = TrackingSettings(uri=str(folder))
    runs = [run for run in trial_runs(settings) if run.run_id == run_id]
    (logged,) = logged_trials(settings, runs)
    return logged


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "three"},
        {"metrics": None},
        {"metrics": {"test/loss": "low"}},
        {"environment": None},
        {"replicates": "many"},
        {"replicates": [1.0, None]},
        {"parameters": None},
        {"costs": [1]},
        {"baselines": {"chance": None}},
        {"baselines": {"chance": {"loss": {}}}},
        {"primary": "loss"},
        {"primary": {"title": "loss"}},
        {"task": 3},
        {"max_examples": "all"},
        {"history": 5},
        {"seconds": []},
    ],
    ids=lambda change: json.dumps(change),
)
def test_a_record_of_wrong_types_is_told_from_the_database(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord], change: dict[str, Any]
) -> None:
    """The run keeps its score, and says what cannot be read."""
    run = store.start(a_record(), {"task": {}}, {CONFIGURATION: "c"})
    run.finish(a_record(metrics={"test/loss": 0.25}))
    file = folder / "artifacts" / run.run_id / "artifacts" / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    logged = read(folder, run.run_id)
    assert "record.json: " in logged.gap
    assert ("music", 3, 0.25) == (
        logged.record.task,
        logged.record.seed,
        logged.record.metrics["test/loss"],
    )
    assert [run.run_id] == list(labels_of(compare(make_trials([logged]))))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"task": 3}', "null"])
def test_a_configuration_that_is_none(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord], text: str
) -> None:
    run = store.start(a_record(), {"task": {}}, {CONFIGURATION: "c"})
    run.finish(a_record(metrics={"test/loss": 0.25}))
    (folder / "artifacts" / run.run_id / "artifacts" / "config.json").write_text(text)
    logged = read(folder, run.run_id)
    assert "config.json" in logged.gap
    assert {} == logged.config
    assert [run.run_id] == [trial.run_id for trial in make_trials([logged])]
