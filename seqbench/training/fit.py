"""Training one trial."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from seqbench.api import Model, Task
from seqbench.config.machine import usable_cpus
from seqbench.config.settings import Limits, Recipe, TrainerSettings
from seqbench.errors import Refused, TrialFailed
from seqbench.training.callbacks import (
    Checkpoints,
    EpochListener,
    EpochProgress,
    History,
    no_listener,
)
from seqbench.training.data import TrialData
from seqbench.training.distributed import OwnSignals, Rank, in_lightning
from seqbench.training.limits import LimitCheck
from seqbench.training.module import DropoutSeed, TrialModule
from seqbench.training.optimisation import optimisation
from seqbench.training.predictor import Predictor
from seqbench.training.profiler import NoProfiler
from seqbench.training.seeds import derive

EXPECTED_WARNINGS = (
    "The '.*_dataloader' does not have many workers",  # one process feeds short sequences fastest
    "The number of training batches",  # steps are not logged singly
    "It is recommended to use `self.log",  # all ranks log what rank 0 has found
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 under torch 2.13
)
"""What Lightning says on every normal run; users need not hear it."""


@dataclass(frozen=True)
class Fitted:
    """What training left behind, beside the predictor's weights.

    Args:
        history: each epoch's metrics, and ``seconds`` since training began.
        best_epoch: the selected epoch, from 0.
        steps: optimiser steps.
        steps_per_second: of training alone, validation left out.
        seconds: wall time, validation included.
    """

    history: list[dict[str, float]]
    best_epoch: int
    steps: int
    steps_per_second: float
    seconds: float


def set_up_device(settings: TrainerSettings) -> str:
    """Set threads and float32 precision, and return the device type: ``cpu`` or ``cuda``.

    cuDNN's recurrent kernels and matrix products are both held to IEEE float32, so that no model
    gets TF32 where another does not.

    Raises:
        Refused: more devices are asked for than there are.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.accelerator == "cpu":
        if settings.devices > (cores := usable_cpus()):
            raise Refused(
                f"trainer.devices={settings.devices}: of CPU cores there are {cores} here"
            )
        return "cpu"
    if not torch.cuda.is_available():
        raise Refused("trainer=gpu: torch finds no CUDA GPU here; use trainer=cpu")
    if settings.devices > torch.cuda.device_count():
        raise Refused(
            f"trainer.devices={settings.devices}: of GPUs torch finds {torch.cuda.device_count()} "
            "here"
        )
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return "cuda"


def build_predictor(
    task: Task,
    model_class: type[Model],
    model_parameters: dict[str, Any],
    data: TrialData,
    seed: int,
) -> Predictor:
    """Return a predictor with the trial's initial weights."""
    torch.manual_seed(derive(seed, "initialisation"))
    train = data.splits.train
    return Predictor(
        model_class,
        model_parameters,
        task.input_spec(train),
        task.output_spec(train),
        task.visibility,
    )


@dataclass(frozen=True)
class Training:
    """Everything that training on one fold needs.

    Args:
        task: prepared.
        predictor: with its initial weights; holds the selected epoch's weights afterwards, on the
            same device.
        data: of the fold; its test split stays sealed.
        recipe: how to optimise.
        trainer: where to compute.
        seed: of the trial.
        checkpoint: the file that is to keep the selected epoch's weights, ``.ckpt``; its folder is
            made, and is this training's own.
        limits: what the trial may use.
        spent: seconds of training that it has used before, for other folds.
        title: what the progress bar says.
        listener: called after every epoch.
        callbacks: makes further callbacks of Lightning's, called when training begins.
    """

    task: Task
    predictor: Predictor
    data: TrialData
    recipe: Recipe
    trainer: TrainerSettings
    seed: int
    checkpoint: Path
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    spent: float = 0.0
    title: str = ""
    listener: EpochListener = no_listener
    callbacks: Callable[[], list[Callback]] = list

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return "cuda" if self.trainer.accelerator == "gpu" else "cpu"


