"""The Python API: what the command line does, from a script or a notebook.

``seqbench.run``, ``seqbench.sweep`` and ``seqbench.results`` take the command line's overrides as
keyword arguments: ``model="gru"``, ``recipe={"lr": 1e-3}`` or ``**{"recipe.lr": 1e-3}``.
``seqbench.compare`` and ``seqbench.report`` say what finished trials say, ``seqbench.evaluate`` and
``seqbench.load`` take a trained model up again.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.config import composition
from seqbench.config.command import kept_words
from seqbench.config.overrides import override_text, split_words
from seqbench.errors import Refused, shortened, unknown
from seqbench.records import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from seqbench.reporting.models import Comparison
    from seqbench.reporting.report import Report
    from seqbench.reporting.selection import Wanted
    from seqbench.reporting.terminal import Evaluation
    from seqbench.trials.loaded import SequenceModel, StreamingModel


@dataclass(frozen=True)
class Result:
    """A finished trial, or its model scored again.

    Args:
        record: all that is known of it.
        evaluation: on what it was scored, if it was scored again; None for a trial.
        kept: words of a command on the same data.
    """

    record: TrialRecord
    evaluation: Evaluation | None = None
    kept: Sequence[str] = ()

    @property
    def score(self) -> float:
        """The primary metric on test; ``record.primary`` says which, and which way is better."""
        return self.record.metrics[f"test/{self.record.primary.name}"]

    @property
    def metrics(self) -> dict[str, float]:
        """Scores at the selected epoch, ``valid/<name>`` and ``test/<name>``."""
        return dict(self.record.metrics)

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: ``train/...`` and ``valid/...`` scores, and ``seconds``."""
        import pandas as pd

        return pd.DataFrame(self.record.history)

    def __str__(self) -> str:
        """Return the table that the command line prints."""
        from rich.console import Console

        from seqbench.reporting.terminal import print_result

        text = io.StringIO()
        print_result(self.record, Console(file=text, width=100), self.evaluation, self.kept)
        return text.getvalue().strip("\n")


def run(**overrides: object) -> Result:
    """Train and test one trial, and log it: ``seqbench task=... model=...``.

    Args:
        overrides: of the configuration, for example ``task="music"``, ``model="gru"``, ``seed=1``,
            ``experiment="smoke"``, ``recipe={"lr": 1e-3}``.

    Raises:
        Refused: it cannot be done; nothing was started.
        TrialFailed: it was started and failed; the reason is logged.
    """
    from seqbench.trials.equal_size import trial_settings
    from seqbench.trials.run import run as run_trial

    words = [_word(key, value) for key, value in _flat(overrides)]
    settings = trial_settings(composition.compose(words), words)
    return Result(run_trial(settings), kept=kept_words(settings))


def sweep(
    *, launcher: str = "basic", workers: int | None = None, **overrides: object
) -> pd.DataFrame:
    """Run every combination that has no result yet: ``seqbench -m model=lstm,gru seed=0,1,2``.

    Killed at any moment, the same call goes on. A trial that fails costs no other, and its failure
    is a result: ``rerun="failed"`` trains it again. ``looks=[6, 10, 14, 20]`` plans looks at
    results before all seeds have run, see the manual's page on sweeps.

    Args:
        launcher: where trials run: ``basic``, ``local``, ``slurm`` or ``ray``; what it takes is
            said as ``**{"hydra.launcher.<parameter>": value}``.
        workers: processes of the launcher ``local``, which it chooses.
        overrides: as :func:`run` takes them; a list, tuple or range gives a trial for each item.

    Returns:
        A row for each trial of the sweep: ``task``, ``title`` (of its data), ``model``,
        ``changes`` (what else tells it from others), ``seed``, ``status``, ``reason``, ``metric``,
        ``direction``, ``score`` on test.

    Raises:
        Refused: an override is wrong, or the tracking store cannot be used.
    """
    import pandas as pd

    from seqbench.sweeps.costs import time_models
    from seqbench.sweeps.run import results as results_of
    from seqbench.sweeps.run import run_sweep
    from seqbench.sweeps.sweeper import make_launcher

    words = [_word(key, value, several=True) for key, value in _flat(overrides)]
    words, of_hydra = split_words(words)
    if workers is not None:
        if launcher not in ("basic", "local"):
            raise Refused(f"workers={workers} is of launcher='local', not of '{launcher}'")
        launcher = "local"
        of_hydra.append(f"hydra.launcher.workers={workers}")
    chosen = make_launcher([f"hydra/launcher={launcher}", *of_hydra])
    composition.check_choices(words)
    rows = []
    with chosen as workers_of_it:
        ran = run_sweep(words, workers_of_it)
    time_models(ran, chosen)
    for item in results_of(ran):
        metric = item.metric
        rows.append(
            {
                "task": item.task,
                "title": item.called,
                "model": item.model,
                "changes": item.changes,
                "seed": item.seed,
                "status": item.status,
                "reason": item.reason,
                "metric": metric.name if metric else "",
                "direction": metric.direction if metric else "",
                "score": item.score,
            }
        )
    return pd.DataFrame(rows)


