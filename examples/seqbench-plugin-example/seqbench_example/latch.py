"""The latch problem."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seqbench.api import (
    Example,
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


class Latch(Task):
    """Remember the first step of a noisy sequence until its end.

    The first step is +1 or -1, evenly; every later step is Gaussian noise. The label is the first
    step's sign. Lengths are drawn from lag .. lag + lag // 4 steps after the first, so that a
    network cannot count. What must be kept in the state decays or is drowned in noise unless the
    network learns to close a gate, which a simple recurrent network lacks.

    Args:
        lag: steps of noise at least.
        noise: standard deviation of the noise.
        sequences: in the training split; validation and test have a quarter each.
        data_seed: another number draws other sequences.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    monitor = Metric("nll", "min", "nats")
    primary = Metric("accuracy", "max")
    citation = (
        "Y. Bengio, P. Simard, P. Frasconi: Learning long-term dependencies with gradient descent "
        "is difficult. IEEE Transactions on Neural Networks 5(2), 1994."
    )
    licence = "generated; no licence applies"
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "800 sequences",
        "valid": "200 sequences",
        "test": "200 sequences",
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "nll": "negative log-likelihood of the label",
        "accuracy": "share of sequences whose label is more probable than the other",
    }

    def __init__(
        self, *, lag: int = 40, noise: float = 0.2, sequences: int = 800, data_seed: int = 0
    ) -> None:
        if lag < 1:
            raise ValueError(f"task.lag must be at least 1, not {lag}")
        if not (noise >= 0 and math.isfinite(noise)):
            raise ValueError(f"task.noise must be at least 0, not {noise}")
        if sequences < 8:
            raise ValueError(f"task.sequences must be at least 8, not {sequences}")
        if data_seed < 0:
            raise ValueError(f"task.data_seed must be at least 0, not {data_seed}")
        self._lag = lag
        self._noise = noise
        self._sequences = sequences
        self._data_seed = data_seed

    def prepare(self) -> None:
        """Do nothing: sequences are generated."""

    def splits(self, fold: int = 0) -> Splits:
        """Return the sequences: values ``[T, 1]``, a label 0.0 or 1.0."""
        generator = torch.Generator().manual_seed(self._data_seed)
        held_out = self._sequences // 4
        return Splits(
            self._draw(self._sequences, generator),
            self._draw(held_out, generator),
            self._draw(held_out, generator),
        )

    def fingerprint(self) -> str:
        """Return a hash of the parameters, which decide every value."""
        identity = f"{self._lag} {self._noise} {self._sequences} {self._data_seed}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return one feature, left as it is."""
        return InputSpec(size=1)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return one logit."""
        return OutputSpec(size=1)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy ``[N]`` of logits ``[N, 1]``."""
        targets = targets.to(predictions.dtype)
        return F.binary_cross_entropy_with_logits(predictions[:, 0], targets, reduction="none")

    def metrics(self) -> MetricSet:
        """Return ``nll`` and ``accuracy``."""
        return _LabelMetrics(self)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the logits of ``majority`` and ``mean``.

        ``majority`` is the training split's rate of ones. ``mean`` takes the sign of the sequence's
        mean, in which the first step counts as one of many.
        """
        rate = torch.stack([example.targets for example in splits.train]).mean()
        constant = torch.logit(rate.clamp(0.01, 0.99))
        return {
            "majority": [constant[None] for _ in splits.test],
            "mean": [example.values.mean()[None] * 100 for example in splits.test],
        }

    def _draw(self, count: int, generator: torch.Generator) -> list[Example]:
        examples = []
        for _ in range(count):
            extra = int(torch.randint(self._lag // 4 + 1, (), generator=generator))
            values = self._noise * torch.randn(1 + self._lag + extra, 1, generator=generator)
            label = torch.randint(2, (), generator=generator).float()
            values[0] = 2 * label - 1
            examples.append(Example(values, label))
        return examples


class _LabelMetrics(MetricSet):
    def __init__(self, task: Latch) -> None:
        self._nll = MeanLoss(task, "nll")
        self._right = 0
        self._count = 0

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        self._nll.update(predictions, targets, sequences)
        self._right += int(((predictions[:, 0] > 0) == (targets > 0.5)).sum())
        self._count += len(targets)

    def compute(self) -> dict[str, float]:
        accuracy = self._right / self._count if self._count else float("nan")
        return {**self._nll.compute(), "accuracy": accuracy}
