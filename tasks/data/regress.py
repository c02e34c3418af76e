"""A number for each sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from seqbench.api import (
    Example,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Visibility,
)
from seqbench.tasks._predictions import cached_predictions
from seqbench.tasks.data import baselines
from seqbench.tasks.data.base import DataTask
from seqbench.tasks.data.builtin import load_problem
from seqbench.tasks.data.classes import sequence_label
from seqbench.tasks.data.collection import Collection, number
from seqbench.tasks.data.scores import ErrorMetrics


class Regress(DataTask):
    """Predict a number from a sequence: your own data, or a country's deaths from its cases.

    Forms, values and missing values are those of ``task=data/classify``, with a number for a label:
    ``@targetlabel true`` in a ``.ts`` file, a last attribute named class or target in an ``.arff``
    file, ``y`` ``[N]`` of numbers, or a table's column whose number is the same in all rows of a
    sequence. The loss is the squared error in the training targets' variance; predictions and
    metrics have the target's own unit.

    Split. As of ``task=data/classify``, but that groups are dealt out in the order of their hashes
    alone.

    Leaks. As of ``task=data/classify``: say with ``task.group`` what must not be in two parts.

    The built-in data are Covid3Month of the archive of regression problems, as aeon 1.6.0 ships it:
    201 countries, the confirmed cases of 84 days, and the death rate on 1 April 2020; 140 are the
    archive's training part, of which three are in the test part too and left out. No model predicts
    them well: a quick look, and a warning.

    Args:
        source: None for Covid3Month, or a file or folder, in one of the forms above.
        problem: which problem of a folder that has several in .ts or .arff files.
        id: a table's column that says of which sequence a row is; null: one named id, series_id,
            case, patient_id or the like.
        time: a table's column of times, numbers or ISO dates; null: one named time, timestamp,
            date or the like.
        label: a table's column of the number; null: one named label, class, target or y.
        group: a table's column of what a split keeps together; null: one named group.
        drop: a table's columns that are not read: a name, or a list of them.
        split: ``given`` keeps a split that the data have; ``hashed`` deals all out anew.
        split_seed: which split that is dealt: 0 to 4 test a fifth of the groups each, and together
            all; 5 to 9 are the fifths of another deal. Refused where nothing is dealt.
        missing: whether models are told what was observed and when; null: where values are missing
            or times are irregular.
        skip_bad: true goes on without files and sequences that cannot be used.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    monitor = Metric("mse", "min")
    primary = Metric("rmse", "min")
    citation = (
        "C. W. Tan, C. Bergmeir, F. Petitjean, G. I. Webb, Time series extrinsic regression, Data"
        " Mining and Knowledge Discovery 35, 2021 (Covid3Month; cases by the WHO)"
    )
    licence = (
        "Your own data keep theirs. Covid3Month: Creative Commons Attribution 4.0; fetched and"
        " cached on your machine."
    )
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "109 countries, 84 days",
        "valid": "28 countries",
        "test": "61 countries",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "mean": 0.0448,
        "ridge": 0.0501,
        "nearest_neighbour": 0.0508,
        "random_kernels": 0.0416,
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "mean": "of the training part",
        "ridge": "linear, of means, deviations and means over eighths of the time",
        "nearest_neighbour": (
            "the number of the nearest training sequence under dynamic time warping, at most 100"
            " steps, with a band of a tenth; training is thinned above 300,000 pairs"
        ),
        "random_kernels": (
            "MiniRocket (Dempster et al. 2021), 2,016 features, and ridge regression on them;"
            " at most 200,000 steps in all, longer sequences are averaged over time"
        ),
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "mse": "mean squared error, in the target's unit squared",
        "rmse": "root of the mean squared error, in the target's unit",
        "mae": "mean absolute error, in the target's unit",
        "r2": "1 - MSE / variance of the targets; 0 is no better than their mean",
    }

    _std = 1.0

    def built_in(self) -> Collection:
        """Return Covid3Month."""
        return load_problem("Covid3Month")

    def output_names(self) -> tuple[str, ...]:
        """Return what a table calls the number, if it says."""
        return (self.reader.columns.label or "number",)

    def check_series(self, collection: Collection) -> Mapping[str, Sequence[str]]:
        """Find sequences without a number."""
        bad: dict[str, Sequence[str]] = {}
        for item in collection.series:
            try:
                number(sequence_label(item, "data/forecast"))
            except ValueError as error:
                hint = "; task=data/classify takes classes" if "not a number" in str(error) else ""
                bad[item.name] = [f"its label: {error}{hint}"]
        return bad

    def make_splits(self, collection: Collection) -> Splits:
        """Return sequences ``[T, F]`` and their numbers, in float64."""
        targets = {item.name: number(sequence_label(item, "")) for item in collection.series}
        parts = self.reader.deal(collection, {})
        if len({targets[item.name] for item in parts.train}) < 2:
            raise self.reader.refuse("all training sequences have the same number")
        self._std = float(np.std([targets[item.name] for item in parts.train]))
        filling = self.filling(parts)
        return Splits(
            *(
                [
                    replace(
                        filling.inputs(item),
                        targets=torch.tensor(targets[item.name], dtype=torch.float64),
                    )
                    for item in part
                ]
                for part in parts
            )
        )

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return a number that starts at the training targets' mean, in their deviation."""
        targets = torch.stack([example.targets for example in train])
        return OutputSpec(1, targets.mean()[None].float(), torch.tensor([self._std]).float())

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return squared errors ``[N]`` in the training targets' variance."""
        errors = predictions[:, 0] - targets.to(predictions.dtype)
        return (errors / self._std).square()

    def metrics(self) -> MetricSet:
        """Return ``mse``, ``rmse``, ``mae`` and ``r2``."""
        return ErrorMetrics(self.test_groups)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the predictions of :func:`seqbench.tasks.data.baselines.regress`."""
        name = f"data-regress-{baselines.BASELINES_VERSION}"
        return cached_predictions(name, splits, lambda: baselines.regress(splits))