def results(*, all_runs: bool = False, **tracking: object) -> pd.DataFrame:
    """Return what the trials of a tracking store found.

    Args:
        all_runs: True returns every run; otherwise a trial that ran several times has one row, of
            its latest run that finished, or else of its latest.
        tracking: ``uri`` and ``experiment``, as ``tracking.uri`` on the command line.

    Returns:
        A row for each trial, the latest first: ``run_id``, ``task``, ``model``, ``seed``,
        ``status``, ``reason``, ``seconds``; its configuration (``recipe.lr``, ...); its scores and
        costs (``test/...``, ``best/valid/...``, ``baseline/...``, ``cost/...``).

    Raises:
        Refused: a key is unknown, or the store cannot be used.
    """
    from seqbench.tracking.frame import trials_frame

    words = [_word(f"tracking.{key}", value) for key, value in _flat(tracking)]
    return trials_frame(composition.settings(composition.compose(words)).tracking, all_runs)


def compare(
    *models: str, control: str = "", practical: float | str | None = None, **filters: object
) -> Comparison:
    """Compare models by their finished trials: ``seqbench compare lstm gru task=music``.

    Args:
        models: two registered names or more; the first is the control.
        control: another one of them that the others are compared with.
        practical: the smallest difference worth having: an amount in the metric's unit, or a share
            of the control's score such as ``"1%"``; None takes what each task says.
        filters: ``task``, ``sweep`` and ``conditions``, each a name or a list; ``uri`` and
            ``experiment`` of the tracking store.

    Returns:
        An object that prints as the command's tables, with their rows as a ``frame``.

    Raises:
        Refused: a filter is unknown or finds nothing, or nothing can be compared.
    """
    from seqbench.reporting.models import compare_models

    for model in models:
        if not isinstance(model, str):
            raise Refused(
                f"models must be names, each a text of its own, as in compare('lstm', 'gru'), not "
                f"{_shown(model)}"
            )
    return compare_models(models, _wanted(filters, ("model",), control, practical))


def report(
    out: str | Path = "seqbench-report",
    *,
    control: str = "",
    practical: float | str | None = None,
    **filters: object,
) -> Report:
    """Write what the finished trials of a store say: ``seqbench report``.

    Args:
        out: the folder, made if it is not there; the page is ``report.html`` in it.
        control: the model that others are compared with.
        practical: as :func:`compare` takes it.
        filters: ``model`` and those of :func:`compare`.

    Returns:
        The folder, the files in it and the verdict of each table.

    Raises:
        Refused: a filter is unknown or finds nothing, or the store or the folder cannot be used.
    """
    from seqbench.reporting.report import report as write

    folder = Path(_text("out", out)).expanduser()
    return write(folder, _wanted(filters, (), control, practical))


