"""Too little to train on or to score is refused, with the numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqbench.api import Task
from seqbench.errors import Refused
from seqbench.tasks.anomaly.watch import Watch
from seqbench.tasks.data.anomaly import Anomaly
from seqbench.tasks.data.classify import Classify
from seqbench.tasks.data.forecast import Forecast
from seqbench.tasks.data.label import Label
from seqbench.tasks.data.regress import Regress


def table(path: Path, rows: int, sequences: int = 1) -> str:
    draw = np.random.default_rng(0)
    length = rows * sequences
    odd = np.arange(length) % 4 == 3
    columns = {"id": np.repeat(np.arange(sequences), rows), "time": np.arange(length)}
    pd.DataFrame({**columns, "a": draw.normal(size=length), "label": odd.astype(int)}).to_csv(
        path, index=False
    )
    return str(path)


@pytest.mark.parametrize(
    ("kind", "options", "rows", "numbers"),
    [
        (Forecast, {}, 5, (2, 1, 1)),
        (Forecast, {}, 45, (26, 9, 9)),
        (Forecast, {"horizon": 3}, 55, (30, 8, 8)),
        (Forecast, {"window": 4}, 40, (23, 8, 8)),
        (Label, {}, 5, (3, 1, 1)),
        (Label, {}, 45, (27, 9, 9)),
        (Label, {"window": 4}, 30, (18, 6, 6)),
        (Anomaly, {}, 8, (3, 2, 2)),
        (Anomaly, {}, 40, (18, 6, 8)),
    ],
)
def test_too_few_steps_of_one_series_are_refused(
    kind: Callable[..., Task],
    options: dict[str, Any],
    rows: int,
    numbers: tuple[int, ...],
    tmp_path: Path,
) -> None:
    source = table(tmp_path / "a.csv", rows)
    with pytest.raises(Refused) as refusal:
        kind(source=source, **options).prepare()
    text = str(refusal.value)
    assert "10 of each are the least: give more sequences, or longer ones" in text
    found = re.search(r"(\d+) steps train, (\d+) validate and (\d+) test", text)
    assert found is not None
    assert numbers == tuple(map(int, found.groups()))


@pytest.mark.parametrize("kind", [Forecast, Label, Anomaly])
def test_enough_steps_are_read(kind: Callable[..., Task], tmp_path: Path) -> None:
    kind(source=table(tmp_path / "a.csv", 120)).prepare()
    kind(source=table(tmp_path / "b.csv", 12, sequences=15)).prepare()


@pytest.mark.parametrize("kind", [Forecast, Label])
def test_short_sequences_count_together(kind: Callable[..., Task], tmp_path: Path) -> None:
    kind(source=table(tmp_path / "many.csv", 4, sequences=40)).prepare()
    with pytest.raises(Refused, match=r"10 of each are the least"):
        kind(source=table(tmp_path / "few.csv", 2, sequences=12)).prepare()


@pytest.mark.parametrize("kind", [Classify, Regress])
def test_of_few_sequences_in_a_part_it_is_said(kind: Callable[..., Task], tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for count, few in ((7, {"valid part", "test part"}), (30, set())):
        path = tmp_path / f"{count}.npz"
        np.savez(path, X=draw.normal(size=(count, 5, 2)), y=np.arange(count) % 2)
        task = kind(source=str(path))
        task.prepare()
        assert few == {name for name, reason in task.left_out() if "vary much" in reason}


@pytest.mark.parametrize("rows", [44, 48])
def test_a_file_of_anomaly_needs_steps_to_test(rows: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    label = np.zeros(rows, dtype=int)
    label[-4:-2] = 1
    pd.DataFrame({"a": draw.normal(size=rows), "label": label}).to_csv(
        tmp_path / "a.csv", index=False
    )
    task = Watch(source=str(tmp_path), lead=40)
    with pytest.raises(Refused) as refusal:
        task.prepare()
    assert (
        f"the rest, which is for test, has {rows - 40} steps; 10 are the least"
        in (refusal.value.details[0])
    )
