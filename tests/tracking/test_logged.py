"""What a report reads of runs whose files are damaged."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.records import TrialRecord
from seqbench.reporting.comparison import compare
from seqbench.reporting.rows import places_of
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial, logged_trials, trial_runs
from seqbench.tracking.store import Store
from seqbench.tracking.tags import CONFIGURATION
from seqbench.tracking.trials import stored_trials


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
        {"bootstrap_scores": "many"},
        {"bootstrap_scores": [1.0, None]},
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
        {"seed": 10**30},
        {"steps": 10**400},
        {"metrics": {"test/loss": 10**400}},
        {"history": [{"valid/loss": 10**400}]},
        {"history": [{"valid/loss": []}]},
        {"primary": {"name": ["loss"], "direction": "min"}},
        {"primary": {"name": "loss", "direction": "sideways"}},
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
    assert "record.json is damaged: " in logged.gap
    assert ("music", 3, 0.25) == (
        logged.record.task,
        logged.record.seed,
        logged.record.metrics["test/loss"],
    )
    assert [run.run_id] == list(places_of(compare(make_trials([logged]))))


@pytest.mark.parametrize("field", ["extra", "metrics"])
def test_a_record_that_is_nested_too_deeply(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord], field: str
) -> None:
    run = store.start(a_record(), {"task": {}}, {CONFIGURATION: "c"})
    run.finish(a_record(metrics={"test/loss": 0.25}))
    file = folder / "artifacts" / run.run_id / "artifacts" / "record.json"
    file.write_text(f'{{"{field}": {"[" * 100_000}{"]" * 100_000}}}')
    logged = read(folder, run.run_id)
    assert "record.json is damaged: it is nested too deeply" in logged.gap
    assert 0.25 == logged.record.metrics["test/loss"]


@pytest.mark.parametrize(
    "tags",
    [
        {"seqbench.parts": "null"},
        {"seqbench.parts": "[1]"},
        {"seqbench.parts": '"text"'},
        {"seqbench.seed": "²"},
        {"seqbench.seed": "9" * 40},
        {"seqbench.primary": "null"},
        {"seqbench.primary": '{"name": 1, "direction": "min"}'},
        {"seqbench.monitor": "[]"},
        {"seqbench.pid": ""},
        {"seqbench.status": "RUNNING", "seqbench.pid": "x"},
    ],
    ids=json.dumps,
)
def test_tags_of_wrong_types(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord], tags: dict[str, str]
) -> None:
    """Neither a report nor a sweep, which looks what is finished, ends with a traceback."""
    run = store.start(a_record(), {"task": {}}, {CONFIGURATION: "c"})
    run.finish(a_record(metrics={"test/loss": 0.25}))
    shutil.rmtree(folder / "artifacts" / run.run_id)
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        own = [run.run_id]
        connection.execute("UPDATE runs SET start_time = NULL WHERE run_uuid = ?", own)
        for name, value in tags.items():
            connection.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", [*own, name])
            connection.execute("INSERT INTO tags VALUES (?, ?, ?)", [name, value, run.run_id])
        connection.commit()
    logged = read(folder, run.run_id)
    (table,) = compare(make_trials([logged]))
    assert 1 == len(table.trials)
    found = {trial.run_id for trial in stored_trials(TrackingSettings(uri=str(folder)))}
    assert run.run_id in found


def test_half_a_surrogate_pair_is_no_character(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord]
) -> None:
    """It could be written to no file."""
    run = store.start(a_record(), {"task": {}}, {CONFIGURATION: "c"})
    run.finish(a_record(metrics={"test/loss": 0.25}))
    file = folder / "artifacts" / run.run_id / "artifacts" / "record.json"
    found = {**json.loads(file.read_text()), "reason": "half \ud800, whole \U0001f600"}
    file.write_text(json.dumps(found))
    assert "half ?, whole \U0001f600" == read(folder, run.run_id).record.reason


def test_a_final_trial_of_a_tuning_that_was_killed(
    store: Store, folder: Path, a_record: Callable[..., TrialRecord]
) -> None:
    """It is no candidate: its configuration says what was spent on it, though no record does."""
    tracking = {"tuning": "20 candidates"}
    run = store.start(a_record(), {"task": {}, "tracking": tracking}, {CONFIGURATION: "c"})
    logged = read(folder, run.run_id)
    assert "20 candidates" == logged.record.tuning
    (trial,) = make_trials([dataclasses.replace(logged, parent="tuning")], ["tuning"])
    assert not trial.candidate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"task": 3}',
        "null",
        f'{{"task": {"[" * 100_000}',
        f'{{"task": {{"a": {"[" * 50}{"]" * 50}}}}}',
    ],
)
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
