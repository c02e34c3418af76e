"""What a sweep has done and what is left of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from seqbench.config import composition
from seqbench.config.composition import compose_each
from seqbench.config.overrides import sweep_members
from seqbench.config.settings import Rerun, Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import Identity, identity
from seqbench.records import SCHEMA, MetricInfo
from seqbench.registry.codehash import harness_hashes
from seqbench.tracking.trials import StoredTrial, stored_trials
from seqbench.trials.equal_size import trial_settings, with_width

State = Literal["finished", "stale", "failed", "running", "unfinished", "new", "impossible"]
"""How a trial of a sweep stands. ``stale``: it has finished, and something that decides its result
has changed since. ``unfinished``: it was stopped, and goes on from its last checkpoint."""

RUNS: dict[Rerun, tuple[State, ...]] = {
    "never": ("new", "unfinished"),
    "failed": ("new", "unfinished", "failed"),
    "stale": ("new", "unfinished", "failed", "stale"),
    "code": ("new", "unfinished", "failed", "stale"),
    "always": ("new", "unfinished", "failed", "stale", "finished"),
}
"""Which states are run; the impossible is too, so that its mistake is told. ``code`` runs finished
trials too, where other code of seqbench trained them."""


@dataclass(frozen=True)
class Planned:
    """A trial of a sweep.

    Args:
        overrides: what the sweep says of it.
        settings: what that means; None if it is impossible.
        state: how it stands.
        reason: of a state that has one, in one line; of a finished trial, which code of seqbench
            has been changed since.
        run_id: of the run that the state was read from; empty without one.
        seconds: that this trial took when it finished, or has been running; None without a run.
        metric: the primary one, of a trial that has finished.
        score: its value on test.
        monitor: value of the metric that selected the epoch, on validation.
        epochs: that a running trial has trained.
        names: of task and model, where the trial is impossible.
        parts: of its identity, when it was planned.
    """

    overrides: list[str]
    settings: Settings | None
    state: State
    reason: str = ""
    run_id: str = ""
    seconds: float | None = None
    metric: MetricInfo | None = None
    score: float = math.nan
    monitor: float = math.nan
    epochs: int = 0
    names: tuple[str, str] = ("", "")
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """Registered name."""
        return self.names[0] if self.settings is None else self.settings.task

    @property
    def model(self) -> str:
        """Registered name."""
        return self.names[1] if self.settings is None else self.settings.model

    def runs(self, rerun: Rerun) -> bool:
        """Return whether it is to run."""
        if self.is_of_other_code and rerun == "code":
            return True
        return self.state == "impossible" or self.state in RUNS[rerun]

    @property
    def is_of_other_code(self) -> bool:
        """Whether it has finished under other code of seqbench, by which nothing should change."""
        return self.state == "finished" and bool(self.reason)


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Args:
        trials: in the order in which they run.
        rerun: what runs beside what was never tried or was stopped.
        seconds: that finished trials of the store took, by task and model.
    """

    trials: list[Planned]
    rerun: Rerun
    seconds: dict[tuple[str, str], list[float]]


def plan(overrides: Sequence[str]) -> Plan:
    """Return every trial of a sweep, and how it stands.

    Args:
        overrides: of the sweep, for example ``model=lstm,gru``.

    Raises:
        Refused: an override is wrong, or the tracking store cannot be used.
    """
    return plan_members(sweep_members(overrides))


