"""What plugins add to every trial: metrics beside the task's own, and callbacks of training."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from torch import Tensor

from seqbench.api import GroupCounts, MetricSet, Task, TaskMetrics
from seqbench.errors import Refused, SeqbenchError
from seqbench.registry.plugins import registry
from seqbench.registry.registration import Kind, Registration
from seqbench.trials.undisturbed import undisturbed


def metrics_of(task: Task) -> MetricSet:
    """Return a task's metrics, fresh, with those of plugins; theirs are ``<name>/<metric>``.

    A plugin's metric that fails costs one line on stderr and its own scores, no more.

    Raises:
        Refused: a plugin's metric cannot be imported.
    """
    extras = {}
    for item in _offered("metric"):
        loaded: type[TaskMetrics] = item.load()
        try:
            with undisturbed():
                if loaded.suits(task):
                    extras[item.name] = loaded(task)
        except Exception as error:
            _complain(item.name, item.origin, f"{type(error).__name__}: {error}")
    return _Together(task.metrics(), extras) if extras else task.metrics()


def plugin_callbacks() -> list[Any]:
    """Return a new ``lightning.pytorch.Callback`` of each that plugins offer.

    Raises:
        Refused: one cannot be imported or made: training without it would be another training.
    """
    return [_made(item) for item in _offered("callback")]


def _offered(kind: Kind) -> list[Registration]:
    """Return what plugins offer of a kind.

    Raises:
        Refused: two offer one name.
    """
    known = registry()
    return [known.get(kind, name) for name in known.names(kind)]


def _made(item: Registration) -> Any:
    loaded: Any = item.load()
    try:
        return loaded()
    except SeqbenchError:
        raise
    except Exception as error:
        raise Refused(
            f"callback '{item.name}' ({item.origin}) cannot be made: {type(error).__name__}: "
            f"{error}"
        ) from error


class _Together(MetricSet):
    """A task's metrics and those of plugins, fed alike."""

    def __init__(self, own: MetricSet, extras: dict[str, TaskMetrics]) -> None:
        self._own = own
        self._extras = extras

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        self._own.update(predictions, targets, sequences)
        for name in list(self._extras):
            try:
                with undisturbed():
                    self._extras[name].update(predictions, targets, sequences)
            except Exception as error:
                self._drop(name, error)

    def compute(self) -> dict[str, float]:
        scores = self._own.compute()
        for name in list(self._extras):
            try:
                with undisturbed():
                    found = self._extras[name].compute()
                scores |= {f"{name}/{key}": float(value) for key, value in found.items()}
            except Exception as error:
                self._drop(name, error)
        return scores

    def bootstrap_scores(self) -> dict[str, list[float]]:
        return self._own.bootstrap_scores()

    def group_counts(self, metric: str) -> GroupCounts | None:
        return self._own.group_counts(metric)

    def _drop(self, name: str, error: Exception) -> None:
        del self._extras[name]
        _complain(name, "", f"{type(error).__name__}: {error}")


@lru_cache
def _complain(name: str, origin: str, fault: str) -> None:
    """Say once what is wrong with a plugin's metric."""
    where = f" ({origin})" if origin else ""
    line = " ".join(fault.split())
    sys.stderr.write(f"seqbench: metric '{name}'{where} is left out: {line}\n")
