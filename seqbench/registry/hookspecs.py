"""Every hook of seqbench, on one screen.

A plugin is a module (or any object) with functions of these names, marked with :data:`hookimpl`,
and named by an entry point in the group ``seqbench``. Keep it light at import: name heavy code in
an :class:`Entry`, and it is loaded when it is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from seqbench.api import FinishedTrial, FoldData, TrainedPredictor

hookspec = pluggy.HookspecMarker("seqbench")
hookimpl = pluggy.HookimplMarker("seqbench")


@dataclass(frozen=True)
class Entry:
    """One model, task, metric or callback that a plugin offers.

    Args:
        name: what the user selects: ``model=<name>`` or ``task=<name>``; or by what scores and
            records name a metric or a callback.
        target: where the class is, ``"package.module:Class"``; imported only when it is used.
        requires: top-level modules that the class needs beyond seqbench's own dependencies.
    """

    name: str
    target: str
    requires: tuple[str, ...] = ()


@hookspec
def seqbench_models() -> list[Entry]:  # type: ignore[empty-body]
    """Return the models that this plugin offers; each target subclasses ``seqbench.api.Model``."""


@hookspec
def seqbench_tasks() -> list[Entry]:  # type: ignore[empty-body]
    """Return the tasks that this plugin offers; each target subclasses ``seqbench.api.Task``."""


@hookspec
def seqbench_metrics() -> list[Entry]:  # type: ignore[empty-body]
    """Return further metrics, of every trial; each target subclasses ``seqbench.api.TaskMetrics``.

    Models and baselines are scored by them too, as ``test/<name>/<metric>``.
    """


@hookspec
def seqbench_callbacks() -> list[Entry]:  # type: ignore[empty-body]
    """Return callbacks of every training; each target subclasses ``lightning.pytorch.Callback``.

    It is made without arguments, anew for each fold. As it may change what is trained, its code is
    a part of the trial's identity.
    """


@hookspec
def seqbench_run_started(trial: Mapping[str, object]) -> None:
    """Hear that a trial starts; ``trial`` holds its key, task, model, seed and run id."""


@hookspec
def seqbench_epoch_ended(
    trial: Mapping[str, object], epoch: int, metrics: Mapping[str, float]
) -> None:
    """Hear an epoch's metrics (``train/...`` and ``valid/...``); epochs count from 0."""


@hookspec
def seqbench_run_ended(
    trial: Mapping[str, object], status: str, metrics: Mapping[str, float]
) -> None:
    """Hear a trial's status (see :data:`seqbench.records.Status`) and its final metrics."""


@hookspec
def seqbench_outputs(
    trial: FinishedTrial, predictor: TrainedPredictor, data: FoldData, folder: Path
) -> None:
    """Write files about a trial into an empty folder; they are kept with its run.

    Called once for each finished trial that is tracked, when it has been scored. A file keeps its
    name and its place in the folder; one that the run or an earlier output has already is left out.
    An output that raises costs a line on stderr and its own files, no more.

    Args:
        trial: its record, its configuration and its task, see ``seqbench.api.FinishedTrial``.
        predictor: on its device and in evaluation mode; where the task has several folds, that of
            the last one.
        data: of the same fold.
        folder: to write into.
    """
