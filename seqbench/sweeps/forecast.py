"""How long a trial may take, going by those that have finished. Nothing heavy is imported.

A trial's time is what it spends on training, and the rest: baselines, scores, costs. Training is a
product: folds, epochs, examples of an epoch, and the time of one, which the most similar trials
tell. What they cannot tell is guessed, and the answer says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from seqbench.config.settings import Settings
from seqbench.config.sources import byte_count
from seqbench.identity import flat
from seqbench.tracking.trials import StoredTrial

_FAR = 8  # times more or less training than another trial, which then tells little
_SIZES = ("hidden_size", "layers")
_BATCH = 0.5  # power of the batch size by which the time of an example falls
_REST = 0.5  # power of the amount of data by which the time besides training grows
_GUESS = "a guess"
_MOST = 30  # trials that are asked, the latest of the most similar


@dataclass(frozen=True)
class Forecast:
    """How long a trial may take.

    Args:
        seconds: from its start to its end.
        basis: what that is known from, in words that follow a time.
    """

    seconds: float
    basis: str

    @property
    def is_guess(self) -> bool:
        """Whether finished trials tell little of it."""
        return self.basis.startswith(_GUESS)


class Forecaster:
    """Knows the finished trials of a store.

    Args:
        trials: of the store, the latest first; those that have not finished do not count.
    """

    def __init__(self, trials: Iterable[StoredTrial]) -> None:
        self._past = [past for trial in trials if (past := _past(trial)) is not None]
        self._found: dict[tuple[tuple[str, str], ...], Forecast | None] = {}
        self._size_of = lru_cache(byte_count)

    def forecast(self, settings: Settings) -> Forecast | None:
        """Return how long a trial may take; None if nothing has finished yet."""
        values = {key: str(value) for key, value in flat(settings.to_dict()).items()}
        asked = _Asked(values, settings, self._size_of)
        key = tuple(item for item in asked.values.items() if item[0].startswith(_DECIDING))
        if key not in self._found:
            self._found[key] = self._forecast(asked)
        return self._found[key]

    def _forecast(self, asked: _Asked) -> Forecast | None:
        same_task = [past for past in self._past if past.task == asked.settings.task]
        if not same_task:
            return self._of_other_tasks(asked)
        epochs = asked.epochs(same_task)
        folds = asked.folds(same_task)
        examples = asked.examples(same_task)
        most = asked.settings.recipe.max_epochs

        def data(past: _Past) -> float:
            """Return how many times another trial's data it has, folds counted."""
            if (more := asked.more_data(past)) is not None:
                return more
            return (folds or past.folds) / past.folds * (examples or past.examples) / past.examples

        def training(past: _Past) -> float:
            """Return how many times as much as another trial it trains."""
            return data(past) * (epochs or most) / past.epochs

        def unlikeness(past: _Past) -> tuple[bool, ...]:
            return (
                not 1 / _FAR <= training(past) <= _FAR,
                past.model != asked.settings.model,
                asked.differs(past, "trainer."),
                asked.differs(past, "task."),
                asked.differs(past, "model."),
                asked.differs(past, "recipe.batch_size", "recipe.max_examples"),
            )

        ranked = {id(past): unlikeness(past) for past in same_task}
        nearest = min(ranked.values())
        chosen = [past for past in same_task if ranked[id(past)] == nearest][:_MOST]
        seconds = statistics.median(
            past.training * training(past) * asked.slower(past) + past.rest * data(past) ** _REST
            for past in chosen
        )
        far, model, device, _, size, _ = nearest
        text = f"from {_trials(len(chosen))} of "
        text += "other models on the same task" if model else "the same model and task"
        text += ", in other sizes" if size and not model else ""
        text += ", on other data" if all(asked.source != past.source for past in chosen) else ""
        text += ", on another device" if device else ""
        by_size = all(asked.more_data(past) is not None for past in chosen)
        doubts = {
            "they trained far less or far more": far,
            "how many folds it has is not known": folds is None and not by_size,
            "how much data it has is not known": examples is None and not by_size,
            f"if it trains all {most} epochs": epochs is None and most > 1,
        }
        said = ", ".join(doubt for doubt, holds in doubts.items() if holds)
        return Forecast(seconds, f"{_GUESS} {text}: {said}" if said else text)

    def _of_other_tasks(self, asked: _Asked) -> Forecast | None:
        if not self._past:
            return None
        most = asked.settings.recipe.max_epochs
        seconds = statistics.median(
            past.training * min(1.0, most / past.epochs) + past.rest for past in self._past[:_MOST]
        )
        return Forecast(seconds, f"{_GUESS}: nothing like it has run")


_DECIDING = ("task.", "model.", "recipe.", "trainer.")


