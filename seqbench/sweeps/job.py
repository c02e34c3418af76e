"""One trial of a sweep, run in any process that a launcher chooses; it reports its outcome."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seqbench.config import searchpath
from seqbench.config.settings import Rerun, Settings
from seqbench.errors import TRACEBACK, Busy, Refused, SeqbenchError, TrialFailed, is_interrupt
from seqbench.records import MetricInfo, Status, is_of_machine, left_out_lines
from seqbench.registry import plugins
from seqbench.sweeps.plan import state_of


@dataclass(frozen=True)
class Outcome:
    """How a trial of a sweep ended.

    Args:
        status: the record's status; ``REFUSED`` if the trial could not be started; ``ELSEWHERE`` if
            another process is running it or has finished it meanwhile.
        reason: why it has no result, in one line.
        metric: the primary metric; None without a result.
        score: the primary metric on test.
        monitor: value of the monitor on validation, at the selected epoch.
        run_id: identifier of its run; empty without a run.
        seconds: wall time from start to end.
        left_out: what of a user's own data was not used, and why.
        died: whether the process died, so that the store still lists its run as running.
    """

    status: Status | Literal["REFUSED", "ELSEWHERE"]
    reason: str = ""
    metric: MetricInfo | None = None
    score: float = math.nan
    monitor: float = math.nan
    run_id: str = ""
    seconds: float = 0.0
    left_out: str = ""
    died: bool = False


@dataclass(frozen=True)
class Surroundings:
    """The state of a process that decides what a command's words mean.

    Args:
        folder: the working directory.
        plugin_files: files given as ``+plugin=``.
        config_folders: folders given as ``--config-dir``.
    """

    folder: str = field(default_factory=os.getcwd)
    plugin_files: Sequence[str] = field(default_factory=plugins.plugin_files)
    config_folders: Sequence[str] = field(
        default_factory=lambda: [str(folder) for folder in searchpath.own_folders()]
    )

    def enter(self) -> None:
        """Apply the state to this process.

        Raises:
            Refused: a plugin's file cannot be used.
        """
        if os.path.isdir(self.folder):  # a cluster's node may have other folders
            os.chdir(self.folder)
        for path in self.plugin_files:
            plugins.add_plugin_file(path)
        for folder in self.config_folders:
            searchpath.add_folder(Path(folder))


@dataclass(frozen=True)
class Job:
    """A trial as a launcher passes it to a worker, with its configuration already composed.

    Args:
        settings: settings of the trial.
        around: state of the process that runs the sweep.
        rerun: whether to run the trial even if it has finished meanwhile.
        parts: of its identity, when it was planned.
    """

    settings: Settings
    around: Surroundings
    rerun: Rerun
    parts: Mapping[str, str] = field(default_factory=dict)


def work(job: Job) -> Outcome:
    """Run a trial in a worker process.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    try:
        job.around.enter()
    except Refused as refusal:
        return Outcome("REFUSED", str(refusal))
    return attempt(job.settings, job.rerun, job.parts)


def attempt(settings: Settings, rerun: Rerun, parts: Mapping[str, str] | None = None) -> Outcome:
    """Run a trial, unless another process has done so since the sweep was planned.

    Args:
        settings: of the trial.
        rerun: whether to run the trial even if it has finished meanwhile.
        parts: of its identity, when it was planned.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    began = time.perf_counter()
    try:
        if settings.tracking.parent and rerun != "always":
            with suppress(Refused):  # a store that fails now is no reason not to train
                now = state_of(settings)
                if now.state == "finished" and not now.runs(rerun):
                    return Outcome("ELSEWHERE", "finished by another process", run_id=now.run_id)
                if now.ended and not now.runs(rerun):
                    return Outcome(now.ended, now.reason, run_id=now.run_id)
        from seqbench.trials.run import run

        record = run(settings, parts)
    except Busy:
        return Outcome("ELSEWHERE", "another process runs it")
    except Refused as refusal:
        return Outcome("REFUSED", str(refusal))
    except TrialFailed as failure:
        _show(failure)
        return Outcome(failure.status, str(failure), seconds=time.perf_counter() - began)
    except SystemExit as stop:
        if is_interrupt(stop):
            raise KeyboardInterrupt from stop
        return Outcome("FAILED", f"the trial exited with code {stop.code}")
    except Exception as error:
        _show(error)
        prefix = "" if isinstance(error, SeqbenchError) else f"{type(error).__name__}: "
        return Outcome("KILLED" if is_of_machine(error) else "FAILED", f"{prefix}{error}")
    return Outcome(
        "FINISHED",
        metric=record.primary,
        score=record.metrics[f"test/{record.primary.name}"],
        monitor=record.metrics[f"valid/{record.monitor.name}"],
        run_id=record.run_id,
        seconds=time.perf_counter() - began,
        left_out="\n".join(left_out_lines(record.left_out)),
    )


def _show(error: BaseException) -> None:
    if os.environ.get(TRACEBACK) == "1":
        import traceback

        traceback.print_exception(error, file=sys.stderr)
