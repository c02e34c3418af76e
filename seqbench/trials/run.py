"""Running one trial: however it ends, it leaves a record that says so."""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench.config.settings import Settings
from seqbench.errors import Busy, Refused, SeqbenchError, TrialFailed, is_interrupt
from seqbench.records import TrialRecord, checkpoint_name
from seqbench.registry.plugins import registry
from seqbench.trials.distributed import Team, team
from seqbench.trials.outputs import make_outputs
from seqbench.trials.trial import Trial, check_plugin, load, new_record, provenance

if TYPE_CHECKING:
    from seqbench.tracking.runlog import RunLog
    from seqbench.tracking.store import Store
    from seqbench.training.data import TrialData
    from seqbench.training.fit import Fitted
    from seqbench.training.predictor import Predictor
    from seqbench.training.scoring import FoldScores


def run(settings: Settings) -> TrialRecord:
    """Train and test one trial, and log it.

    Returns:
        Its record, FINISHED.

    Raises:
        Busy: another process runs the same trial.
        Refused: it cannot be done; nothing was started.
        TrialFailed: it was started and failed; the reason is logged.
        KeyboardInterrupt: the user stopped it; that is logged.
    """
    from seqbench.tracking.store import open_store
    from seqbench.training.limits import memory_limit, out_of_memory, start_counting

    trial = load(settings)
    start_counting(settings.limits.gib, trial.device)
    try:
        with memory_limit(settings.limits.gib, trial.device):
            folds = trial.data()
            predictor = trial.predictor(folds[0])
            check_plugin(trial, folds[0])
    except Refused as refusal:
        cause = refusal.__cause__
        failed = out_of_memory(cause, settings.limits) if cause is not None else None
        raise failed or refusal from cause
    record = new_record(trial, predictor)
    store = open_store(settings.tracking) if settings.tracking.enabled else None
    with _workspace(record, store is not None) as folder:
        _run(record, trial, folds, store, folder)
    if record.status != "FINISHED":
        raise TrialFailed(record.reason)
    return record


