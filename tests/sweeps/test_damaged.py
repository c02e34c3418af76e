"""A trial whose record cannot be read has no result: it is named, and trained again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.composition import compose, settings
from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.records import TrialRecord
from seqbench.registry.codehash import harness_hashes
from seqbench.sweeps.plan import plan
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import identity_tags

WORDS = ["experiment=smoke", "seed=0"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def finish() -> Path:
    """Log a trial that has finished, and return the file of its record."""
    asked = identity(settings(compose(WORDS)))
    record = TrialRecord("key", "music", "lstm", 0, metrics={"test/nll": 8.7})
    tags = identity_tags(asked.configuration, asked.parts, harness_hashes())
    run = open_store(TrackingSettings()).start(record, {"seed": 0}, tags)
    run.finish(record)
    return Path("seqbench-runs/artifacts", run.run_id, "artifacts/record.json").absolute()


def with_field(name: str, value: str) -> Callable[[Path], None]:
    """Give a field of a record another value, which is written as JSON."""

    def change(file: Path) -> None:
        found = {**json.loads(file.read_text()), name: "???"}
        file.write_text(json.dumps(found).replace('"???"', value))

    return change


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def no_seed(file: Path) -> None:
    found = json.loads(file.read_text())
    del found["seed"]
    file.write_text(json.dumps(found))


DEEP = f"{'[' * 100_000}{']' * 100_000}"
DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": truncate,
    "empty": lambda file: file.write_bytes(b"") and None,
    "binary": lambda file: file.write_bytes(bytes(range(256)) * 8) and None,
    "utf-16": lambda file: file.write_text(file.read_text(), encoding="utf-16") and None,
    "another document": lambda file: file.write_text("[1, 2]") and None,
    "a text": lambda file: file.write_text('"FINISHED"') and None,
    "a huge int": with_field("steps", "9" * 400),
    "an int of too many digits": with_field("steps", "9" * 5000),
    "a wrong type": with_field("metrics", "null"),
    "a wrong score": with_field("metrics", '{"test/nll": "low"}'),
    "a wrong fold": with_field("folds", '["a"]'),
    "a wrong interval": with_field("intervals", '{"test/nll": "ab"}'),
    "half an interval": with_field("intervals", '{"test/nll": [1]}'),
    "names without a fold": with_field("names", '{"0": {"inputs": []}}'),
    "deep": with_field("metrics", DEEP),
    "deep, all of it": lambda file: file.write_text(DEEP) and None,
    "a field less": no_seed,
    "missing": lambda file: file.unlink(),
    "all files missing": lambda file: shutil.rmtree(file.parents[1]),
    "a directory": a_directory,
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_record_is_no_result(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all that say how a trial stands none counts it as finished; the run is named."""
    file = finish()
    (before,) = plan(WORDS).trials
    assert "finished" == before.state
    DAMAGES[kind](file)
    (after,) = plan(WORDS).trials
    assert ("stale", before.run_id) == (after.state, after.run_id)
    assert after.reason.startswith("it has no result any more: ")
    assert "record.json" in after.reason
    assert after.runs("stale")
    assert not after.runs("failed")
    assert 0 == main(["plan", *WORDS])
    out = " ".join(capsys.readouterr().out.split())
    assert "1 trial: 1 stale; 1 to run" in out
    assert "it has no result any more: " in out
    with pytest.raises(Refused, match=rf"run {before.run_id[:8]}\b.* record\.json"):
        open_store(TrackingSettings(), create=False).find(before.run_id)


def test_another_run_of_the_trial_counts() -> None:
    """Whether it ran before or after the one whose record is damaged."""
    first, second = finish(), finish()
    truncate(second)
    assert ["finished"] == [item.state for item in plan(WORDS).trials]
    truncate(first)
    assert ["stale"] == [item.state for item in plan(WORDS).trials]
    finish()
    assert ["finished"] == [item.state for item in plan(WORDS).trials]


def test_unfinished_trials_have_no_record_to_lose() -> None:
    asked = identity(settings(compose(WORDS)))
    record = TrialRecord("key", "music", "lstm", 0, status="KILLED")
    tags = identity_tags(asked.configuration, asked.parts, harness_hashes())
    run = open_store(TrackingSettings()).start(record, {"seed": 0}, tags)
    run.finish(record)
    shutil.rmtree(Path("seqbench-runs/artifacts", run.run_id))
    assert ["unfinished"] == [item.state for item in plan(WORDS).trials]
