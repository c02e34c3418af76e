"""MyTask: say here, in a line, what is to be predicted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.api import (
    Deal,
    Example,
    GroupCounts,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.api.resampling import weighted_means
from seqbench.errors import Refused


class MyTask(Task):
    """Tell which class a sequence is of, from a CSV file with a row for each time step.

    Columns are ``sequence`` (which one the row is of), ``label`` (its class, the same in all of its
    rows), and one for each feature. Rows of a sequence stand in the order of time.

    Args:
        source: the CSV file; null draws an example, slow and fast waves in noise.
        split_seed: which split: 0 to 4 test a fifth of the sequences each, and together all; 5 to 9
            are the fifths of another deal.
    """

    version = "1"  # change it when the same parameters give other data, targets or metrics
    visibility = Visibility.SEQUENCE
    monitor = Metric("nll", "min", "nats")
    primary = Metric("accuracy", "max")
    group = "sequence"
    citation = "Say where the data are from."
    licence = "Say on what terms they may be used."
    sizes: ClassVar[Mapping[str, str]] = {"all": "120 sequences of 30 to 40 steps"}
    metric_help: ClassVar[Mapping[str, str]] = {
        "nll": "negative log-likelihood of the class",
        "accuracy": "share of sequences whose class is the most probable one",
    }

    def __init__(self, *, source: str | None = None, split_seed: int = 0) -> None:
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        self._source = source
        self._split_seed = split_seed
        self._examples: list[Example] = []
        self._classes: list[str] = []

    def prepare(self) -> None:
        """Read the data once."""
        if self._examples:
            return
        table = _drawn() if self._source is None else _read(Path(self._source).expanduser())
        self._classes = sorted(map(str, table["label"].unique()))
        for name, rows in table.groupby("sequence", sort=True):
            values = rows.drop(columns=["sequence", "label"]).to_numpy(np.float32)
            label = self._classes.index(str(rows["label"].iloc[0]))
            self._examples.append(
                Example(torch.tensor(values), torch.tensor(label), group=str(name))
            )
        if len(self._examples) < 10 or len(self._classes) < 2:
            raise Refused(
                f"task.source={self._source}: {len(self._examples)} sequences of "
                f"{len(self._classes)} classes; it takes 10 sequences and 2 classes at least"
            )

    def splits(self, fold: int = 0) -> Splits:
        """Return the sequences, each in one part."""
        deal = Deal.of(self._split_seed)
        order = np.random.default_rng(deal.number).permutation(len(self._examples))
        fifths = np.array_split(order, 5)
        test, valid, *train = fifths[deal.fold :] + fifths[: deal.fold]
        parts = (np.concatenate(train), valid, test)
        return Splits(*([self._examples[at] for at in part] for part in parts))

    def fingerprint(self) -> str:
        """Return a hash of every value and label."""
        digest = hashlib.sha256(",".join(self._classes).encode())
        for example in self._examples:
            digest.update(f"{example.group} {int(example.targets)}".encode())
            digest.update(example.values.numpy().tobytes())
        return digest.hexdigest()[:16]

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the features' number, means and deviations over the training split."""
        steps = torch.cat([example.values for example in train])
        return InputSpec(steps.shape[1], mean=steps.mean(0), std=steps.std(0))

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return a logit for each class."""
        return OutputSpec(len(self._classes))

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy ``[N]`` of logits ``[N, K]``."""
        return F.cross_entropy(predictions, targets.long(), reduction="none")

    def metrics(self) -> MetricSet:
        """Return ``nll`` and ``accuracy``."""
        return _Scores(self)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return logits of how common each class is, and of the class with the nearest mean."""
        labels = torch.stack([example.targets for example in splits.train])
        counts = torch.bincount(labels, minlength=len(self._classes)).float()
        prior = (counts + 1).log()
        spec = self.input_spec(splits.train)

        def summary(example: Example) -> Tensor:
            assert spec.mean is not None
            assert spec.std is not None
            return ((example.values - spec.mean) / spec.std.clamp(min=1e-6)).mean(0)

        means = torch.stack([summary(example) for example in splits.train])
        centres = torch.stack(
            [means[labels == k].mean(0) for k in range(len(self._classes))]
        ).nan_to_num(1e3)  # a class that no training sequence is of
        return {
            "prior": [prior for _ in splits.test],
            "nearest_mean": [-(summary(e) - centres).square().sum(1) for e in splits.test],
        }


class _Scores(MetricSet):
    def __init__(self, task: MyTask) -> None:
        self._nll = MeanLoss(task, "nll")
        self._right: list[float] = []  # of each sequence, 1 or 0

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        self._nll.update(predictions, targets, sequences)
        self._right += (predictions.argmax(1) == targets).double().tolist()

    def compute(self) -> dict[str, float]:
        accuracy = sum(self._right) / len(self._right) if self._right else float("nan")
        return {**self._nll.compute(), "accuracy": accuracy}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return both over resamples of the sequences, from which tables have intervals."""
        if not self._right:
            return {}
        right = np.array(self._right)
        accuracies = weighted_means(right, np.ones(len(right)))
        return {**self._nll.bootstrap_scores(), "accuracy": accuracies}

    def group_counts(self, metric: str) -> GroupCounts:
        """Return that sequences, which are what is resampled, count alike: one label each."""
        return GroupCounts.of([1.0] * len(self._right))


def _read(path: Path) -> pd.DataFrame:
    """Read a CSV file.

    Raises:
        Refused: it cannot be read, or is not of the form that the class describes.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise Refused(f"task.source={path} cannot be read: {str(error).splitlines()[0]}") from error
    for column in ("sequence", "label"):
        if column not in table:
            raise Refused(f"task.source={path} has no column '{column}': {', '.join(table)}")
    features = table.drop(columns=["sequence", "label"])
    if features.empty:
        raise Refused(f"task.source={path} has no features beside sequence and label")
    numbers = features.apply(pd.to_numeric, errors="coerce")
    wrong = ~np.isfinite(numbers.to_numpy(np.float64))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        seen = features.iloc[row, column]
        raise Refused(
            f"task.source={path}, row {row + 2}, column '{features.columns[column]}': "
            f"{seen!r} is no finite number"
        )
    several = table.groupby("sequence")["label"].nunique()
    if (several > 1).any():
        raise Refused(f"task.source={path}: sequence {several.idxmax()} has several labels")
    return pd.concat([table[["sequence", "label"]], numbers], axis=1)


def _drawn() -> pd.DataFrame:
    """Return an example: one wave in noise for each sequence, slow or fast."""
    generator = np.random.default_rng(0)
    tables = []
    for number in range(120):
        steps = np.arange(generator.integers(30, 41))
        label, period = ("slow", 16.0) if number % 2 else ("fast", 8.0)
        wave = np.sin(2 * np.pi * steps / period + generator.uniform(0, 2 * np.pi))
        value = wave + generator.normal(0, 0.5, len(steps))
        tables.append(pd.DataFrame({"sequence": number, "label": label, "value": value}))
    return pd.concat(tables, ignore_index=True)