def plan_members(members: Sequence[list[str]]) -> Plan:
    """Return how trials stand. Neither data nor torch are loaded.

    Args:
        members: the overrides of each trial.

    Raises:
        Refused: an override is wrong, or the tracking store cannot be used.
    """
    stored: dict[TrackingSettings, dict[str, list[StoredTrial]]] = {}
    sources: dict[str, str] = {}
    planned = []
    rerun: Rerun = "stale"
    for words, composed in zip(members, compose_each(members), strict=True):
        try:
            rerun = composition.rerun(composed)
            settings = trial_settings(composed, words)
            words = with_width(words, composed, settings)
            asked = identity(settings, sources)
        except Refused as refusal:
            names = (str(composed.task.get("name", "")), str(composed.model.get("name", "")))
            planned.append(Planned(words, None, "impossible", str(refusal), names=names))
            continue
        if settings.tracking not in stored:
            stored[settings.tracking] = _by_configuration(stored_trials(settings.tracking))
        before = stored[settings.tracking].get(asked.configuration, [])
        planned.append(replace(_planned(words, settings, asked, before), parts=asked.parts))
    seconds: dict[tuple[str, str], list[float]] = {}
    for of_store in stored.values():
        for trial in (trial for trials in of_store.values() for trial in trials):
            if trial.status == "FINISHED":
                seconds.setdefault((trial.task, trial.model), []).append(trial.seconds)
    return Plan(planned, rerun, seconds)


def state_of(settings: Settings) -> Planned:
    """Return how one trial stands now.

    Raises:
        Refused: the tracking store cannot be used.
    """
    asked = identity(settings)
    before = stored_trials(settings.tracking, asked.configuration)
    return _planned([], settings, asked, before)


def summary(planned: Sequence[Planned]) -> str:
    """Return how many trials are in which state: ``24 trials: 20 finished, 4 new``."""
    counts = Counter(item.state for item in planned)
    parts = [f"{counts[state]} {state}" for state in get_args(State) if counts[state]]
    return f"{len(planned)} trial{'s' * (len(planned) != 1)}: {', '.join(parts)}"


def _by_configuration(trials: Iterable[StoredTrial]) -> dict[str, list[StoredTrial]]:
    found: dict[str, list[StoredTrial]] = {}
    for trial in trials:
        found.setdefault(trial.configuration, []).append(trial)
    return found


def _planned(
    words: list[str], settings: Settings, asked: Identity, before: Sequence[StoredTrial]
) -> Planned:
    """Return how a trial stands, from its runs, the latest first."""
    same = [trial for trial in before if not asked.changed(trial.parts)]
    finished = [(_other_code(trial), trial) for trial in same if trial.status == "FINISHED"]
    if finished:
        reason, trial = next((found for found in finished if not found[0]), finished[0])
        return Planned(
            words, settings, "finished", reason, trial.run_id,
            trial.seconds, trial.metric, trial.score, trial.monitor,
        )  # fmt: skip
    for trial in same:
        if trial.status == "RUNNING":
            return Planned(
                words, settings, "running", "", trial.run_id, trial.seconds, epochs=trial.epochs
            )
    for trial in same:
        if trial.status in ("FAILED", "TIMEOUT", "OOM"):
            reason = trial.reason if trial.status == "FAILED" else f"{trial.status}: {trial.reason}"
            return Planned(words, settings, "failed", reason, trial.run_id)
        return Planned(words, settings, "unfinished", trial.reason, trial.run_id)
    others = [trial for trial in before if trial.status == "FINISHED"]
    if others:
        nearest = min(others, key=lambda trial: len(asked.changed(trial.parts)))
        reason = f"changed since: {', '.join(asked.changed(nearest.parts))}"
        if nearest.schema < SCHEMA:
            reason = f"recorded before identities of schema {SCHEMA}"
        return Planned(words, settings, "stale", reason, nearest.run_id, nearest.seconds)
    return Planned(words, settings, "new")


def _other_code(trial: StoredTrial) -> str:
    """Return which code of seqbench has been changed since a trial was trained; empty for none."""
    then, now = trial.harness, harness_hashes()
    changed = sorted(path for path in {*then, *now} if then.get(path) != now.get(path))
    if not changed:
        return ""
    names = [path.rpartition("/")[2] for path in {*then, *now}]
    shown = [
        name if names.count(name := path.rpartition("/")[2]) == 1 else path
        for path in changed[:_SHOWN]
    ]
    if len(changed) > _SHOWN:
        shown.append(f"{len(changed) - _SHOWN} more")
    return f"under other code of seqbench: {', '.join(shown)}"


_SHOWN = 4  # files
