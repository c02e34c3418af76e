"""The candidates of one model on one task, kept on disk so that a killed tuning can continue."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json
from optuna.trial import TrialState

from seqbench.config.settings import TrackingSettings
from seqbench.config.uris import uri_of
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.tracking.address import DATABASE_NAME, locate, make_folder
from seqbench.tuning.space import Tuning, TuningSettings, make_sampler

_RESULT = "verdict"  # the attribute's name in studies on disk
_LEAST_FOR_IMPORTANCE = 4
_REFUSED_IN_A_ROW = 3  # candidates at a study's beginning, after which it is given up
_DIGITS = 4

Candidate = dict[str, Any]
"""Values by key of the search space."""


@dataclass(frozen=True)
class CandidateResult:
    """The result of a candidate's trials.

    Args:
        score: mean of the validation monitor over seeds; NaN if there is none.
        reason: why there is no score.
        seconds: total time of its trials, all seeds together.
        refused: whether nothing was trained, because a value is impossible or data are missing.
    """

    score: float
    reason: str = ""
    seconds: float = 0.0
    refused: bool = False


Evaluate = Callable[[Mapping[int, Candidate]], list[CandidateResult]]
"""Evaluates candidates, given by their numbers from 0."""


@dataclass(frozen=True)
class Study:
    """The first candidates of a model on a task, as many as its budget says.

    Args:
        task: registered name.
        model: registered name.
        direction: direction of the monitor, ``min`` or ``max``.
        trials: the budget: number of candidates to evaluate, failed ones included.
        settings: how candidates are drawn.
        space: distributions to draw from, by key.
        optuna: Optuna's study that stores them; it may hold more candidates, of a larger budget.
    """

    task: str
    model: str
    direction: str
    trials: int
    settings: TuningSettings
    space: dict[str, BaseDistribution]
    optuna: optuna.Study

    @property
    def name(self) -> str:
        """See :func:`study_name`."""
        return str(self.optuna.study_name)

    def results(self) -> list[CandidateResult]:
        """Return the results of the evaluated candidates, in order."""
        return [CandidateResult(**trial.user_attrs[_RESULT]) for trial in self._judged()]

    def scores(self) -> list[float]:
        """Return the scores of the candidates in order; NaN for one that failed."""
        return [result.score for result in self.results()]

    def best(self) -> Candidate | None:
        """Return the best candidate, the first of equal ones; None if all failed."""
        scored = [
            (score if self.direction == "min" else -score, number)
            for number, score in enumerate(self.scores())
            if not math.isnan(score)
        ]
        return dict(self._judged()[min(scored)[1]].params) if scored else None

    def importances(self) -> dict[str, float]:
        """Return how much of the variance of scores each key explains (PED-ANOVA).

        Watanabe et al. 2023. Empty if there are too few candidates, or all scores are equal.
        """
        finished = {score for score in self.scores() if not math.isnan(score)}
        if len(finished) < _LEAST_FOR_IMPORTANCE or len(self.space) < 2:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            first = self._copy(self._judged())
            return dict(optuna.importance.get_param_importances(first, evaluator=evaluator))
        except (ValueError, RuntimeError, ZeroDivisionError):
            return {}

    def run(self, at_once: int, evaluate: Evaluate) -> None:
        """Draw and evaluate candidates until the budget is spent.

        Candidates are drawn in batches and evaluated in order. With an equal ``at_once`` the same
        command draws the same candidates, also after it was killed.

        Args:
            at_once: number of candidates drawn before the first of them is evaluated.
            evaluate: evaluates a batch.

        Raises:
            Refused: none of the first candidates could be trained at all; the study is deleted.
        """
        while (done := len(self._judged())) < self.trials:
            end = min(self.trials, at_once * (done // at_once + 1))
            for number in range(len(self.optuna.trials), end):
                self._draw(number)
            batch = self.optuna.trials[done:end]
            results = evaluate({trial.number: dict(trial.params) for trial in batch})
            for trial, result in zip(batch, results, strict=True):
                # What stands with a candidate is written before it counts as judged.
                self.optuna._storage.set_trial_user_attr(trial._trial_id, _RESULT, asdict(result))
                failed = math.isnan(result.score)
                self.optuna.tell(
                    trial.number,
                    None if failed else result.score,
                    TrialState.FAIL if failed else TrialState.COMPLETE,
                )
            self._give_up_if_refused()

    def _draw(self, number: int) -> None:
        """Draw a candidate, and keep it in one piece: half of one could not be gone on with."""
        memory = self._copy(self.optuna.trials)
        memory.sampler = make_sampler(self.settings, number)
        drawn = memory.ask(self.space).params
        params = {key: _short(value, self.space[key]) for key, value in drawn.items()}
        self.optuna.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params=params, distributions=self.space
            )
        )

    def _copy(self, trials: Sequence[optuna.trial.FrozenTrial]) -> optuna.Study:
        """Return a study in memory that knows of some candidates."""
        copy = optuna.create_study(direction=self.optuna.direction.name.lower())
        copy.add_trials(trials)
        return copy

    def _give_up_if_refused(self) -> None:
        """Keep no budget spent on nothing, as where the data are missing."""
        found = self.results()
        if len(found) < min(_REFUSED_IN_A_ROW, self.trials):
            return
        if all(result.refused for result in found):
            optuna.delete_study(study_name=self.name, storage=self.optuna._storage)
            raise Refused(f"no candidate of {self.model} can be trained: {found[-1].reason}")

    def _judged(self) -> list[optuna.trial.FrozenTrial]:
        """Return the candidates of the budget that were judged: they are the first ones."""
        return [trial for trial in self.optuna.trials[: self.trials] if trial.state.is_finished()]


def _short(value: Any, distribution: BaseDistribution) -> Any:
    """Return a number with as many digits as a person would write."""
    if not isinstance(distribution, FloatDistribution):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), distribution.low), distribution.high)


@contextmanager
def open_study(tuning: Tuning, task: str, model: str, direction: str) -> Iterator[Study]:
    """Open the study of a model on a task; only one process at a time may hold it open.

    Raises:
        Refused: another process runs the same tuning, or the file cannot be used.
    """
    space = tuning.space_of(model)
    name = study_name(tuning, task, model)
    file = tuning.folder / f"{name}.db"
    make_folder(file)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with FileLock(file.with_suffix(".lock"), timeout=0):
            storage = optuna.storages.RDBStorage(uri_of(file, "sqlite"))
            try:
                study = optuna.create_study(
                    storage=storage,
                    study_name=name,
                    direction="minimize" if direction == "min" else "maximize",
                    load_if_exists=True,
                )
                yield Study(task, model, direction, tuning.trials, tuning.settings, space, study)
            finally:
                storage.engine.dispose()
    except Timeout as error:
        raise Refused(f"another process tunes {model} on {task} in just this way") from error


def drawn_candidates(tuning: Tuning, task: str, model: str) -> list[Candidate]:
    """Return the candidates of a model on a task drawn so far; creates no file."""
    name = study_name(tuning, task, model)
    file = tuning.folder / f"{name}.db"
    if not file.is_file():
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(uri_of(file, "sqlite"))
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        return [dict(trial.params) for trial in study.trials[: tuning.trials]]
    except KeyError:  # just being made, or given up
        return []
    finally:
        storage.engine.dispose()


def study_name(tuning: Tuning, task: str, model: str) -> str:
    """Return a study's name, which does not depend on the budget.

    Changes of code, versions or the user's own data give another study, as they give other trials.
    """
    settings, tracking = tuning.settings, tuning.tracking
    place = [locate(tracking.uri).name, tracking.experiment]  # of several in the same folder
    usual = [DATABASE_NAME, TrackingSettings().experiment]
    text = json.dumps(
        [
            identity(tuning.settings_of(task, model)).study,
            sorted(word for word in tuning.fixed if word.startswith("match=")),
            settings.seeds,
            settings.sampler,
            settings.sampler_seed,
            {key: distribution_to_json(value) for key, value in tuning.space_of(model).items()},
            *([] if place == usual else [place]),
        ],
        sort_keys=True,
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{task.replace('/', '-')}-{model}-{digest}"
