"""A class for each sequence: the form in which most public data of sequences come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

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
from seqbench.tasks.data.classes import ordered, sequence_label
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.scores import ClassMetrics


class Classify(DataTask):
    """Say which class a sequence is of: your own data, or four activities of a smartwatch.

    Forms. A ``source`` is a file, or a folder of one problem. ``.ts`` and ``.arff``: the UEA and
    UCR archives', equal or unequal length, with or without times, missing values as ``?``.
    ``.npz``, or ``.npy`` files in a folder: ``X`` ``[N, T, F]`` (NaN is missing), ``y`` ``[N]``,
    and where they are needed ``lengths`` ``[N]``, ``groups`` ``[N]``, ``columns`` ``[F]``. CSV
    (commas, semicolons, tabs or bars) and Parquet: a row for each step, with columns that say of
    which sequence it is (id), when it was (time), and the sequence's label; all others are values.
    Without a column of ids a file is one sequence, and its folder may be its label
    (``walk/7.csv``). Where a folder has files of several forms, the first of ts, arff, npz, npy,
    parquet, csv is read. What is not used is listed with the result.

    Values are standardised by the harness. A missing value is the last known one, before that the
    training mean; where values are missing, or times are irregular, models are told what was
    observed and how long ago, in units of the median time between steps.

    Split. A split that the data have is kept: ``X_TRAIN.ts`` and ``X_TEST.ts``, ``train.csv`` and
    ``test.csv``, folders ``train`` and ``test``, arrays ``X_train`` and ``X_test``. Validation is
    then one in five groups of the training part, unless there is a part ``valid``; a sequence that
    is in a later part too, value for value, is left out of the earlier one. Without a split,
    three in five groups train, one validates, one is for test. Groups are dealt out class by
    class, in the order of a hash of their names, so that everyone's parts are the same; sequences
    with the same values are one group.

    Leaks. A group is what ``task.group`` says, else a sequence: where several are of one person or
    machine, say so, or a score is of persons who were seen. A split that the data have is trusted,
    but no group may be in two of its parts. A column that follows from the label, or that tells
    the order in which rows were recorded, has to be dropped.

    The built-in data are BasicMotions of the UEA archive, as aeon 1.6.0 ships it: 80 recordings of
    10 s, acceleration and angular velocity, of people who stand, walk, run and play badminton;
    40 are the archive's training part. They are small and nearly solved: a quick look.

    Args:
        source: None for BasicMotions, or a file or folder, in one of the forms above.
        problem: which problem of a folder that has several in .ts or .arff files.
        id: a table's column that says of which sequence a row is; null: one named id, series_id,
            case, patient_id or the like.
        time: a table's column of times, numbers or ISO dates; null: one named time, timestamp,
            date or the like.
        label: a table's column of labels; null: one named label, class, target or y.
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
    monitor = Metric("nll", "min", "nats")
    primary = Metric("accuracy", "max")
    citation = (
        "A. Bagnall et al., The UEA multivariate time series classification archive, 2018,"
        " arXiv:1811.00075 (BasicMotions)"
    )
    licence = (
        "Your own data keep theirs. BasicMotions: public, without terms; fetched and cached on your"
        " machine."
    )
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "32 recordings of 100 steps",
        "valid": "8 recordings",
        "test": "40 recordings",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "majority": 0.25,
        "logistic_regression": 0.9,
        "gradient_boosting": 0.25,
        "nearest_neighbour": 0.85,
        "random_kernels": 1.0,
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "majority": "the shares of the classes in the training part",
        "logistic_regression": "of means, deviations and means over eighths of the time",
        "gradient_boosting": "of the same numbers",
        "nearest_neighbour": (
            "the class of the nearest training sequence under dynamic time warping, at most 100"
            " steps, with a band of a tenth; training is thinned above 300,000 pairs"
        ),
        "random_kernels": (
            "MiniRocket (Dempster et al. 2021), 2,016 features, and a ridge classifier on them;"
            " at most 200,000 steps in all, longer sequences are averaged over time"
        ),
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of sequences whose likeliest class is the right one",
        "macro_f1": "F1 of each class, 2 TP / (2 TP + FP + FN), averaged over classes",
        "nll": "negative log-likelihood of the right class, mean over sequences",
        "ece": (
            "expected calibration error: |accuracy - confidence| averaged over 15 bins of equal"
            " width (Guo et al. 2017, eq. 5)"
        ),
    }

    _classes: tuple[str, ...] = ()

    def built_in(self) -> Collection:
        """Return BasicMotions."""
        return load_problem("BasicMotions")

    def output_names(self) -> tuple[str, ...]:
        """Return the classes."""
        self.splits()
        return self._classes

    def check_series(self, collection: Collection) -> Mapping[str, Sequence[str]]:
        """Find sequences without a label, or with several."""
        bad: dict[str, Sequence[str]] = {}
        for item in collection.series:
            try:
                sequence_label(item, "data/label")
            except ValueError as error:
                bad[item.name] = [str(error)]
        return bad

    def make_splits(self, collection: Collection) -> Splits:
        """Return sequences ``[T, F]`` and the numbers of their classes."""
        labels = {item.name: sequence_label(item, "data/label") for item in collection.series}
        self._classes = ordered(labels.values(), collection.classes, self.reader.kept_outputs)
        if len(self._classes) < 2:
            raise self.reader.refuse(f"all sequences are of one class, '{self._classes[0]}'")
        if len(self._classes) > max(len(labels) // 2, 2):
            raise self.reader.refuse(
                f"{len(labels)} sequences have {len(self._classes)} labels: numbers rather than"
                " classes? task=data/regress predicts one for each sequence"
            )
        parts = self.reader.deal(collection, labels)
        filling = self.filling(parts)

        def example(name: str, inputs: Example) -> Example:
            number = self._classes.index(labels[name])
            return Example(
                inputs.values,
                torch.tensor(number),
                observed=inputs.observed,
                delta=inputs.delta,
                group=inputs.group,
            )

        return Splits(*([example(i.name, filling.inputs(i)) for i in part] for part in parts))

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return a logit for each class."""
        return OutputSpec(size=len(self.output_names()))

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each sequence's cross entropy, ``[N]`` nats."""
        return F.cross_entropy(predictions, targets, reduction="none")

    def metrics(self) -> MetricSet:
        """Return ``accuracy``, ``macro_f1``, ``nll`` and ``ece``."""
        return ClassMetrics(len(self.output_names()), self.test_groups)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the classifiers of :func:`seqbench.tasks.data.baselines.classify`."""
        classes = len(self.output_names())
        name = f"data-classify-{classes}-{baselines.BASELINES_VERSION}"
        return cached_predictions(name, splits, lambda: baselines.classify(splits, classes))
