"""What a finished trial is: its fields and their units.

Tracking writes a :class:`TrialRecord`, reporting reads it. Standard library only.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import Any, Literal, NamedTuple

SCHEMA = 2
"""The version of :class:`TrialRecord`. 1: no ``schema``, ``parts``, ``data`` and ``harness``; other
names for two fields; a key from files' times and a hash of the harness."""

Status = Literal["FINISHED", "FAILED", "TIMEOUT", "OOM", "KILLED"]
"""How a trial ended: with a result; of its own fault; because it used the time or the memory that
it may; or because it, or the machine below it, was stopped."""


def is_own_failure(status: str, reason: str = "") -> bool:
    """Return whether a trial ended without a score by its model's own fault, which is a result.

    Own are a loss that is not finite, an exception in its code, a failed audit, a limit exceeded.
    What the machine did (KILLED) says nothing of the model: the trial runs again with its seed.

    Args:
        status: of the record's words.
        reason: that is kept beside it; runs of former versions call lost processes FAILED, too.
    """
    return status in ("FAILED", "OOM", "TIMEOUT") and not _FORMERLY_FAILED.match(reason)


_FORMERLY_FAILED = re.compile(
    "no space left on |(its )?worker process|could not be started: |the process of device "
)


@dataclass(frozen=True)
class MetricInfo:
    """A metric's name, which way is better (``min`` or ``max``), and its unit."""

    name: str
    direction: str
    unit: str = ""

    @classmethod
    def of(cls, found: Any) -> MetricInfo:
        """Read what a record or a tag holds.

        Raises:
            TypeError: it is no metric.
        """
        info = cls(**found)
        if not all(isinstance(value, str) for value in (info.name, info.unit)):
            raise TypeError(f"a metric is {found!r}")
        if info.direction not in ("min", "max"):
            raise TypeError(f"a metric's direction is {info.direction!r}")
        return info


@dataclass(frozen=True)
class DataNames:
    """What the data of a fold are called, for a model knows them by their place alone.

    Args:
        fold: what the fold is of: a file, a speaker. Empty where a number says it all.
        inputs: of the features, or of the columns that features are made of, in the model's order.
        static: of the features of a whole sequence.
        outputs: of the classes or of what else is predicted.
    """

    fold: str = ""
    inputs: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Any) -> DataNames:
        """Read what a record holds.

        Raises:
            TypeError: these are no names.
        """
        names = cls(found["fold"], *(tuple(found[key]) for key in ("inputs", "static", "outputs")))
        if not all(isinstance(name, str) for part in astuple(names)[1:] for name in part):
            raise TypeError(f"names are {found!r}"[:_SHOWN])
        return names


DEAL = 5
"""Disjoint test folds of a deal."""


class Deal(NamedTuple):
    """What ``task.split_seed`` means where a task deals its groups into splits by chance.

    Seeds 0 to 4 are the five folds of the first deal, 5 to 9 those of the second: each tests a
    fifth of the groups, no two of a deal share a test group, and together they test all. So five
    seeds are replicates of one protocol on other training and test data (Nadeau & Bengio 2003).
    """

    number: int
    """Another number, another order of the groups."""
    fold: int
    """Which of the five is tested, 0 to 4."""

    @classmethod
    def of(cls, split_seed: int) -> Deal:
        """Return the deal and the fold of a split seed, which is at least 0."""
        return cls(*divmod(split_seed, DEAL))


class LeftOut(NamedTuple):
    """A part of a user's own data that is not used: a file, a patient, a row."""

    name: str
    reason: str


def left_out_lines(items: Sequence[LeftOut], whole: bool = False) -> list[str]:
    """Return a line for each reason that something was left out, of many the most frequent.

    It has the first names and the reason: ``a, b, c and 4 more: no label``. Where something is not
    named, a last line says where all of it stands.

    Args:
        items: what was left out.
        whole: whether every name is to be said, with a line for each.
    """
    if whole:
        return [_line(item.reason, [item.name])[0] for item in items]
    by_reason: dict[str, list[str]] = {}
    for item in items:
        by_reason.setdefault(" ".join(item.reason.split()), []).append(item.name)
    lines = [_line(*group) for group in sorted(by_reason.items(), key=lambda pair: -len(pair[1]))]
    found = some([text for text, _ in lines], _REASONS, "{} more reasons")
    if len(lines) > _REASONS or any(unnamed for _, unnamed in lines):
        found.append(f"all {len(items)}: {WHOLE_LIST}")
    return found


WHOLE_LIST = "on the page of `seqbench report`, and in the run's record.json"
"""Where everything that was left out is listed."""


