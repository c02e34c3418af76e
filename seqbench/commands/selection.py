"""Which trials `seqbench report` and `seqbench compare` look at, and what their words mean."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seqbench.config.settings import TrackingSettings
from seqbench.errors import Refused, did_you_mean
from seqbench.registry.plugins import registry
from seqbench.tracking.address import locate

if TYPE_CHECKING:
    from seqbench.reporting.comparison import Practical
    from seqbench.reporting.table import Table
    from seqbench.reporting.trials import Defaults, ReportedTrial
    from seqbench.tracking.logged import LoggedTrial
    from seqbench.tracking.trials import StoredSweep

FILTERS = ("task", "model", "sweep", "conditions")
_OPTIONS = ("control", "practical")
_FLAGS = ("json",)
_BAR_FROM = 500  # trials from which reading shows a bar


@dataclass(frozen=True)
class Words:
    """What a command was asked for.

    Args:
        names: words without ``=``.
        filters: values by filter, each a list of choices.
        control: that others are compared with; empty if it was not said.
        practical: when a difference does not matter.
        json: whether to print JSON.
        others: what the command knows by itself, by key.
        tracking: overrides.
    """

    names: list[str] = field(default_factory=list)
    filters: dict[str, list[str]] = field(default_factory=dict)
    control: str = ""
    practical: Practical | None = None
    json: bool = False
    others: dict[str, str] = field(default_factory=dict)
    tracking: list[str] = field(default_factory=list)

    @property
    def chosen(self) -> str:
        """The filters, for a person to read."""
        return " ".join(f"{key}={','.join(values)}" for key, values in self.filters.items())


def read_words(command: str, args: Sequence[str], others: Sequence[str] = ()) -> Words:
    """Return what a command's words mean.

    Args:
        command: its name.
        args: its words: ``key=value``, ``--control lstm``, ``--json``, names.
        others: keys that it knows by itself.

    Raises:
        Refused: a word is unknown or wrong.
    """
    known = (*FILTERS, *_OPTIONS, *others)
    names: list[str] = []
    values: dict[str, str] = {}
    tracking: list[str] = []
    as_json = False
    words = list(args)
    while words:
        word = words.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("-") and key in _FLAGS and not equals:
            as_json = True
            continue
        if word.startswith("--") and key in known and not equals:
            if not words:
                raise Refused(f"seqbench {command}: {word} needs a value")
            value = words.pop(0)
        elif not equals and not word.startswith("-"):
            names.append(word)
            continue
        elif key.startswith("tracking.") and equals:
            tracking.append(word)
            continue
        elif key not in known or not equals:
            hint = did_you_mean(key, [*known, *_FLAGS, "tracking.uri"])
            listing = ", ".join((*known, "tracking.uri", "--json"))
            raise Refused(f"seqbench {command}: unknown word '{word}'{hint}; known: {listing}")
        if not all(part.strip() for part in (value.split(",") if key in FILTERS else [value])):
            raise Refused(f"seqbench {command}: {key}={value} lacks a value")
        values[key] = value.strip()
    return Words(
        names=names,
        filters={
            key: [part.strip() for part in values[key].split(",")]
            for key in FILTERS
            if key in values
        },
        control=values.get("control", ""),
        practical=_practical(values["practical"]) if "practical" in values else None,
        json=as_json,
        others={key: values[key] for key in others if key in values},
        tracking=tracking,
    )


def _practical(text: str) -> Practical:
    from seqbench.reporting.comparison import Practical

    is_share = text.endswith("%")
    try:
        amount = float(text.removesuffix("%"))
    except ValueError:
        amount = math.nan
    if not (amount > 0 and math.isfinite(amount)):
        raise Refused(
            f"practical={text}: a positive number in the metric's unit, such as 0.05, or a share "
            "of the control's score, such as 1%"
        )
    return Practical(amount / 100 if is_share else amount, is_share)


@dataclass(frozen=True)
class Selection:
    """Trials and what they say.

    Args:
        store: where they are, for a person to read.
        trials: those chosen, candidates of tunings included.
        tables: what they say, see :func:`seqbench.reporting.comparison.compare`.
        defaults: what their tasks and models are composed to with nothing changed.
        notes: what a reader must know of the whole.
    """

    store: str
    trials: list[ReportedTrial]
    tables: list[Table]
    defaults: Defaults
    notes: list[str]


def select(words: Words) -> Selection:
    """Read a store's trials, filter them, and compare them.

    Raises:
        Refused: the store cannot be used, or a filter finds nothing.
    """
    from seqbench.config import composition, searchpath
    from seqbench.reporting.comparison import compare
    from seqbench.reporting.trials import make_trials
    from seqbench.tracking.trials import stored_sweeps

    searchpath.enable()
    settings = composition.settings(composition.compose(words.tracking)).tracking
    if not settings.enabled:
        raise Refused("tracking=none keeps no runs; name a store with tracking.uri")
    address = locate(settings.uri)
    store = f"{address.shown}, experiment {settings.experiment}"
    sweeps = stored_sweeps(settings)
    tunings = [sweep.run_id for sweep in sweeps if _is_tuning(sweep)]
    trials = make_trials(_logged(settings), tunings)
    trials = _filtered(trials, words, sweeps, store)
    defaults = _defaults(trials)
    tables = compare(trials, words.control, words.practical, defaults)
    if words.control and trials:
        _check_control(words.control, tables)
    notes = []
    old = sum(table.is_old for table in tables)
    if old:
        notes.append(
            f"{old} tables of the same tasks under older conditions stand below: code, data or "
            "versions have changed since, so their scores are not compared with the others."
        )
    return Selection(store, trials, tables, defaults, notes)


def _is_tuning(sweep: StoredSweep) -> bool:
    from seqbench.commands.tune import TUNE

    return TUNE in sweep.words.get("overrides", ())


def _logged(settings: TrackingSettings) -> Iterable[LoggedTrial]:
    from seqbench.tracking.logged import logged_trials, trial_runs

    runs = trial_runs(settings)
    logged = logged_trials(settings, runs)
    if len(runs) < _BAR_FROM or not sys.stderr.isatty():
        return logged
    from rich.console import Console
    from rich.progress import track

    return track(
        logged, "reading trials", total=len(runs), console=Console(stderr=True), transient=True
    )


def _filtered(
    trials: list[ReportedTrial], words: Words, sweeps: Sequence[StoredSweep], store: str
) -> list[ReportedTrial]:
    for key, wanted in words.filters.items():
        if key == "sweep":
            wanted = _sweep_runs(wanted, sweeps, store)
        of: Callable[[ReportedTrial], str] = {
            "task": lambda trial: trial.task,
            "model": lambda trial: trial.model,
            "sweep": lambda trial: trial.parent,
            "conditions": lambda trial: trial.conditions,
        }[key]
        known = dict.fromkeys(map(of, trials))
        chosen: set[str] = set()
        for name in wanted:
            found = {item for item in known if _names(key, name, item)}
            if not found and trials:
                listing = ", ".join(sorted(filter(None, known))) or "none"
                hint = did_you_mean(name, known)
                raise Refused(f"no trial of {key}={name} in {store}{hint}; there are: {listing}")
            chosen |= found
        trials = [trial for trial in trials if of(trial) in chosen]
    return trials


def _names(key: str, name: str, item: str) -> bool:
    return item.startswith(name) if key in ("sweep", "conditions") else item == name


def _sweep_runs(wanted: Sequence[str], sweeps: Sequence[StoredSweep], store: str) -> list[str]:
    if not sweeps:
        raise Refused(f"no sweep in {store}; leave out sweep=")
    latest = max(sweeps, key=lambda sweep: sweep.began).run_id
    return [latest if name == "latest" else name for name in wanted]


def _check_control(control: str, tables: Sequence[Table]) -> None:
    labels = {item.label for table in tables for item in table.variants}
    models = {item.model for table in tables for item in table.variants}
    if control not in labels | models:
        hint = did_you_mean(control, labels | models)
        listing = ", ".join(sorted(models))
        raise Refused(f"no trial of control={control}{hint}; there are: {listing}")


def _defaults(trials: Iterable[ReportedTrial]) -> Defaults:
    """Return what tasks and models are composed to; those that are no longer here are missing."""
    from seqbench.config import composition
    from seqbench.identity import flat
    from seqbench.sweeps.members import compose_each

    known = {kind: set(registry().names(kind)) for kind in ("task", "model")}
    pairs = [
        (task, model)
        for task, model in dict.fromkeys((trial.task, trial.model) for trial in trials)
        if task in known["task"] and model in known["model"]
    ]
    members = [[f"task={task}", f"model={model}"] for task, model in pairs]
    try:
        each = list(zip(pairs, compose_each(members), strict=True))
    except Refused:  # a plugin whose configuration is broken: without that one
        each = []
        for pair, member in zip(pairs, members, strict=True):
            with suppress(Refused):
                each.append((pair, compose_each([member])[0]))
    found = {}
    for pair, composed in each:
        with suppress(Refused):
            found[pair] = flat(composition.settings(composed).to_dict())
    return found


def commands_for(defaults: Defaults) -> Callable[[ReportedTrial], list[str]]:
    """Return what gives the commands that repeat a trial.

    Args:
        defaults: of the trials' tasks and models.
    """
    from seqbench.identity import is_shared
    from seqbench.sweeps.members import override_text

    def commands(trial: ReportedTrial) -> list[str]:
        normal = defaults.get((trial.task, trial.model), {})
        changed = [
            f"{key}={override_text(value)}"
            for key, value in sorted(trial.config.items(), key=lambda item: not is_shared(item[0]))
            if key not in normal or normal[key] != value
        ]
        origin = trial.origin.get("model_origin", "")
        plugin = [f"+plugin={origin}"] if origin.endswith(".py") else []
        words = [*plugin, f"task={trial.task}", f"model={trial.model}", f"seed={trial.seed}"]
        command = " ".join(map(shlex.quote, [*words, *changed]))
        return [f"seqbench repro {trial.short}", f"seqbench {command}"]

    return commands
