"""What a sweep has done and what is left of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, cast, get_args

from seqbench.config import composition
from seqbench.config.composition import compose_each
from seqbench.config.members import sweep_members
from seqbench.config.settings import Limits, Rerun, Settings, TrackingSettings
from seqbench.errors import Refused, shortened
from seqbench.identity import Identity, identity
from seqbench.records import SCHEMA, MetricInfo, Status, is_own_failure
from seqbench.registry.codehash import harness_hashes
from seqbench.reporting.text import told_apart
from seqbench.sweeps.forecast import Forecast, Forecaster
from seqbench.sweeps.seed_plans import with_seed_plans
from seqbench.tracking.address import locate
from seqbench.tracking.trials import StoredTrial, stored_trials
from seqbench.trials.equal_size import trial_settings, with_width

State = Literal["finished", "stale", "failed", "running", "unfinished", "new", "impossible"]
"""How a trial of a sweep stands. ``stale``: it has finished, and something that decides its result
has changed since, or its record cannot be read any more. ``failed``: of its model's own fault, see
:func:`seqbench.records.is_own_failure`; that is its result. ``unfinished``: it was stopped, or used
more than it was allowed then and is allowed more now; it goes on from its last checkpoint."""

RUNS: dict[Rerun, tuple[State, ...]] = {
    "never": ("new", "unfinished"),
    "failed": ("new", "unfinished", "failed"),
    "stale": ("new", "unfinished", "stale"),
    "code": ("new", "unfinished", "failed", "stale"),
    "always": ("new", "unfinished", "failed", "stale", "finished"),
}
"""Which states are run; the impossible is too, so that its mistake is told. ``code`` runs finished
trials too, where other code of seqbench trained them; what failed may have failed by it."""


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
        forecast: how long it may take; None if it is impossible, or nothing is known.
        title: what the task's data are called, told apart from others of the plan.
        left_out: what of a user's own data was not used, and why, of a trial that has finished.
        parts: of its identity, when it was planned.
        ended: how the run of a failed trial ended, in the record's words.
        first_plan: of its seeds, as its first run that has one or has a result says it, empty if
            it does not; None where there is no such run.
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
    forecast: Forecast | None = None
    title: str = ""
    left_out: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    ended: Status | Literal[""] = ""
    first_plan: str | None = None

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
        trials: in the order in which they run, each once.
        rerun: what runs beside what was never tried or was stopped.
        members: for each member of the sweep, the number of its trial: members that mean the same
            trial, however they say it, have the same one.
        outside: trials that ran before under another plan of seeds, or under none.
    """

    trials: list[Planned]
    rerun: Rerun
    members: list[int]
    outside: int = 0

    @property
    def notes(self) -> list[str]:
        """What a user should know of the trials before they run, a line each."""
        failed = sum(item.state == "failed" and not item.runs(self.rerun) for item in self.trials)
        lines = [self.repeats] if self.repeats else []
        if failed:
            lines.append(
                f"{failed} failed of {'their' if failed > 1 else 'its'} own, which is a result; "
                "rerun=failed trains again what failed"
            )
        if self.outside:
            lines.append(
                f"{_trials(self.outside)} of these ran before this plan of seeds, so the report "
                "will claim nothing of a table with them; seeds that nobody has run yet can, such "
                "as those from 100 on"
            )
        return lines

    @property
    def repeats(self) -> str:
        """Which members repeat another one, in one line; empty if none does."""
        counts = Counter(self.members)
        again = [number for number, count in counts.items() if count > 1]
        if not again:
            return ""
        shown = shortened(" ".join(self.trials[again[0]].overrides))
        more = f", and {len(again) - 1} more are repeated" if len(again) > 1 else ""
        return (
            f"the {len(self.members)} members of this sweep mean {_trials(len(self.trials))}, and "
            f"each counts once: {shown} stands {counts[again[0]]} times{more}"
        )


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
    stored: dict[TrackingSettings, _Stored] = {}
    sources: dict[str, str] = {}
    planned: list[Planned] = []
    numbers: dict[object, int] = {}
    variants: list[Hashable] = []
    of_members = []
    reruns: dict[Rerun, None] = {}
    for words, composed in zip(members, compose_each(members), strict=True):
        try:
            reruns[composition.rerun(composed)] = None
            settings = trial_settings(composed, words)
            words = with_width(words, composed, settings)
            asked = identity(settings, sources)
        except Refused as refusal:
            of_members.append(numbers.setdefault(tuple(words), len(planned)))
            if of_members[-1] == len(planned):
                names = (str(composed.task.get("name", "")), str(composed.model.get("name", "")))
                planned.append(Planned(words, None, "impossible", str(refusal), names=names))
                variants.append(None)
            continue
        of_members.append(numbers.setdefault((asked.key, _place(settings)), len(planned)))
        if of_members[-1] < len(planned):
            continue
        if settings.tracking not in stored:
            found = stored_trials(settings.tracking)
            stored[settings.tracking] = _Stored(_by_configuration(found), Forecaster(found))
        of_store = stored[settings.tracking]
        before = of_store.by_configuration.get(asked.configuration, [])
        item = _planned(words, settings, asked, before)
        forecast = of_store.forecaster.forecast(settings)
        variants.append((asked.study, _place(settings)))
        first = _first_plan(asked, before)
        planned.append(replace(item, forecast=forecast, parts=asked.parts, first_plan=first))
    if len(reruns) > 1:
        raise Refused(f"rerun must be one word for the whole sweep, not {' and '.join(reruns)}")
    titled, outside = with_seed_plans(_titled(planned, sources), variants)
    return Plan(titled, next(iter(reruns), "stale"), of_members, outside)


