"""The candidates of one model on one task, kept on disk: killed at any moment, it goes on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState

from seqbench.errors import Refused
from seqbench.tracking.address import RUNS_FOLDER
from seqbench.tuning.space import Tuning, TuningSettings, make_sampler

FOLDER = Path(RUNS_FOLDER, "tuning")
"""Where studies are kept, in the working directory."""

_REASON = "reason"

Candidate = dict[str, Any]
"""Values by key of the search space."""

Evaluate = Callable[[Sequence[Candidate]], list[float | str]]
"""Return each candidate's score, or why it has none."""


@dataclass(frozen=True)
class Study:
    """The candidates of a model on a task.

    Args:
        task: registered name.
        model: registered name.
        direction: of the monitor: ``min`` or ``max``.
        settings: how candidates are drawn.
        space: what is drawn.
        optuna: the study that keeps them.
    """

    task: str
    model: str
    direction: str
    settings: TuningSettings
    space: dict[str, BaseDistribution]
    optuna: optuna.Study

    def scores(self) -> list[float]:
        """Return the scores of the candidates in order; NaN for one that failed."""
        return [
            trial.values[0] if trial.state == TrialState.COMPLETE else math.nan
            for trial in self._judged()
        ]

    def failures(self) -> list[str]:
        """Return why candidates failed."""
        return [
            trial.user_attrs[_REASON] for trial in self._judged() if _REASON in trial.user_attrs
        ]

    def best(self) -> Candidate | None:
        """Return the best candidate; None if every one failed."""
        if all(math.isnan(score) for score in self.scores()):
            return None
        return dict(self.optuna.best_trial.params)

    def importances(self) -> dict[str, float]:
        """Return how much of the variance of scores each key explains (PED-ANOVA).

        Watanabe et al. 2023. Empty where there are too few candidates, or nothing differs.
        """
        finished = {score for score in self.scores() if not math.isnan(score)}
        if len(finished) < _LEAST_FOR_IMPORTANCE or len(self.space) < 2:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            return dict(optuna.importance.get_param_importances(self.optuna, evaluator=evaluator))
        except (ValueError, RuntimeError, ZeroDivisionError):
            return {}

    def run(self, trials: int, at_once: int, evaluate: Evaluate) -> None:
        """Draw and judge candidates until there are as many as asked for.

        Candidates are drawn in batches, and judged in order: the same command draws the same ones,
        also after it was killed, for an equal ``at_once``.

        Args:
            trials: how many there are to be in all, failed ones included.
            at_once: how many are drawn before the first of them is judged.
            evaluate: judges a batch.
        """
        while len(judged := self._judged()) < trials:
            batch = self._unjudged()
            have = len(judged) + len(batch)
            end = min(trials, at_once * math.ceil(have / at_once or 1))
            if not batch and end == have:
                end = min(trials, have + at_once)
            for number in range(have, end):
                self.optuna.sampler = make_sampler(self.settings, number)
                batch.append(self.optuna.ask(self.space).number)
            candidates = [dict(self.optuna.trials[number].params) for number in batch]
            for number, score in zip(batch, evaluate(candidates), strict=True):
                if isinstance(score, str):
                    trial = self.optuna.trials[number]
                    self.optuna._storage.set_trial_user_attr(trial._trial_id, _REASON, score)
                    self.optuna.tell(number, state=TrialState.FAIL)
                else:
                    self.optuna.tell(number, score)

    def _judged(self) -> list[optuna.trial.FrozenTrial]:
        return [
            trial
            for trial in self.optuna.trials
            if trial.state == TrialState.COMPLETE or _REASON in trial.user_attrs
            if trial.state != TrialState.RUNNING
        ]

    def _unjudged(self) -> list[int]:
        """Return the candidates that were drawn and not judged; half a candidate is given up."""
        found = []
        for trial in self.optuna.trials:
            if trial.state == TrialState.RUNNING:
                if trial.params.keys() == self.space.keys():
                    found.append(trial.number)
                else:
                    self.optuna.tell(trial.number, state=TrialState.FAIL)
        return found


_LEAST_FOR_IMPORTANCE = 4


@contextmanager
def open_study(tuning: Tuning, task: str, model: str, direction: str) -> Iterator[Study]:
    """Open what is known of a model's candidates on a task; one process at a time may.

    Raises:
        Refused: another process tunes the same, or the file cannot be used.
    """
    space = tuning.space_of(model)
    name = study_name(tuning, task, model)
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with FileLock(file.with_suffix(".lock"), timeout=0):
            storage = optuna.storages.RDBStorage(f"sqlite:///{file.absolute()}")
            try:
                study = optuna.create_study(
                    storage=storage,
                    study_name=name,
                    direction="minimize" if direction == "min" else "maximize",
                    load_if_exists=True,
                )
                yield Study(task, model, direction, tuning.settings, space, study)
            finally:
                storage.engine.dispose()
    except Timeout as error:
        raise Refused(f"another process tunes {model} on {task} in just this way") from error


def study_name(tuning: Tuning, task: str, model: str) -> str:
    """Return a study's name: equal for equal questions, however many candidates are asked for."""
    settings = tuning.settings
    space = {key: distribution_to_json(value) for key, value in tuning.space_of(model).items()}
    asked = [
        sorted(word for word in tuning.fixed if not word.startswith(("tracking.", "limits."))),
        settings.seeds,
        settings.sampler,
        settings.sampler_seed,
        space,
    ]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    return f"{task.replace('/', '-')}-{model}-{digest}"
