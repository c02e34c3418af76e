"""The trials of a store as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from seqbench.config.settings import TrackingSettings
from seqbench.tracking import mlflow_client
from seqbench.tracking.address import is_ready, locate
from seqbench.tracking.mlflow_client import unusable
from seqbench.tracking.tracked import STATUS
from seqbench.tracking.trials import every_run

_FIRST = ("run_id", "task", "model", "seed", "status", "reason", "seconds")


def trials_frame(settings: TrackingSettings, all_runs: bool = False) -> pd.DataFrame:
    """Return a table with a row for each trial of an experiment, the latest first.

    Args:
        settings: the store and the experiment.
        all_runs: True returns every run. False returns one row per trial, of its latest finished
            run or, if none finished, its latest run.

    Raises:
        Refused: the address is wrong, or the store cannot be used or does not answer.
    """
    address = locate(settings.uri)
    rows: list[dict[str, Any]] = []
    if settings.enabled and (address.database is None or is_ready(address.database)):
        with mlflow_client.quiet():
            try:
                client = mlflow_client.connect(address.for_reading)
                runs = every_run(client, settings.experiment, "tags.`seqbench.key` != ''")
                rows = [_row(run) for run in runs]
            except Exception as error:
                raise unusable(address, error) from error
    frame = pd.DataFrame(rows, columns=None if rows else list(_FIRST))
    if rows and not all_runs:
        order = (frame["status"] != "FINISHED").sort_values(kind="stable").index
        frame = frame.loc[order].drop_duplicates(subset="trial", keep="first").sort_index()
    return frame.drop(columns="trial", errors="ignore").reset_index(drop=True)


def _row(run: Any) -> dict[str, Any]:
    info, tags = run.info, run.data.tags
    ended = info.end_time is not None
    row: dict[str, Any] = {
        "run_id": info.run_id,
        "task": tags.get("seqbench.task", ""),
        "model": tags.get("seqbench.model", ""),
        "seed": int(tags.get("seqbench.seed", 0)),
        "status": tags.get(STATUS, info.status),
        "reason": tags.get("seqbench.reason", ""),
        "seconds": (info.end_time - info.start_time) / 1000 if ended else float("nan"),
        # What was changed since makes another trial: the key covers code, data and versions.
        "trial": tags["seqbench.key"],
    }
    parameters = {
        key: _number(text)
        for key, text in run.data.params.items()
        if key != "seed" and not key.startswith("tracking.")
    }
    return {**row, **parameters, **run.data.metrics}


def _number(text: str) -> Any:
    """Return a logged parameter as the number that it is, or as text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False, "None": None}.get(text, text)
