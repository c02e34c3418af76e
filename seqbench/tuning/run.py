"""Running a tuning: candidates as trials of a sweep, then each model's best on fresh seeds."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from seqbench.registry import registry
from seqbench.reporting.sweep import TrialResult
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.members import override_text
from seqbench.sweeps.plan import plan_members
from seqbench.sweeps.run import Ran, duration, results, run_plan
from seqbench.tuning.space import Tuning
from seqbench.tuning.study import Candidate, open_study, study_name


@dataclass(frozen=True)
class Tuned:
    """What the tuning of a model on a task found.

    Args:
        task: registered name.
        model: registered name.
        monitor: metric that candidates are judged by, on validation, and its direction.
        direction: ``min`` or ``max``.
        scores: of the candidates in order; NaN for one that failed.
        failures: why candidates failed.
        best: the best candidate; None if every one failed.
        importances: how much of the scores' variance each key explains; empty if unknown.
        budget: what was spent, in words.
        final: the best candidate's trials on fresh seeds.
    """

    task: str
    model: str
    monitor: str
    direction: str
    scores: list[float]
    failures: list[str]
    best: Candidate | None
    importances: dict[str, float]
    budget: str
    final: list[TrialResult] = field(default_factory=list)


def tune(tuning: Tuning, words: Sequence[str], launcher: TrialLauncher) -> list[Tuned]:
    """Draw and judge candidates, and train each model's best on fresh seeds.

    Args:
        tuning: what is asked for.
        words: of the command, which name it in the tracking store.
        launcher: where trials run.

    Returns:
        What was found, for each task and model.

    Raises:
        Refused: another process does the same tuning, or the store cannot be used.
        KeyboardInterrupt: the user stopped it.
    """
    found = [_tune(tuning, task, model, words, launcher) for task, model in tuning.studies]
    members, owners = [], []
    for number, tuned in enumerate(found):
        if tuned.best is not None:
            note = f"tracking.tuning={override_text(tuned.budget)}"
            for seed in tuning.settings.final_seeds:
                member = _member(tuning, tuned.task, tuned.model, tuned.best, seed)
                members.append([*member, note])
                owners.append(number)
    if members:
        _say(f"the best of each model on seeds {_listed(tuning.settings.final_seeds)}")
        ran = run_plan(plan_members(members), words, launcher)
        for number, result in zip(owners, results(ran), strict=True):
            found[number].final.append(result)
    return found


def _tune(
    tuning: Tuning, task: str, model: str, words: Sequence[str], launcher: TrialLauncher
) -> Tuned:
    """Judge the candidates of one model on one task."""
    metric = registry().get("task", task).load().monitor
    seeds = tuning.settings.seeds
    began = time.monotonic()
    with open_study(tuning, task, model, metric.direction) as study:
        before = len(study.scores())
        left = max(0, tuning.trials - before)
        known = f", {before} of them before" if before else ""
        _say(
            f"{task} {model}: {tuning.trials} candidates x {len(seeds)} seeds{known}; "
            f"{', '.join(study.space)}"
        )
        for key in sorted(tuning.own - study.space.keys()):
            _say(f"{model} has no {key}: it is left out")

        def evaluate(candidates: Sequence[Candidate]) -> list[float | str]:
            members = [
                _member(tuning, task, model, candidate, seed)
                for candidate in candidates
                for seed in seeds
            ]
            ran = run_plan(plan_members(members), words, launcher)
            return [
                _score(ran[start : start + len(seeds)]) for start in range(0, len(ran), len(seeds))
            ]

        # All seeds of a batch's candidates together fill the workers.
        study.run(tuning.trials, math.ceil(launcher.at_once / len(seeds)), evaluate)
        failures = study.failures()
        budget = (
            f"{len(study.scores())} candidates x seeds {_listed(seeds)}, "
            f"{tuning.settings.sampler} with seed {tuning.settings.sampler_seed}, study "
            f"{study_name(tuning, task, model)}"
        )
        if left:
            _say(f"{task} {model}: {left} candidates in {duration(time.monotonic() - began)}")
        return Tuned(
            task,
            model,
            metric.name,
            metric.direction,
            study.scores(),
            failures,
            study.best(),
            study.importances(),
            budget,
        )


def _member(tuning: Tuning, task: str, model: str, candidate: Candidate, seed: int) -> list[str]:
    """Return the overrides of a candidate's trial."""
    drawn = [f"{key}={override_text(value)}" for key, value in candidate.items()]
    return [f"task={task}", f"model={model}", *tuning.fixed, *drawn, f"seed={seed}"]


def _score(ran: Sequence[Ran]) -> float | str:
    """Return the mean validation score over seeds, or why there is none."""
    values = []
    for item in ran:
        done = item.outcome if item.outcome is not None else item.trial
        if math.isnan(done.monitor):
            return done.reason or "it has no validation score"
        values.append(done.monitor)
    return statistics.fmean(values)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _say(text: str) -> None:
    sys.stderr.write(f"seqbench: {text}\n")
