"""The log of one running trial in MLflow; training never fails because of it."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final, get_args

from seqbench.records import MetricInfo, Status, TrialRecord
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import RUNS_FOLDER, readable_path
from seqbench.tracking.mlflow_client import first_line
from seqbench.tracking.runlog import RunLog
from seqbench.tracking.signals import uninterrupted

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RECORD = "record.json"
"""File in which a run keeps its :class:`~seqbench.records.TrialRecord`."""
CONFIG = "config.json"
"""File in which a run keeps its resolved configuration."""

STATUS = "seqbench.status"
"""Tag that says how a trial ended in this project's words; MLflow has fewer."""
_STATUSES = {"TIMEOUT": "FAILED", "OOM": "FAILED"}

_logger = logging.getLogger(__name__)

# MLflow's limits for one call, and for one entry.
_METRICS_PER_CALL = 1000
_PARAMETERS_PER_CALL = 100
_PARAMETER_LENGTH = 6000
_TAG_LENGTH = 5000
_KEY_LENGTH = 250


@final
class TrackedRun(RunLog):
    """A run of MLflow; get one from :meth:`seqbench.tracking.store.Store.start`.

    When the store fails in mid-run, that is said once, and what comes after is kept in memory and,
    for files, in ``seqbench-runs/unlogged/<run>/``. :meth:`finish` tries again; where the store
    still fails, that folder keeps the record too.

    Args:
        client: MLflow's client of the store.
        run_id: of the run, which has started.
        location: of the run, for a person to read.
    """

    def __init__(self, client: MlflowClient, run_id: str, location: str) -> None:
        super().__init__(run_id, location)
        self._client = client
        self._spool = Path.cwd() / RUNS_FOLDER / "unlogged" / run_id
        self._failing = False
        self._pending: list[Callable[[], None]] = []

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics; keys as they are, steps are epochs."""
        now = int(time.time() * 1000)
        values, problems = _numbers(metrics)
        for problem in problems:
            _logger.warning("Epoch %d of this run: %s", epoch, problem)
        self._send(lambda: self._log_metrics(values, epoch, now))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's files."""
        if not path.is_file():
            _logger.warning("%s of this run is lost: there is no such file", path.name)
            return
        sent = self._try(lambda: self._client.log_artifact(self.run_id, str(path), folder))
        if not sent:
            self._keep(path, folder)

    def log_text(self, text: str, name: str) -> None:
        """Write a text as a file of the run."""
        self._send(lambda: self._client.log_text(self.run_id, text, name))

    def finish(self, record: TrialRecord) -> None:
        """Log scores, costs, environment and the record; end the run with the record's status.

        Metrics: ``test/<name>``; ``best/valid/<name>``, which is the selected epoch's, while
            ``valid/<name>`` is each epoch's; ``baseline/<baseline>/<name>``; ``cost/...``.
        Tags: ``environment.<name>``, and the reason of a run that did not finish.

        A record of which something cannot be written makes the run FAILED, and says so on the
        record. The run is ended whatever else fails, and signals do not cut that short.
        """
        record.run_id = self.run_id
        record.location = self.location
        with uninterrupted():
            result = _checked(record)
            if self._failing:
                self._failing = not self._catch_up()
            sent = self._try(lambda: self._log_result(result, record.best_epoch))
            if self._end(record.status) and sent:
                return
            self._spool_text(result.text, RECORD)
            _logger.warning(
                "The tracking store still fails; the result is kept in %s",
                readable_path(self._spool),
            )

    def _log_result(self, result: _Result, step: int) -> None:
        from mlflow.entities import RunTag

        self._client.log_text(self.run_id, result.text + "\n", RECORD)
        entries = [RunTag(_key(name), text[:_TAG_LENGTH]) for name, text in result.tags.items()]
        for start in range(0, len(entries), _PARAMETERS_PER_CALL):
            self._client.log_batch(self.run_id, tags=entries[start : start + _PARAMETERS_PER_CALL])
        self._log_metrics(result.metrics, step, int(time.time() * 1000))

    def _end(self, status: str) -> bool:
        """End the run, though the store failed before; return whether it took that."""
        try:
            with mlflow_client.quiet():
                self._client.set_terminated(self.run_id, _STATUSES.get(status, status))
        except Exception:
            return False
        return True

    def _log_metrics(self, metrics: Mapping[str, float], step: int, timestamp: int) -> None:
        from mlflow.entities import Metric

        entries = [Metric(_key(name), value, timestamp, step) for name, value in metrics.items()]
        for start in range(0, len(entries), _METRICS_PER_CALL):
            self._client.log_batch(self.run_id, entries[start : start + _METRICS_PER_CALL])

    def _send(self, action: Callable[[], None]) -> None:
        """Do it, or remember it for :meth:`finish`."""
        if not self._try(action):
            self._pending.append(action)

    def _try(self, action: Callable[[], None]) -> bool:
        """Return whether it was done; a failing store is left alone: each call may take seconds."""
        if self._failing:
            return False
        try:
            with mlflow_client.quiet():
                action()
        except Exception as error:
            self._failing = True
            _logger.warning(
                "The tracking store fails (%s); training goes on without it", first_line(error)
            )
        return not self._failing

    def _catch_up(self) -> bool:
        """Send what was kept; return whether the store took it all."""
        try:
            with mlflow_client.quiet():
                while self._pending:
                    self._pending[0]()
                    del self._pending[0]
                if self._spool.is_dir():
                    self._client.log_artifacts(self.run_id, str(self._spool))
                    shutil.rmtree(self._spool, ignore_errors=True)
        except Exception:
            return False
        _logger.warning("The tracking store works again; nothing was lost")
        return True

    def _keep(self, path: Path, folder: str | None) -> None:
        target = self._spool / (folder or "")
        try:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        except OSError as error:
            _logger.warning("%s of this run is lost: %s", path.name, error)

    def _spool_text(self, text: str, name: str) -> None:
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            (self._spool / name).write_text(text, encoding="utf-8")
        except OSError as error:
            _logger.warning("%s of this run is lost: %s", name, error)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested configuration as ``{"model.hidden_size": "64"}``; lists stay one value."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = str(value)
    return flat


