"""Running a tuning: candidates as trials of a sweep, then each model's best on fresh seeds."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from seqbench.config.overrides import override_text
from seqbench.errors import Refused
from seqbench.registry.plugins import registry
from seqbench.reporting.sweep import TrialResult
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.plan import plan_members
from seqbench.sweeps.run import Ran, results, run_plan, status
from seqbench.tracking.notes import note_tuning
from seqbench.tuning.space import Tuning, distribution_text
from seqbench.tuning.study import Candidate, CandidateResult, Study, drawn_candidates, open_study

_PAUSE = 5.0  # seconds between looks at trials that another process runs
_PATIENCE = 60.0  # seconds in all: a worker of a killed tuning ends within a few


@dataclass(frozen=True)
class Tuned:
    """What the tuning of a model on a task found.

    Args:
        study: its name.
        task: registered name.
        model: registered name.
        monitor: metric that candidates are judged by, on validation, and its direction.
        direction: ``min`` or ``max``.
        results: on the candidates, in order.
        best: the best candidate; None if every one failed.
        importances: how much of the scores' variance each key explains; empty if unknown.
        budget: what was spent, in words.
        final: the best candidate's trials on fresh seeds.
    """

    study: str
    task: str
    model: str
    monitor: str
    direction: str
    results: list[CandidateResult]
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
        Refused: another process does the same tuning, the store cannot be used, or no candidate of
            a model can be trained at all.
        KeyboardInterrupt: the user stopped it.
    """
    found = [_tune(tuning, task, model, words, launcher) for task, model in tuning.studies]
    members, owners = [], []
    for tuned in found:
        for seed in tuning.settings.final_seeds if tuned.best is not None else []:
            assert tuned.best is not None
            member = _member(tuning, tuned.task, tuned.model, tuned.best, seed)
            members.append([*member, f"tracking.tuning={override_text(tuned.budget)}"])
            owners.append(tuned)
    if members:
        _say(f"the best of each model on seeds {_listed(tuning.settings.final_seeds)}")
        ran = _run(members, words, launcher)
        # What the candidate is stands in a table of its own.
        for tuned, result in zip(owners, results(ran), strict=True):
            tuned.final.append(replace(result, changes=""))
        for item in ran:
            _note(item)
    return found


def known_members(tuning: Tuning) -> list[list[str]]:
    """Return the overrides of the trials of all candidates that were drawn so far."""
    return [
        _member(tuning, task, model, candidate, seed)
        for task, model in tuning.studies
        for candidate in drawn_candidates(tuning, task, model)
        for seed in tuning.settings.seeds
    ]


def _tune(
    tuning: Tuning, task: str, model: str, words: Sequence[str], launcher: TrialLauncher
) -> Tuned:
    """Judge the candidates of one model on one task."""
    metric = registry().get("task", task).load().monitor
    seeds = tuning.settings.seeds
    with open_study(tuning, task, model, metric.direction) as study:
        before = len(study.scores())
        known = f", {before} of them before" if before else ""
        _say(
            f"{task} {model}: {tuning.trials} candidates x {len(seeds)} seeds{known}; "
            f"{', '.join(study.space)}"
        )
        for key in sorted(tuning.space.keys() - study.space.keys()):
            _say(f"{model} has no {key.partition('.')[2]}: {key} is left out for it")

        def evaluate(batch: Mapping[int, Candidate]) -> list[CandidateResult]:
            for number, candidate in batch.items():
                _say(f"{task} {model} candidate {number + 1}/{tuning.trials}: {_shown(candidate)}")
            members = [
                _member(tuning, task, model, candidate, seed)
                for candidate in batch.values()
                for seed in seeds
            ]
            ran = _run(members, words, launcher, on_validation=True)
            each = [ran[at : at + len(seeds)] for at in range(0, len(ran), len(seeds))]
            results = [_candidate_result(trials) for trials in each]
            for number, result in zip(batch, results, strict=True):
                said = f"{metric.name} {result.score:.4g} on validation"
                if math.isnan(result.score):
                    said = f"failed: {result.reason}"
                _say(f"{task} {model} candidate {number + 1}/{tuning.trials}: {said}")
            return results

        # All seeds of a batch's candidates together fill the workers.
        study.run(math.ceil(launcher.at_once / len(seeds)), evaluate)
        return Tuned(
            study=study.name,
            task=task,
            model=model,
            monitor=metric.name,
            direction=metric.direction,
            results=study.results(),
            best=study.best(),
            importances=study.importances(),
            budget=_budget(tuning, study),
        )


