"""Trials as a report has them: small, and with what makes two of them comparable.

The **conditions** are what a fair comparison must share, a **variant** is what is compared: a
model with its parameters and recipe. See :func:`seqbench.identity.conditions_and_variant`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqbench.config.titles import called, said_by
from seqbench.identity import conditions_and_variant, conditions_over_splits, flat, is_shared
from seqbench.records import LeftOut, MetricInfo, is_own_failure
from seqbench.tracking.address import SHORT
from seqbench.tracking.logged import LoggedTrial
from seqbench.tracking.measured import Measured
from seqbench.tracking.tags import PARTS, PLAN, SOURCE, TITLE, mapping_in, schema_in

Config = Mapping[str, Any]
Defaults = Mapping[tuple[str, str], Mapping[str, object]]
"""What a task and a model are composed to with nothing changed, flat, by their names."""

LARGEST = 1e150
"""A score from which on no mean and no variance is finite; it counts as infinite."""
_NEUTRAL = ("seed", "trainer.progress", "task.name", "model.name")


@dataclass(frozen=True)
class Curve:
    """The monitor on validation by epoch; over several folds their mean, each held at its end.

    Args:
        values: ``[E]``.
        steps: optimiser steps at the end of each epoch, of one fold, ``[E]``.
        seconds: time since training began, of one fold, ``[E]``.
    """

    values: NDArray[np.float32]
    steps: NDArray[np.float32]
    seconds: NDArray[np.float32]


@dataclass(frozen=True)
class ReportedTrial:
    """A run of a trial.

    Args:
        run_id: of the run.
        task: registered name.
        model: registered name.
        seed: of the trial.
        status: ``FINISHED``, or how else it stands.
        reason: why it has no score, in one line.
        began: in seconds since 1970.
        conditions: hash, see :mod:`seqbench.reporting.trials`.
        over_splits: hash of the conditions but for the split, see
            :func:`seqbench.identity.conditions_over_splits`.
        variant: hash of the model, its code, its parameters and its recipe.
        context: what predictions saw: ``past``, ``past+future`` or ``all``.
        metric: the primary one.
        monitor: the one that selects epochs.
        score: the primary metric on test; NaN without.
        valid: the monitor on validation; NaN without.
        scores: every metric on test, by name.
        baselines: the primary metric of the task's simple predictors.
        costs: parameters and other costs by name.
        group: what ``bootstrap_scores`` draw.
        bootstrap_scores: the score over other draws of the test data ``[R]``; empty without.
        group_sizes: how much each group of the test data counts.
        group_classes: groups with cases and groups without, of an AUROC; empty elsewhere.
        baseline_bootstrap: of each simple predictor, its scores over the same draws ``[R]``.
        train_groups: groups of the training data; 0 without groups.
        audit: what the audit of the trained model saw; empty where none was made.
        plan: the seeds that its sweep planned, as its tag has it; empty without.
        curve: of training; None without.
        backend: what ran the recurrence.
        tuning: how its configuration was found.
        environment: versions, device, git state.
        config: its configuration, flat, without the seed.
        origin: versions, hashes and the data's fingerprint, by name.
        parent: run of its sweep.
        candidate: whether it is a candidate of a tuning, which is not compared.
        is_smoke: whether it was trained on a part of the data, which makes no result.
        gap: what of it cannot be read.
        title: what a person calls its data.
        source: where the user's own data lay, as a whole path; empty for built-in ones.
        folds: the primary metric on test by the name of the fold, where there are several.
        left_out: what of the user's own data was not used, and why.
        measured: the time of a step, timed together with other models; None without.
    """

    run_id: str
    task: str
    model: str
    seed: int
    status: str
    reason: str
    began: float
    conditions: str
    over_splits: str
    variant: str
    context: str
    metric: MetricInfo
    monitor: MetricInfo
    score: float
    valid: float
    scores: Mapping[str, float]
    baselines: Mapping[str, float]
    costs: Mapping[str, float]
    group: str
    bootstrap_scores: NDArray[np.float32]
    group_sizes: tuple[float, ...]
    group_classes: tuple[int, ...]
    baseline_bootstrap: Mapping[str, NDArray[np.float32]]
    train_groups: float
    audit: str
    plan: str
    curve: Curve | None
    backend: str
    tuning: str
    environment: Mapping[str, str]
    config: Mapping[str, object]
    origin: Mapping[str, str]
    parent: str
    candidate: bool
    is_smoke: bool
    gap: str
    title: str
    source: str
    folds: Mapping[str, float]
    left_out: Sequence[LeftOut]
    measured: Measured | None = None

    @property
    def short(self) -> str:
        """The first digits of the run, by which a person names it."""
        return self.run_id[:SHORT]

    @property
    def uncommitted(self) -> str:
        """Which code had changes that are in no commit, of those whose git state is known."""
        changed = (key for key, state in self.environment.items() if "+changes" in state)
        names = (_CHECKOUTS[key] for key in changed if key in _CHECKOUTS)
        return ", ".join(sorted(names))

    @property
    def is_scored(self) -> bool:
        """Whether it has finished with a number that can be reckoned with."""
        return self.status == "FINISHED" and abs(self.score) < LARGEST

    @property
    def is_own_failure(self) -> bool:
        """Whether it has no score by its model's own fault, which is a result too."""
        if self.status == "FINISHED":  # a score that cannot be read any more may have been good
            return not self.is_scored and not self.gap
        return is_own_failure(self.status, self.reason)


