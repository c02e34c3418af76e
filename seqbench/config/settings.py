"""What a configuration says beside task and model, typed and checked. Nothing heavy is imported.

The fields are the keys of ``conf/recipe``, ``conf/trainer``, ``conf/tracking`` and of ``limits``;
an impossible value raises ``ValueError`` with one line that names the key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seqbench.config.machine import default_threads
from seqbench.config.titles import called

Rerun = Literal["never", "failed", "stale", "code", "always"]
"""Which trials a sweep runs beside those that were never tried or were stopped: ``failed`` ones;
``stale`` ones too, of which something that decides the result has changed; also those that have
finished under another ``code`` of seqbench, which is not to change a result; or ``always`` all."""

Match = Literal["params", "flops"]
"""In what a model is made as large as the reference: trainable parameters, or operations."""


@dataclass(frozen=True)
class Recipe:
    """How a model is optimised; part of the protocol.

    Args:
        optimizer: AdamW (Loshchilov & Hutter 2019) or SGD with Nesterov momentum.
        lr: learning rate at the start.
        weight_decay: decoupled for AdamW, L2 for SGD.
        momentum: of SGD; AdamW's betas are (0.9, 0.999).
        schedule: ``constant``; ``cosine`` to zero over ``max_epochs``; or ``plateau``: lr halves
            when the monitor has not improved for a third of ``patience`` epochs.
        dropout: what a model's own parameter ``dropout`` takes unless it is given.
        clip: largest L2 norm of the gradient; 0 leaves it alone.
        batch_size: sequences per step.
        max_epochs: passes over the training split at most.
        patience: epochs without a better monitor until training stops early.
        max_examples: sequences kept of each split; None keeps all. For smoke runs.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    dropout: float = 0.0
    clip: float = 1.0
    batch_size: int = 16
    max_epochs: int = 200
    patience: int = 15
    max_examples: int | None = None

    def __post_init__(self) -> None:
        _positive("recipe.lr", self.lr)
        _at_least("recipe.weight_decay", self.weight_decay, 0)
        _at_least("recipe.clip", self.clip, 0)
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"recipe.dropout must be at least 0 and below 1, not {_shown(self.dropout)}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"recipe.momentum must be at least 0 and below 1, not {_shown(self.momentum)}"
            )
        _at_least("recipe.batch_size", self.batch_size, 1)
        _at_least("recipe.max_epochs", self.max_epochs, 1)
        _at_least("recipe.patience", self.patience, 1)
        if self.max_examples is not None:
            _at_least("recipe.max_examples", self.max_examples, 1)


@dataclass(frozen=True)
class TrainerSettings:
    """Where and how a trial computes.

    Args:
        accelerator: ``cpu`` or ``gpu``.
        precision: float32, or mixed precision on a GPU.
        threads: CPU threads. One by default: results are bit-identical for equal counts only, and
            small recurrent models gain little from more. None becomes a number, which belongs to
            the trial's identity: ``OMP_NUM_THREADS``, or else one for each CPU.
        devices: GPUs, or with ``accelerator=cpu`` processes, that train one model together; each
            takes its share of every batch.
        progress: whether to show progress.
    """

    accelerator: Literal["cpu", "gpu"] = "cpu"
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    threads: int | None = 1
    devices: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        _at_least("trainer.devices", self.devices, 1)
        if self.threads is None:
            object.__setattr__(self, "threads", default_threads())
        else:
            _at_least("trainer.threads", self.threads, 1)
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            raise ValueError("trainer.precision=16-mixed needs trainer=gpu; on a CPU use 32")


@dataclass(frozen=True)
class TrackingSettings:
    """Where runs are logged.

    Args:
        enabled: False logs nowhere (``tracking=none``).
        uri: an MLflow tracking URI; None takes ``MLFLOW_TRACKING_URI``, or else a store of its own
            in ``seqbench-runs/`` of the working directory.
        experiment: MLflow's experiment.
        parent: the run of the sweep that a trial belongs to; a sweep says it itself.
        tuning: how the trial's configuration was found; ``seqbench tune`` says it itself.
    """

    enabled: bool = True
    uri: str | None = None
    experiment: str = "seqbench"
    parent: str | None = None
    tuning: str | None = None

    def __post_init__(self) -> None:
        if not self.experiment.strip():
            raise ValueError("tracking.experiment must not be empty")


