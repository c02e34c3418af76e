"""A class for each step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
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
from seqbench.tasks.data import windows
from seqbench.tasks.data.base import DataTask
from seqbench.tasks.data.builtin import generated
from seqbench.tasks.data.classes import ordered
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.reader import series_of
from seqbench.tasks.data.scores import ClassMetrics


class Label(DataTask):
    """Say of which class each step of a sequence is: your own data, or generated oscillations.

    Forms, values and missing values are those of ``task=data/classify``, with a label for each
    step: ``y`` ``[N, T]`` beside ``X``, or a table's column of labels. A step without a label is
    read, and does not count. A prediction may see the whole sequence, or with ``online=true`` the
    steps up to its own.

    Split. As of ``task=data/classify``, but that groups are dealt out in the order of their hashes
    alone. Fewer than ten groups without a split of their own are each split in time: the first
    three fifths train, one validates, the last is for test. Sequences of more than two windows are
    read in pieces: a window of steps that count, after a window that is only read.

    Leaks. As of ``task=data/classify``. Where sequences are split in time, a model is tested on
    sequences whose beginning it knows.

    The built-in data are synthetic, drawn from a fixed seed: 60 series of two columns that change
    between a slow and a fast oscillation, in noise. They show that a model works, and no more.

    Args:
        source: None for generated series, or a file or folder, in one of the forms above.
        problem: which problem of a folder that has several in .ts or .arff files.
        id: a table's column that says of which sequence a row is; null: one named id, series_id,
            case, patient_id or the like.
        time: a table's column of times, numbers or ISO dates; null: one named time, timestamp,
            date or the like.
        label: a table's column of labels, of which empty ones are unknown; null: one named label,
            class, target or y.
        group: a table's column of what a split keeps together; null: one named group.
        drop: a table's columns that are not read: a name, or a list of them.
        split: ``given`` keeps a split that the data have; ``hashed`` deals all out anew.
        split_seed: which split that is dealt: 0 to 4 test a fifth of the groups each, and together
            all; 5 to 9 are the fifths of another deal. Refused where nothing is dealt.
        missing: whether models are told what was observed and when; null: where values are missing
            or times are irregular.
        skip_bad: true goes on without files and sequences that cannot be used.
        window: steps that count in a piece of a long sequence.
        online: whether a prediction sees the steps up to its own alone.
    """

    version = "1"
    visibility = Visibility.STEP
    monitor = Metric("nll", "min", "nats")
    primary = Metric("accuracy", "max")
    citation = "None: your own data, or generated ones."
    licence = "Your own data keep theirs; generated ones are free of any."
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "36 generated series of 80 to 120 steps",
        "valid": "12 series",
        "test": "12 series",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "majority": 0.546,
        "logistic_regression": 0.548,
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "majority": "the shares of the classes among training steps",
        "logistic_regression": (
            "of 4 or 24 steps up to one, and unless online of 4 or 8 after it; validation chooses"
        ),
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "accuracy": "share of steps whose likeliest class is the right one",
        "macro_f1": "F1 of each class, 2 TP / (2 TP + FP + FN), averaged over classes",
        "nll": "negative log-likelihood of the right class, mean over steps",
        "ece": (
            "expected calibration error: |accuracy - confidence| averaged over 15 bins of equal"
            " width (Guo et al. 2017, eq. 5)"
        ),
    }

    def __init__(
        self,
        *,
        window: int = 500,
        online: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if window < 1:
            raise ValueError(f"task.window must be at least 1 step, not {window}")
        self._window = window
        self._online = online
        if online:
            self.visibility = Visibility.ONLINE  # type: ignore[misc]  # of this task alone
        self._classes: tuple[str, ...] = ()

    def built_in(self) -> Collection:
        """Return generated series."""
        return generated()

    def output_names(self) -> tuple[str, ...]:
        """Return the classes."""
        self.splits()
        return self._classes

    def check_series(self, collection: Collection) -> Mapping[str, Sequence[str]]:
        """Find sequences without a label for each step."""
        bad: dict[str, Sequence[str]] = {}
        for item in collection.series:
            if len(item.labels) != len(item.values):
                found = "one label" if item.labels else "no labels"
                problem = f"it has {found} for {len(item.values)} steps"
                bad[item.name] = [f"{problem}; task=data/classify takes one of each sequence"]
            elif not any(item.labels):
                bad[item.name] = ["none of its steps has a label"]
        return bad

    def make_splits(self, collection: Collection) -> Splits:
        """Return sequences ``[T, F]`` and the class numbers ``[T]`` of their steps."""
        labels = {label for item in collection.series for label in item.labels if label}
        self._classes = ordered(labels, collection.classes, self.reader.kept_outputs)
        if len(self._classes) < 2:
            raise self.reader.refuse(f"all steps are of one class, '{self._classes[0]}'")
        numbers = {label: number for number, label in enumerate(self._classes)}
        parts = self.reader.pieces(collection, self._window, 0)
        filling = self.filling(series_of(parts))
        found = []
        for part in parts:
            examples = []
            for item, counts in part:
                known = np.array([bool(label) for label in item.labels]) & counts
                targets = torch.tensor([numbers.get(label, 0) for label in item.labels])
                if known.any():
                    examples.append(
                        replace(
                            filling.inputs(item),
                            targets=targets,
                            target_mask=torch.from_numpy(known),
                        )
                    )
            found.append(examples)
        if not all(found):
            raise self.reader.refuse("a part of the split has no step with a label")
        return Splits(*found)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return a logit for each class."""
        return OutputSpec(size=len(self.output_names()))

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each step's cross entropy, ``[N]`` nats."""
        return F.cross_entropy(predictions, targets, reduction="none")

    def metrics(self) -> MetricSet:
        """Return ``accuracy``, ``macro_f1``, ``nll`` and ``ece``."""
        return ClassMetrics(len(self.output_names()), self.test_groups)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the classifiers of :func:`seqbench.tasks.data.windows.label_steps`."""
        classes = len(self.output_names())
        name = f"data-label-{classes}-{int(self._online)}-{windows.WINDOWS_VERSION}"
        return cached_predictions(
            name, splits, lambda: windows.label_steps(splits, classes, self._online)
        )
