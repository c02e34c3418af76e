"""Runs the trials of a sweep that are due."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from seqbench.config.settings import Settings, TrackingSettings
from seqbench.config.titles import said_by
from seqbench.errors import Refused, TrialFailed, folded
from seqbench.identity import identity
from seqbench.records import is_own_failure
from seqbench.reporting.forms import Form
from seqbench.reporting.markup import markdown_table
from seqbench.reporting.sweep import TrialResult, best_means, sweep_layout
from seqbench.reporting.text import duration
from seqbench.sweeps.job import Outcome, Surroundings
from seqbench.sweeps.launchers import TrialLauncher
from seqbench.sweeps.plan import Plan, Planned, plan, summary
from seqbench.tracking.pages import FINISHED, TRIALS, best_metric

if TYPE_CHECKING:
    from rich.progress import Progress

    from seqbench.tracking.store import Store


@dataclass(frozen=True)
class Ran:
    """A trial of a sweep that has ended.

    Args:
        trial: the trial as planned.
        outcome: how it ended; None if its state in the plan made it not run.
    """

    trial: Planned
    outcome: Outcome | None


def run_sweep(overrides: Sequence[str], launcher: TrialLauncher) -> list[Ran]:
    """Run the trials of a sweep that are due, nested under the sweep's own run in MLflow.

    Args:
        overrides: overrides of the sweep, for example ``model=lstm,gru``.
        launcher: where trials run.

    Returns:
        Every trial of the sweep, in order.

    Raises:
        Refused: an override is wrong, or the tracking store cannot be used.
        KeyboardInterrupt: the user stopped it.
    """
    found = plan(overrides)
    if deliver_what_waits(item.settings.tracking for item in found.trials if item.settings):
        found = plan(overrides)
    return run_plan(found, overrides, launcher)


def deliver_what_waits(stores: Iterable[TrackingSettings]) -> bool:
    """Deliver results that wait for tracking stores, so that a plan knows them.

    Returns:
        Whether there was anything to deliver.
    """
    from seqbench.tracking import outbox
    from seqbench.tracking.address import locate

    addresses = {locate(tracking.uri) for tracking in stores if tracking.enabled}
    found = [address for address in addresses if outbox.waiting(address)]
    for address in found:
        outbox.announce(outbox.deliver(address))
    return bool(found)


def run_plan(
    found: Plan, words: Sequence[str], launcher: TrialLauncher, on_validation: bool = False
) -> list[Ran]:
    """Run the trials of a plan that are due.

    Args:
        found: the plan.
        words: words of the command; they name the sweep. The same words are the same sweep.
        launcher: where trials run.
        on_validation: whether to show each trial's validation score instead of its test score.

    Raises:
        Refused: the tracking store cannot be used.
        KeyboardInterrupt: the user stopped it.
    """
    due = [number for number, item in enumerate(found.trials) if item.runs(found.rerun)]
    outcomes: dict[int, Outcome] = {}
    for number in due:
        if found.trials[number].settings is None:
            outcomes[number] = Outcome("REFUSED", found.trials[number].reason)
    due = [number for number in due if number not in outcomes]
    left = f"{len(due)} to run (rerun={found.rerun})"
    names = trial_names(found.trials)
    _say(f"{summary(found.trials)}; {left}")
    for note in found.notes:
        _say(note)
    for number, refused in outcomes.items():
        _say(f"{names[number]}: {refused.reason}")
    if due:
        with _sweep_runs(words, found, due, outcomes) as trials:
            ended = _report(
                launcher.outcomes(trials, found.rerun),
                [names[number] for number in due],
                launcher.at_once,
                on_validation,
            )
            for position, outcome in ended:
                outcomes[due[position]] = outcome
                if outcome.died:
                    _bury(trials[position].settings, outcome)
    return [Ran(item, outcomes.get(number)) for number, item in enumerate(found.trials)]


def results(ran: Sequence[Ran]) -> list[TrialResult]:
    """Return the results of a sweep's trials, as printed at its end."""
    keys = [_keys(item.trial.overrides) for item in ran]
    varied = _varied(keys) - {"seed"}
    found = []
    for item, words in zip(ran, keys, strict=True):
        done = item.outcome if item.outcome and item.outcome.metric else item.trial
        seed = item.trial.settings.seed if item.trial.settings else words.get("seed", "")
        found.append(
            TrialResult(
                task=item.trial.task,
                model=item.trial.model,
                changes=" ".join(_changes(item.trial, words, varied)),
                seed=str(seed),
                status=status(item),
                reason=item.outcome.reason if item.outcome else item.trial.reason,
                metric=done.metric,
                score=done.score,
                title=item.trial.title,
                left_out=done.left_out,
            )
        )
    return found


