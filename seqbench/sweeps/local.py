"""Sweeps on worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from pebble import ProcessExpired, ProcessPool

from seqbench.config.machine import usable_cpus
from seqbench.config.settings import Rerun
from seqbench.sweeps.job import Job, Outcome, work
from seqbench.sweeps.launchers import TrialLauncher, count, jobs
from seqbench.sweeps.plan import Planned
from seqbench.tracking.mlflow_client import first_line

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_GRACE = 60.0  # seconds beyond limits.minutes until a worker that does not answer is killed


class LocalLauncher(TrialLauncher):
    """Worker processes on this machine; each imports torch once and computes with one thread.

    If a worker dies, only its current trial is lost, and a new worker replaces it. Workers end
    when the sweep ends, also if it is killed.

    Args:
        workers: number of workers; None for one per core.
    """

    def __init__(self, workers: int | None = None) -> None:
        super().__init__()
        self.at_once = count("hydra.launcher.workers", workers, usable_cpus())
        self._pool: Any = None
        self._size = 0

    def outcomes(self, trials: Sequence[Planned], rerun: Rerun) -> Iterator[tuple[int, Outcome]]:
        """Run trials in a pool of processes."""
        if self._size < min(self.at_once, len(trials)):
            self.close()
            self._size = min(self.at_once, len(trials))
        with _no_main_module():
            if self._pool is None:
                self._pool = ProcessPool(
                    self._size,
                    initializer=prepare_worker,
                    initargs=(os.getpid(), any(map(_is_logged, trials))),
                    context=multiprocessing.get_context("spawn"),
                )
            try:
                futures: dict[Future[Outcome], int] = {
                    self._pool.schedule(_work, [job], timeout=_timeout(trial)): number
                    for number, (job, trial) in enumerate(
                        zip(jobs(trials, rerun), trials, strict=True)
                    )
                }
                for future in as_completed(futures):
                    yield futures[future], _result(future)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
        self._size = 0


def _is_logged(trial: Planned) -> bool:
    return trial.settings is not None and trial.settings.tracking.enabled


def prepare_worker(parent: int, logs: bool) -> None:
    """Prepare a new worker process: one thread; it ends when told to, or when its parent dies.

    What trials need is imported, which on a busy machine can take longer than a trial may.

    Args:
        parent: number of the process that runs the sweep.
        logs: whether its trials are logged.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with suppress(Exception):  # the trial tells what is wrong
        from seqbench.trials.run import import_all

        import_all(logs)


_working = False


def _work(job: Job) -> Outcome:
    """Run a trial; a worker that was told to stop ends once the trial is logged as stopped."""
    global _working
    _working = True
    try:
        return work(job)
    except KeyboardInterrupt:
        os._exit(1)
    finally:
        _working = False


def _stop(number: int, _: types.FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    if not _working:
        os._exit(0)
    raise KeyboardInterrupt


def _end_with(parent: int) -> None:
    """Stop this process when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    os._exit(1)


def _result(future: Future[Outcome]) -> Outcome:
    """Return how a worker's trial ended, though the worker died with it."""
    try:
        return future.result()
    except ProcessExpired as error:
        code = int(error.exitcode or 0)
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", as the system does when memory runs out (limits.gib ends a trial before)"
        return Outcome("KILLED", f"its worker process {how}", died=True)
    except TimeoutError:
        return Outcome("TIMEOUT", "did not end at limits.minutes, and was killed", died=True)
    except BrokenProcessPool as error:
        return Outcome("KILLED", f"worker processes do not start: {first_line(error)}")
    except (KeyboardInterrupt, CancelledError) as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        return Outcome("KILLED", f"{type(error).__name__}: {first_line(error)}")


def _timeout(trial: Planned) -> float | None:
    """Return the seconds after which a worker that does not look at its limits is killed."""
    minutes = trial.settings.limits.minutes if trial.settings else None
    return None if minutes is None else 60 * minutes + _GRACE


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep new processes from running the user's script again, as ``spawn`` has them do."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before