@dataclass(frozen=True)
class Limits:
    """What a trial may use at most; a result does not depend on it.

    Args:
        minutes: of training, validation included, all folds and what was trained before it was
            killed together. None sets no limit.
        gib: memory of the process in GiB; of the GPU with ``trainer=gpu``. None sets no limit.
    """

    minutes: float | None = None
    gib: float | None = None

    def __post_init__(self) -> None:
        for key, value in (("limits.minutes", self.minutes), ("limits.gib", self.gib)):
            if value is not None:
                _positive(key, value)


@dataclass(frozen=True)
class Settings:
    """A whole trial, composed and checked.

    Args:
        task: registered name; ``task_parameters`` go to its constructor.
        model: registered name; ``model_parameters`` go to its constructor.
        seed: of the trial.
        title: what a person calls the task's data, ``task.title``; empty takes :attr:`called`.
        plan: the seeds that were planned with this one, as the run's tag says it; empty of none.
            It is no part of the configuration: a sweep knows it.
    """

    task: str
    task_parameters: dict[str, Any]
    model: str
    model_parameters: dict[str, Any]
    recipe: Recipe
    trainer: TrainerSettings
    tracking: TrackingSettings
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    title: str = ""
    plan: str = ""

    @property
    def source(self) -> str | None:
        """The user's own data, as they were given; None for a task's built-in data."""
        found = self.task_parameters.get("source")
        return None if found is None else str(found)

    @property
    def called(self) -> str:
        """What tables call the task's data."""
        return called(self.task, self.task_parameters, self.title)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in 0..{2**32 - 1}, not {self.seed}")
        devices, batch_size = self.trainer.devices, self.recipe.batch_size
        if devices > batch_size:
            raise ValueError(
                f"trainer.devices={devices} is more than the sequences of a batch, "
                f"recipe.batch_size={batch_size}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types, in the shape of the configuration.

        A title stands beside the task, whose parameters decide what is computed.
        """
        title = {TITLE: self.title} if self.title else {}
        return {
            **title,
            "task": {"name": self.task, **self.task_parameters},
            "model": {"name": self.model, **self.model_parameters},
            "recipe": asdict(self.recipe),
            "trainer": asdict(self.trainer),
            "tracking": asdict(self.tracking),
            "limits": asdict(self.limits),
            "seed": self.seed,
        }


_ADDED: dict[tuple[str, str], object] = {
    ("task", "skip_bad"): False,
    ("task", "time"): None,
    ("task", "drop"): None,
}
"""Keys that came later, and their values in the trials of before."""


TITLE = "title"
"""Key of a stored configuration: what the data are called, see :attr:`Settings.title`."""


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a configuration decides the result of a trial.

    Where it is logged, what is shown and what it may use do not; of a task's ``source`` its
    content does, and not where it lies. A key that is added to all trials later must be left out
    where its value is what they were trained with before, or every result is lost.

    Args:
        config: as :meth:`Settings.to_dict` returns it; sections may be missing.
    """
    found = {
        name: dict(config[name]) if isinstance(config[name], Mapping) else config[name]
        for name in ("task", "model", "recipe", "trainer", "seed")
        if name in config
    }
    for section, key in (("trainer", "progress"), ("task", "source")):
        if isinstance(found.get(section), dict):
            found[section].pop(key, None)
    for (section, key), before in _ADDED.items():
        if isinstance(found.get(section), dict) and found[section].get(key) == before:
            found[section].pop(key, None)
    return found


def _positive(key: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{key} must be a positive number, not {_shown(value)}")


def _at_least(key: str, value: float, least: int) -> None:
    if not (value >= least and math.isfinite(value)):
        raise ValueError(f"{key} must be at least {least}, not {_shown(value)}")


def _shown(value: float) -> str:
    """Return a number as a person gives it: a whole one is a float by its key's type only."""
    return str(value).removesuffix(".0")