@contextmanager
def _workspace(record: TrialRecord, is_kept: bool) -> Iterator[Path]:
    """Give the folder for a trial's checkpoints, which stays until the trial has finished.

    Args:
        record: of the trial; its key names the folder.
        is_kept: False gives a folder that does not outlive the trial.

    Raises:
        Busy: another process runs the same trial.
        Refused: the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    from seqbench.tracking.address import RUNS_FOLDER

    if not is_kept:
        with tempfile.TemporaryDirectory(prefix="seqbench-") as scratch:
            yield Path(scratch)
        return
    folder = Path.cwd() / RUNS_FOLDER / "unfinished" / record.key
    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise Busy("this very trial is being run by another process; wait for it") from error
    except OSError as error:
        raise Refused(f"cannot keep checkpoints in {folder}: {error.strerror}") from error
    try:
        yield folder
        if record.status == "FINISHED":
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def _run(
    record: TrialRecord,
    trial: Trial,
    folds: Sequence[TrialData],
    store: Store | None,
    folder: Path,
) -> None:
    """Train and test, and log whatever comes of it."""
    from seqbench.tracking.runlog import NullRun
    from seqbench.training.limits import memory_limit, out_of_memory

    log: RunLog = NullRun()
    limits = trial.settings.limits
    about: dict[str, object] = {}
    try:
        if store is not None:
            log = store.start(record, trial.settings.to_dict(), provenance(trial))
        about = {
            "key": record.key,
            "task": record.task,
            "model": record.model,
            "seed": record.seed,
            "run_id": log.run_id,
        }
        registry().notify("seqbench_run_started", trial=about)
        with memory_limit(limits.gib, trial.device):
            _fill(record, trial, folds, log, about, folder)
    except KeyboardInterrupt:
        record.status, record.reason = "KILLED", "interrupted"
        raise
    except TrialFailed as error:
        record.status, record.reason = error.status, str(error)
        raise
    except SeqbenchError as error:
        record.status, record.reason = "FAILED", str(error)
        raise
    except Exception as error:
        failed = out_of_memory(error, limits) or TrialFailed(_reason(error))
        record.status, record.reason = failed.status, str(failed)
        log.log_text(traceback.format_exc(), "traceback.txt")
        raise failed from error
    except SystemExit as stop:
        if is_interrupt(stop):
            record.reason = "interrupted"
            raise
        record.status, record.reason = "FAILED", f"something called sys.exit({stop.code})"
        raise TrialFailed(record.reason) from stop
    finally:
        log.finish(record)
        registry().notify(
            "seqbench_run_ended", trial=about, status=record.status, metrics=record.metrics
        )


def _fill(
    record: TrialRecord,
    trial: Trial,
    folds: Sequence[TrialData],
    log: RunLog,
    about: dict[str, object],
    folder: Path,
) -> None:
    """Compute baselines, train, test, and log, into the record."""
    from seqbench.training.backend import observe_backend
    from seqbench.training.costs import measure_costs
    from seqbench.training.scoring import FoldScores, model_rows

    settings, task = trial.settings, trial.task
    with _status(f"baselines of {settings.task}", settings.trainer.progress):
        baselines = trial.baselines(folds)
    valid, test = FoldScores(task, "folds"), FoldScores(task, task.pooling)
    train_seconds = 0.0
    with team(settings) as others:
        for data in folds:
            checkpoint = Path(folder, str(data.fold), checkpoint_name(record.folds, data.fold))
            predictor = trial.predictor(data)
            fitted = _fit(record, trial, data, predictor, checkpoint, log, about, others)
            data.unseal()
            valid.add(model_rows(predictor, data.valid()), len(data.splits.valid))
            test.add(model_rows(predictor, data.test()), len(data.splits.test))
            record.best_epochs.append(fitted.best_epoch)
            record.steps += fitted.steps
            record.seconds += fitted.seconds
            train_seconds += fitted.steps / fitted.steps_per_second
            log.log_artifact(checkpoint, "checkpoint")
    record.steps_per_second = record.steps / train_seconds
    record.metrics = fold_metrics(record.folds, test)
    record.metrics |= {f"valid/{name}": value for name, value in valid.compute().items()}
    compare(record, test, baselines)
    try:
        record.costs = measure_costs(
            task, trial.model_class, settings.model_parameters, predictor, folds[-1], trial.device
        )
    except Exception as error:  # the trial has its result; what it costs must not cost it
        sys.stderr.write(f"seqbench: no costs: {type(error).__name__}: {error}\n")
    record.status, record.reason = "FINISHED", ""
    try:
        record.backend = observe_backend(predictor, next(iter(folds[-1].valid())))
    except Exception as error:  # nor must what it ran on
        sys.stderr.write(f"seqbench: no back end: {type(error).__name__}: {error}\n")
    if log.location:
        make_outputs(trial, record, predictor, folds[-1], folder / "outputs", log)


def _fit(
    record: TrialRecord,
    trial: Trial,
    data: TrialData,
    predictor: Predictor,
    checkpoint: Path,
    log: RunLog,
    about: dict[str, object],
    others: Team,
) -> Fitted:
    """Train on one fold; epochs go into the record and the log as they end."""
    from seqbench.training.fit import fit

    several = len(record.folds) > 1

    def after_epoch(epoch: int, metrics: dict[str, float]) -> None:
        if several:
            metrics["fold"] = data.fold
        record.history.append(metrics)
        log.log_epoch(record.epochs, metrics)
        registry().notify("seqbench_epoch_ended", trial=about, epoch=record.epochs, metrics=metrics)
        record.epochs += 1

    settings = trial.settings
    number = f" fold {len(record.best_epochs) + 1}/{len(record.folds)}" if several else ""
    return fit(
        trial.task,
        predictor,
        data,
        recipe=settings.recipe,
        trainer=settings.trainer,
        seed=settings.seed,
        title=f"{settings.task} {settings.model} seed={settings.seed}{number}",
        checkpoint=checkpoint,
        listener=after_epoch,
        limits=settings.limits,
        spent=record.seconds,
        ranks=others.train(data.fold, checkpoint),
    )


def fold_metrics(folds: Sequence[int], test: FoldScores) -> dict[str, float]:
    """Return a model's test scores as a record keeps them: of all folds, and of each."""
    metrics = {f"test/{name}": value for name, value in test.compute().items()}
    if len(folds) > 1:
        for fold, scores in zip(folds, test.by_fold, strict=True):
            metrics |= {f"fold-{fold}/{name}": value for name, value in scores.items()}
    return metrics


def compare(record: TrialRecord, test: FoldScores, baselines: Mapping[str, FoldScores]) -> None:
    """Put the baselines' scores into a record, and how sure the model's and the differences are.

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
    drawn = test.bootstrap_scores.get(record.primary.name)
    if drawn is not None:
        record.bootstrap_scores = [float(f"{value:.7g}") for value in drawn.tolist()]
        record.group = test.group


def _reason(error: Exception) -> str:
    """Return an exception of a trial in one line."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk of {error.filename2 or error.filename or Path.cwd()}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _status(text: str, shown: bool) -> Any:
    """Return a context that shows what is being waited for, on a terminal."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
