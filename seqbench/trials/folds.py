"""The folds of a trial's task, known before any trial is made of them."""

from __future__ import annotations

from seqbench.config.settings import Settings
from seqbench.registry.plugins import registry
from seqbench.trials.trial import blame, make_task


def folds_of(settings: Settings) -> tuple[int, ...]:
    """Return the folds of a trial's task, whose data are prepared for it.

    Raises:
        Refused: the task cannot be used, or its data cannot be had.
    """
    registration = registry().get("task", settings.task)
    task = make_task(settings, registration)
    with blame(registration, "its data"):
        task.prepare()
        return tuple(task.folds())
