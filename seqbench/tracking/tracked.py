"""The log of one running trial in MLflow; training never fails because of it."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final, get_args

from seqbench.records import MetricInfo, Status, TrialRecord
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import Address, readable_path
from seqbench.tracking.mlflow_client import first_line, is_silence, why
from seqbench.tracking.operations import REASON, RECORD, TOKEN, Operation, perform
from seqbench.tracking.outbox import Outbox, replay
from seqbench.tracking.pages import DESCRIPTION, description
from seqbench.tracking.runlog import RunLog
from seqbench.tracking.signals import uninterrupted
from seqbench.tracking.tags import TAG_LENGTH

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CONFIG = "config.json"
"""File in which a run keeps its resolved configuration."""

STATUS = "seqbench.status"
"""Tag that says how a trial ended in this project's words; MLflow has fewer."""


def mlflow_status(status: str) -> str:
    """Return how MLflow says that a trial ended so."""
    return "FAILED" if status in ("TIMEOUT", "OOM") else status


_logger = logging.getLogger(__name__)

# MLflow's limits for one entry.
_PARAMETER_LENGTH = 6000
_KEY_LENGTH = 250


@final
class TrackedRun(RunLog):
    """A run of MLflow; get one from :meth:`seqbench.tracking.store.Store.start`.

    If the store fails during the run, one line says so, and later operations wait in an outbox
    (:mod:`seqbench.tracking.outbox`). :meth:`finish` tries again. If the store still fails, the
    next run or ``seqbench sync`` delivers them.

    Args:
        client: MLflow's client of the store.
        run_id: of the run, which has started; empty if the store could not start it.
        location: where a user finds it.
        address: of the store.
    """

    def __init__(self, client: MlflowClient, run_id: str, location: str, address: Address) -> None:
        super().__init__(run_id, location)
        self._client = client
        self._address = address
        self._outbox: Outbox | None = None
        self._silent = False

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics; keys as they are, steps are epochs."""
        values, problems = _numbers(metrics)
        for problem in problems:
            _logger.warning("Epoch %d of this run: %s", epoch, problem)
        self._send(_metrics(values, epoch))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's files."""
        if not path.is_file():
            _logger.warning("%s of this run is lost: there is no such file", path.name)
            return
        self._send({"op": "file", "path": str(path.absolute()), "folder": folder})

    def log_text(self, text: str, name: str) -> None:
        """Write a text as a file of the run."""
        self._send({"op": "text", "text": text, "name": name})

    def log_start(
        self, create: Operation, operations: Iterable[Operation], error: BaseException
    ) -> None:
        """Keep for later how a run starts that the store could not start; call it first."""
        outbox = self._fail(error, create["tags"][TOKEN])
        outbox.append(create)
        for operation in operations:
            self._send(operation)
        self.location = readable_path(outbox.folder)

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
            failed_before = self._outbox is not None
            now = int(time.time() * 1000)
            self._send(_metrics(result.metrics, record.best_epoch))
            tags = {_key(name): text[:TAG_LENGTH] for name, text in result.tags.items()}
            with suppress(TypeError, ValueError, AttributeError):  # of a malformed record
                tags[DESCRIPTION] = description(record)[:TAG_LENGTH]
            self._send({"op": "tags", "values": tags})
            self._send({"op": "text", "text": result.text + "\n", "name": RECORD})
            self._send({"op": "end", "status": mlflow_status(record.status), "time": now})
            if self._outbox is not None:
                # A store that has fallen silent this moment need not be waited for once more.
                self._deliver(record, self._outbox, try_now=failed_before or not self._silent)

    def _send(self, operation: Operation) -> None:
        """Do it now, or keep it for later: a failing store is left alone, calls take seconds."""
        if self._outbox is None:
            try:
                with mlflow_client.quiet():
                    perform(self._client, self.run_id, operation, Path())
                return
            except Exception as error:
                self._fail(error)
        assert self._outbox is not None
        self._outbox.append(operation)

    def _fail(self, error: BaseException, token: str = "") -> Outbox:
        self._silent = is_silence(error)
        reason = why(self._address, error)
        _logger.warning("The tracking store fails (%s); training goes on without it", reason)
        self._outbox = Outbox(self._address, self.run_id, token)
        return self._outbox

    def _deliver(self, record: TrialRecord, outbox: Outbox, try_now: bool) -> None:
        """Deliver what waits, if the store works again; otherwise leave it to others."""
        try:
            if try_now:
                with mlflow_client.quiet():
                    place = replay(self._client, self._address, outbox.operations, Path())
                outbox.remove()
                record.run_id = self.run_id = place.run_id
                record.location = self.location = place.location or self.location
                _logger.warning("The tracking store works again; nothing was lost")
                return
        except Exception:
            pass
        outbox.release()
        if lost := outbox.lost():
            _logger.warning("Neither store nor disk took this, it is lost: %s", ", ".join(lost))
        if outbox.is_kept:
            _logger.warning(
                "The tracking store still fails; the result waits in %s for the next run, "
                "or for `%s`",
                readable_path(outbox.folder),
                f"seqbench sync {self._address.option}".strip(),
            )


def _metrics(values: Mapping[str, float], step: int) -> Operation:
    named = {_key(name): value for name, value in values.items()}
    return {"op": "metrics", "values": named, "step": step, "time": int(time.time() * 1000)}


def config_operations(config: Mapping[str, Any]) -> list[Operation]:
    """Return the operations that log a configuration, flat and as ``config.json``.

    A parameter too long for MLflow is cut.
    """
    flat = {_key(name): text[:_PARAMETER_LENGTH] for name, text in flatten(config).items()}
    text = json.dumps(config, indent=2, sort_keys=True)
    return [
        {"op": "parameters", "values": flat},
        {"op": "text", "text": text + "\n", "name": CONFIG},
    ]


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
        tags[REASON] = str(record.reason)
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
    return {f"cost/{name}": getattr(record, name) for name in costs} | {
        f"cost/{name}": value for name, value in record.costs.items()
    }


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
