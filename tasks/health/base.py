"""What the tasks on health records share."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import (
    DataNames,
    Example,
    InputSpec,
    LeftOut,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.config.userdata import UserData
from seqbench.tasks._predictions import cached_predictions
from seqbench.tasks.health.baselines import BASELINES_VERSION, fit_baselines
from seqbench.tasks.health.drawing import draw_groups
from seqbench.tasks.health.longformat import read_folder
from seqbench.tasks.health.records import FOLDS, Records, assign_parts, check_parts, make_splits
from seqbench.tasks.health.risk import HELP, RiskMetrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Fold = int | Literal["all"]


class HealthTask(Task):
    """Predict a risk from a patient's record; a subclass says from which records.

    Args:
        source: None for the built-in records, or a folder with a user's own.
        fold: which fifth of the patients is tested; ``all``: each in turn, a model for each.
        split_seed: another number, another deal of the patients into folds. Each deal tests every
            patient; the five disjoint test parts are the folds.
        skip_bad: whether patients of ``source`` are left out, and listed, of whom a line cannot be
            used.
    """

    monitor = Metric("nll", "min", "nats")
    primary = Metric("auroc", "max")
    group = "patient"
    smallest_difference = (0.02, "of 50 pairs of a case and a control one more in the right order")
    metric_help: ClassVar[Mapping[str, str]] = HELP
    baseline_help: ClassVar[Mapping[str, str]] = {
        "prevalence": "the share of positives in training, for everybody",
        "age": "logistic regression on age",
        "age_sex": "logistic regression on age and sex",
        "logistic_regression": (
            "on last known values, which are known, and static features; validation chooses the"
            " penalty"
        ),
        "logistic_regression_missingness": "also on what was measured now, and how long ago before",
        "gradient_boosting": (
            "trees on all of this, changes of values and the number of steps; validation chooses"
            " their size and number"
        ),
    }
    demographics: ClassVar[tuple[str, slice]]
    """A baseline on some static features alone: its name, and their columns."""

    def __init__(
        self,
        *,
        source: str | None = None,
        fold: Fold = "all",
        split_seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        if source is not None and not source.strip():
            raise ValueError("task.source must be a path or null, not empty")
        if source is None and skip_bad:
            raise ValueError(
                "task.skip_bad=true needs a task.source: the built-in records are whole"
            )
        if fold != "all" and fold not in range(FOLDS):
            raise ValueError(f"task.fold must be 0 to {FOLDS - 1}, or all, not '{fold}'")
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        self._data = None if source is None else UserData(Path(source).expanduser(), skip_bad)
        self._known = DataNames()
        self._folds = tuple(range(FOLDS)) if fold == "all" else (int(fold),)
        self._split_seed = split_seed
        self._records: Records | None = None
        self._splits: dict[int, Splits] = {}

    @abstractmethod
    def built_in(self) -> Records:
        """Return the built-in records, from the cache if they were parsed before."""

    def prepare(self) -> None:
        """Fetch, parse and cache the built-in records, or read ``source``.

        Raises:
            Refused: the data are missing or damaged, the cache folder cannot be written, or a part
                of a fold has one class only.
        """
        self._prepared()

    def folds(self) -> tuple[int, ...]:
        """Return 0 to 4, or the fold that was chosen."""
        return self._folds

    def names(self, fold: int = 0) -> DataNames:
        """Return the names of variables and static features; folds have none."""
        records = self._prepared()
        flags = records.statics[self._flags(records)]
        statics = [*records.statics.tolist(), *(_UNKNOWN.format(name) for name in flags)]
        return DataNames("", tuple(records.variables.tolist()), tuple(statics))

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read a source's variables and static features in the order in which a model knows them.

        Static features of which the model knows that they may be unknown say so here too.
        """
        self._known = next(iter(kept.values()), DataNames())

    def left_out(self) -> Sequence[LeftOut]:
        """Return which lines of a source cannot be used; their patients are left out."""
        return () if self._data is None else tuple(self._data.left_out)

    def splits(self, fold: int = 0) -> Splits:
        """Return a fold's patients; see :func:`~seqbench.tasks.health.records.make_splits`."""
        if fold not in self._splits:
            records = self._prepared()
            parts = assign_parts(records, fold, self._split_seed)
            online = self.visibility is Visibility.ONLINE
            self._splits[fold] = make_splits(records, parts, online, self._flags(records))
        return self._splits[fold]

    def fingerprint(self) -> str:
        """Return the hash of all records and of each fold's parts, 16 hexadecimal digits."""
        records = self._prepared()
        digest = hashlib.sha256()
        parts = [assign_parts(records, fold, self._split_seed) for fold in self._folds]
        for array in (*records.arrays().values(), *parts):
            digest.update(f"{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the variables, standardised by what training patients had measured, and how often.

        How often is the share of their steps.
        """
        values = torch.cat([example.values for example in train]).double()
        observed = torch.cat([_present(example.observed) for example in train]).double()
        count = observed.sum(dim=0).clamp(min=1)
        mean = (values * observed).sum(dim=0) / count
        variance = ((values - mean).square() * observed).sum(dim=0) / count
        static = train[0].static
        return InputSpec(
            size=values.shape[1],
            static_size=0 if static is None else len(static),
            missing=True,
            mean=mean.float(),
            std=variance.sqrt().float(),
            observed_rate=observed.mean(dim=0).float(),
        )

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return one logit, biased to the training labels' log odds, ``(n + 1/2) / (N + 1)``."""
        labels = torch.cat([_counted(example) for example in train]).double()
        probability = (labels.sum() + 0.5) / (len(labels) + 1)
        return OutputSpec(size=1, bias=torch.logit(probability)[None].float())

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross entropy ``[N]`` (nats) of logits ``[N, 1]`` and labels."""
        targets = targets.to(predictions.dtype)
        return F.binary_cross_entropy_with_logits(predictions[:, 0], targets, reduction="none")

    def metrics(self) -> MetricSet:
        """Return AUROC, AUPRC, Brier score, calibration error and NLL."""
        return RiskMetrics()

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return logits of ``prevalence``, demographics, logistic regressions and boosted trees.

        See :mod:`seqbench.tasks.health.baselines`. They are cached for the built-in records alone:
        nothing that comes from a user's own patients is kept.
        """
        online = self.visibility is Visibility.ONLINE
        own = self._data is not None
        seen = ("static", slice(None)) if own else self.demographics

        def build() -> dict[str, list[Tensor]]:
            return fit_baselines(splits, online, seen)

        if own:
            return dict(build())
        name = f"{type(self).__name__.lower()}-{BASELINES_VERSION}"
        return cached_predictions(name, splits, build)

    def picture(self, figure: Figure) -> str:
        """Draw how positive and negative steps differ; no patient is shown."""
        return draw_groups(figure, self._prepared())

    def _prepared(self) -> Records:
        if self._records is None:
            if self._data is None:
                self._records = self.built_in()
            else:
                online = self.visibility is Visibility.ONLINE
                records = read_folder(self._data, online, self._known)
                for fold in self._folds:
                    check_parts(records, assign_parts(records, fold, self._split_seed), fold)
                self._records = records
        return self._records

    def _flags(self, records: Records) -> NDArray[np.bool_]:
        """Return ``[S]``: of which static features a column says where they are unknown."""
        unknown = np.isnan(records.static).any(axis=0)
        flagged = [_UNKNOWN.format(name) in self._known.static for name in records.statics]
        flags: NDArray[np.bool_] = unknown | np.array(flagged, dtype=bool)
        return flags


_UNKNOWN = "{} is unknown"
"""The name of such a column."""


def _counted(example: Example) -> Tensor:
    """Return the labels that count, ``[M]``."""
    if example.target_mask is None:
        return example.targets.reshape(-1)
    return example.targets[example.target_mask]


def _present(observed: Tensor | None) -> Tensor:
    assert observed is not None  # make_splits gives it
    return observed
