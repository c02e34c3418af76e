"""Tunings as a report shows them: what a larger budget of candidates can be expected to bring."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from seqbench.reporting.drawing import Picture
from seqbench.reporting.pictures import budget_picture
from seqbench.reporting.text import slug
from seqbench.reporting.trials import ReportedTrial
from seqbench.reporting.tuning import expected_best

Candidates = dict[str, list[float]]
"""Validation score of each candidate, mean over its seeds, by model, in the order of drawing."""


def tuning_pictures(trials: Sequence[ReportedTrial]) -> list[tuple[str, Picture]]:
    """Return title and picture of each task that was tuned.

    A candidate's score is the mean of the monitor on validation over the seeds that have finished.

    Args:
        trials: of a store; candidates are known by the tuning that they belong to.
    """
    candidates = sorted((trial for trial in trials if trial.candidate), key=lambda one: one.began)
    folds: dict[tuple[str, str, str], set[str]] = {}
    for trial in candidates:
        folds.setdefault(_tuned(trial), set()).add(_fold(trial))
    found: dict[tuple[str, str, str, str], dict[str, dict[str, list[ReportedTrial]]]] = {}
    for trial in candidates:
        chose_for_itself = len(folds[_tuned(trial)]) > 1
        of_fold = f", fold {_fold(trial)}" if chose_for_itself else ""
        models = found.setdefault((*_tuned(trial), of_fold), {})
        models.setdefault(trial.model, {}).setdefault(trial.variant, []).append(trial)
    pictures = []
    for (parent, title, _, of_fold), models in found.items():
        task = f"{title}{of_fold}"
        scores = {
            model: [_score(group) for group in candidates.values()]
            for model, candidates in models.items()
        }
        monitor = next(iter(next(iter(models.values())).values()))[0].monitor
        curves = {
            model: expected_best(values, monitor.direction) for model, values in scores.items()
        }
        name = f"tuning-{parent[:8]}-{slug(task)}"
        pictures.append((f"Tuning of {task}", budget_picture(name, task, monitor, curves)))
    return pictures


def _tuned(trial: ReportedTrial) -> tuple[str, str, str]:
    return trial.parent, trial.title, trial.source


def _fold(trial: ReportedTrial) -> str:
    return str(trial.config.get("task.fold", "all"))


def _score(group: Sequence[ReportedTrial]) -> float:
    values = [trial.valid for trial in group if trial.status == "FINISHED"]
    return statistics.fmean(values) if values else float("nan")