def make_trials(logged: Iterable[LoggedTrial], tunings: Iterable[str] = ()) -> list[ReportedTrial]:
    """Return runs as a report has them; of a trial that ran several times one is kept.

    That is its latest run that has finished and can be read in full, or else its latest that has
    finished, or else its latest.

    Args:
        logged: runs, the latest first.
        tunings: runs of tunings, whose children without a budget are candidates.
    """
    known: dict[Any, Any] = {}  # equal configurations and environments are kept once
    chosen: dict[tuple[object, ...], ReportedTrial] = {}
    candidates_of = set(tunings)
    for item in logged:
        trial = _trial(item, item.parent in candidates_of, known)
        identity = (trial.task, trial.conditions, trial.variant, trial.seed, trial.candidate)
        before = chosen.get(identity)
        if before is None or _worth(trial) > _worth(before):
            chosen[identity] = trial
    return list(chosen.values())


def _worth(trial: ReportedTrial) -> tuple[bool, bool]:
    finished = trial.status == "FINISHED"
    return finished, finished and not trial.gap


def _trial(item: LoggedTrial, in_tuning: bool, known: dict[Any, Any]) -> ReportedTrial:
    record, tags = item.record, item.tags
    config = flat({key: value for key, value in item.config.items() if key in _SECTIONS})
    for key in _NEUTRAL:
        config.pop(key, None)
    if own := item.config.get(_BY_FOLD):
        config[_BY_FOLD] = own
    parts = {str(key): str(text) for key, text in mapping_in(tags.get(PARTS, "")).items()}
    origin = {name: tags.get(f"seqbench.{name}", "") for name in _ORIGINS}
    # What it was nobody knows if this cannot be read, so it is like no other.
    read = item.config if config else {"model": {"run": item.run_id}}
    conditions, variant = conditions_and_variant(
        record.task,
        record.model,
        read,
        parts,
        origin["data"],
        schema_in(tags),
    )
    environment = {str(key): str(value) for key, value in record.environment.items()}
    name = record.primary.name
    score = record.metrics.get(f"test/{name}", math.nan)
    reason = item.reason
    if item.status == "FINISHED" and not record.candidate and not abs(score) < LARGEST:
        reason = f"its score is {score}" if f"test/{name}" in record.metrics else "no score"
    costs = dict(record.costs)
    for cost in _COSTS:
        costs[cost] = float(getattr(record, cost))

    def once(value: Any) -> Any:
        return known.setdefault(json.dumps(value, sort_keys=True, default=str), value)

    def once_small(values: object) -> NDArray[np.float32]:
        found = _small(values)
        shared: NDArray[np.float32] = known.setdefault(found.tobytes(), found)
        return shared

    return ReportedTrial(
        run_id=item.run_id,
        task=record.task,
        model=record.model,
        seed=record.seed,
        status=item.status,
        reason=reason,
        began=item.began,
        conditions=conditions,
        over_splits=conditions_over_splits(record.task, read, parts, schema_in(tags)),
        variant=variant,
        context=record.context,
        metric=record.primary,
        monitor=record.monitor,
        score=score if item.status == "FINISHED" else math.nan,
        valid=record.metrics.get(f"valid/{record.monitor.name}", math.nan),
        scores={
            key.removeprefix("test/"): value
            for key, value in record.metrics.items()
            if key.startswith("test/")
        },
        baselines={key: scores.get(name, math.nan) for key, scores in record.baselines.items()},
        costs=costs,
        group=record.group,
        bootstrap_scores=_small(record.bootstrap_scores),
        group_sizes=once(tuple(map(float, record.group_sizes))),
        group_classes=tuple(map(int, record.group_classes)),
        baseline_bootstrap={
            baseline: once_small(drawn) for baseline, drawn in record.baseline_bootstrap.items()
        },
        train_groups=record.train_groups,
        audit=" ".join(record.audit.split()),
        plan=tags.get(PLAN, ""),
        curve=_curve(record.history, f"valid/{record.monitor.name}", record.steps),
        backend=record.backend,
        tuning=record.tuning,
        environment=once(environment),
        config=once(config),
        origin=once(parts | origin),
        parent=item.parent,
        candidate=record.candidate or (in_tuning and not record.tuning),
        is_smoke=(config.get("recipe.max_examples") or record.max_examples) is not None,
        gap=item.gap,
        title=record.title or tags.get(TITLE) or _called(record.task, item.config),
        source=tags.get(SOURCE) or str(config.get(SOURCE_KEY) or ""),
        folds={
            record.fold_name(fold): record.metrics[f"fold-{fold}/{name}"]
            for fold in record.folds
            if f"fold-{fold}/{name}" in record.metrics
        },
        left_out=known.setdefault(repr(record.left_out), record.left_out),
        measured=Measured.of(tags),
    )


