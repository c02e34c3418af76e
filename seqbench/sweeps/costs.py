"""After a sweep: what a step of the models costs, timed together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seqbench.config.overrides import override_text
from seqbench.config.settings import TrackingSettings
from seqbench.registry.registration import one_line
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.run import Ran


def time_models(ran: Sequence[Ran], launcher: TrialLauncher) -> None:
    """Time the models of each table that a sweep has added a model to, if that has two or more.

    It costs seconds, and no sweep its results: what fails is said in a line. Trials on a part of
    the data make no result, and those of a cluster ran on another machine; they are left out.

    Args:
        ran: the trials of the sweep.
        launcher: that ran them.
    """
    runs: dict[TrackingSettings, dict[str, str]] = {}
    for item in ran:
        settings, outcome = item.trial.settings, item.outcome
        if settings is None or outcome is None or outcome.status != "FINISHED":
            continue
        if outcome.run_id and settings.recipe.max_examples is None and launcher.is_here:
            runs.setdefault(settings.tracking, {})[outcome.run_id] = settings.task
    for tracking, task_of_run in runs.items():
        try:
            _time(tracking, task_of_run)
        except Exception as error:
            _say(f"no step was timed: {one_line(error)}; `seqbench costs` tries again")


def _time(tracking: TrackingSettings, task_of_run: dict[str, str]) -> None:
    """Time the tables of a store that have one of these runs, by identifier, and its task."""
    from seqbench.reporting.latency import latencies
    from seqbench.reporting.selection import Wanted, select
    from seqbench.trials.measuring import measure_table

    words = [f"tracking.experiment={override_text(tracking.experiment)}"]
    if tracking.uri is not None:
        words.append(f"tracking.uri={override_text(tracking.uri)}")
    wanted = Wanted({"task": sorted(set(task_of_run.values()))}, tracking=words)
    for table in select(wanted).tables:
        is_ours = any(trial.run_id in task_of_run for trial in table.trials)
        if is_ours and len(table.able) > 1 and len(latencies(table)) < len(table.able):
            _say(f"timing a step of {len(table.able)} models of {table.name}")
            measure_table(table, tracking, _say)


def _say(text: str) -> None:
    sys.stderr.write(f"seqbench: {text}\n")
