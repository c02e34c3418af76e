"""Calls to a tracking store as JSON types, so that one that fails can wait on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqbench.tracking import mlflow_client
from seqbench.tracking.address import Address
from seqbench.tracking.pages import log_dataset

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TOKEN = "seqbench.token"
"""Tag by which a run that a delivery had created before it was cut short is found again."""
RECORD = "record.json"
"""File in which a run keeps its :class:`~seqbench.records.TrialRecord`."""
REASON = "seqbench.reason"
"""Tag that says why a trial did not finish."""

Operation = Mapping[str, Any]
"""A call to a store, as JSON types: ``op`` says which, see :func:`perform`."""

_ENTRIES_PER_CALL = {"metrics": 1000, "parameters": 100, "tags": 100}  # MLflow's limits


class Place(NamedTuple):
    """A run in its store.

    Args:
        run_id: MLflow's identifier.
        location: where a user finds it; empty if that was known when it started.
    """

    run_id: str
    location: str = ""


def create_run(client: MlflowClient, address: Address, operation: Operation) -> Place:
    """Start the run that an operation ``create`` describes, unless it exists already.

    Args:
        client: MLflow's client of the store.
        address: of the store.
        operation: ``experiment`` by name, ``tags``, ``name``, ``time`` in ms since 1970.

    Raises:
        Refused: the experiment was deleted.
    """
    experiment = mlflow_client.experiment_id(client, operation["experiment"], address)
    query = f"tags.`{TOKEN}` = '{operation['tags'][TOKEN]}'"
    known = client.search_runs([experiment], query, max_results=1)
    run = (
        known[0]
        if known
        else client.create_run(
            experiment,
            start_time=operation["time"],
            tags=operation["tags"],
            run_name=operation["name"],
        )
    )
    run_id = str(run.info.run_id)
    return Place(run_id, address.location(experiment, run_id))


def perform(client: MlflowClient, run_id: str, operation: Operation, files: Path) -> None:
    """Apply an operation to a run. Operations are idempotent.

    Args:
        client: MLflow's client of the store.
        run_id: of the run.
        operation: ``metrics`` (``values``, ``step``, ``time``), ``parameters`` or ``tags``
            (``values``), ``text`` (``text``, ``name``), ``file`` (``path``, ``folder``), ``end``
            (``status``, ``time``), or ``dataset``, see :func:`seqbench.tracking.pages.dataset`.
        files: folder of relative ``path`` values.
    """
    from mlflow.entities import Metric, Param, RunTag

    kind = operation["op"]
    if kind == "text":
        client.log_text(run_id, operation["text"], operation["name"])
    elif kind == "file":
        client.log_artifact(run_id, str(files / operation["path"]), operation["folder"])
    elif kind == "dataset":
        log_dataset(client, run_id, operation)
    elif kind == "end":
        client.set_terminated(run_id, operation["status"], end_time=operation["time"])
    else:
        entries: list[Any] = []
        for name, value in operation["values"].items():
            if kind == "metrics":
                entries.append(Metric(name, value, operation["time"], operation["step"]))
            else:
                entries.append((Param if kind == "parameters" else RunTag)(name, value))
        keyword = "params" if kind == "parameters" else str(kind)
        size = _ENTRIES_PER_CALL[kind]
        for start in range(0, len(entries), size):
            some: dict[str, Any] = {keyword: entries[start : start + size]}
            client.log_batch(run_id, **some)
