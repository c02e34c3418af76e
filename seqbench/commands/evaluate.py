"""`seqbench evaluate run=ID`: a finished run's model on its task's test split, or on other data."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seqbench.errors import EXIT_DONE, Refused, did_you_mean
from seqbench.settings import Settings, TrackingSettings

if TYPE_CHECKING:
    from seqbench.tracking.stored import StoredRun
    from seqbench.training.predictor import Predictor

_CHANGES = {
    "seqbench.protocol": "the protocol",
    "seqbench.task_version": "the task's version",
    "seqbench.task_code": "the task's code",
    "seqbench.model_code": "the model's code",
    "seqbench.data": "the task's data",
}
"""What of a run's provenance can have changed since, by tag."""


def command(args: list[str]) -> int:
    """Evaluate a run; returns the exit code.

    Args:
        args: ``run=ID``; ``tracking.uri=URI`` and ``task.<parameter>=VALUE`` where wanted.

    Raises:
        Refused: an argument is wrong, or the run is unknown, unfinished or damaged, or its model
            does not fit the data.
    """
    run, uri, overrides = _parse(args)
    from seqbench.commands.run import load, new_record, provenance
    from seqbench.reporting.terminal import Evaluation, print_result
    from seqbench.tracking.store import open_store
    from seqbench.tracking.stored import SHORT
    from seqbench.training.module import score

    stored = open_store(TrackingSettings(uri=uri), create=False).find(run)
    name = f"run {stored.run_id[:SHORT]}"
    try:
        trial = load(_settings(stored, overrides))
    except Refused as refusal:
        raise Refused(f"{name}: {refusal}") from refusal
    data = trial.data()
    predictor = trial.predictor(data)
    _load_weights(predictor, stored, name)
    now = provenance(trial)
    changed = [
        what
        for tag, what in _CHANGES.items()
        if stored.tags.get(tag, now[tag]) != now[tag] and not (overrides and tag == "seqbench.data")
    ]
    if changed:
        _note(f"{', '.join(changed)} changed since {name} was trained: its score may differ")
    trained_on = (stored.config.get("trainer") or {}).get("accelerator")
    if trained_on == "gpu" and trial.device == "cpu":
        _note(f"{name} was trained on a GPU; torch finds none here, so a CPU scores it")
    data.unseal()
    record = replace(
        new_record(trial, predictor),
        status="FINISHED",
        reason="",
        metrics={
            f"test/{name}": v for name, v in score(predictor, trial.task, data.test()).items()
        },
        baselines=trial.task.baselines(data.splits),
        best_epoch=stored.record.best_epoch,
        epochs=stored.record.epochs,
        backend=stored.record.backend,
    )
    print_result(record, evaluation=Evaluation(name, overrides, now["seqbench.data"]))
    return EXIT_DONE


def _settings(stored: StoredRun, overrides: list[str]) -> Settings:
    """Return a run's settings, changed to score all data in float32 on a device that exists."""
    import torch
    from omegaconf import DictConfig, OmegaConf

    from seqbench.config import settings

    changes: dict[str, Any] = {"recipe": {"max_examples": None}, "trainer": {"precision": "32"}}
    if not torch.cuda.is_available():
        changes["trainer"]["accelerator"] = "cpu"
    try:
        config = OmegaConf.merge(OmegaConf.create(stored.config), OmegaConf.create(changes))
    except Exception as error:  # YAML's and OmegaConf's errors have no common base
        raise Refused("its configuration is damaged") from error
    for override in overrides:
        try:
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
        except Exception as error:
            raise Refused(
                f"cannot read '{override}': quote a value that holds [ ] {{ }} : # or quotes"
            ) from error
    assert isinstance(config, DictConfig)
    return settings(config)


def _load_weights(predictor: Predictor, stored: StoredRun, name: str) -> None:
    """Give a predictor the weights of a run's checkpoint."""
    import torch

    path = stored.checkpoint_path()
    try:
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
        weights = {
            key.removeprefix("predictor."): value for key, value in checkpoint["state_dict"].items()
        }
    except Exception as error:  # zip, pickle and torch each have errors of their own
        raise Refused(f"{name}: its checkpoint {path} is damaged") from error
    try:
        predictor.load_state_dict(weights)
    except RuntimeError as error:
        raise Refused(
            f"{name}: its weights do not fit model={stored.record.model} on these data"
        ) from error


def _note(text: str) -> None:
    sys.stderr.write(f"seqbench: {text}\n")


def _parse(args: list[str]) -> tuple[str, str | None, list[str]]:
    """Split the arguments into the run, the tracking store and what to change."""
    run, uri, overrides = None, None, []
    for arg in args:
        key, equals, value = arg.partition("=")
        if not (equals and value):
            raise Refused(f"seqbench evaluate: '{arg}' is not KEY=VALUE; see --help")
        if key == "run":
            run = value
        elif key == "tracking.uri":
            uri = value
        elif key == "task.name":
            raise Refused("seqbench evaluate: a run is scored on its own task; leave out task.name")
        elif key.startswith("task."):
            overrides.append(arg)
        else:
            allowed = ("run", "tracking.uri", "task.<parameter>")
            raise Refused(
                f"seqbench evaluate: unknown key '{key}'{did_you_mean(key, allowed)}; "
                f"known: {', '.join(allowed)}"
            )
    if run is None:
        raise Refused("seqbench evaluate: run=ID is missing; `seqbench ui` shows the runs")
    return run, uri, overrides
