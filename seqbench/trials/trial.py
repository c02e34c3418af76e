"""A trial that can be run: its task, its model, its data, and which trial it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from seqbench.config.settings import Settings
from seqbench.config.sources import whole_path
from seqbench.errors import Refused, SeqbenchError
from seqbench.identity import Identity, identity
from seqbench.records import DataNames, LeftOut, MetricInfo, TrialRecord, left_out_lines
from seqbench.registry.codehash import harness_hashes
from seqbench.registry.modules import package_folders
from seqbench.registry.plugins import registry
from seqbench.registry.registration import BUILT_IN, Registration
from seqbench.trials.names import check_folds, checked

if TYPE_CHECKING:
    from seqbench.api import MetricSet, Model, Sight, Task
    from seqbench.training.data import TrialData
    from seqbench.training.fit import Training
    from seqbench.training.predictor import Predictor
    from seqbench.training.scoring import FoldScores


_EDITED = {
    "task": "task's code",
    "model": "model's code",
    "callbacks": "callbacks' code",
    "source": "data",
}
"""What of an identity may change while a sweep runs, in words."""

PROBE_SIZE = 840
"""Input size of a model that is built to check its parameters; divisible by 1 to 8, 10 and 12."""


@dataclass(frozen=True)
class Trial:
    """A trial whose task and model exist and accept their parameters.

    Args:
        settings: of the trial.
        task: constructed, not prepared.
        model_class: to be built by the harness.
        task_registration: where the task comes from.
        model_registration: where the model comes from.
        device: ``cpu`` or ``cuda``.
    """

    settings: Settings
    task: Task
    model_class: type[Model]
    task_registration: Registration
    model_registration: Registration
    device: str

    def data(self) -> list[TrialData]:
        """Prepare the task's data and return those of each fold as batches."""
        from seqbench.training.data import TrialData

        recipe, seed = self.settings.recipe, self.settings.seed
        self.prepare()
        found = []
        for fold, names in self.names.items():
            with blame(self.task_registration, "its data"):
                try:
                    data = TrialData(self.task, recipe.batch_size, seed, recipe.max_examples, fold)
                except Refused as refusal:
                    if len(self.names) == 1:
                        raise
                    raise refusal.within(f"fold {names.fold or fold}") from refusal
                found.append(data)
        with blame(self.task_registration, "its data"):
            _ = self.fingerprint  # its faults are the task's too
        return found

    def prepare(self) -> None:
        """Prepare the task's data."""
        _ = self.identity  # of the files that are read now
        with blame(self.task_registration, "its data"):
            self.task.prepare()

    @cached_property
    def names(self) -> dict[int, DataNames]:
        """What the data of each fold are called; they are prepared.

        Raises:
            Refused: the task cannot say, or says what are no names.
        """
        with blame(self.task_registration, "names"):
            found = {fold: checked(self.task.names(fold), fold) for fold in self.task.folds()}
            check_folds(found)
        return found

    @cached_property
    def left_out(self) -> list[LeftOut]:
        """What of a user's own data is not used, and why; they are prepared.

        Raises:
            Refused: the task cannot say.
        """
        with blame(self.task_registration, "left_out"):
            found = []
            for name, reason in self.task.left_out():
                if not isinstance(name, str) or not isinstance(reason, str):
                    raise TypeError(f"left_out() has {(name, reason)!r:.60}, which are no texts")
                found.append(LeftOut(name, reason))
        return found

    @cached_property
    def identity(self) -> Identity:
        """Which trial it is; looked up once, as it begins.

        Raises:
            Refused: code was changed after it was imported.
        """
        found = identity(self.settings)
        callbacks = registry().all("callback")
        for item in (self.task_registration, self.model_registration, *callbacks):
            item.check_code()
        return found

    def expect(self, planned: Mapping[str, str]) -> None:
        """Refuse a trial of other code or data than what was planned.

        Args:
            planned: parts of the identity; those that are missing are not compared.

        Raises:
            Refused: they are others now.
        """
        changed = [
            name for name in self.identity.changed(planned) if name in _EDITED and name in planned
        ]
        if changed:
            raise Refused(
                f"the {' and the '.join(map(_EDITED.__getitem__, changed))} of task="
                f"{self.settings.task} model={self.settings.model} changed after the trial was "
                "planned; start it again"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the data, which are prepared; it reads them all, so once."""
        return self.task.fingerprint()

    def baselines(self, folds: Sequence[TrialData], sight: Sight) -> dict[str, FoldScores]:
        """Return the scores of the task's baselines on the test splits of its folds.

        Args:
            folds: the data.
            sight: of the model that they stand beside.
        """
        from seqbench.training.scoring import score_baselines

        splits = [data.splits for data in folds]
        found = [self.task.baselines_for(split, sight) for split in splits]
        tests = [split.test for split in splits]
        return score_baselines(self.task, found, tests, self.metrics)

    def metrics(self) -> MetricSet:
        """Return a fresh set of the task's metrics and of those that plugins add."""
        from seqbench.trials.extras import metrics_of

        return metrics_of(self.task)

    def predictor(self, data: TrialData) -> Predictor:
        """Return the predictor with its initial weights, on the trial's device."""
        from seqbench.training.fit import build_predictor

        with blame(self.model_registration, "its constructor"):
            return build_predictor(
                self.task,
                self.model_class,
                self.settings.model_parameters,
                data,
                self.settings.seed,
            ).to(self.device)

    def training(self, data: TrialData, predictor: Predictor, checkpoint: Path) -> Training:
        """Return what training on a fold needs; nobody listens, and no time is spent yet.

        Args:
            data: of the fold.
            predictor: with its initial weights.
            checkpoint: the file that is to keep the selected epoch's weights.
        """
        from seqbench.training.fit import Training
        from seqbench.trials.extras import plugin_callbacks

        settings = self.settings
        return Training(
            self.task,
            predictor,
            data,
            settings.recipe,
            settings.trainer,
            settings.seed,
            checkpoint,
            settings.limits,
            title=f"{settings.called} {settings.model} seed={settings.seed}",
            callbacks=plugin_callbacks,
        )


def load(settings: Settings) -> Trial:
    """Find a trial's task and model, and have both check their parameters.

    Raises:
        Refused: one is unknown or unusable, or refuses a parameter; or there is no such device.
    """
    import torch

    from seqbench.training.fit import set_up_device
    from seqbench.training.predictor import model_context
    from seqbench.trials.undisturbed import importing

    task_registration = registry().get("task", settings.task)
    model_registration = registry().get("model", settings.model)
    with importing(task_registration.target):
        task_class = task_registration.load()
    with importing(model_registration.target):
        model_class = model_registration.load()
    with blame(task_registration, "its constructor"):
        task = task_class(**settings.task_parameters)
    try:
        # An impossible value is refused before data are fetched. Whatever else goes wrong without
        # storage and the real input size is for the real constructor to say.
        with torch.device("meta"):
            model_class(PROBE_SIZE, model_context(task.visibility), **settings.model_parameters)
    except ValueError as error:
        raise Refused(f"model={settings.model}: {error}") from error
    except Exception:
        pass
    device = set_up_device(settings.trainer)
    return Trial(settings, task, model_class, task_registration, model_registration, device)


@contextmanager
def blame(registration: Registration, what: str) -> Iterator[None]:
    """Turn an exception of a task's or model's code into a refusal that names whose it is."""
    try:
        yield
    except SeqbenchError:
        raise
    except (Exception, SystemExit) as error:
        who = f"{registration.kind}={registration.name}"
        if isinstance(error, ValueError) and what == "its constructor":
            raise Refused(f"{who}: {error}") from error
        lines = str(error).splitlines() or [""]
        raise Refused(
            f"{who} ({registration.origin}): {what} failed: {type(error).__name__}: {lines[0]}"
        ) from error


def check_plugin(trial: Trial, data: TrialData) -> None:
    """Refuse a plugin's model whose predictions see what the task hides, on a few real sequences.

    Built-in models are proven by the project's own tests, over every task and depth.

    Raises:
        Refused: a prediction depends on what it must not see.
    """
    if trial.model_registration.origin == BUILT_IN:
        return
    from seqbench.testing import check_visibility, make_predictor, small_batch

    task, train = trial.task, data.splits.train
    try:
        predictor = make_predictor(
            trial.model_class,
            trial.settings.model_parameters,
            task.input_spec(train),
            task.output_spec(train),
            task.visibility,
        )
        check_visibility(predictor, small_batch(task, train).inputs, dependence=False)
    except AssertionError as error:
        origin = trial.model_registration.origin
        raise Refused(f"model={trial.settings.model} ({origin}) leaks: {error}") from error
    except (Exception, SystemExit) as error:
        sys.stderr.write(
            f"seqbench: model={trial.settings.model} could not be checked for leaks "
            f"in float64 on a CPU: {type(error).__name__}: {error}\n"
        )


def new_record(trial: Trial, predictor: Predictor) -> TrialRecord:
    """Return the record of a trial that is about to start: its identity and environment."""
    import torch

    from seqbench.tracking.environment import environment

    settings, task = trial.settings, trial.task
    where = {
        "device": trial.device if trial.device == "cpu" else torch.cuda.get_device_name(),
        "threads": str(torch.get_num_threads()),
        "precision": settings.trainer.precision,
    }
    return TrialRecord(
        key=trial.identity.key,
        task=settings.task,
        model=settings.model,
        seed=settings.seed,
        status="KILLED",
        reason="ended without a result",
        max_examples=settings.recipe.max_examples,
        tuning=settings.tracking.tuning or "",
        folds=list(trial.names),
        context=predictor.context,
        monitor=MetricInfo(task.monitor.name, task.monitor.direction, task.monitor.unit),
        primary=MetricInfo(task.primary.name, task.primary.direction, task.primary.unit),
        parameters=predictor.parameter_count,
        environment=environment() | _git_states(trial) | where,
        parts=dict(trial.identity.parts),
        data=trial.fingerprint,
        harness=harness_hashes(),
        names=trial.names,
        left_out=trial.left_out,
        title=settings.called if settings.called != settings.task else "",
    )


def provenance(trial: Trial) -> dict[str, str]:
    """Return which trial it is, and where its code and data come from."""
    from seqbench.tracking.tags import FOLDS, LEFT_OUT, PLAN, SOURCE, TITLE, identity_tags

    asked, source = trial.identity, trial.settings.source
    where = {} if source is None else {SOURCE: whole_path(source)}
    folds = [f"fold-{fold}: {names.fold}" for fold, names in trial.names.items() if names.fold]
    said = {
        LEFT_OUT: "\n".join(left_out_lines(trial.left_out)),
        FOLDS: ", ".join(folds),
        PLAN: trial.settings.plan,
    }
    return {
        **where,
        **{tag: text[:_TAG] for tag, text in said.items() if text},
        TITLE: trial.settings.called,
        **identity_tags(asked.configuration, asked.parts, harness_hashes()),
        "seqbench.task_origin": trial.task_registration.origin,
        "seqbench.task_version": trial.task.version,
        "seqbench.model_origin": trial.model_registration.origin,
        "seqbench.data": trial.fingerprint,
    }


def _git_states(trial: Trial) -> dict[str, str]:
    """Return the commits of the checkouts that seqbench's code and a plugin's come from."""
    from seqbench.tracking.environment import code_state

    folders = [folder for name in _CODE for folder in package_folders(f"seqbench{name}")]
    states = [state for folder in folders if (state := code_state(folder))]
    found = {"git_seqbench": max(states, key=len, default="")}
    for item in (trial.task_registration, trial.model_registration):
        if item.origin != BUILT_IN:
            path = item.source().path
            is_package = not item.target.partition(":")[0].endswith(".py")
            found[f"git_{item.kind}"] = code_state(path.parent if is_package else path)
    return {name: state for name, state in found.items() if state}


_TAG = 5000  # characters that a store takes
_CODE = ("", ".plugins", ".tasks", ".conf")
