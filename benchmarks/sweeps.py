"""What a sweep costs beside its trials, and what a second worker brings. Wall seconds.

``python benchmarks/sweeps.py dispatch [TRIALS]`` runs smoke trials of the music task, one after the
other in one warm process, as a worker does, and prints where the time of a trial goes.

``python benchmarks/sweeps.py workers [REPEATS]`` runs the same sweep with one local worker and with
two, in turns, and prints trials per hour. Workers' start-up is left out: it is paid once.

Both say the load average: on a busy machine the numbers mean little.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

MOST_DISPATCH = 0.5  # seconds a trial, beside what it would take by itself
LEAST_SPEEDUP = 1.7  # of two workers on two cores
SMOKE = ["task=music", "experiment=smoke", "model=rnn", "model.hidden_size=4"]
LONGER = ["task=music", "model=lstm", "recipe.max_epochs=6", "recipe.max_examples=64"]

PARTS = {
    "plugins, folders": ["seqbench.sweeps.job.Surroundings.enter"],
    "look up whether it has finished": ["seqbench.sweeps.job.state_of"],
    "import, construct": ["seqbench.trials.run.load"],
    "data": ["seqbench.trials.trial.Trial.data"],
    "build the model": ["seqbench.trials.trial.Trial.predictor"],
    "record": ["seqbench.trials.run.new_record", "seqbench.trials.attempt.provenance"],
    "open the store": ["seqbench.tracking.store.open_store"],
    "start the run": ["seqbench.tracking.store.Store.start"],
    "log epochs": ["seqbench.tracking.tracked.TrackedRun.log_epoch"],
    "baselines": ["seqbench.trials.trial.Trial.baselines"],
    "train": ["seqbench.training.fit.fit"],
    "test": ["seqbench.training.scoring.FoldScores.add", "seqbench.trials.run.compare"],
    "keep weights, curve": [
        "seqbench.tracking.tracked.TrackedRun.log_artifact",
        "seqbench.reporting.curves.learning_curve",
        "seqbench.training.backend.observe_backend",
    ],
    "finish the run": ["seqbench.tracking.tracked.TrackedRun.finish"],
}
"""What a trial consists of, and the functions that do it."""
OWN = ("import, construct", "data", "build the model", "baselines", "train", "test")
"""What it would do without any sweep or tracking."""


class Clock:
    """Seconds spent in each part; of nested ones the inner counts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._open: list[list[Any]] = []

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time counted to a part."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._open.append([time.perf_counter(), 0.0])
            try:
                return function(*args, **kwargs)
            finally:
                began, inner = self._open.pop()
                took = time.perf_counter() - began
                self.seconds[part] += took - inner
                if self._open:
                    self._open[-1][1] += took

        return timed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what is called inside."""
        with ExitStack() as stack:
            for part, names in PARTS.items():
                for name in names:
                    patcher: Any = mock.patch(name)
                    original = patcher.get_original()[0]
                    patcher.new = self.wrap(part, original)
                    stack.enter_context(patcher)
            yield


def dispatch(trials: int) -> int:
    """Print where the time of a trial in a warm worker goes; 1 if too much is not the trial's."""
    from seqbench.sweeps import job
    from seqbench.sweeps.launchers import jobs
    from seqbench.sweeps.plan import plan_members
    from seqbench.tracking.store import open_store

    members = [[*SMOKE, f"seed={seed}"] for seed in range(trials + 1)]
    plan_members(members)
    began = time.perf_counter()
    planned = plan_members(members).trials
    plan_seconds = (time.perf_counter() - began) / len(members)
    settings = planned[0].settings
    assert settings is not None
    store = open_store(settings.tracking)
    parent = store.start_sweep("benchmark", "benchmark")
    clocks, whole = [], []
    for number, item in enumerate(jobs(planned, "stale")):
        tracking = replace(item.settings.tracking, parent=parent)
        nested = replace(item, settings=replace(item.settings, tracking=tracking))
        clock = Clock()
        began = time.perf_counter()
        with clock.watching():
            outcome = job.work(nested)
        if outcome.status != "FINISHED":
            raise SystemExit(f"{outcome.status}: {outcome.reason}")
        if number:  # the first pays the imports
            whole.append(time.perf_counter() - began)
            clocks.append(clock.seconds)
    median = {part: statistics.median(clock[part] for clock in clocks) for part in PARTS}
    total = statistics.median(whole)
    rows = {
        "plan": plan_seconds,
        **median,
        "all else": max(0.0, total - sum(median.values())),
    }
    for part, seconds in rows.items():
        print(f"{part:34} {1000 * seconds:7.0f} ms{'   the trial itself' if part in OWN else ''}")
    beside = sum(seconds for part, seconds in rows.items() if part not in OWN)
    print(f"{'a trial':34} {1000 * total:7.0f} ms, of {trials}, medians")
    print(f"{'beside the trial itself':34} {1000 * beside:7.0f} ms, at most {MOST_DISPATCH:g} s")
    return int(beside > MOST_DISPATCH)


def workers(repeats: int) -> int:
    """Print trials per hour of one and two workers; 1 if two are not worth enough."""
    from seqbench.sweeps.local import LocalLauncher
    from seqbench.sweeps.plan import plan_members

    seed, rates = 0, {1: [], 2: []}  # type: tuple[int, dict[int, list[float]]]
    for _ in range(repeats):
        for number in rates:
            members = [[*LONGER, f"seed={seed + index}"] for index in range(6 * number)]
            seed += len(members)
            ends = []
            for _, outcome in LocalLauncher(number).outcomes(plan_members(members).trials, "stale"):
                if outcome.status != "FINISHED":
                    raise SystemExit(f"{outcome.status}: {outcome.reason}")
                ends.append(time.perf_counter())
            # The first trial of each worker pays its start; those after it are counted.
            hours = (ends[-1] - ends[number - 1]) / 3600
            rates[number].append((len(ends) - number) / hours)
    medians = {number: statistics.median(found) for number, found in rates.items()}
    for number, rate in medians.items():
        print(f"{number} worker{'s' * (number > 1)}: {rate:6.0f} trials an hour")
    speedup = medians[2] / medians[1]
    print(f"two against one: {speedup:.2f}, at least {LEAST_SPEEDUP}")
    return int(speedup < LEAST_SPEEDUP)


def main() -> int:
    """Run one of the two benchmarks, in a folder that is removed."""
    benchmarks = {"dispatch": (dispatch, 20), "workers": (workers, 3)}
    if len(sys.argv) < 2 or sys.argv[1] not in benchmarks:
        raise SystemExit(__doc__)
    run, number = benchmarks[sys.argv[1]]
    if len(sys.argv) > 2:
        number = int(sys.argv[2])
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(Path(folder))
        code = run(number)
        os.chdir("/")
    print("load average", *(f"{load:.2f}" for load in os.getloadavg()), "cores", os.cpu_count())
    return code


if __name__ == "__main__":
    sys.exit(main())
