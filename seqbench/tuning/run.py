"""Running a tuning: candidates as trials of a sweep, then each model's best on fresh seeds."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqbench.config.overrides import override_text
from seqbench.errors import Refused
from seqbench.registry.plugins import registry
from seqbench.reporting.budgets import Budget
from seqbench.reporting.sweep import TrialResult
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.plan import plan_members
from seqbench.sweeps.run import Ran, results, run_plan, status
from seqbench.tracking.notes import note_tuning
from seqbench.trials.folds import folds_of
from seqbench.tuning.recipes import Chosen, check_recipe, write_recipes
from seqbench.tuning.space import FOLD, Tuning, distribution_text
from seqbench.tuning.study import Candidate, CandidateResult, drawn_candidates, open_study

_PAUSE = 5.0  # seconds between looks at trials that another process runs
_PATIENCE = 60.0  # seconds in all: a worker of a killed tuning ends within a few


@dataclass(frozen=True)
class Tuned:
    """What the study of a model on a task, or on one fold of it, found.

    Args:
        study: its name.
        task: registered name.
        model: registered name.
        fold: that chose for itself; None: the task has one.
        monitor: metric that candidates are judged by, on validation, and its direction.
        direction: ``min`` or ``max``.
        results: on the candidates, in order.
        best: the best candidate; None if every one failed.
        importances: how much of the scores' variance each key explains; empty if unknown.
    """

    study: str
    task: str
    model: str
    fold: int | None
    monitor: str
    direction: str
    results: list[CandidateResult]
    best: Candidate | None
    importances: dict[str, float]


@dataclass(frozen=True)
class ModelChoice:
    """What was chosen for a model on a task.

    Args:
        task: registered name.
        model: registered name.
        budget: what was spent.
        studies: that chose: one, or one for each fold.
        final: trials of what was chosen, on fresh seeds; none if a study has no best candidate.
    """

    task: str
    model: str
    budget: Budget
    studies: list[Tuned]
    final: list[TrialResult] = field(default_factory=list)

    @property
    def is_made(self) -> bool:
        """Whether every study has a best candidate."""
        return all(item.best for item in self.studies)


def tune(tuning: Tuning, words: Sequence[str], launcher: TrialLauncher) -> list[ModelChoice]:
    """Draw and judge candidates, and train what was chosen for each model on fresh seeds.

    Candidates are not tested. On a task with folds each fold chooses for itself: what is a fold's
    test data is another's validation data, so one choice for all would know the test data.

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
    check_recipe(tuning)
    folds = {task: _folds(tuning, task) for task, _ in tuning.studies}
    found = []
    for task, model in tuning.studies:
        studies = [_tune(tuning, task, model, fold, words, launcher) for fold in folds[task]]
        found.append(ModelChoice(task, model, _budget(tuning, len(studies)), studies))
    members, owners = [], []
    for choice in found:
        for seed in tuning.settings.final_seeds if choice.is_made else []:
            budget = override_text(str(choice.budget))
            members.append([*_chosen(tuning, choice, seed), f"tracking.tuning={budget}"])
            owners.append(choice)
    if members:
        _say(f"what was chosen for each model on seeds {_listed(tuning.settings.final_seeds)}")
        ran = _run(members, words, launcher)
        # What the candidate is stands in a table of its own.
        for choice, result in zip(owners, results(ran), strict=True):
            choice.final.append(replace(result, changes=""))
        for item in ran:
            _note(item)
    return found


def write(tuning: Tuning, found: Sequence[ModelChoice]) -> list[Path]:
    """Write what was chosen as the recipe ``tune.save``; return the files of models, if any.

    Raises:
        Refused: a file cannot be written.
    """
    made = [choice for choice in found if choice.is_made]
    if tuning.settings.save is None or not made:
        return []
    seed = tuning.settings.final_seeds[0]
    return write_recipes(
        tuning,
        [
            Chosen(
                choice.task,
                choice.model,
                _chosen(tuning, choice, seed),
                [] if choice.studies[0].fold is not None else list(choice.studies[0].best or {}),
                str(choice.budget),
            )
            for choice in made
        ],
    )


def known_members(tuning: Tuning) -> list[list[str]]:
    """Return the overrides of the trials of all candidates that were drawn so far."""
    return [
        _member(tuning, task, model, candidate, seed, fold)
        for task, model in tuning.studies
        for fold, candidate in drawn_candidates(tuning, task, model)
        for seed in tuning.settings.seeds
    ]


def _folds(tuning: Tuning, task: str) -> Sequence[int | None]:
    """Return the folds that choose for themselves; a task with one fold has none.

    Raises:
        Refused: the data cannot be had, or folds cannot be taken one by one.
    """
    model = next(model for of_task, model in tuning.studies if of_task == task)
    found = folds_of(tuning.settings_of(task, model))
    if len(found) == 1:
        return [None]
    name = FOLD.removeprefix("task.")
    known = registry().get("task", task).source().parameters
    if name not in {parameter.name for parameter in known}:
        raise Refused(
            f"task={task} has {len(found)} folds and no parameter '{name}' that takes one of them: "
            "each fold must choose its candidate on its own validation data"
        )
    return found