def fit(
    training: Training,
    ranks: AbstractContextManager[Rank] = nullcontext(Rank()),  # noqa: B008 - no state
) -> Fitted:
    """Train until the validation monitor stops improving, and select the best epoch.

    Beside the checkpoint stand the state from which training goes on after it was killed, and the
    result once it has ended: training again with the same file goes on from there, to the same
    bits, and earlier epochs are replayed to the listener.

    Args:
        training: what to train.
        ranks: with those inside, this process trains as the rank that it gives, which is the first.

    Raises:
        TrialFailed: the loss is no longer finite, or a limit is reached.
        KeyboardInterrupt: the user stopped it.
    """
    checkpoint, monitor = training.checkpoint, training.task.monitor
    result = checkpoint.with_suffix(".json")
    if result.exists() and _is_sound(checkpoint):
        fitted = Fitted(**json.loads(result.read_text(encoding="utf-8")))
        for epoch, metrics in enumerate(fitted.history):
            training.listener(epoch, metrics)
        training.predictor.load_state_dict(selected_weights(checkpoint))
        return fitted
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    device = training.predictor.device
    with ranks as rank:
        history = train(training, rank)
    training.predictor.to(device)  # Lightning leaves it on the CPU
    training.predictor.load_state_dict(selected_weights(checkpoint))
    best = min if monitor.direction == "min" else max
    values = [epoch[f"valid/{monitor.name}"] for epoch in history.epochs]
    fitted = Fitted(
        history=history.epochs,
        best_epoch=values.index(best(values)),
        steps=history.steps,
        steps_per_second=history.steps / history.train_seconds,
        seconds=history.seconds,
    )
    draft = result.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(fitted)), encoding="utf-8")
    draft.replace(result)
    checkpoint.with_suffix(".state").unlink(missing_ok=True)
    return fitted


def train(training: Training, rank: Rank) -> History:
    """Train as one of the ranks, and leave the selected epoch's weights in the checkpoint.

    Args:
        training: alike on all ranks but for ``title``, ``listener``, ``limits``, and the progress
            of ``trainer``.
        rank: of this process.

    Raises:
        TrialFailed: the loss is no longer finite, or a limit is reached.
        KeyboardInterrupt: the user stopped it.
    """
    task, recipe, trainer = training.task, training.recipe, training.trainer
    loader = training.data.train(rank.number, rank.size)
    state = training.checkpoint.with_suffix(".state")
    history, spent, limits = History(training.listener), training.spent, training.limits
    limit = LimitCheck(limits.minutes, limits.gib, training.device, lambda: spent + history.seconds)
    module = TrialModule(
        training.predictor,
        task,
        optimisation(training.predictor, task.monitor, recipe, len(loader)),
        DropoutSeed(training.seed, rank.number),
        limit.check,
        training.data.targets_per_batch,
        recipe.clip,
        rank.size,
    )
    callbacks: list[Callback] = [
        history,
        Checkpoints(training.checkpoint, state, task.monitor, recipe.patience),
        *training.callbacks(),
    ]
    if rank.size > 1:
        callbacks.append(OwnSignals())
    if trainer.progress:
        callbacks.append(EpochProgress(training.title, task.monitor, history))
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        lightning = Trainer(
            accelerator=trainer.accelerator,
            precision=trainer.precision,
            max_epochs=recipe.max_epochs,
            callbacks=callbacks,
            deterministic=trainer.accelerator == "cpu",
            logger=False,
            profiler=NoProfiler(),
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **in_lightning(rank),
        )
        going_on = state if goes_on(training.checkpoint) else None
        try:
            lightning.fit(module, loader, training.data.valid(), ckpt_path=going_on)
        except SystemExit as exit_request:
            # Lightning turns Ctrl-C and SIGTERM into an exit.
            stopped = isinstance(exit_request, SIGTERMException)
            if stopped or isinstance(exit_request.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from exit_request
            raise TrialFailed(f"something called sys.exit({exit_request.code})") from exit_request
    return history


def goes_on(checkpoint: Path) -> bool:
    """Return whether :func:`fit` with this file has a state to go on from."""
    return _is_sound(checkpoint.with_suffix(".state")) and _is_sound(checkpoint)


def _is_sound(file: Path) -> bool:
    """Return whether a file can be loaded: a machine that goes down can leave one empty."""
    try:
        torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # zip, pickle and torch each have errors of their own
        return False
    return True


def selected_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return a predictor's weights as :func:`fit` left them in a file."""
    found = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    return {key.removeprefix("predictor."): value for key, value in found.items()}