def _changes(trial: Planned, words: Mapping[str, str], varied: Collection[str]) -> list[str]:
    """Return what tells a trial from others of its sweep, but for what its data's name says."""
    asked = trial.settings
    said = said_by(asked.called, asked.task, asked.task_parameters) if asked else ()
    in_title = {f"task.{key}" for key in said}
    return [
        f"{key}={value}" for key, value in words.items() if key in varied and key not in in_title
    ]


def _keys(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (word.partition("=") for word in overrides)}


_OWN = ("tracking.parent", "tracking.tuning")
"""What sweeps and tunings say themselves."""


def _varied(keys: Sequence[Mapping[str, str]]) -> set[str]:
    """Return what differs between trials, beside task and model."""
    every = {key for words in keys for key in words}
    every -= {"task", "model", "task.source", "task.title", *_OWN}  # a title says the source
    return {key for key in every if len({words.get(key) for words in keys}) > 1}


def failures(ran: Sequence[Ran]) -> None:
    """Raise an error if a trial of a sweep has failed, now or before.

    Raises:
        Refused: every trial was refused.
        TrialFailed: a trial failed.
    """
    failed = [item for item in ran if status(item) not in _WELL]
    if not failed:
        return
    message = f"{len(failed)} of {len(ran)} trial{'s' * (len(ran) != 1)} failed{_ways_on(failed)}"
    if all(item.outcome is not None and item.outcome.status == "REFUSED" for item in ran):
        raise Refused(message)
    raise TrialFailed(message)


def _ways_on(failed: Sequence[Ran]) -> str:
    """Return what the same command does with trials that failed, where their runs were kept."""
    kept = [item for item in failed if (s := item.trial.settings) and s.tracking.enabled]
    own = sum(is_own_failure(status(item)) for item in kept)
    stopped = sum(status(item) == "KILLED" for item in kept)
    parts = []
    if own:
        parts.append(f"{own} of {'their' if own > 1 else 'its'} own (rerun=failed trains again)")
    if stopped:
        parts.append(f"{stopped} stopped (the same command goes on)")
    return f": {', '.join(parts)}" if parts else ""


_WELL = ("FINISHED", "ELSEWHERE", "RUNNING", "STALE")


def status(item: Ran) -> str:
    """Return the state of a trial after its sweep, in the record's words or the plan's."""
    if item.outcome is not None:
        return item.outcome.status
    return item.trial.ended or item.trial.state.upper()


