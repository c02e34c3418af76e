"""What a claim starts from: the scores of a model's runs, and the groups of the test data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Value = Any
"""A number, or an array of numbers over data sets side by side."""

FEW = 5
"""Fewer runs, test groups, groups of a class or splits than this carry no verdict."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of one model on one test set, a seed each. Larger is better.

    Args:
        scores: of the runs that finished ``[..., n]``; leading axes are data sets apart from each
            other, as in a simulation.
        bootstrap: the same runs' scores over draws of the test groups ``[..., n, R]``, where every
            model has the same draws; NaN where a draw has no score. None without any.
        failed: runs that ended without a score by the model's own fault.
        fixed: whether training again gives the same score, as for a baseline without a seed.
    """

    scores: Array
    bootstrap: Array | None = None
    failed: int = 0
    fixed: bool = False

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        bootstrap: ArrayLike | None = None,
        *,
        larger_is_better: bool = True,
        failed: int = 0,
        fixed: bool = False,
    ) -> Runs:
        """Return runs from scores ``[n]`` as they are stored; a score that is not finite is failed.

        Args:
            scores: of all runs.
            bootstrap: ``[n, R]``.
            larger_is_better: of the metric; otherwise all is negated.
            failed: further runs that failed, which have no score at all.
            fixed: see the class.

        Raises:
            ValueError: the shapes do not fit.
        """
        sign = 1.0 if larger_is_better else -1.0
        found = np.asarray(scores, dtype=np.float64)
        if found.ndim != 1:
            raise ValueError(f"scores are of shape {found.shape}, expected [n]")
        ended = np.isfinite(found)
        drawn = None
        if bootstrap is not None:
            drawn = np.asarray(bootstrap, dtype=np.float64)
            if drawn.ndim != 2 or len(drawn) != len(found):
                raise ValueError(f"bootstrap scores are of shape {drawn.shape}, not [n, R]")
            drawn = sign * drawn[ended]
        return cls(sign * found[ended], drawn, failed + int((~ended).sum()), fixed)

    @property
    def number(self) -> int:
        """Runs, failed ones included."""
        return int(self.scores.shape[-1]) + self.failed

    @property
    def single(self) -> Array:
        """Scores of all runs ``[..., number]``, -inf for those that failed."""
        lost = np.full((*self.scores.shape[:-1], self.failed), -np.inf)
        return np.concatenate([self.scores, lost], -1)


@dataclass(frozen=True)
class Groups:
    """The independent parts of the test data: patients, speakers, pieces.

    Args:
        number: of them.
        sizes: how much each counts in the score; empty where all count alike.
        classes: groups with cases and groups without, where each group has one label and the score
            is an AUROC; empty elsewhere.
    """

    number: int
    sizes: tuple[float, ...] = ()
    classes: tuple[int, ...] = ()

    @classmethod
    def of(cls, sizes: Sequence[float], classes: Sequence[int] = ()) -> Groups:
        """Return groups from what a record keeps: ``group_sizes`` and ``group_classes``.

        A group of size 0 is none.
        """
        counting = tuple(float(size) for size in sizes if size > 0)
        return cls(len(counting), counting, tuple(classes))

    @property
    def df(self) -> float:
        """Degrees of freedom of the variance between groups.

        G - 1 of groups that count alike, Bell and McCaffrey's of unequal ones, and where each has
        one of two classes at most min(cases, controls) - 1.
        """
        alike = len(set(self.sizes)) < 2
        df = self.number - 1.0 if alike else float(group_df(self.sizes))
        return min([df, *(number - 1.0 for number in self.classes)])

    @property
    def unshrunk(self) -> float:
        """What the variance over bootstrap draws of groups is multiplied by, G / (G - 1) or more.

        See :func:`shrinkage`.
        """
        if len(set(self.sizes)) < 2:
            return self.number / (self.number - 1)
        return float(shrinkage(self.sizes))

    @property
    def why_not(self) -> str:
        """Why nothing can be claimed of new groups; empty where something can."""
        if self.number < FEW:
            return f"{counted(self.number, 'test group')}, fewer than {FEW}"
        least = min(self.classes, default=FEW)
        if least < FEW:
            return f"{counted(least, 'test group')} of a class, fewer than {FEW}"
        return ""


def counted(number: int, what: str) -> str:
    """Return ``1 run``, ``2 runs``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def group_df(sizes: ArrayLike) -> Array:
    """Return the degrees of freedom of ``sum w_g^2 (d_g - D)^2``, where w are the groups' shares.

    Bell and McCaffrey 2002 (Survey Methodology 28, section 4) under independent errors of one
    variance: ``trace(M)^2 / trace(M^2)`` of the quadratic form's matrix
    ``M = diag(w^2) - w^2 w' - w w^2' + |w|^2 w w'``, whose traces are sums of powers of w.

    Args:
        sizes: of the groups ``[..., G]``, at least two of them above 0.

    Returns:
        ``[...]``; G - 1 where all are equal.
    """
    s2, s3, s4, s5 = _powers(sizes)
    trace = s2 - 2 * s3 + s2**2
    square = s4 - 4 * s5 + 4 * s2 * s4 + 2 * s3**2 - 4 * s2**2 * s3 + s2**4
    return np.asarray(trace**2 / square)


def shrinkage(sizes: ArrayLike) -> Array:
    """Return the variance of D over the mean of ``sum w_g^2 (d_g - D)^2``, its plug-in estimate.

    ``|w|^2 / trace(M)`` with M as in :func:`group_df`, under the same assumption; G / (G - 1) where
    all groups are equal. The plug-in is what a bootstrap of groups estimates. Where one group of
    five counts as much as the others together it is half of the truth or less.

    Args:
        sizes: of the groups ``[..., G]``, at least two of them above 0.
    """
    s2, s3, *_ = _powers(sizes)
    return np.asarray(s2 / (s2 - 2 * s3 + s2**2))


def _powers(sizes: ArrayLike) -> tuple[Array, ...]:
    """Return the sums of the second to fifth powers of the groups' shares."""
    sizes = np.asarray(sizes, dtype=np.float64)
    w = sizes / sizes.sum(-1, keepdims=True)
    return tuple((w**k).sum(-1) for k in (2, 3, 4, 5))


def spread(scores: Array, fixed: bool) -> tuple[Array, float]:
    """Return the variance of the mean of runs ``[..., n]`` over seeds, and its degrees of freedom.

    NaN of a single run that another seed would change.
    """
    n = scores.shape[-1]
    if fixed:
        return np.zeros(scores.shape[:-1]), math.inf
    if n < 2:
        return np.full(scores.shape[:-1], math.nan), max(n - 1.0, 0.0)
    return np.asarray(scores.var(-1, ddof=1) / n), n - 1.0