def _place(settings: Settings) -> tuple[str, str]:
    """Return where a trial is logged: in another place it is to be logged, too."""
    if not settings.tracking.enabled:
        return "", ""
    return locate(settings.tracking.uri).uri, settings.tracking.experiment


def _titled(planned: Sequence[Planned], sources: Mapping[str, str]) -> list[Planned]:
    """Give trials what their data are called; the same content is the same data.

    Args:
        planned: trials.
        sources: the hash of each source that they have.
    """
    first: dict[str, str] = {}  # of several paths with the same content
    places = []
    for item in planned:
        source = item.settings.source if item.settings else None
        key = f"{item.settings.task} {source}" if item.settings else ""
        content = sources.get(key, source or "")
        places.append(first.setdefault(content, source or ""))
    titles = [item.settings.called if item.settings else item.task for item in planned]
    apart = told_apart(titles, places)
    return [replace(item, title=title) for item, title in zip(planned, apart, strict=True)]


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
    return f"{_trials(len(planned))}: {', '.join(parts)}"


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


class _Stored(NamedTuple):
    by_configuration: dict[str, list[StoredTrial]]
    forecaster: Forecaster


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
    finished = [
        (_other_code(trial), trial)
        for trial in same
        if trial.status == "FINISHED" and not trial.damage
    ]
    if finished:
        reason, trial = next((found for found in finished if not found[0]), finished[0])
        return Planned(
            words, settings, "finished", reason, trial.run_id,
            trial.seconds, trial.metric, trial.score, trial.monitor, left_out=trial.left_out,
        )  # fmt: skip
    for trial in same:
        if trial.status == "RUNNING":
            return Planned(
                words, settings, "running", "", trial.run_id, trial.seconds, epochs=trial.epochs
            )
    for trial in same:
        if trial.status == "FINISHED":
            reason = f"it has no result any more: {trial.damage}"
            return Planned(words, settings, "stale", reason, trial.run_id, trial.seconds)
        if is_own_failure(trial.status, trial.reason) and not _may_use_more(settings.limits, trial):
            ended = cast(Status, trial.status)
            return Planned(words, settings, "failed", trial.reason, trial.run_id, ended=ended)
        return Planned(words, settings, "unfinished", trial.reason, trial.run_id)
    source = settings.task_parameters.get("source")
    others = [
        trial
        for trial in before
        if trial.status == "FINISHED"
        and (
            asked.parts.get("source") == trial.parts.get("source")
            or trial.config.get("task.source", str(source)) == str(source)
        )
    ]
    if others:
        nearest = min(others, key=lambda trial: len(asked.changed(trial.parts)))
        reason = f"changed since: {', '.join(asked.changed(nearest.parts))}"
        if nearest.schema < SCHEMA:
            reason = f"recorded before identities of schema {SCHEMA}"
        return Planned(words, settings, "stale", reason, nearest.run_id, nearest.seconds)
    return Planned(words, settings, "new")


def _first_plan(asked: Identity, before: Sequence[StoredTrial]) -> str | None:
    """Return the plan of seeds under which a trial was first seen, see :class:`Planned`."""
    for trial in reversed(before):
        has_result = trial.status == "FINISHED" or is_own_failure(trial.status, trial.reason)
        if (trial.plan or has_result) and not asked.changed(trial.parts):
            return trial.plan
    return None


def _may_use_more(now: Limits, failed: StoredTrial) -> bool:
    """Return whether a limit ended a trial, and a larger one or none holds now."""
    name = {"TIMEOUT": "minutes", "OOM": "gib"}.get(failed.status, "")
    try:
        then = float(failed.config.get(f"limits.{name}", ""))
    except ValueError:  # no limit, so another one allows no more
        return False
    limit = getattr(now, name)
    return limit is None or limit > then


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
