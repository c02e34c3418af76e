"""What is kept of a trial however it ends: its folder, its log, and the reason."""

from __future__ import annotations

import errno
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.config.settings import Limits
from seqbench.errors import Busy, Refused, SeqbenchError, TrialFailed, is_interrupt
from seqbench.identity import digest
from seqbench.records import TrialRecord, is_of_machine
from seqbench.trials.trial import Trial, provenance
from seqbench.trials.undisturbed import notify

if TYPE_CHECKING:
    from seqbench.tracking.runlog import RunLog
    from seqbench.tracking.store import Store


@contextmanager
def workspace(record: TrialRecord, store: Store | None) -> Iterator[Path]:
    """Give the folder for a trial's checkpoints, which stays until the trial has finished.

    Args:
        record: of the trial; its key, its data and the harness name the folder, and so does where
            it is logged: no training goes on from a state that other data or other code have left,
            or that is another store's of the same folder.
        store: beside which it is kept; None gives a folder that does not outlive the trial.

    Raises:
        Busy: another process runs the same trial.
        Refused: the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    if store is None:
        with tempfile.TemporaryDirectory(prefix="seqbench-") as scratch:
            yield Path(scratch)
        return
    of = digest([record.data, record.harness, store.address.name, store.experiment])[:8]
    folder = store.address.state / "unfinished" / f"{record.key}-{of}"
    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise Busy("this very trial is being run by another process; wait for it") from error
    except OSError as error:
        raise Refused(
            f"cannot keep checkpoints in {folder.parent}: {error.strerror}; work in a folder that "
            "can be written, or use tracking=none"
        ) from error
    try:
        yield folder
        if record.status == "FINISHED":
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


@contextmanager
def attempt(record: TrialRecord, trial: Trial, store: Store | None) -> Iterator[RunLog]:
    """Start a trial's run, and end it as what is done inside ends: the record says how and why.

    Args:
        record: of the trial; what is done inside fills it and sets its status to FINISHED.
        trial: to be run; its limit of memory holds inside.
        store: where it is logged; None logs nowhere.

    Yields:
        The log of the run.

    Raises:
        TrialFailed: it failed; the reason is logged.
        KeyboardInterrupt: the user stopped it; that is logged.
    """
    from seqbench.tracking.runlog import NullRun
    from seqbench.training.limits import memory_limit, out_of_memory

    log: RunLog = NullRun()
    limits = trial.settings.limits
    about: dict[str, object] = {}
    try:
        if store is not None:
            log = store.start(record, trial.settings.to_dict(), provenance(trial))
        about = about_run(record, log)
        notify("seqbench_run_started", trial=about)
        with memory_limit(limits.gib, trial.device):
            yield log
    except KeyboardInterrupt:
        record.status, record.reason = "KILLED", "interrupted"
        raise
    except TrialFailed as error:
        failed = _with_way_on(error, limits, store)
        record.status, record.reason = failed.status, str(failed)
        raise failed from error
    except SeqbenchError as error:
        record.status = "KILLED" if is_of_machine(error) else "FAILED"
        record.reason = str(error)
        raise
    except Exception as error:
        failed = out_of_memory(error, limits) or failure(error)
        failed = _with_way_on(failed, limits, store)
        record.status, record.reason = failed.status, str(failed)
        log.log_text(traceback.format_exc(), "traceback.txt")
        raise failed from error
    except SystemExit as stop:
        if is_interrupt(stop):
            record.reason = "interrupted"
            raise
        record.status, record.reason = "FAILED", f"something called sys.exit({stop.code})"
        raise TrialFailed(record.reason) from stop
    finally:
        log.finish(record)
        notify("seqbench_run_ended", trial=about, status=record.status, metrics=record.metrics)
    if record.status != "FINISHED":  # what cannot be written down has failed, too
        raise TrialFailed(record.reason)


def _with_way_on(failed: TrialFailed, limits: Limits, store: Store | None) -> TrialFailed:
    """Return a failure that says how to go on, if a limit ended a trial whose state is kept."""
    key = {"TIMEOUT": "minutes", "OOM": "gib"}.get(failed.status, "")
    if store is None or not key or getattr(limits, key) is None:
        return failed
    text = f"{failed}; the same command with a larger limits.{key} goes on from its last checkpoint"
    return TrialFailed(text, failed.status)


def about_run(record: TrialRecord, log: RunLog) -> dict[str, object]:
    """Return what lifecycle hooks are told of a trial."""
    return {
        "key": record.key,
        "task": record.task,
        "model": record.model,
        "seed": record.seed,
        "run_id": log.run_id,
    }


def failure(error: Exception) -> TrialFailed:
    """Return an exception of a trial as its failure: the model's own, or KILLED by the machine."""
    return TrialFailed(_reason(error), "KILLED" if is_of_machine(error) else "FAILED")


def _reason(error: Exception) -> str:
    """Return an exception of a trial in one line."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk of {error.filename2 or error.filename or Path.cwd()}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
