"""Running one trial, from its settings to its record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from seqbench.config.settings import Settings
from seqbench.errors import Refused, TrialFailed
from seqbench.records import TrialRecord, checkpoint_name
from seqbench.registry.registration import one_line
from seqbench.trials.attempt import about_run, attempt, workspace
from seqbench.trials.distributed import team
from seqbench.trials.leaks import audit_fold, check_plugin
from seqbench.trials.outputs import make_outputs
from seqbench.trials.trial import Trial, load, new_record
from seqbench.trials.undisturbed import in_folder, notify, undisturbed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqbench.api import GroupCounts
    from seqbench.tracking.runlog import RunLog
    from seqbench.training.data import TrialData
    from seqbench.training.fit import Fitted, Training
    from seqbench.training.predictor import Predictor
    from seqbench.training.scoring import FoldScores


def import_all(logs: bool) -> None:
    """Import what a trial needs, before its time begins.

    Args:
        logs: whether it is logged.
    """
    import seqbench.training.fit
    import seqbench.training.scoring  # noqa: F401

    if logs:
        from seqbench.tracking import mlflow_client

        mlflow_client.load()


@undisturbed()
def run(settings: Settings, planned: Mapping[str, str] | None = None) -> TrialRecord:
    """Train and test one trial, and log it; a candidate of a tuning is not tested.

    Args:
        settings: of the trial.
        planned: parts of the identity that the trial was planned with; None was not planned.

    Returns:
        Its record, FINISHED.

    Raises:
        Busy: another process runs the same trial.
        Refused: it cannot be done; nothing was started.
        TrialFailed: it was started and failed; the reason is logged.
        KeyboardInterrupt: the user stopped it; that is logged.
    """
    from seqbench.tracking.store import open_store
    from seqbench.training.backend import observe_backend
    from seqbench.training.costs import measure_costs
    from seqbench.training.data import groups_in
    from seqbench.training.fit import fit
    from seqbench.training.scoring import FoldScores, model_rows

    with in_folder():
        trial = load(settings)
        trial.expect(planned or {})
        folds, predictor = _prepare(trial)
    record = new_record(trial, predictor)
    store = open_store(settings.tracking) if settings.tracking.enabled else None
    with workspace(record, store) as folder, attempt(record, trial, store) as log:
        with in_folder(), _waiting(f"baselines of {record.task}", settings.trainer.progress):
            baselines = {}
            if not settings.candidate:
                baselines = trial.baselines(folds, predictor.context)
        valid = FoldScores(trial.task, "folds", trial.metrics)
        test = FoldScores(trial.task, trial.task.pooling, trial.metrics)
        sizes = []
        with team(settings, trial.identity.parts) as ranks:
            for data in folds:
                predictor = trial.predictor(data)
                sizes.append(predictor.parameter_count)
                training = _training(trial, data, predictor, record, folder, log)
                _count(record, fit(training, ranks(training)))
                valid.add(model_rows(predictor, data.valid()), len(data.splits.valid))
                if settings.candidate:
                    continue
                data.unseal()
                scored = list(model_rows(predictor, data.test()))
                test.add(scored, len(data.splits.test))
                audit_fold(trial, predictor, data, scored, record)
                log.log_artifact(training.checkpoint, "checkpoint")
        record.parameters = round(fmean(sizes))
        on_valid = {f"valid/{name}": value for name, value in valid.compute().items()}
        if settings.candidate:  # the rest of a trial is about the test, or about a model to keep
            record.metrics, record.status, record.reason = on_valid, "FINISHED", ""
            return record
        record.metrics = fold_metrics(record.folds, test) | on_valid
        compare(record, test, baselines, folds)
        record.train_groups = fmean(groups_in(data.splits.train) for data in folds)
        with _spared("costs"):
            record.costs = measure_costs(
                trial.task, trial.model_class, settings.of_fold(data.fold).model_parameters,
                predictor, data, trial.device,
            )  # fmt: skip
        with _spared("back end"):
            record.backend = observe_backend(predictor, next(iter(data.valid())))
        record.status, record.reason = "FINISHED", ""
        if store is not None:
            make_outputs(trial, record, predictor, data, folder / "outputs", log)
    return record


def _prepare(trial: Trial) -> tuple[list[TrialData], Predictor]:
    """Return the data of each fold, and the first fold's predictor, of a model that may be run.

    Raises:
        Refused: the task or the model cannot be used.
        TrialFailed: there is not memory enough.
    """
    from seqbench.training.limits import memory_limit, out_of_memory, start_counting

    limits = trial.settings.limits
    start_counting(limits.gib, trial.device)
    try:
        with memory_limit(limits.gib, trial.device):
            folds = trial.data()
            predictor = trial.predictor(folds[0])
            check_plugin(trial, folds[0])
    except Refused as refusal:
        cause = refusal.__cause__
        failed = out_of_memory(cause, limits) if cause is not None else None
        raise failed or refusal from cause
    return folds, predictor


def _training(
    trial: Trial,
    data: TrialData,
    predictor: Predictor,
    record: TrialRecord,
    folder: Path,
    log: RunLog,
) -> Training:
    """Return the training of a fold, whose epochs go into the record and the log as they end."""
    about, several = about_run(record, log), len(record.folds) > 1

    def after_epoch(epoch: int, metrics: dict[str, float]) -> None:
        if several:
            metrics["fold"] = data.fold
        record.history.append(metrics)
        log.log_epoch(record.epochs, metrics)
        notify("seqbench_epoch_ended", trial=about, epoch=record.epochs, metrics=metrics)
        record.epochs += 1

    checkpoint = Path(folder, str(data.fold), checkpoint_name(record.folds, data.fold))
    training = trial.training(data, predictor, checkpoint)
    number = f" fold {len(record.best_epochs) + 1}/{len(record.folds)}" if several else ""
    name = trial.names[data.fold].fold
    title = f"{training.title}{number}{f' ({name})' if several and name else ''}"
    return replace(training, title=title, listener=after_epoch, spent=record.seconds)


def _count(record: TrialRecord, fitted: Fitted) -> None:
    """Add a fold's training to the record."""
    rate = record.steps_per_second
    seconds = (record.steps / rate if rate else 0.0) + fitted.steps / fitted.steps_per_second
    record.best_epochs.append(fitted.best_epoch)
    record.steps += fitted.steps
    record.seconds += fitted.seconds
    record.steps_per_second = record.steps / seconds


