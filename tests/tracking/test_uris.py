"""Paths may hold any character: no address that is made of one means another file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbench.config.settings import TrackingSettings
from seqbench.config.uris import path_of, uri_of
from seqbench.records import TrialRecord
from seqbench.tracking import outbox
from seqbench.tracking.address import locate
from seqbench.tracking.logged import logged_trials, trial_runs
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import CONFIGURATION
from seqbench.tracking.trials import stored_trials

Make = Callable[..., TrialRecord]

PRINTABLE = "".join(chr(code) for code in range(32, 127) if chr(code) != "/")
ODD = [f"{PRINTABLE}é漢😀 ", "runs#2", "50%25", "what?mode=ro", "%2e%2e", "a b;c&d=e", "'\"`$HOME"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_an_address_leads_back_to_its_path(text: str) -> None:
    path = Path("/", text)
    for scheme in ("file", "sqlite"):
        uri = uri_of(path, scheme)
        assert path == path_of(uri)
        assert not set("#?; ") & set(uri)
    assert path.as_uri() == uri_of(path)


def test_only_files_have_a_path() -> None:
    """MLflow keeps plain paths too, as they are; bytes that are no text are a path as well."""
    assert Path("/a#b%20/c") == path_of("/a#b%20/c")
    assert path_of("s3://bucket/x") is None
    assert path_of("mlflow-artifacts:/1/x") is None
    assert Path("/a\udcff") == path_of(uri_of(Path("/a\udcff")))


def check(settings: TrackingSettings, run_id: str) -> None:
    """A run is read in every way, with its files."""
    (told,) = stored_trials(settings)
    (logged,) = logged_trials(settings, trial_runs(settings))
    assert run_id == told.run_id == logged.run_id
    assert ("FINISHED", "", {"seed": 3}) == (logged.status, logged.gap, logged.config)
    reader = open_store(settings, create=False)
    found = reader.find(run_id)
    assert b"weights" == found.files.path("checkpoint/best.ckpt").read_bytes()
    copied = Path(reader._client.download_artifacts(run_id, "record.json"))  # as MLflow's page
    assert found.record.to_json() == TrialRecord.from_json(copied.read_text()).to_json()


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("place", ["working directory", "folder", "file"])
def test_a_store_in_an_odd_place(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_record: Make
) -> None:
    """It is written, read and delivered to, and nothing is made elsewhere."""
    uri = {"working directory": None, "folder": f"./{name}", "file": f"sqlite:///{name}"}[place]
    here = tmp_path / name if place == "working directory" else tmp_path
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    settings = TrackingSettings(uri=uri)
    store = open_store(settings)
    record = a_record(metrics={"test/nll": 8.7})
    run = store.start(record, {"seed": 3}, {CONFIGURATION: "c"})
    weights = store.address.state / "best.ckpt"
    weights.write_bytes(b"weights")
    run.log_artifact(weights, "checkpoint")
    weights.unlink()
    run.finish(record)
    check(settings, run.run_id)
    waits = outbox.Outbox(store.address, run.run_id)
    waits.append({"op": "metrics", "values": {"late": 1.0}, "step": 0, "time": 1})
    waits.append({"op": "end", "status": "FINISHED", "time": 1})
    waits.release()
    assert [run.run_id] == outbox.deliver(store.address).runs
    assert 1.0 == store._client.get_run(run.run_id).data.metrics["late"]
    assert store.address == locate(store.address.written)
    made = {path.name for path in tmp_path.iterdir()}
    if place == "file":
        made -= {f"{name}.lock", f"{name}-wal", f"{name}-shm", "artifacts", "unlogged"}
    assert {name} == made


def test_two_names_are_two_stores(tmp_path: Path, a_record: Make) -> None:
    """``exp.db#2`` is not ``exp.db``, to no reader and to no writer."""
    run_ids = []
    for name in ("exp.db", "exp.db#2", "exp.db?2", "exp.db%232"):
        settings = TrackingSettings(uri=f"sqlite:///{name}")
        assert [] == stored_trials(settings)
        record = a_record()
        run = open_store(settings).start(record, {}, {CONFIGURATION: "c"})
        run.finish(record)
        run_ids.append(run.run_id)
        assert run_ids[-1:] == [told.run_id for told in stored_trials(settings)]
    assert 4 == len(set(run_ids))


def test_a_store_of_before_stays_readable(tmp_path: Path, a_record: Make) -> None:
    """Its addresses were plain paths; new runs of an experiment in it go where the others are."""
    settings = TrackingSettings(uri=str(tmp_path / "old#1"))
    made = open_store(settings)
    assert made.address.database is not None
    assert made.address.artifacts is not None
    with closing(sqlite3.connect(made.address.database)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ?", (str(made.address.artifacts),)
        )
    record = a_record()
    run = open_store(settings).start(record, {"seed": 3}, {CONFIGURATION: "c"})
    weights = tmp_path / "best.ckpt"
    weights.write_bytes(b"weights")
    run.log_artifact(weights, "checkpoint")
    run.finish(record)
    assert str(made.address.artifacts) in made._client.get_run(run.run_id).info.artifact_uri
    check(settings, run.run_id)


def test_a_store_that_was_copied_leaves_the_first_alone(
    tmp_path: Path, a_record: Make, copy_store: Callable[[Path, Path], Path]
) -> None:
    """Its new runs and their files are beside it, and so are the files of those before."""
    record = a_record()
    before = open_store(TrackingSettings(uri="one")).start(
        record, {"seed": 3}, {CONFIGURATION: "c"}
    )
    weights = tmp_path / "best.ckpt"
    weights.write_bytes(b"weights")
    before.log_artifact(weights, "checkpoint")
    before.finish(record)
    copy_store(Path("one"), Path("two #2"))
    files = sorted(Path("one").rglob("*"))
    settings = TrackingSettings(uri="two #2")
    check(settings, before.run_id)
    after = open_store(settings).start(record, {"seed": 3}, {})
    after.log_artifact(weights, "checkpoint")
    after.finish(record)
    assert files == sorted(Path("one").rglob("*"))
    assert b"weights" == open_store(settings).find(after.run_id).checkpoint_path(0).read_bytes()
    shutil.rmtree("one")
    check(settings, before.run_id)