def _tune(
    tuning: Tuning,
    task: str,
    model: str,
    fold: int | None,
    words: Sequence[str],
    launcher: TrialLauncher,
) -> Tuned:
    """Judge the candidates of one model on one task or fold."""
    metric = registry().get("task", task).load().monitor
    seeds = tuning.settings.seeds
    name = f"{task}{'' if fold is None else f' fold {fold}'} {model}"
    with open_study(tuning, task, model, metric.direction, fold) as study:
        before = len(study.scores())
        known = f", {before} of them before" if before else ""
        _say(
            f"{name}: {tuning.trials} candidates x {len(seeds)} seeds{known}; "
            f"{', '.join(study.space)}"
        )
        for key in sorted(tuning.space.keys() - study.space.keys()):
            _say(f"{model} has no {key.partition('.')[2]}: {key} is left out for it")

        def evaluate(batch: Mapping[int, Candidate]) -> list[CandidateResult]:
            for number, candidate in batch.items():
                _say(f"{name} candidate {number + 1}/{tuning.trials}: {_shown(candidate)}")
            members = [
                _member(tuning, task, model, candidate, seed, fold)
                for candidate in batch.values()
                for seed in seeds
            ]
            ran = _run(members, words, launcher, candidates=True)
            each = [ran[at : at + len(seeds)] for at in range(0, len(ran), len(seeds))]
            results = [_candidate_result(trials) for trials in each]
            for number, result in zip(batch, results, strict=True):
                said = f"{metric.name} {result.score:.4g} on validation"
                if math.isnan(result.score):
                    said = f"failed: {result.reason}"
                _say(f"{name} candidate {number + 1}/{tuning.trials}: {said}")
            return results

        # All seeds of a batch's candidates together fill the workers.
        study.run(math.ceil(launcher.at_once / len(seeds)), evaluate)
        return Tuned(
            study=study.name,
            task=task,
            model=model,
            fold=fold,
            monitor=metric.name,
            direction=metric.direction,
            results=study.results(),
            best=study.best(),
            importances=study.importances(),
        )


def _run(
    members: Sequence[list[str]],
    words: Sequence[str],
    launcher: TrialLauncher,
    candidates: bool = False,
) -> list[Ran]:
    """Run trials until each has ended, also those that another process runs just now.

    Raises:
        Refused: that process takes too long.
    """
    ran = _run_members(members, words, launcher, candidates)
    until = time.monotonic() + _PATIENCE
    while left := [at for at, item in enumerate(ran) if status(item) in ("ELSEWHERE", "RUNNING")]:
        if time.monotonic() > until:
            raise Refused(
                f"{len(left)} trials of this tuning are being run by another process; "
                "start the same command again when that has ended"
            )
        time.sleep(_PAUSE)
        again = _run_members([members[at] for at in left], words, launcher, candidates)
        for at, item in zip(left, again, strict=True):
            ran[at] = item
    return ran


def _run_members(
    members: Sequence[list[str]],
    words: Sequence[str],
    launcher: TrialLauncher,
    candidates: bool,
) -> list[Ran]:
    """Run trials, and return one for each member: candidates may be alike."""
    found = plan_members(members, candidates)
    ran = run_plan(found, words, launcher, candidates)
    return [ran[number] for number in found.members]


def _member(
    tuning: Tuning, task: str, model: str, candidate: Candidate, seed: int, fold: int | None
) -> list[str]:
    """Return the overrides of a candidate's trial."""
    drawn = [f"{key}={override_text(value)}" for key, value in candidate.items()]
    return [*tuning.common(task, model, fold), *drawn, f"seed={seed}"]


def _chosen(tuning: Tuning, choice: ModelChoice, seed: int) -> list[str]:
    """Return the overrides of a trial of what was chosen: of all folds, each with its own."""
    task, model, studies = choice.task, choice.model, choice.studies
    if studies[0].fold is None:
        return _member(tuning, task, model, studies[0].best or {}, seed, None)
    folds: dict[int, dict[str, dict[str, Any]]] = {}
    for item in studies:
        assert item.fold is not None
        for key, value in (item.best or {}).items():
            section, _, name = key.partition(".")
            folds.setdefault(item.fold, {}).setdefault(section, {})[name] = value
    return [*tuning.common(task, model), f"by_fold={override_text(folds)}", f"seed={seed}"]


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


def _budget(tuning: Tuning, studies: int) -> Budget:
    """Return what the choice for each model has cost, as records keep it."""
    settings = tuning.settings
    space = {key: distribution_text(item) for key, item in tuning.space.items()}
    return Budget.of(
        tuning.trials, settings.seeds, studies, settings.sampler, settings.sampler_seed, space
    )


def _shown(candidate: Candidate) -> str:
    return " ".join(f"{key}={override_text(value)}" for key, value in candidate.items())


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _say(text: str) -> None:
    sys.stderr.write(f"seqbench: {' '.join(text.split())}\n")
