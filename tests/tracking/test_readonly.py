"""A store that cannot be written is read, and told from one that can."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import seqbench
from seqbench.cli import main
from seqbench.commands import doctor
from seqbench.config.machine import why_unwritable
from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused
from seqbench.records import TrialRecord
from seqbench.tracking import readonly
from seqbench.tracking.logged import logged_trials, trial_runs
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import CONFIGURATION
from seqbench.tracking.trials import stored_trials

Make = Callable[..., TrialRecord]
NOBODY = 65534

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions of POSIX")


@contextmanager
def unprivileged() -> Iterator[None]:
    """Take root's rights away, for which permissions would mean nothing."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def kept(a_record: Make) -> Iterator[Path]:
    """A folder with a store of one run, where everyone may read and nobody may write."""
    root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    root.chmod(0o755)
    folder = root / "kept"
    settings = TrackingSettings(uri=str(folder))
    record = a_record(metrics={"test/nll": 8.7})
    run = open_store(settings).start(record, {"seed": 3}, {CONFIGURATION: "c"})
    weights = root / "best.ckpt"
    weights.write_bytes(b"weights")
    run.log_artifact(weights, "checkpoint")
    run.finish(record)
    copy = root / "copy"
    copy.mkdir()
    with (
        closing(sqlite3.connect(folder / "mlflow.db")) as old,
        closing(sqlite3.connect(copy / "mlflow.db")) as new,
    ):
        old.backup(new)
    shutil.copytree(folder / "artifacts", copy / "artifacts")
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield copy
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(root)


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def check(folder: Path) -> None:
    """Everything that only reads finds the run with its files, and makes nothing."""
    settings = TrackingSettings(uri=str(folder))
    before = files(folder)
    with unprivileged():
        (told,) = stored_trials(settings)
        assert "" == told.damage
        (logged,) = logged_trials(settings, trial_runs(settings))
        assert ("", {"test/nll": 8.7}) == (logged.gap, logged.record.metrics)
        found = open_store(settings, create=False).find(told.run_id)
        assert b"weights" == found.checkpoint_path(0).read_bytes()
        assert [told.run_id] == list(seqbench.results(uri=str(folder))["run_id"])
        assert 0 == main(["plan", "experiment=smoke", f"tracking.uri={folder}"])
    assert before == files(folder)


def test_a_folder_that_is_read_only(kept: Path) -> None:
    check(kept)


def test_a_file_that_is_read_only(kept: Path) -> None:
    kept.chmod(0o777)
    check(kept)


def test_what_is_not_yet_in_the_file_is_read_too(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed leaves it beside; a copy is made anew when it has changed."""
    monkeypatch.setattr(readonly, "_copies", {})
    check(kept)
    (made,) = [copy for _, copy in readonly._copies.values()]
    kept.chmod(0o755)
    (kept / "mlflow.db").chmod(0o644)
    with closing(sqlite3.connect(kept / "mlflow.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE runs SET name = 'late'")
        connection.commit()
        for name in ("mlflow.db", "mlflow.db-wal"):
            shutil.copy(kept / name, kept / f"{name}.kept")
    for name in ("mlflow.db", "mlflow.db-wal"):
        (kept / f"{name}.kept").replace(kept / name)
        (kept / name).chmod(0o444)
    kept.chmod(0o555)
    check(kept)
    (again,) = [copy for _, copy in readonly._copies.values()]
    assert not made.exists()
    with closing(sqlite3.connect(again)) as connection:
        assert [("late",)] == connection.execute("SELECT name FROM runs").fetchall()


def test_what_writes_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, which names another place; the doctor says so before."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(kept))
    with unprivileged():
        with pytest.raises(Refused, match=r"mlflow\.db cannot be used: .*tracking\.uri=PATH"):
            open_store(TrackingSettings(uri=str(kept)))
        [found] = doctor.check_tracking()
    assert not found.ok
    assert "tracking.uri=PATH, or use tracking=none" in found.message


@pytest.mark.parametrize("name", ["", "artifacts", "unfinished"])
def test_the_doctor_looks_at_each_folder(
    kept: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database alone is not all that a run needs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(kept))
    kept.chmod(0o777)
    (kept / "mlflow.db").chmod(0o666)
    (kept / "unfinished").mkdir()
    for folder in (kept / "artifacts", kept / "unfinished"):
        folder.chmod(0o777)
    with unprivileged():
        [found] = doctor.check_tracking()
        assert found.ok, found.message
    (kept / name).chmod(0o555)
    with unprivileged():
        [found] = doctor.check_tracking()
    assert not found.ok
    assert "tracking.uri=PATH, or use tracking=none" in found.message


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder where root cannot write")
def test_the_doctor_tries_and_does_not_ask_for_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do everything, they say."""
    assert "" != why_unwritable(Path("/proc"))
    assert "" != why_unwritable(Path("/proc/new/folder"))
    monkeypatch.chdir("/proc")
    [found] = doctor.check_tracking()
    assert not found.ok
    assert "tracking.uri=PATH" in found.message
    monkeypatch.setenv("SEQBENCH_DATA", "/proc/data")
    [found] = doctor.check_data()
    assert not found.ok
    assert "set SEQBENCH_DATA to a folder that can be written" in found.message


def test_a_folder_that_takes_files_is_left_as_it_was(tmp_path: Path) -> None:
    assert "" == why_unwritable(tmp_path / "new" / "folder")
    assert [] == list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    assert "not a directory" == why_unwritable(tmp_path / "file" / "below")
