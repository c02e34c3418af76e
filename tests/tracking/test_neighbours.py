"""Several stores in one folder share it, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Busy
from seqbench.records import TrialRecord
from seqbench.tracking.address import locate
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import CONFIGURATION
from seqbench.tracking.trials import stored_trials
from seqbench.trials.attempt import workspace

Make = Callable[..., TrialRecord]

PLACES = [
    TrackingSettings(uri="sqlite:///exp.db"),
    TrackingSettings(uri="sqlite:///exp.db#2"),
    TrackingSettings(uri="sqlite:///b.sqlite"),
    TrackingSettings(uri="."),
    TrackingSettings(uri=".", experiment="another"),
]


def test_an_unfinished_trial_is_of_one_store_and_experiment(a_record: Make) -> None:
    """The same trial runs in each at once, and is gone on with where it was begun."""
    record = a_record(status="KILLED")
    folders = []
    for settings in PLACES:
        with workspace(record, open_store(settings)) as folder:
            (folder / "best.state").write_text(str(settings))
            folders.append(folder)
            for other in PLACES:
                if other is settings:
                    with pytest.raises(Busy), workspace(record, open_store(other)):
                        pass
                    continue
                with workspace(record, open_store(other)) as neighbour:
                    assert folder != neighbour
    assert len(PLACES) == len(set(folders))
    assert {Path("unfinished").absolute()} == {folder.parent for folder in folders}
    for settings, folder in zip(PLACES, folders, strict=True):
        with workspace(record, open_store(settings)) as again:
            assert folder == again
            assert str(settings) == (again / "best.state").read_text()
    with workspace(a_record(status="FINISHED"), open_store(PLACES[0])):
        pass
    assert [False, True, True, True, True] == [folder.exists() for folder in folders]


def test_each_finds_its_runs_with_their_files(a_record: Make, tmp_path: Path) -> None:
    """Also where another one was removed, or is a copy of it."""
    weights = tmp_path / "best.ckpt"
    ids = []
    for number, settings in enumerate(PLACES):
        weights.write_text(str(number))
        record = a_record(metrics={"test/nll": float(number)})
        run = open_store(settings).start(record, {"seed": number}, {CONFIGURATION: "c"})
        run.log_artifact(weights, "checkpoint")
        run.finish(record)
        ids.append(run.run_id)
    with closing(sqlite3.connect("exp.db")) as old, closing(sqlite3.connect("copy.db")) as new:
        old.backup(new)
    for name in ("exp.db", "exp.db-wal", "exp.db-shm"):
        Path(name).unlink(missing_ok=True)
    for number, settings in enumerate([TrackingSettings(uri="copy.db"), *PLACES[1:]]):
        assert [ids[number]] == [told.run_id for told in stored_trials(settings)]
        found = open_store(settings, create=False).find(ids[number])
        assert {"test/nll": float(number)} == found.record.metrics
        assert str(number) == found.checkpoint_path(0).read_text()
    assert [] == stored_trials(PLACES[0])


def test_what_tells_stores_apart() -> None:
    assert "exp.db#2" == locate("sqlite:///exp.db#2").name
    assert "mlflow.db" == locate(None).name
    assert "http://host:5000" == locate("http://me:secret@host:5000").name
