"""One trial from its settings to its record: the command `seqbench task=... model=...`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench import __version__
from seqbench.codehash import harness_hash
from seqbench.errors import Refused, SeqbenchError, TrialFailed
from seqbench.identity import identity
from seqbench.records import (
    PROTOCOL_VERSION,
    MetricInfo,
    TrialRecord,
    checkpoint_name,
    trial_key,
)
from seqbench.registry import BUILT_IN, Registration, plugin_files, registry
from seqbench.settings import Settings
from seqbench.values import show

if TYPE_CHECKING:
    from seqbench.api import Model, Task
    from seqbench.tracking.runlog import RunLog
    from seqbench.tracking.store import Store
    from seqbench.training.data import TrialData
    from seqbench.training.fit import Fitted
    from seqbench.training.predictor import Predictor
    from seqbench.training.scoring import FoldScores


PROBE_SIZE = 840
"""Input size of a model that is built to check its parameters; divisible by 1 to 8, 10 and 12."""


@dataclass(frozen=True)
class Trial:
    """A trial whose task and model exist and accept their parameters.

    Args:
        settings: of the trial.
        task: constructed, not prepared.
        model_class: to be built by the harness.
        task_registration: where the task comes from.
        model_registration: where the model comes from.
        device: ``cpu`` or ``cuda``.
    """

    settings: Settings
    task: Task
    model_class: type[Model]
    task_registration: Registration
    model_registration: Registration
    device: str

    def data(self) -> list[TrialData]:
        """Prepare the task's data and return those of each fold as batches."""
        from seqbench.training.data import TrialData

        recipe, seed = self.settings.recipe, self.settings.seed
        with blame(self.task_registration, "its data"):
            self.task.prepare()
            folds = [
                TrialData(self.task, recipe.batch_size, seed, recipe.max_examples, fold)
                for fold in self.task.folds()
            ]
            self.task.fingerprint()
        return folds

    def baselines(self, folds: Sequence[TrialData]) -> dict[str, FoldScores]:
        """Return the scores of the task's baselines on the test splits of its folds."""
        from seqbench.training.scoring import score_baselines

        splits = [data.splits for data in folds]
        found = [self.task.baselines(split) for split in splits]
        return score_baselines(self.task, found, [split.test for split in splits])

    def predictor(self, data: TrialData) -> Predictor:
        """Return the predictor with its initial weights, on the trial's device."""
        from seqbench.training.fit import build_predictor

        with blame(self.model_registration, "its constructor"):
            return build_predictor(
                self.task,
                self.model_class,
                self.settings.model_parameters,
                data,
                self.settings.seed,
            ).to(self.device)


def load(settings: Settings) -> Trial:
    """Find a trial's task and model, and have both check their parameters.

    Raises:
        Refused: one is unknown or unusable, or refuses a parameter; or there is no such device.
    """
    import torch

    from seqbench.training.fit import set_up_device
    from seqbench.training.predictor import model_context

    task_registration = registry().get("task", settings.task)
    model_registration = registry().get("model", settings.model)
    task_class = task_registration.load()
    model_class = model_registration.load()
    with blame(task_registration, "its constructor"):
        task = task_class(**settings.task_parameters)
    try:
        # An impossible value is refused before data are fetched. Whatever else goes wrong without
        # storage and the real input size is for the real constructor to say.
        with torch.device("meta"):
            model_class(PROBE_SIZE, model_context(task.alignment), **settings.model_parameters)
    except ValueError as error:
        raise Refused(f"model={settings.model}: {error}") from error
    except Exception:
        pass
    device = set_up_device(settings.trainer)
    return Trial(settings, task, model_class, task_registration, model_registration, device)


def run(settings: Settings) -> TrialRecord:
    """Train and test one trial, log it, and print its result.

    Raises:
        Refused: it cannot be done; nothing was started.
        TrialFailed: it was started and failed; the reason is logged.
        KeyboardInterrupt: the user stopped it; that is logged.
    """
    from seqbench.reporting.terminal import print_result
    from seqbench.tracking.store import open_store

    trial = load(settings)
    folds = trial.data()
    predictor = trial.predictor(folds[0])
    check_plugin(trial, folds[0])
    record = new_record(trial, predictor)
    store = open_store(settings.tracking) if settings.tracking.enabled else None
    with _workspace(record, store is not None) as folder:
        _run(record, trial, folds, store, folder)
    print_result(record, kept=_words_to_keep(trial))
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
        Refused: another process runs the same trial, or the folder cannot be made.
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
        raise Refused("this very trial is being run by another process; wait for it") from error
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

    log: RunLog = NullRun()
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
        _fill(record, trial, folds, log, about, folder)
    except KeyboardInterrupt:
        record.status, record.reason = "KILLED", "interrupted"
        raise
    except SeqbenchError as error:
        record.status, record.reason = "FAILED", str(error)
        raise
    except Exception as error:
        record.status, record.reason = "FAILED", f"{type(error).__name__}: {error}"
        log.log_text(traceback.format_exc(), "traceback.txt")
        raise TrialFailed(record.reason) from error
    finally:
        log.finish(record)
        registry().notify(
            "seqbench_run_ended", trial=about, status=record.status, metrics=record.metrics
        )


def _words_to_keep(trial: Trial) -> list[str]:
    """Return what of a trial's command its comparison needs too: plugins, the task's parameters."""
    words = [f"+plugin={path}" for path in plugin_files()]
    chosen = trial.settings.task_parameters
    for parameter in trial.task_registration.source().parameters:
        value = chosen.get(parameter.name, parameter.default)
        if value != parameter.default:
            text = value if isinstance(value, str) else show(value)
            words.append(f"task.{parameter.name}={text}")
    return words


