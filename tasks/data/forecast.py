"""The next values of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from seqbench.api import (
    Example,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Sight,
    Splits,
    Visibility,
)
from seqbench.tasks._predictions import cached_predictions
from seqbench.tasks.data import windows
from seqbench.tasks.data.base import DataTask
from seqbench.tasks.data.builtin import generated
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.examples import Filling, Stretch, input_spec
from seqbench.tasks.data.reader import series_of
from seqbench.tasks.data.scores import ForecastMetrics


class Forecast(DataTask):
    """Predict the next values of a sequence: of your own data, or of generated oscillations.

    Forms, values and missing values are those of ``task=data/classify``; labels are not needed. One
    CSV file may be one long sequence. ``horizon=1`` predicts each step from the steps before it (a
    bidirectional model also from those after it). A larger one predicts, at each step, so many
    steps that follow it, from the steps up to it. A step counts if all values that are to be
    predicted there were observed. Predictions have the unit of the data. Loss and metrics are in
    the training split's standard deviations of each column.

    Split. As of ``task=data/classify``, but that groups are dealt out in the order of their hashes
    alone. Fewer than ten groups without a split of their own are each split in time: the first
    three fifths train, one validates, the last is for test. A target never lies in another part
    than its step, and what was seen in one part may be read in the next. Sequences of more than two
    windows are read in pieces: a window of steps that count, after a window that is only read.

    Leaks. A column that is known only later than its row says, or that is averaged over later rows,
    gives the future away. Where several sequences end at the same time, and are split by group, a
    model may know from one what happens to another.

    The built-in data are synthetic, drawn from a fixed seed: 60 series of two columns that change
    between a slow and a fast oscillation, in noise. They show that a model works, and no more.

    Args:
        source: None for generated series, or a file or folder, in one of the forms above.
        problem: which problem of a folder that has several in .ts or .arff files.
        id: a table's column that says of which sequence a row is; null: one named id, series_id,
            case, patient_id or the like.
        time: a table's column of times, numbers or ISO dates; null: one named time, timestamp,
            date or the like.
        label: a table's column that is forecast, which is an input too; null: all columns of
            values.
        group: a table's column of what a split keeps together; null: one named group.
        drop: a table's columns that are not read: a name, or a list of them.
        split: ``given`` keeps a split that the data have; ``hashed`` deals all out anew.
        split_seed: which split that is dealt: 0 to 4 test a fifth of the groups each, and together
            all; 5 to 9 are the fifths of another deal. Refused where nothing is dealt.
        missing: whether models are told what was observed and when; null: where values are missing
            or times are irregular.
        skip_bad: true goes on without files and sequences that cannot be used.
        horizon: steps that are predicted.
        season: steps of a season, for the baseline ``seasonal``: 24 of hours, 7 of days.
        window: steps that count in a piece of a long sequence.
    """

    version = "1"
    visibility = Visibility.NEXT
    monitor = Metric("mse", "min", "std²")
    primary = Metric("mae", "min", "std")
    forecasts = True
    citation = "None: your own data, or generated ones."
    licence = "Your own data keep theirs; generated ones are free of any."
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "36 generated series of 80 to 120 steps",
        "valid": "12 series",
        "test": "12 series",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "mean": 0.892,
        "last": 0.717,
        "seasonal": 1.047,
        "ridge": 0.342,
        "two_sided_neighbours": 0.443,
        "two_sided_ridge": 0.265,
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "mean": "of the training part",
        "last": "the last value that may be seen",
        "seasonal": "the value one season before, or the last one where none was seen yet",
        "ridge": "linear, of the last 4 or 24 steps of all columns, as validation chooses",
        "two_sided_neighbours": "the mean of the values before and after a step",
        "two_sided_ridge": (
            "linear, of 4 or 24 steps before and 4 or 8 after; beside models that also read"
            " backwards"
        ),
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "mae": "mean absolute error, in the training split's standard deviation of each column",
        "mse": "mean squared error, in the training split's variance of each column",
    }

    def __init__(
        self,
        *,
        horizon: int = 1,
        season: int = 24,
        window: int = 100,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if horizon < 1:
            raise ValueError(f"task.horizon must be at least 1 step, not {horizon}")
        if season < 1:
            raise ValueError(f"task.season must be at least 1 step, not {season}")
        if window < 1:
            raise ValueError(f"task.window must be at least 1 step, not {window}")
        self._horizon = horizon
        self._season = season
        self._window = window
        if horizon > 1:
            self.visibility = Visibility.ONLINE  # type: ignore[misc]  # of this task alone
        self._places: list[int] = []
        self._scale = torch.ones(0)

    def built_in(self) -> Collection:
        """Return generated series."""
        return generated()

    def output_names(self) -> tuple[str, ...]:
        """Return the columns that are predicted, of each step ahead."""
        columns = self.collection.columns
        wanted = columns if self.reader.columns.label is None else (self.reader.columns.label,)
        if self._horizon == 1:
            return tuple(wanted)
        return tuple(f"{name}, step {n + 1}" for n in range(self._horizon) for name in wanted)

    def check_series(self, collection: Collection) -> Mapping[str, Sequence[str]]:
        """Find sequences that are too short, and a column that is not there."""
        wanted = self.reader.columns.label
        if wanted is not None and wanted not in collection.columns:
            raise self.reader.refuse(f"task.label: there is no column '{wanted}' of values")
        return {
            item.name: [f"it has {len(item.values)} steps; {self._horizon + 1} are the least"]
            for item in collection.series
            if len(item.values) <= self._horizon
        }

    def make_splits(self, collection: Collection) -> Splits:
        """Return sequences ``[T, F]`` and what is predicted, ``[T, horizon * columns]``."""
        wanted = self.reader.columns.label
        chosen = collection.columns if wanted is None else (wanted,)
        self._places = [collection.columns.index(name) for name in chosen]
        ahead = self._horizon if self._horizon > 1 else 0
        parts = self.reader.pieces(collection, self._window, ahead)
        filling = self.filling(series_of(parts))
        if not filling.varies[self._places].all():
            place = self._places[int(np.argmin(filling.varies[self._places]))]
            raise self.reader.refuse(
                f"column '{collection.columns[place]}' does not change in the training part;"
                " task.drop leaves it out, task.label forecasts one column"
            )
        found = [[e for piece in part if (e := self._example(piece, filling))] for part in parts]
        if not all(found):
            raise self.reader.refuse(
                "a part of the split has no step whose next values are all known"
            )
        std = input_spec(found[0]).std
        assert std is not None
        self._scale = std[self._places].repeat(self._horizon)
        return Splits(*found)

    def _example(self, piece: Stretch, filling: Filling) -> Example | None:
        item, counts = piece
        steps, ahead = len(item.values), self._horizon
        first = 0 if ahead == 1 else 1
        rows = np.arange(steps)[:, None] + np.arange(first, first + ahead)
        inside = rows[:, -1] < steps
        targets = item.values[rows.clip(max=steps - 1)][:, :, self._places].reshape(steps, -1)
        known = counts & inside & ~np.isnan(targets).any(axis=1)
        if ahead == 1:
            known[0] = False  # nothing stands before it
        if not known.any():
            return None
        return replace(
            filling.inputs(item),
            targets=torch.from_numpy(np.nan_to_num(targets)).float(),
            target_mask=torch.from_numpy(known),
        )

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return the values that follow: they start at the training means, in their deviations."""
        spec = self.input_spec(train)
        assert spec.mean is not None
        return OutputSpec(
            len(self._places) * self._horizon,
            spec.mean[self._places].repeat(self._horizon),
            self._scale,
        )

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return squared errors ``[N]`` in training's variances, mean over what is predicted."""
        return ((predictions - targets) / self._scale.to(predictions)).square().mean(dim=1)

    def metrics(self) -> MetricSet:
        """Return ``mae`` and ``mse``."""
        self.splits()
        return ForecastMetrics(self._scale, self.test_groups)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the forecasts of :func:`seqbench.tasks.data.windows.forecast` from the past."""
        return self.baselines_for(splits, "past")

    def baselines_for(self, splits: Splits, sight: Sight) -> dict[str, Predictions]:
        """Return those of :meth:`baselines`, or beside a model that reads on as it does."""
        two_sided = sight == "past+future"
        name = f"data-forecast-{self._horizon}-{self._season}-{windows.WINDOWS_VERSION}"
        name += "-two-sided" if two_sided else ""
        ends = 1 if self._horizon == 1 else 0
        return cached_predictions(
            name,
            splits,
            lambda: windows.forecast(
                splits, self._places, self._horizon, self._season, ends, two_sided
            ),
        )
