"""One trial from its settings to its record: the command `seqbench task=... model=...`."""

from __future__ import annotations

import sys
import tempfile
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqbench import __version__
from seqbench.errors import Refused, SeqbenchError, TrialFailed
from seqbench.records import PROTOCOL_VERSION, MetricInfo, TrialRecord, trial_key
from seqbench.registry import Registration, registry
from seqbench.settings import Settings

if TYPE_CHECKING:
    from seqbench.api import Model, Task
    from seqbench.tracking.runlog import RunLog
    from seqbench.training.data import TrialData
    from seqbench.training.predictor import Predictor


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

    def data(self) -> TrialData:
        """Prepare the task's data and return them as batches."""
        from seqbench.training.data import TrialData

        recipe = self.settings.recipe
        self.task.prepare()
        return TrialData(self.task, recipe.batch_size, self.settings.seed, recipe.max_examples)

    def predictor(self, data: TrialData) -> Predictor:
        """Return the predictor with its initial weights, on the trial's device."""
        from seqbench.training.fit import build_predictor

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
    try:
        task = task_class(**settings.task_parameters)
    except ValueError as error:
        raise Refused(f"task={settings.task}: {error}") from error
    try:
        with torch.device("meta"):
            model_class(1, model_context(task.alignment), **settings.model_parameters)
    except ValueError as error:
        raise Refused(f"model={settings.model}: {error}") from error
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
    from seqbench.tracking.runlog import NullRun
    from seqbench.tracking.store import open_store

    trial = load(settings)
    data = trial.data()
    predictor = trial.predictor(data)
    record = new_record(trial, predictor)
    log: RunLog = NullRun()
    if settings.tracking.enabled:
        store = open_store(settings.tracking)
        log = store.start(record, settings.to_dict(), provenance(trial, record))
    about = {
        "key": record.key,
        "task": record.task,
        "model": record.model,
        "seed": record.seed,
        "run_id": log.run_id,
    }
    registry().notify("seqbench_run_started", trial=about)
    try:
        _fill(record, trial, data, predictor, log, about)
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
    print_result(record)
    return record


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
        context=predictor.context,
        monitor=MetricInfo(task.monitor.name, task.monitor.direction, task.monitor.unit),
        primary=MetricInfo(task.primary.name, task.primary.direction, task.primary.unit),
        parameters=predictor.parameter_count,
        environment=environment() | where,
    )


def provenance(trial: Trial, record: TrialRecord) -> dict[str, str]:
    """Return where a trial's code and data come from."""
    return {
        "seqbench.protocol": PROTOCOL_VERSION,
        "seqbench.task_origin": trial.task_registration.origin,
        "seqbench.task_version": trial.task.version,
        "seqbench.task_code": trial.task_registration.source().code_hash,
        "seqbench.model_origin": trial.model_registration.origin,
        "seqbench.model_code": trial.model_registration.source().code_hash,
        "seqbench.data": trial.task.fingerprint(),
    }


def _identity(trial: Trial) -> dict[str, Any]:
    """Return what decides a trial's result; where it is logged and what is shown do not."""
    import torch

    config = trial.settings.to_dict()
    del config["tracking"]
    del config["trainer"]["progress"]
    return {
        "config": config,
        "task": [trial.task.version, trial.task_registration.source().code_hash],
        "model": trial.model_registration.source().code_hash,
        "data": trial.task.fingerprint(),
        "protocol": PROTOCOL_VERSION,
        "seqbench": __version__,
        "torch": str(torch.__version__),
        "device": trial.device,
        "threads": torch.get_num_threads(),
    }


def _fill(
    record: TrialRecord,
    trial: Trial,
    data: TrialData,
    predictor: Predictor,
    log: RunLog,
    about: dict[str, object],
) -> None:
    """Compute baselines, train, test, and log, into the record."""
    from seqbench.reporting.curves import learning_curve
    from seqbench.training.backend import observe_backend
    from seqbench.training.fit import fit
    from seqbench.training.module import score

    def after_epoch(epoch: int, metrics: dict[str, float]) -> None:
        record.epochs = epoch + 1
        record.history.append(metrics)
        log.log_epoch(epoch, metrics)
        registry().notify("seqbench_epoch_ended", trial=about, epoch=epoch, metrics=metrics)

    settings = trial.settings
    with _status(f"baselines of {settings.task}", settings.trainer.progress):
        record.baselines = trial.task.baselines(data.splits)
    with tempfile.TemporaryDirectory(prefix="seqbench-") as folder:
        fitted = fit(
            trial.task,
            predictor,
            data,
            recipe=settings.recipe,
            trainer=settings.trainer,
            seed=settings.seed,
            title=f"{settings.task} {settings.model} seed={settings.seed}",
            folder=Path(folder),
            listener=after_epoch,
        )
        data.unseal()
        for split, batches in (("valid", data.valid()), ("test", data.test())):
            scores = score(predictor, trial.task, batches)
            record.metrics |= {f"{split}/{name}": value for name, value in scores.items()}
        record.best_epoch = fitted.best_epoch
        record.steps = fitted.steps
        record.steps_per_second = fitted.steps_per_second
        record.seconds = fitted.seconds
        record.backend = observe_backend(predictor, next(iter(data.valid())))
        record.status, record.reason = "FINISHED", ""
        log.log_artifact(fitted.checkpoint, "checkpoint")
        if log.run_id:
            picture = Path(folder) / "learning_curve.png"
            learning_curve(record, picture)
            log.log_artifact(picture)


def _status(text: str, shown: bool) -> Any:
    """Return a context that shows what is being waited for, on a terminal."""
    if not (shown and sys.stderr.isatty()):
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
