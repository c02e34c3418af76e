"""What tests of the store share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.records import TrialRecord
from seqbench.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store(TrackingSettings(uri=str(folder)))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def a_record() -> Callable[..., TrialRecord]:
    """Make a record with some fields changed."""

    def make(**changes: Any) -> TrialRecord:
        fields = {"key": "0123456789abcdef", "task": "music", "model": "lstm", "seed": 3}
        return TrialRecord(**(fields | changes))

    return make
