"""What tests of the store share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seqbench.config.settings import TrackingSettings
from seqbench.records import TrialRecord
from seqbench.tracking.operations import TOKEN
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
def as_default(folder: Path, monkeypatch: pytest.MonkeyPatch, _own_folder: None) -> Iterator[Path]:
    """Let the module's store be the one that is meant where none is named, with nothing waiting.

    Returns:
        Where operations wait for it.
    """
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(folder))
    yield folder / "unlogged"
    shutil.rmtree(folder / "unlogged", ignore_errors=True)


@pytest.fixture
def a_record() -> Callable[..., TrialRecord]:
    """Make a record with some fields changed."""

    def make(**changes: Any) -> TrialRecord:
        fields: dict[str, Any] = {
            "key": "0123456789abcdef",
            "task": "music",
            "model": "lstm",
            "seed": 3,
        }
        return TrialRecord(**(fields | changes))

    return make


Content = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def content() -> Content:
    """Read what a store holds of the runs with a mark, or of all."""

    def read(store: Store, token: str = "") -> list[dict[str, Any]]:
        """Everything of the runs with a tag, without identifiers, times and places."""
        found = []
        query = f"tags.mark = '{token}'" if token else ""
        for run in store._client.search_runs(store._experiments, query):
            run_id = run.info.run_id
            histories = {
                key: [(m.step, m.value) for m in store._client.get_metric_history(run_id, key)]
                for key in run.data.metrics
            }
            own = ("mlflow.", TOKEN)
            tags = {k: v for k, v in run.data.tags.items() if not k.startswith(own) and k != "mark"}
            files = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for folder in [Path(store._client.download_artifacts(run_id, ""))]
                for path in folder.rglob("*")
                if path.is_file()
            }
            record = json.loads(files["record.json"])
            assert run_id == record.pop("run_id")
            assert store.location(run_id) == record.pop("location")
            found.append(
                {"status": run.info.status, "parameters": run.data.params, "metrics": histories}
                | {
                    "tags": tags,
                    "files": files | {"record.json": record},
                    "name": run.info.run_name,
                }
            )
        return found

    return read
