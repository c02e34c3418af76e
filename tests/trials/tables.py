"""A folder of CSV files, a fold each; what is predicted is the next value of the first column."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from seqbench.api import (
    DataNames,
    Example,
    InputSpec,
    LeftOut,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)


class Tables(Task):
    """Tables.

    Args:
        source: the folder.
        arrange: whether columns are read in the order that a model knows.
        derive: whether features are made of the columns.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    monitor = primary = Metric("error", "min")
    pooling = "folds"
    citation = licence = ""
    sizes: ClassVar[Mapping[str, str]] = {"train": "2 windows"}
    metric_help: ClassVar[Mapping[str, str]] = {"error": "squared error"}

    def __init__(self, *, source: str = "", arrange: bool = True, derive: bool = False) -> None:
        self._folder, self._arrange, self._derive = Path(source), arrange, derive
        self._kept: dict[str, tuple[str, ...]] = {}
        self._tables: dict[str, tuple[tuple[str, ...], Tensor]] = {}
        self._left_out: list[LeftOut] = []

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        if self._arrange:
            self._kept = {names.fold: names.inputs for names in kept.values()}

    def prepare(self) -> None:
        self._tables.clear()
        self._left_out.clear()
        for path in sorted(self._folder.glob("*.csv")):
            if path.name.startswith("bad"):
                self._left_out.append(LeftOut(path.name, "it is bad"))
                continue
            header, *rows = csv.reader(path.read_text().splitlines())
            kept = self._kept.get(path.stem, ())
            order = kept if sorted(kept) == sorted(header) else header
            values = torch.tensor(
                [[float(row[header.index(name)]) for name in order] for row in rows]
            )
            self._tables[path.stem] = (tuple(order), values)

    def left_out(self) -> Sequence[LeftOut]:
        return self._left_out

    def folds(self) -> tuple[int, ...]:
        return tuple(range(len(self._tables)))

    def names(self, fold: int = 0) -> Any:
        strange = os.environ.get("STRANGE_NAMES")
        if strange == "raise":
            raise KeyError("a")
        if strange == "none":
            return None
        if strange == "numbers":
            return DataNames(inputs=(1, 2))
        if strange == "text":
            return DataNames(inputs="ab")
        if strange == "twins":
            return DataNames(fold="same")
        if strange == "unnamed":
            return DataNames()
        stem = list(self._tables)[fold]
        return DataNames(stem, self._tables[stem][0], outputs=("next a",))

    def splits(self, fold: int = 0) -> Splits:
        header, values = list(self._tables.values())[fold]
        if self._derive:
            values = torch.cat([values, values**2], dim=1)
        parts = [values[start : start + 4] for start in range(0, len(values) - 3, 4)]
        target = header.index("a") if "a" in header else 0
        examples = [
            Example(part[:3], part[3, target : target + 1], group=str(number))
            for number, part in enumerate(parts)
        ]
        return Splits(examples[:2], examples[2:4], examples[4:])

    def fingerprint(self) -> str:
        return str(
            hash(str([(name, values.tolist()) for name, (_, values) in self._tables.items()]))
        )

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        values = torch.cat([example.values for example in train])
        return InputSpec(values.shape[1], mean=values.mean(0), std=values.std(0))

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        return OutputSpec(1)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets)[:, 0] ** 2

    def metrics(self) -> MetricSet:
        return MeanLoss(self, "error")

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        return {"zero": [torch.zeros(1) for _ in splits.test]}