@contextmanager
def blame(registration: Registration, what: str) -> Iterator[None]:
    """Turn an exception of a task's or model's code into a refusal that names whose it is."""
    try:
        yield
    except SeqbenchError:
        raise
    except Exception as error:
        who = f"{registration.kind}={registration.name}"
        if isinstance(error, ValueError) and what == "its constructor":
            raise Refused(f"{who}: {error}") from error
        lines = str(error).splitlines() or [""]
        raise Refused(
            f"{who} ({registration.origin}): {what} failed: {type(error).__name__}: {lines[0]}"
        ) from error


def check_plugin(trial: Trial, data: TrialData) -> None:
    """Refuse a plugin's model whose predictions see what the task hides, on a few real sequences.

    Built-in models are proven by the project's own tests, over every task and depth.

    Raises:
        Refused: a prediction depends on what it must not see.
    """
    if trial.model_registration.origin == BUILT_IN:
        return
    from seqbench.testing import check_alignment, make_predictor, small_batch

    task, train = trial.task, data.splits.train
    try:
        predictor = make_predictor(
            trial.model_class,
            trial.settings.model_parameters,
            task.input_spec(train),
            task.output_spec(train),
            task.alignment,
        )
        check_alignment(predictor, small_batch(task, train).inputs, dependence=False)
    except AssertionError as error:
        origin = trial.model_registration.origin
        raise Refused(f"model={trial.settings.model} ({origin}) leaks: {error}") from error
    except Exception as error:
        sys.stderr.write(
            f"seqbench: model={trial.settings.model} could not be checked for leaks "
            f"in float64 on a CPU: {type(error).__name__}: {error}\n"
        )


def new_record(trial: Trial, predictor: Predictor) -> TrialRecord:
    """Return the record of a trial that is about to start: its identity and environment."""
    import torch

    from seqbench.tracking.environment import environment

    settings, task = trial.settings, trial.task
    where = {
        "device": trial.device if trial.device == "cpu" else torch.cuda.get_device_name(),
        "threads": str(torch.get_num_threads()),
        "precision": settings.trainer.precision,
    }
    return TrialRecord(
        key=trial_key(_identity(trial)),
        task=settings.task,
        model=settings.model,
        seed=settings.seed,
        status="KILLED",
        reason="ended without a result",
        max_examples=settings.recipe.max_examples,
        folds=list(task.folds()),
        context=predictor.context,
        monitor=MetricInfo(task.monitor.name, task.monitor.direction, task.monitor.unit),
        primary=MetricInfo(task.primary.name, task.primary.direction, task.primary.unit),
        parameters=predictor.parameter_count,
        environment=environment() | where,
    )


def provenance(trial: Trial) -> dict[str, str]:
    """Return which trial it is, and where its code and data come from."""
    from seqbench.tracking.store import CONFIGURATION, PARTS

    asked = identity(trial.settings)
    return {
        CONFIGURATION: asked.configuration,
        PARTS: json.dumps(asked.parts, sort_keys=True),
        "seqbench.protocol": PROTOCOL_VERSION,
        "seqbench.task_origin": trial.task_registration.origin,
        "seqbench.task_version": trial.task.version,
        "seqbench.task_code": trial.task_registration.code_hash,
        "seqbench.model_origin": trial.model_registration.origin,
        "seqbench.model_code": trial.model_registration.code_hash,
        "seqbench.data": trial.task.fingerprint(),
    }


def _identity(trial: Trial) -> dict[str, Any]:
    """Return what decides a trial's result.

    Where it is logged and what is shown do not; nor does the path of a task's ``source``, whose
    content the fingerprint of the data covers.
    """
    import torch

    config = trial.settings.to_dict()
    del config["tracking"]
    del config["trainer"]["progress"]
    config["trainer"]["threads"] = torch.get_num_threads()
    config["task"].pop("source", None)
    return {
        "config": config,
        "task": [trial.task.version, trial.task_registration.code_hash],
        "model": trial.model_registration.code_hash,
        "data": trial.task.fingerprint(),
        "protocol": PROTOCOL_VERSION,
        "seqbench": [__version__, harness_hash()],
        "lightning": version("lightning"),
        "torch": str(torch.__version__),
        "device": trial.device,
    }


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
    from seqbench.training.scoring import FoldScores, model_rows

    settings, task = trial.settings, trial.task
    with _status(f"baselines of {settings.task}", settings.trainer.progress):
        baselines = trial.baselines(folds)
    valid, test = FoldScores(task, "folds"), FoldScores(task, task.pooling)
    train_seconds = 0.0
    for data in folds:
        checkpoint = Path(folder, str(data.fold), checkpoint_name(record.folds, data.fold))
        predictor = trial.predictor(data)
        fitted = _fit(record, trial, data, predictor, checkpoint, log, about)
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
    record.status, record.reason = "FINISHED", ""
    try:
        record.backend = observe_backend(predictor, next(iter(folds[-1].valid())))
        if log.run_id:
            from seqbench.reporting.curves import learning_curve

            picture = Path(folder) / "learning_curve.png"
            learning_curve(record, picture)
            log.log_artifact(picture)
    except Exception as error:  # the trial has its result; a picture must not cost it
        sys.stderr.write(f"seqbench: no learning curve: {type(error).__name__}: {error}\n")


def _fit(
    record: TrialRecord,
    trial: Trial,
    data: TrialData,
    predictor: Predictor,
    checkpoint: Path,
    log: RunLog,
    about: dict[str, object],
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


def _status(text: str, shown: bool) -> Any:
    """Return a context that shows what is being waited for, on a terminal."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