SOURCE_KEY = "task.source"
"""Of a flat configuration: where the user's own data lay, as it was given."""
_COSTS = ("parameters", "frozen", "buffers", "epochs", "steps", "steps_per_second", "seconds")
_SECTIONS = ("task", "model", "recipe", "trainer")
_BY_FOLD = "by_fold"
_CHECKOUTS = {
    "git": "working directory",
    "git_seqbench": "seqbench",
    "git_task": "task",
    "git_model": "model",
}
_ORIGINS = ("data", "task_version", "task_origin", "model_origin")


def _called(task: str, config: Config) -> str:
    """Return what the data of a run are called that does not say it itself."""
    section, title = config.get("task"), config.get("title")
    parameters = section if isinstance(section, Mapping) else {}
    return called(task, parameters, title if isinstance(title, str) else "")


def task_parameters(trial: ReportedTrial) -> dict[str, object]:
    """Return the parameters of a trial's task, from its flat configuration."""
    return {
        key.removeprefix("task."): value
        for key, value in trial.config.items()
        if key.startswith("task.")
    }


def _curve(history: Any, key: str, steps: int) -> Curve | None:
    """Return what a record's history tells of the monitor; None if it tells nothing."""
    folds: dict[float, list[Mapping[str, float]]] = {}
    try:
        for epoch in history:
            folds.setdefault(epoch.get("fold", 0), []).append(epoch)
        longest = max(map(len, folds.values()), default=0)
        if not longest:
            return None
        values, seconds = (
            _small(
                [
                    [epoch.get(name, math.nan) for epoch in fold]
                    + [fold[-1].get(name, math.nan)] * (longest - len(fold))
                    for fold in folds.values()
                ]
            ).mean(axis=0)
            for name in (key, "seconds")
        )
    except (AttributeError, OverflowError, TypeError, ValueError):  # a damaged record
        return None
    each = steps / max(1, sum(map(len, folds.values())))
    return Curve(values, each * np.arange(1, longest + 1, dtype=np.float32), seconds)


def _small(values: object) -> NDArray[np.float32]:
    """Return numbers with half the bytes; what is too large for them is infinite, then unknown."""
    with np.errstate(over="ignore"):
        found = np.array(values, dtype=np.float32)
    found[~np.isfinite(found)] = np.nan
    return found


def by_pair(trials: Iterable[ReportedTrial]) -> dict[tuple[str, str], list[ReportedTrial]]:
    """Return trials by task and model."""
    found: dict[tuple[str, str], list[ReportedTrial]] = {}
    for trial in trials:
        found.setdefault((trial.task, trial.model), []).append(trial)
    return found


def changes_of(
    trial: ReportedTrial,
    defaults: Defaults,
    of_pair: Mapping[tuple[str, str], Sequence[ReportedTrial]],
    *,
    shared: bool,
) -> str:
    """Return what of a configuration was changed, as words of a command, but for a source.

    A table's name says that, and which part of it. Without defaults, for a plugin is no longer
    there, that is what differs between trials.
    """
    pair = trial.task, trial.model
    normal = defaults.get(pair)
    if normal is None:
        others = [other.config for other in of_pair[pair] if other.config]
        keys = {key for config in others for key in config}
        normal = {
            key: trial.config.get(key)
            for key in keys
            if len({str(config.get(key)) for config in others}) == 1
        }
    parts = said_by(trial.title, trial.task, task_parameters(trial))
    in_title = {SOURCE_KEY, *(f"task.{key}" for key in parts)}
    return " ".join(
        f"{key}={word(value)}"
        for key, value in sorted(trial.config.items())
        if key not in in_title
        and is_shared(key) == shared
        and (key not in normal or normal[key] != value)
    )


def word(value: object) -> str:
    """Return a value as a word of the command line has it."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{word(item)}' for key, item in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)
