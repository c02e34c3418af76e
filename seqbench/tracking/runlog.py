"""The log of a running trial, and the log that keeps nothing (``tracking=none``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import final

from seqbench.records import TrialRecord


class RunLog(ABC):
    """The log of one running trial. None of its methods raises because logging failed.

    Args:
        run_id: the store's identifier; empty without a store.
        location: where the run is logged, in readable form; empty without a store.
    """

    def __init__(self, run_id: str, location: str) -> None:
        self.run_id = run_id
        self.location = location

    @abstractmethod
    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics (``train/...``, ``valid/...``); epochs count from 0."""

    @abstractmethod
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file with the run, under its own name, in a folder of the run's files."""

    @abstractmethod
    def log_text(self, text: str, name: str) -> None:
        """Keep a text with the run, as the file ``name`` (``folder/file.ext``)."""

    @abstractmethod
    def finish(self, record: TrialRecord) -> None:
        """End the run with the record's status, scores, costs and environment.

        ``run_id`` and ``location`` are set on the record before it is written.
        """


@final
class NullRun(RunLog):
    """The log of a trial without tracking."""

    def __init__(self) -> None:
        super().__init__("", "")

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Forget it."""

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Forget it."""

    def log_text(self, text: str, name: str) -> None:
        """Forget it."""

    def finish(self, record: TrialRecord) -> None:
        """Forget it; the record says that it was logged nowhere."""
        record.run_id = self.run_id
        record.location = self.location