def log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, str]) -> None:
    """Log flat parameters; a text too long for MLflow is cut, its whole is in ``config.json``."""
    from mlflow.entities import Param

    entries = [Param(_key(name), text[:_PARAMETER_LENGTH]) for name, text in parameters.items()]
    for start in range(0, len(entries), _PARAMETERS_PER_CALL):
        client.log_batch(run_id, params=entries[start : start + _PARAMETERS_PER_CALL])


@dataclass(frozen=True)
class _Result:
    """What of a record can be written: numbers, tags and its JSON."""

    metrics: dict[str, float]
    tags: dict[str, str]
    text: str


def _checked(record: TrialRecord) -> _Result:
    """Return what can be written of a record; a record of which something cannot is FAILED."""
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    problems: list[str] = []
    for name, make in (("metrics", _scores), ("baselines", _baselines), ("costs", _costs)):
        try:
            numbers, refused = _numbers(make(record))
        except Exception as error:
            problems.append(f"the record's {name} are malformed ({first_line(error)})")
        else:
            metrics |= numbers
            problems += refused
    try:
        tags |= {f"environment.{name}": str(value) for name, value in record.environment.items()}
    except Exception as error:
        problems.append(f"the record's environment is malformed ({first_line(error)})")
    if record.status not in get_args(Status):
        problems.append(f"the record's status is {record.status!r}")
        record.status = "FAILED"
    text = ""
    try:
        text = record.to_json()
    except Exception as error:
        problems.append(f"the record is no JSON ({first_line(error)})")
    if problems:
        _logger.warning("The result of this run is incomplete: %s", "; ".join(problems))
        record.reason = "; ".join(filter(None, [record.reason, *problems]))
        record.status = "FAILED" if record.status == "FINISHED" else record.status
        text = json.dumps(vars(record), indent=2, skipkeys=True, default=_readable)
    tags[STATUS] = record.status
    if record.reason:
        tags["seqbench.reason"] = str(record.reason)
    return _Result(metrics, tags, text)


def _readable(value: object) -> object:
    return asdict(value) if isinstance(value, MetricInfo) else repr(value)


def _scores(record: TrialRecord) -> dict[str, object]:
    return {
        f"best/{name}" if name.startswith("valid/") else name: value
        for name, value in record.metrics.items()
    }


def _baselines(record: TrialRecord) -> dict[str, object]:
    return {
        f"baseline/{baseline}/{name}": value
        for baseline, scores in record.baselines.items()
        for name, value in scores.items()
    }


def _costs(record: TrialRecord) -> dict[str, object]:
    costs = ("parameters", "epochs", "best_epoch", "steps", "steps_per_second", "seconds")
    return {f"cost/{name}": getattr(record, name) for name in costs}


def _numbers(metrics: Mapping[str, object]) -> tuple[dict[str, float], list[str]]:
    """Return the metrics that are numbers, as a store takes them, and what is wrong with others."""
    numbers: dict[str, float] = {}
    problems = []
    for name, value in metrics.items():
        try:
            numbers[str(name)] = _storable(value)  # type: ignore[arg-type]  # what is none raises
        except Exception:
            problems.append(f"metric {name} is not a number but a {type(value).__name__}")
    return numbers, problems


def _storable(value: float) -> float:
    """Return what a database can hold: infinities become NaN; the record keeps them."""
    number = float(value)
    return number if math.isfinite(number) else math.nan


def _key(name: str) -> str:
    """Return a name with what MLflow does not allow in it replaced."""
    return re.sub(r"[^\w.\- :/]", "_", name)[:_KEY_LENGTH]
