"""Costs that were measured after a run had finished: a tag of the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqbench.config.settings import TrackingSettings
from seqbench.tracking import mlflow_client
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import mapping_in

MEASURED = "seqbench.costs"
"""Tag of a run whose model was timed together with others, as JSON of :class:`Measured`."""


@dataclass(frozen=True)
class Measured:
    """How long one more step of a run's model takes, timed in turns with other models.

    Args:
        session: which models were timed together; a later one sorts after it.
        seconds: of a step at batch 1, block by block: a block has a turn of each model.
        streams: whether that is a step of its cells; otherwise the model encodes a whole sequence.
        machine: processor and threads.
    """

    session: str
    seconds: Sequence[float]
    streams: bool
    machine: str

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Measured | None:
        """Read what a run's tags tell; None if they tell nothing that can be read."""
        found = mapping_in(tags.get(MEASURED, ""))
        seconds = found.get("seconds")
        if not isinstance(seconds, list) or not seconds:
            return None
        if not all(isinstance(item, float) and 0 < item < math.inf for item in seconds):
            return None
        session, machine = str(found.get("session", "")), str(found.get("machine", ""))
        return cls(session, tuple(seconds), found.get("streams") is True, machine)


def keep_measured(found: Mapping[str, Measured], settings: TrackingSettings) -> None:
    """Keep costs with their runs.

    Args:
        found: by identifier of a run.
        settings: its store.

    Raises:
        Refused: the store cannot be used.
    """
    address = open_store(settings, create=False).address
    with mlflow_client.quiet():
        try:
            client = mlflow_client.connect(address)
            for run_id, measured in found.items():
                seconds = [float(f"{item:.4g}") for item in measured.seconds]
                text = json.dumps({**vars(measured), "seconds": seconds})
                client.set_tag(run_id, MEASURED, text)
        except Exception as error:
            raise mlflow_client.unusable(address, error) from error