@dataclass(frozen=True)
class _Past:
    """A finished trial.

    Args:
        task: registered name.
        model: registered name.
        values: its configuration, flat.
        training: seconds that it trained, validation included.
        rest: seconds that it took besides.
        folds: that it trained on.
        epochs: of a fold.
        examples: of an epoch, nearly.
    """

    task: str
    model: str
    values: Mapping[str, str]
    training: float
    rest: float
    folds: int
    epochs: float
    examples: float

    @property
    def source(self) -> str:
        """The user's own data; ``None`` without."""
        return self.values.get("task.source", "None")

    def number(self, key: str) -> float | None:
        """Return a number of its configuration; None where there is none."""
        return _number(self.values.get(key))


def _past(trial: StoredTrial) -> _Past | None:
    """Return what a trial tells of the time it took; None if it does not."""
    training, epochs, steps = (trial.costs.get(name, 0) for name in ("seconds", "epochs", "steps"))
    batch_size = _number(trial.config.get("recipe.batch_size"))
    if trial.status != "FINISHED" or not (training and epochs and steps and batch_size):
        return None
    return _Past(
        trial.task,
        trial.model,
        trial.config,
        training,
        max(0.0, trial.seconds - training),
        trial.folds,
        epochs / trial.folds,
        min(steps / epochs * batch_size, _number(trial.config.get("recipe.max_examples")) or 1e18),
    )


@dataclass(frozen=True)
class _Asked:
    """A trial whose time is asked for.

    Args:
        values: its configuration, flat.
        settings: the same.
        size_of: returns the bytes of a source.
    """

    values: Mapping[str, str]
    settings: Settings
    size_of: Callable[[str], int]

    @property
    def source(self) -> str:
        """The user's own data; ``None`` without."""
        return self.values.get("task.source", "None")

    def differs(self, past: _Past, *keys: str) -> bool:
        """Return whether a trial has another value of one of these keys, or below one."""
        names = [name for name in {*self.values, *past.values} if name.startswith(keys)]
        return any(
            self.values.get(name) != past.values.get(name)
            for name in names
            if name not in ("trainer.progress", "task.fold", "task.title")
        )

    def epochs(self, same_task: Sequence[_Past]) -> float | None:
        """Return how many epochs it may train a fold; None if no trial tells."""
        most, patience = self.settings.recipe.max_epochs, self.settings.recipe.patience
        known: list[tuple[bool, float]] = []
        for past in same_task:
            their_most = past.number("recipe.max_epochs") or 0
            their_patience = past.number("recipe.patience") or 0
            stopped = past.epochs < their_most
            if stopped or their_most >= most:
                trained = past.epochs + (patience - their_patience if stopped else 0)
                other = past.model != self.settings.model or bool(past.number(_FEWER))
                known.append((other, min(most, max(1.0, trained))))
        if not known:
            return None
        nearest = min(known)[0]
        return statistics.median(epochs for other, epochs in known[:_MOST] if other == nearest)

    def folds(self, same_task: Sequence[_Past]) -> int | None:
        """Return on how many folds it trains; None if no trial tells."""
        if self.values.get("task.fold", "0") != "all":
            return 1
        known = [past for past in same_task if past.values.get("task.fold") == "all"]
        same = [past for past in known if past.source == self.source]
        return max((past.folds for past in same or known), default=None)

    def examples(self, same_task: Sequence[_Past]) -> float | None:
        """Return how many examples an epoch has; None if no trial tells."""
        fewer = self.settings.recipe.max_examples
        whole = [
            past.examples
            for past in same_task
            if past.source == self.source and past.number(_FEWER) is None
        ]
        full = statistics.median(whole) if whole else None
        return full if fewer is None else min(fewer, full or fewer)

    def more_data(self, past: _Past) -> float | None:
        """Return how much more data it has than a trial on other files; None if that tells nothing.

        Where a model is trained for each file, this counts these, too.
        """
        folds = {values.get("task.fold", "all") for values in (self.values, past.values)}
        whole = folds == {"all"} and self.settings.recipe.max_examples is None
        if past.source == self.source or not whole:
            return None
        mine, theirs = self.size_of(self.source), self.size_of(past.source)
        return mine / theirs if mine and theirs else None

    def slower(self, past: _Past) -> float:
        """Return how much longer an example takes, by the size of the model and of a batch."""
        factor = _step(self.values) / _step(past.values) if past.model == self.settings.model else 1
        batch_size = past.number("recipe.batch_size") or 1
        return factor * float((batch_size / self.settings.recipe.batch_size) ** _BATCH)


def _step(values: Mapping[str, str]) -> float:
    """Return how long a step takes beside another: what does not depend on the size comes first."""
    units, layers = (_number(values.get(f"model.{name}")) or 1 for name in _SIZES)
    return layers * (1 + units / 128 + (units / 256) ** 2)


_FEWER = "recipe.max_examples"


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"
