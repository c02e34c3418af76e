"""Which trials a report or a comparison looks at: read from a store, filtered, compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from seqbench.config import composition, searchpath
from seqbench.config.command import command
from seqbench.config.composition import compose_each
from seqbench.config.overrides import override_text
from seqbench.config.settings import TrackingSettings
from seqbench.config.sources import whole_path
from seqbench.config.titles import called
from seqbench.config.values import amount_or_share
from seqbench.errors import Refused, did_you_mean, listed, shortened
from seqbench.identity import flat, is_shared
from seqbench.registry.plugins import plugin_files, registry
from seqbench.registry.registration import KINDS
from seqbench.reporting.comparison import Practical, compare
from seqbench.reporting.progress import ProgressWatch, unwatched
from seqbench.reporting.table import Table
from seqbench.reporting.trials import (
    SOURCE_KEY,
    Defaults,
    ReportedTrial,
    make_trials,
    task_parameters,
)
from seqbench.tracking.address import locate
from seqbench.tracking.logged import LoggedTrial, logged_trials, trial_runs
from seqbench.tracking.trials import StoredSweep, stored_sweeps

FILTERS = ("task", "model", "sweep", "conditions")

_BAR_FROM = 500  # trials from which reading shows a bar


@dataclass(frozen=True)
class Wanted:
    """Which trials are looked at, and how they are compared.

    Args:
        filters: values by one of :data:`FILTERS`, each a list of choices; ``sweep`` and
            ``conditions`` take the beginning of a hash, ``sweep`` also ``latest``.
        control: label or model that others are compared with; empty takes each table's own.
        practical: the smallest difference worth having; None takes what each task says.
        tracking: overrides ``tracking.KEY=VALUE`` that say which store.
    """

    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    control: str = ""
    practical: Practical | None = None
    tracking: Sequence[str] = ()

    @property
    def chosen(self) -> str:
        """The filters, for a person to read."""
        return " ".join(f"{key}={','.join(values)}" for key, values in self.filters.items())


def read_practical(text: str) -> Practical:
    """Return the smallest difference worth having.

    Args:
        text: an amount in the metric's unit, ``0.05``, or a share of the control's score, ``1%``.

    Raises:
        Refused: it is neither.
    """
    try:
        return Practical(*amount_or_share(text))
    except ValueError:
        raise Refused(
            f"practical={shortened(text)} must be a positive number in the metric's unit, such as "
            "0.05, or a share of the control's score, such as 1%"
        ) from None


@dataclass(frozen=True)
class Selection:
    """Trials and what they say.

    Args:
        store: where they are, for a person to read.
        trials: those chosen, candidates of tunings included.
        tables: what they say, see :func:`seqbench.reporting.comparison.compare`.
        defaults: what their tasks and models are composed to with nothing changed.
        notes: what a reader must know of the whole.
        tracking: overrides ``tracking.KEY=VALUE`` that say which store.
    """

    store: str
    trials: list[ReportedTrial]
    tables: list[Table]
    defaults: Defaults
    notes: list[str]
    tracking: Sequence[str] = ()


def select(wanted: Wanted, watch: ProgressWatch = unwatched) -> Selection:
    """Read a store's trials, filter them, and compare them.

    Args:
        wanted: which trials.
        watch: sees each run that is read.

    Raises:
        Refused: the store cannot be used, or a filter finds nothing.
    """
    searchpath.enable()
    settings = composition.settings(composition.compose(wanted.tracking)).tracking
    if not settings.enabled:
        raise Refused("tracking=none keeps no runs; name a store with tracking.uri")
    store = f"{locate(settings.uri).shown}, experiment {settings.experiment}"
    sweeps = stored_sweeps(settings)
    tunings = [sweep.run_id for sweep in sweeps if sweep.is_tuning]
    trials = make_trials(_logged(settings, watch), tunings)
    trials = _filtered(trials, wanted, sweeps, store)
    defaults = _defaults(trials)
    tables = compare(trials, wanted.control, wanted.practical, defaults, _worth(trials))
    if wanted.control and trials:
        _check_control(wanted.control, tables)
    notes = []
    old = sum(table.is_old for table in tables)
    if old:
        notes.append(
            f"{old} tables of the same tasks under older conditions stand below: code, data or "
            "versions have changed since, so their scores are not compared with the others."
        )
    return Selection(store, trials, tables, defaults, notes, wanted.tracking)


def _logged(settings: TrackingSettings, watch: ProgressWatch) -> Iterable[LoggedTrial]:
    runs = trial_runs(settings)
    logged = logged_trials(settings, runs)
    return logged if len(runs) < _BAR_FROM else watch(logged, "reading trials", len(runs))


def _filtered(
    trials: list[ReportedTrial], wanted: Wanted, sweeps: Sequence[StoredSweep], store: str
) -> list[ReportedTrial]:
    called = _titles(trials)
    for key, names in wanted.filters.items():
        if key == "sweep":
            names = _sweep_runs(names, sweeps, store)
        elif key == "task":
            names = [registry().stands_for("task", name) for name in names]
        of: Callable[[ReportedTrial], Sequence[str]] = {
            "task": lambda trial: (trial.task, *called[_data(trial)]),
            "model": lambda trial: (trial.model,),
            "sweep": lambda trial: (trial.parent,),
            "conditions": lambda trial: (trial.conditions,),
        }[key]
        known = dict.fromkeys(item for trial in trials for item in of(trial))
        chosen: set[str] = set()
        for name in names:
            found = {item for item in known if _names(key, name, item)}
            if not found and trials:
                there = listed(sorted(filter(None, known)), 100)
                hint = did_you_mean(name, known)
                asked = "latest" if key == "sweep" and "latest" in wanted.filters[key] else name
                raise Refused(
                    f"no trial of {key}={shortened(asked)} in {store}{hint}; there are: {there}"
                )
            chosen |= found
        trials = [trial for trial in trials if chosen.intersection(of(trial))]
    return trials


def _titles(trials: Iterable[ReportedTrial]) -> Mapping[tuple[str, str], set[str]]:
    """Return all that data are called, by task and content: two paths may lead to the same."""
    found: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        found.setdefault(_data(trial), set()).add(trial.title)
    return found


def _data(trial: ReportedTrial) -> tuple[str, str]:
    return trial.task, trial.origin.get("data") or trial.title


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
        raise Refused(
            f"no trial of control={shortened(control)}{hint}; there are: {listed(sorted(models))}"
        )


def _defaults(trials: Iterable[ReportedTrial]) -> Defaults:
    """Return what tasks and models are composed to; those that are no longer here are missing."""
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
            # A run's configuration is read from JSON, where a tuple is a list.
            said = json.dumps(composition.settings(composed).to_dict())
            found[pair] = flat(json.loads(said))
    return found


def _worth(trials: Iterable[ReportedTrial]) -> dict[str, tuple[float, str]]:
    """Return the smallest differences worth having, of the tasks that name one and are here."""
    known = set(registry().names("task"))
    found = {}
    for task in known.intersection(trial.task for trial in trials):
        with suppress(Refused):  # a plugin whose code is broken
            worth = registry().get("task", task).smallest_difference
            if worth is not None:
                found[task] = worth
    return found


def commands_for(
    defaults: Defaults, tracking: Sequence[str] = ()
) -> Callable[[ReportedTrial], list[str]]:
    """Return what gives the commands that repeat a trial, as a shell takes them.

    Args:
        defaults: of the trials' tasks and models.
        tracking: overrides that say which store.
    """
    uri = [word for word in tracking if word.startswith("tracking.uri=")]

    def commands(trial: ReportedTrial) -> list[str]:
        words = [f"task={trial.task}", f"model={trial.model}", f"seed={trial.seed}"]
        changed = trial_words(trial, defaults)
        plugins = plugins_of(trial)
        return [
            command(plugins, "repro", trial.short, uri),
            command(plugins, words, changed, tracking),
        ]

    return commands


def plugins_of(*trials: ReportedTrial) -> list[str]:
    """Return the words that name the files in which the trials' tasks and models are."""
    origins = [trial.origin.get(f"{kind}_origin", "") for trial in trials for kind in KINDS]
    files = [*plugin_files(), *(origin for origin in origins if origin.endswith(".py"))]
    return [f"+plugin={path}" for path in dict.fromkeys(files)]


def trial_words(
    trial: ReportedTrial, defaults: Defaults, *, only_shared: bool = False
) -> list[str]:
    """Return what of a trial's configuration was changed, as words of a command.

    Args:
        trial: of a store.
        defaults: of the trials' tasks and models.
        only_shared: whether what is of the model is left out.
    """
    normal = defaults.get((trial.task, trial.model), {})
    config = dict(trial.config)
    given = config.get(SOURCE_KEY)
    if trial.source and isinstance(given, str) and whole_path(given) != trial.source:
        config[SOURCE_KEY] = trial.source  # it was given as seen from another folder
    words = [
        f"{key}={override_text(value)}"
        for key, value in sorted(config.items(), key=lambda item: not is_shared(item[0]))
        if (key not in normal or normal[key] != value) and (is_shared(key) or not only_shared)
    ]
    usual = called(trial.task, task_parameters(trial))
    title = [f"task.title={override_text(trial.title)}"] if trial.title != usual else []
    return [*words, *title]
