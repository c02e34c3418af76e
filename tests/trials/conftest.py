"""Each test here starts with a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seqbench
from seqbench.registry.plugins import add_plugin_file


@pytest.fixture(autouse=True)
def own_registry(fresh_registry: None) -> None:
    """Nothing that a test registers is left to another."""


@pytest.fixture(scope="session")
def runs_of_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store, which takes seconds to make."""
    return tmp_path_factory.mktemp("runs")


Table = Callable[..., None]


@pytest.fixture
def table(tmp_path: Path, runs_of_tables: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Write 24 rows; a column's values depend on its name and on the seed.

    The task ``tables`` is at hand, and two files for it in the folder ``first``.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(runs_of_tables))
    Path("tables.py").write_text(Path(__file__).with_name("tables.py").read_text())
    add_plugin_file("tables.py")

    def write(path: str, columns: Sequence[str] = "abc", seed: int = 0) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        numbers = {
            name: np.random.default_rng([seed, *name.encode()]).normal(size=24) for name in columns
        }
        pd.DataFrame(numbers)[list(columns)].to_csv(path, index=False)

    for number, name in enumerate(("pump", "valve")):
        write(f"first/{name}.csv", seed=number)
    return write


@pytest.fixture
def train(table: Table) -> Callable[..., seqbench.Result]:
    """Train an epoch on the folder ``first``, with parameters of the task."""

    def start(**parameters: object) -> seqbench.Result:
        of_task = {f"task.{key}": value for key, value in parameters.items()}
        small = {"model.hidden_size": 2, "recipe.max_epochs": 1, "trainer.progress": False}
        source = {"task.source": "first"}
        return seqbench.run(task="tables", model="rnn", **source, **of_task, **small)

    return start


@pytest.fixture
def by_fold() -> Callable[[seqbench.Result], dict[str, float]]:
    """Return scores by the name of the fold."""

    def scores(result: seqbench.Result) -> dict[str, float]:
        record = result.record
        return {
            record.fold_name(fold): record.metrics[f"fold-{fold}/error"] for fold in record.folds
        }

    return scores
