"""Notes added to runs after they have finished."""

from __future__ import annotations

from seqbench.config.settings import TrackingSettings
from seqbench.tracking import mlflow_client
from seqbench.tracking.operations import RECORD
from seqbench.tracking.store import open_store


def note_tuning(run_id: str, settings: TrackingSettings) -> None:
    """Add to a finished run's record how its configuration was found, as ``tracking.tuning`` does.

    So a trial that had finished before a tuning selected it also shows the tuning budget.

    Args:
        run_id: identifier of the run.
        settings: its store, and the note.

    Raises:
        Refused: the store cannot be used, or the run did not finish.
    """
    store = open_store(settings, create=False)
    run = store.find(run_id)
    tuning = settings.tuning or ""
    if run.record.tuning == tuning:
        return
    run.record.tuning = tuning
    with mlflow_client.quiet():
        client = mlflow_client.connect(store.address)
        client.log_text(run_id, run.record.to_json() + "\n", RECORD)
