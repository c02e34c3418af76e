"""`seqbench evaluate run=ID`: a finished run's model on its task's test split, or on other data."""

from __future__ import annotations

from dataclasses import replace

from seqbench.errors import EXIT_DONE, Refused, did_you_mean
from seqbench.settings import TrackingSettings


def command(args: list[str]) -> int:
    """Evaluate a run; returns the exit code."""
    run, uri, overrides = _parse(args)
    import torch
    from omegaconf import DictConfig, OmegaConf

    from seqbench.commands.run import load, new_record
    from seqbench.config import settings
    from seqbench.reporting.terminal import print_result
    from seqbench.tracking.store import open_store
    from seqbench.training.module import score

    stored = open_store(TrackingSettings(uri=uri), create=False).find(run)
    config = OmegaConf.merge(OmegaConf.create(stored.config), OmegaConf.from_dotlist(overrides))
    assert isinstance(config, DictConfig)
    checked = settings(config)
    trial = load(checked)
    data = trial.data()
    predictor = trial.predictor(data)
    weights = torch.load(stored.checkpoint_path(), weights_only=True, map_location=trial.device)
    prefix = "predictor."
    try:
        predictor.load_state_dict(
            {name.removeprefix(prefix): value for name, value in weights["state_dict"].items()}
        )
    except RuntimeError as error:
        raise Refused(
            f"run {run}: its weights do not fit model={checked.model} on these data"
        ) from error
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
        run_id=stored.run_id,
        location=stored.record.location,
    )
    print_result(record)
    return EXIT_DONE


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