def fold_metrics(folds: Sequence[int], test: FoldScores) -> dict[str, float]:
    """Return a model's test scores as a record keeps them: of all folds, and of each."""
    metrics = {f"test/{name}": value for name, value in test.compute().items()}
    if len(folds) > 1:
        for fold, scores in zip(folds, test.by_fold, strict=True):
            metrics |= {f"fold-{fold}/{name}": value for name, value in scores.items()}
    return metrics


def compare(
    record: TrialRecord,
    test: FoldScores,
    baselines: Mapping[str, FoldScores],
    folds: Sequence[TrialData],
) -> None:
    """Put the baselines' scores into a record, and how sure the model's and the differences are.

    Args:
        record: of the trial.
        test: the model's scores.
        baselines: those of the baselines, on the same data.
        folds: the data.

    Raises:
        TrialFailed: a baseline lacks the primary metric.
    """
    for name, scores in baselines.items():
        record.baselines[name] = {key: float(value) for key, value in scores.compute().items()}
        if record.primary.name not in record.baselines[name]:
            raise TrialFailed(f"task={record.task}: baseline {name} lacks {record.primary.name}")
        if found := test.intervals(scores):
            record.differences[name] = found
    record.intervals = test.intervals()
    name = record.primary.name
    drawn = test.bootstrap_scores.get(name)
    if drawn is not None:
        record.bootstrap_scores = _rounded(drawn)
        record.group = test.group
        record.baseline_bootstrap = {
            baseline: _rounded(scores.bootstrap_scores[name])
            for baseline, scores in baselines.items()
            if name in scores.bootstrap_scores
        }
        counts = test.group_counts(name) or _equal(record, folds)
        record.group_sizes, record.group_classes = list(counts.sizes), list(counts.classes)


def _rounded(scores: NDArray[np.float64]) -> list[float]:
    """Return bootstrap scores as a record keeps them, to seven digits."""
    return [float(f"{value:.7g}") for value in scores.tolist()]


def _equal(record: TrialRecord, folds: Sequence[TrialData]) -> GroupCounts:
    """Count the test data's groups as equal, where the metric set names no sizes; say so."""
    from seqbench.api import GroupCounts
    from seqbench.training.data import groups_in

    tests = [data.splits.test for data in folds]
    groups = sum(groups_in(examples) or len(examples) for examples in tests)
    sys.stderr.write(
        f"seqbench: task={record.task} does not say how much each {record.group or 'group'} of the "
        f"test data counts in {record.primary.name} (MetricSet.group_counts): taken to be equal\n"
    )
    return GroupCounts.of([1.0] * groups)


@contextmanager
def _spared(what: str) -> Iterator[None]:
    """Do without something that fails: the trial has its result, and this must not cost it."""
    try:
        yield
    except Exception as error:
        sys.stderr.write(f"seqbench: no {what}: {one_line(error)}\n")


def _waiting(text: str, shown: bool) -> Any:
    """Return a context that shows what is being waited for, on a terminal."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