def evaluate(
    run: str, *, uri: str | None = None, accelerator: str = "auto", **parameters: object
) -> Result:
    """Score a finished run's model again: ``seqbench evaluate run=ID``; nothing is logged.

    What has changed since the run was trained is warned of.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store.
        accelerator: where to compute: ``cpu``, ``gpu``, or ``auto``: where it was trained, or on a
            CPU if there is no GPU here.
        parameters: of the task to change, for example ``source="my_rolls.pkl"``: the model is then
            scored on those data.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or its model does not fit the data, or
            there is no such device.
    """
    from seqbench.trials.evaluate import evaluate as score

    run, uri = _text("run", run), _uri(uri)
    found = score(run, uri, parameters=parameters, accelerator=accelerator, note=_warn)
    return Result(found.record, found.evaluation)


def load(
    run: str,
    fold: int | str | None = None,
    uri: str | None = None,
    *,
    accelerator: str = "auto",
) -> SequenceModel | StreamingModel:
    """Load a finished run's model: it predicts, and is scored.

    What has changed since the run was trained is warned of.

    Args:
        run: its identifier, or the first digits.
        fold: whose model, where a task has several, by number or name; None: the only one.
        uri: of the tracking store.
        accelerator: where it is to compute: ``cpu``, ``gpu``, or ``auto``: where it was trained, or
            on a CPU if there is no GPU here.

    Returns:
        An object with ``predict`` and ``score``; a :class:`~seqbench.trials.loaded.StreamingModel`,
        which has ``step`` too, where the model reads forwards and remembers its states alone.

    Raises:
        Refused: the run is unknown, unfinished or damaged, or has several folds or not this one;
            or there is no such device.
    """
    from seqbench.trials.loaded import load_model

    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int | str)):
        raise Refused(f"fold must be a number, a name or None, not {_shown(fold)}")
    run, uri = _text("run", run), _uri(uri)
    return load_model(run, fold, uri, accelerator=accelerator, note=_warn)


def _wanted(
    filters: Mapping[str, object],
    without: Sequence[str],
    control: str,
    practical: float | str | None,
) -> Wanted:
    from seqbench.reporting.selection import FILTERS, Wanted, read_practical

    known = [key for key in FILTERS if key not in without]
    of_store = ("uri", "experiment")
    chosen, tracking = {}, []
    for key, value in filters.items():
        if key in of_store:
            tracking.append(_word(f"tracking.{key}", value))
        elif key in known:
            items = [value] if isinstance(value, str) else value
            if not isinstance(items, list | tuple) or not items:
                raise Refused(f"{key} must be a name or a list of names, not {_shown(value)}")
            chosen[key] = [_text(key, item) for item in items]
        else:
            raise unknown("filter", key, [*known, *of_store])
    return Wanted(
        filters=chosen,
        control=_text("control", control) if control != "" else "",
        practical=None if practical is None else read_practical(str(practical)),
        tracking=tracking,
    )


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def _flat(overrides: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield keys with dots; a mapping's keys are below its own.

    What a mapping calls the ``name`` of a task or model chooses it, with its own parameters.
    """
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            below = dict(value)
            if not prefix and key in ("task", "model") and below.get("name") is not None:
                yield key, below.pop("name")
            yield from _flat(below, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(key: str, value: object, *, several: bool = False) -> str:
    """Return ``key=value`` as the command line takes it.

    Args:
        key: with dots.
        value: of any type that a configuration holds.
        several: whether a list gives a trial for each of its items.

    Raises:
        Refused: it is of another type, or an empty list of trials.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        if not several or not isinstance(value, list | tuple | range):
            return f"{key}={override_text(value)}"
        if not value:
            raise Refused("a sweep needs at least one value, not an empty list")
        return f"{key}={','.join(map(override_text, value))}"
    except Refused as refusal:
        raise refusal.within(key) from refusal


def _text(key: str, value: object) -> str:
    """Return a text or path that is not empty.

    Raises:
        Refused: it is something else.
    """
    if isinstance(value, str | Path) and str(value).strip():
        return str(value)
    raise Refused(f"{key} must be a text that is not empty, not {_shown(value)}")


def _uri(uri: object) -> str | None:
    return None if uri is None else _text("uri", uri)


def _shown(value: object) -> str:
    return shortened(repr(value), 60)