@contextmanager
def _sweep_runs(
    overrides: Sequence[str], found: Plan, due: Sequence[int], outcomes: dict[int, Outcome]
) -> Iterator[list[Planned]]:
    """Start a sweep's run in each store that its trials log to, and give the trials its name."""
    from seqbench.tracking.store import open_store

    stores: dict[TrackingSettings, tuple[Store, str]] = {}
    trials = []
    words = json.dumps({"overrides": sorted(overrides), **asdict(Surroundings())}, sort_keys=True)
    for item in (found.trials[number] for number in due):
        assert item.settings is not None
        tracking = item.settings.tracking
        if not tracking.enabled:
            trials.append(item)
            continue
        if tracking not in stores:
            store = open_store(tracking)
            stores[tracking] = store, store.start_sweep(shlex.join(overrides), words)
        parent = stores[tracking][1]
        settings = replace(item.settings, tracking=replace(tracking, parent=parent))
        trials.append(replace(item, settings=settings))
    ended = "KILLED"
    try:
        yield trials
        ended = "FINISHED" if all(outcomes[number].status in _WELL for number in due) else "FAILED"
    finally:
        counts = Counter(outcomes[number].status for number in due if number in outcomes)
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        so_far = results([Ran(item, outcomes.get(n)) for n, item in enumerate(found.trials)])
        metrics = {best_metric(name): mean for name, mean in best_means(so_far).items()}
        metrics[FINISHED] = sum(item.status == "FINISHED" for item in so_far)
        metrics[TRIALS] = len(so_far)
        shown = [item for item in so_far if item.metric or item.status != "FINISHED"]
        table = markdown_table(sweep_layout(shown, Form.MARKDOWN)) if shown else ""
        for store, parent in stores.values():
            summary = f"{len(due)} trials: {text or 'none has ended'}"
            store.end_sweep(parent, ended, summary, metrics, table)


def _report(
    ended: Iterator[tuple[int, Outcome]],
    names: Sequence[str],
    at_once: int,
    on_validation: bool,
) -> Iterator[tuple[int, Outcome]]:
    """Say of each trial how it ended, as it does, and how long the rest may take."""
    began = time.monotonic()
    with _progress(len(names), at_once) as bar:
        try:
            for count, (number, outcome) in enumerate(ended, start=1):
                took = time.monotonic() - began
                left = took / count * (len(names) - count)
                text = f"[{count}/{len(names)}] {names[number]}: {_result(outcome, on_validation)}"
                if count < len(names):
                    text += f" (about {duration(left)} left)"
                _say(text, bar)
                if bar is not None:
                    bar.update(bar.task_ids[0], completed=count)
                yield number, outcome
        except KeyboardInterrupt:
            _say("stopped: what has finished is kept, and the same command goes on", bar)
            raise


@contextmanager
def _progress(total: int, at_once: int) -> Iterator[Progress | None]:
    """Show a bar over trials on a terminal, unless each trial shows its own."""
    if at_once == 1 or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        bar.add_task("trials", total=total)
        yield bar


def _bury(settings: Settings | None, outcome: Outcome) -> None:
    """Log how a trial ended whose process died."""
    from seqbench.tracking.store import open_store

    if settings is not None and settings.tracking.enabled:
        configuration = identity(settings).configuration
        try:
            open_store(settings.tracking).bury(configuration, outcome.status, outcome.reason)
        except Refused as refusal:
            _say(str(refusal))


def _result(outcome: Outcome, on_validation: bool) -> str:
    if outcome.status == "FINISHED" and on_validation:
        return f"{outcome.monitor:.4g} on validation, {duration(outcome.seconds)}"
    if outcome.status == "FINISHED" and outcome.metric is not None:
        score = f"{outcome.metric.name} {outcome.score:.4g} {outcome.metric.unit}".rstrip()
        return f"{score}, {duration(outcome.seconds)}"
    if outcome.status == "ELSEWHERE":
        return outcome.reason
    return f"{outcome.status}: {outcome.reason}"


def trial_names(trials: Sequence[Planned], *, seeds: bool = True) -> list[str]:
    """Return what a person calls each trial: what tells it from the others.

    Args:
        trials: of a sweep.
        seeds: whether a seed does.
    """
    keys = [_keys(trial.overrides) for trial in trials]
    varied = _varied(keys) - (set() if seeds else {"seed"})
    names = []
    for trial, words in zip(trials, keys, strict=True):
        names.append(" ".join([trial.title, trial.model, *_changes(trial, words, varied)]))
    return names


def _say(text: str, bar: Progress | None = None) -> None:
    line = "\n".join(folded(f"seqbench: {' '.join(text.split())}"))
    if bar is None:
        sys.stderr.write(f"{line}\n")
    else:
        bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