def _line(reason: str, names: Sequence[str]) -> tuple[str, int]:
    """Return the first name, a reason and the names that fit beside it; how many are not there."""
    first = [name if len(name) <= _NAME else f"...{name[3 - _NAME :]}" for name in names[:_NAMED]]
    for count in range(len(first), 0, -1):
        more = f" and {len(names) - count} more" if count < len(names) else ""
        text = f"{', '.join(first[:count])}{more}: {' '.join(reason.split())}"
        if len(text) <= _LINE:
            break
    return text if len(text) <= _LINE else f"{text[: _LINE - 3]}...", len(names) - count


_NAMED, _REASONS = 3, 5
_NAME, _LINE = 60, 200  # characters; what the data are called stands before the line


def some(items: Sequence[str], most: int, more: str) -> list[str]:
    """Return the first items, and of more than that how many others there are.

    Args:
        items: texts.
        most: of them.
        more: says how many others there are, for example ``"... and {} more"``.
    """
    left = len(items) - most
    return [*items[:most], *([more.format(left)] if left > 0 else [])]


GOES_ON = "goes on from its last checkpoint, if it has one"
"""What the same command does with a trial that was stopped."""


@dataclass
class TrialRecord:
    """One trial, as it stands in the tracking store and in a results table.

    Args:
        key: hash of everything that decides the result, see :class:`seqbench.identity.Identity`.
        task: registered name.
        model: registered name.
        seed: the trial's seed; one seed per axis is derived from it.
        status: how it ended.
        reason: one line on why it did not finish; empty if it did.
        max_examples: sequences kept of each split, baselines' too; None for all of them.
        context: what predictions may see: ``past``, ``past+future`` or ``all``.
        monitor: the metric that selected the epoch, on validation.
        primary: the metric that ranks models, on test.
        folds: the folds of the task, a model each.
        metrics: final scores, ``valid/<name>`` and ``test/<name>``, at the selected epoch. Over
            several folds ``valid`` is their mean, ``test`` what the task's pooling makes of them,
            and ``fold-<fold>/<name>`` is each one's on test.
        intervals: 95% intervals of test scores by metric, where the task offers them.
        baselines: scores of the task's simple predictors on test, by baseline and metric.
        differences: 95% intervals of the model's test scores minus a baseline's, by baseline and
            metric, where the task offers them.
        group: what ``bootstrap_scores`` draw, for example ``patient``; empty without any.
        bootstrap_scores: the primary metric on test over other draws of the test data's groups,
            which are the same for every model and seed; empty where the task offers none.
        group_sizes: how much each of those groups counts in the primary metric, in rising order:
            its predictions, or 1 where groups count alike. Never which group it is.
        group_classes: groups with cases and groups without, where each group has one label and the
            primary metric ranks cases above controls (an AUROC); empty elsewhere.
        baseline_bootstrap: of each baseline, its scores over the same draws.
        train_groups: groups of the training data, of several folds their mean; 0 without groups.
        audit: what the audit of the trained model saw, see :mod:`seqbench.training.audit`:
            ``passed``, ``failed: ...`` or ``not possible: ...``; empty where none was made.
        history: for each epoch, ``train/...`` and ``valid/...`` scores and ``seconds``, the time
            since its fold's training began; ``fold`` where there are several.
        parameters: trainable numbers in model and head, of several folds their mean.
        frozen: numbers in their parameters that are not trained.
        buffers: numbers that the model keeps beside its parameters.
        epochs: epochs trained, of all folds together.
        best_epochs: the epoch selected in each fold, from 0.
        steps: optimiser steps taken, in all folds together.
        steps_per_second: optimiser steps per second of training, validation left out.
        seconds: wall time of training, validation included.
        costs: what the trained model costs, by name: ``flops_per_step``, ``state_bytes``,
            ``step_seconds``, ``sequence_seconds``, ``sequence_steps``, ``peak_bytes``; see
            :mod:`seqbench.training.costs`. What cannot be known is missing.
        tuning: how its configuration was found and what was spent on it; empty if nobody says.
        candidate: whether it was a candidate of a tuning: it has scores on validation only.
        backend: what ran the recurrence, for example ``cpu`` or ``native (oneDNN)``.
        environment: versions, device, threads; git states of the working directory, of seqbench's
            code and of the task's and model's.
        run_id: the tracking store's identifier; empty without tracking.
        location: where the run was logged, for a person to read.
        schema: the version of this record, see :data:`SCHEMA`.
        parts: of the trial's identity, see :class:`seqbench.identity.Identity`.
        data: the data's fingerprint, see :meth:`seqbench.api.Task.fingerprint`.
        harness: the hash of each module of the harness that trained it, by file: information, and
            no part of the identity.
        title: what tables call the task's data; empty where its name says it.
        names: of each fold's data; empty for runs that kept none.
        left_out: what of a user's own data was not used, and why.
    """

    key: str
    task: str
    model: str
    seed: int
    status: Status = "FINISHED"
    reason: str = ""
    max_examples: int | None = None
    context: str = ""
    monitor: MetricInfo = field(default_factory=lambda: MetricInfo("loss", "min"))
    primary: MetricInfo = field(default_factory=lambda: MetricInfo("loss", "min"))
    folds: list[int] = field(default_factory=lambda: [0])
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    differences: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    group: str = ""
    bootstrap_scores: list[float] = field(default_factory=list)
    group_sizes: list[float] = field(default_factory=list)
    group_classes: list[int] = field(default_factory=list)
    baseline_bootstrap: dict[str, list[float]] = field(default_factory=dict)
    train_groups: float = 0.0
    audit: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    parameters: int = 0
    frozen: int = 0
    buffers: int = 0
    epochs: int = 0
    best_epochs: list[int] = field(default_factory=list)
    steps: int = 0
    steps_per_second: float = 0.0
    seconds: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)
    tuning: str = ""
    candidate: bool = False
    backend: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    run_id: str = ""
    location: str = ""
    schema: int = SCHEMA
    parts: dict[str, str] = field(default_factory=dict)
    data: str = ""
    harness: dict[str, str] = field(default_factory=dict)
    title: str = ""
    names: dict[int, DataNames] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def fold_name(self, fold: int) -> str:
        """Return what a person calls a fold: its name, or where it has none its number."""
        names = self.names.get(fold)
        return names.fold if names is not None and names.fold else str(fold)

    @property
    def best_epoch(self) -> int:
        """The epoch selected, from 0; of several folds' the median; 0 before there is one."""
        return statistics.median_low(self.best_epochs) if self.best_epochs else 0

    def to_json(self) -> str:
        """Return the record as JSON, keys sorted."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrialRecord:
        """Read what :meth:`to_json` wrote; fields unknown to this version are left out.

        Raises:
            ValueError: it is no JSON, too deeply nested, or no record: a field is missing, not of
                its type, or a number too large for one.
        """
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("it holds no mapping")
            return cls._of(data)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        except KeyError as error:
            raise ValueError(f"it has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error

    @classmethod
    def _of(cls, data: dict[str, Any]) -> TrialRecord:
        data.setdefault("schema", 1)
        for old, new in _FORMER_NAMES.items():
            if old in data:
                data.setdefault(new, data.pop(old))
        known = {item.name for item in fields(cls)}
        data = {name: value for name, value in data.items() if name in known}
        for name in ("monitor", "primary"):
            if name in data:
                data[name] = MetricInfo.of(data[name])
        if "names" in data:
            data["names"] = {
                int(fold): DataNames.of(names) for fold, names in data["names"].items()
            }
        if "left_out" in data:
            data["left_out"] = [LeftOut(*map(str, item)) for item in data["left_out"]]
        data["intervals"] = _pairs(data.get("intervals", {}))
        differences = data.get("differences", {})
        data["differences"] = {name: _pairs(found) for name, found in differences.items()}
        record = cls(**data)
        _check(record)
        return record


_FORMER_NAMES = {"unit": "group", "replicates": "bootstrap_scores"}
"""Fields of records of the first schema, which are read under their names of today."""


def _check(record: TrialRecord) -> None:
    """Refuse a record whose fields are not of their types, which would fail much later.

    Raises:
        TypeError: one is not.
    """
    normal = TrialRecord("", "", "", 0)
    for item in fields(record):
        value, usual = getattr(record, item.name), getattr(normal, item.name)
        wanted = (int, type(None)) if usual is None else type(usual)
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise TypeError(f"its {item.name} is {value!r}"[:_SHOWN])
        if isinstance(value, int | float):
            _check_number(item.name, value)
    scores = [record.metrics, record.costs, *record.baselines.values(), *record.history]
    for found in scores:
        for name, value in found.items():
            _check_number(name, value)
    for name in ("folds", "bootstrap_scores", "best_epochs", "group_sizes", "group_classes"):
        for value in getattr(record, name):
            _check_number(name, value)
    of_several: list[Mapping[str, Sequence[float]]] = [record.baseline_bootstrap, record.intervals]
    for several in [*of_several, *record.differences.values()]:
        for name, values in several.items():
            for value in values:
                _check_number(name, value)


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float):
        raise TypeError(f"its {name} is {value!r}"[:_SHOWN])
    if isinstance(value, int) and abs(value) >= _LARGEST:
        raise TypeError(f"its {name} is larger than any number it may be")


_LARGEST = 2**63
_SHOWN = 200  # characters


def _pairs(found: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: (low, high) for name, (low, high) in found.items()}


def checkpoint_name(folds: Sequence[int], fold: int) -> str:
    """Return where a run keeps the weights of a fold's selected epoch, among its files."""
    return f"checkpoint/fold-{fold}.ckpt" if len(folds) > 1 else "checkpoint/best.ckpt"