def _run(
    members: Sequence[list[str]],
    words: Sequence[str],
    launcher: TrialLauncher,
    on_validation: bool = False,
) -> list[Ran]:
    """Run trials until each has ended, also those that another process runs just now.

    Raises:
        Refused: that process takes too long.
    """
    ran = _run_members(members, words, launcher, on_validation)
    until = time.monotonic() + _PATIENCE
    while left := [at for at, item in enumerate(ran) if status(item) in ("ELSEWHERE", "RUNNING")]:
        if time.monotonic() > until:
            raise Refused(
                f"{len(left)} trials of this tuning are being run by another process; "
                "start the same command again when that has ended"
            )
        time.sleep(_PAUSE)
        again = _run_members([members[at] for at in left], words, launcher, on_validation)
        for at, item in zip(left, again, strict=True):
            ran[at] = item
    return ran


def _run_members(
    members: Sequence[list[str]],
    words: Sequence[str],
    launcher: TrialLauncher,
    on_validation: bool,
) -> list[Ran]:
    """Run trials, and return one for each member: candidates may be alike."""
    found = plan_members(members)
    ran = run_plan(found, words, launcher, on_validation)
    return [ran[number] for number in found.members]


def _member(tuning: Tuning, task: str, model: str, candidate: Candidate, seed: int) -> list[str]:
    """Return the overrides of a candidate's trial."""
    drawn = [f"{key}={override_text(value)}" for key, value in candidate.items()]
    return [f"task={task}", f"model={model}", *tuning.fixed, *drawn, f"seed={seed}"]


def _note(item: Ran) -> None:
    """Let the record of a trial that had finished before tell this budget too."""
    settings = item.trial.settings
    if item.outcome is None and item.trial.state == "finished" and settings is not None:
        try:
            note_tuning(item.trial.run_id, settings.tracking)
        except Refused as refusal:  # what was found is told nevertheless
            _say(f"run {item.trial.run_id} does not tell of this tuning: {refusal}")


def _candidate_result(ran: Sequence[Ran]) -> CandidateResult:
    """Return the mean validation score over seeds, or why there is none."""
    done = [item.outcome or item.trial for item in ran]
    seconds = sum(item.seconds or 0.0 for item in done)
    for item in done:
        if not math.isfinite(item.monitor):
            refused = all(status(other) in ("REFUSED", "IMPOSSIBLE") for other in ran)
            reason = item.reason or f"its validation score is {item.monitor}"
            return CandidateResult(math.nan, reason, seconds, refused)
    return CandidateResult(statistics.fmean(item.monitor for item in done), seconds=seconds)


def _budget(tuning: Tuning, study: Study) -> str:
    """Return what the choice of a configuration has cost, as its record keeps it."""
    settings = tuning.settings
    space = " ".join(f"{key}={distribution_text(item)}" for key, item in study.space.items())
    return (
        f"{tuning.trials} candidates x seeds {_listed(settings.seeds)}, {settings.sampler} with "
        f"seed {settings.sampler_seed}, study {study.name}, space: {space}"
    )


def _shown(candidate: Candidate) -> str:
    return " ".join(f"{key}={override_text(value)}" for key, value in candidate.items())


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _say(text: str) -> None:
    sys.stderr.write(f"seqbench: {' '.join(text.split())}\n")
