"""Several models on one task: what may be claimed of each pair, and which model is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqbench.verdicts.components import ALPHA, Estimate
from seqbench.verdicts.pair import Pair, compare
from seqbench.verdicts.scores import Array, Groups, Runs


class Claim(StrEnum):
    """What may be said of two models on new data. A report turns it into words."""

    BETTER = "better"
    """The mean is, and so are single runs."""
    BETTER_ON_AVERAGE = "better on average"
    """The mean is; of single runs it is not shown (they overlap, or are few)."""
    USUALLY_BETTER = "usually better"
    """Single runs are, on this test set; the means are not told apart."""
    OPPOSED = "opposed"
    """The mean of one is better, the other's single runs are: say both, no winner."""
    EQUIVALENT = "equivalent"
    """Not told apart, and the difference is smaller than is worth having."""
    OPEN = "cannot be told apart"
    """Neither. Say the largest difference that is not excluded, and what could have been seen."""
    NO_VERDICT = "no verdict"
    """Too few groups or seeds: say why."""


@dataclass(frozen=True, eq=False)
class PairFinding:
    """What may be claimed of a pair, beside other pairs.

    Args:
        pair: what is known of it.
        claim: about new data.
        first: whether the claim is about the first model (with ``OPPOSED``, its mean).
        p_new: E2's p, adjusted by Holm over the pairs; NaN without one.
        p_these: E1's p, adjusted likewise: on *these* test data only.
        p_single: P's p, adjusted likewise. ``BETTER`` needs the unadjusted one.
        p_equivalent: the p of equivalence within the margin, adjusted likewise; NaN without one.
        equivalent: whether the difference lies within the margin, also of a model that is better.
        beyond: whether the better one is better by more than the margin.
    """

    pair: Pair
    claim: Claim
    first: bool
    p_new: float
    p_these: float
    p_single: float
    p_equivalent: float
    equivalent: bool
    beyond: bool


@dataclass(frozen=True)
class Best:
    """The one model that is better than each other one.

    Args:
        name: of the model.
        gain: the smallest estimated gain over another.
        single: whether its single runs are better than each other's, too.
        beyond: whether it is better than each other one by more than the margin.
        estimated_beyond: whether only the estimate is: "best, estimated to matter".
    """

    name: str
    gain: float
    single: bool
    beyond: bool
    estimated_beyond: bool


@dataclass(frozen=True, eq=False)
class Family:
    """All pairs of a task's models with their findings, and the best model.

    Args:
        findings: by the two names, the first given first.
        best: None where no model is better than each other one, or one of them has no verdict.
    """

    findings: Mapping[tuple[str, str], PairFinding]
    best: Best | None


def judge(
    models: Mapping[str, Runs],
    groups: Groups | None = None,
    trivial: Runs | None = None,
    margin: float | None = None,
    alpha: float | None = ALPHA,
) -> Family:
    """Judge every pair of a task's models.

    Args:
        models: by name; a baseline is one whose runs are fixed.
        groups: of the test data.
        trivial: the task's trivial predictor, whose score a failed run counts in means.
        margin: the smallest difference worth having, in the metric's unit; None if nobody says.
        alpha: of the whole family; at a planned look its nominal level, and None where no look was
            planned: no verdict.
    """
    names = list(models)
    pairs = {
        (one, other): compare(models[one], models[other], groups, trivial, alpha)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    }
    alpha = ALPHA if alpha is None else alpha
    return Family(judge_pairs(pairs, margin, alpha), best(pairs, margin, alpha))


def judge_pairs(
    pairs: Mapping[tuple[str, str], Pair], margin: float | None = None, alpha: float = ALPHA
) -> dict[tuple[str, str], PairFinding]:
    """Return what may be claimed of each of several pairs, for example each model and a baseline.

    Each kind of claim has Holm's adjustment over these pairs of its own.

    Args:
        pairs: as :func:`seqbench.verdicts.pair.compare` returns them.
        margin: see :func:`judge`.
        alpha: of the family.
    """
    found = list(pairs.values())
    able = [None if pair.why_not else pair.on_new_data for pair in found]
    new = holm([_p(item) for item in able])
    these = holm([_p(pair.on_these_data) for pair in found])
    single = holm([pair.single.p if pair.single else math.nan for pair in found])
    alike, beyond = np.full((2, len(found)), math.nan)
    if margin is not None:
        alike = holm(
            [_p(item) if item is None else float(item.p_equivalent(margin)) for item in able]
        )
        beyond = holm([_p_beyond(item, margin) for item in able])
    findings = {}
    for place, (names, pair) in enumerate(pairs.items()):
        equivalent = bool(alike[place] <= alpha)
        p_new, p_single = float(new[place]), float(single[place])
        claim, first = _claim(pair, p_new, p_single, equivalent, alpha)
        findings[names] = PairFinding(
            pair,
            claim,
            first,
            p_new,
            float(these[place]),
            p_single,
            float(alike[place]),
            equivalent,
            bool(beyond[place] <= alpha),
        )
    return findings


def _p(estimate: Estimate | None) -> float:
    return math.nan if estimate is None else float(estimate.p)


def _p_beyond(estimate: Estimate | None, margin: float) -> float:
    """Return the two-sided p of a gain of the margin, in favour of the better one."""
    if estimate is None:
        return math.nan
    gain = float(estimate.gain)
    return float(estimate.p_of(math.copysign(margin, gain))) if abs(gain) > margin else 1.0


def _claim(
    pair: Pair, p_new: float, p_single: float, equivalent: bool, alpha: float
) -> tuple[Claim, bool]:
    """Return the claim about a pair, and whether it is about the first."""
    new, single = pair.on_new_data, pair.single
    if pair.why_not or new is None:
        return Claim.NO_VERDICT, True
    first = bool(new.gain > 0)
    if p_new <= alpha:
        if single is None or single.supports(first, alpha):
            return Claim.BETTER, first
        opposed = single.supports(not first, alpha)
        return (Claim.OPPOSED if opposed else Claim.BETTER_ON_AVERAGE), first
    if p_single <= alpha:
        return Claim.USUALLY_BETTER, single is not None and single.chance > 0.5
    return (Claim.EQUIVALENT if equivalent else Claim.OPEN), first


def best(
    pairs: Mapping[tuple[str, str], Pair], margin: float | None = None, alpha: float = ALPHA
) -> Best | None:
    """Return the model that is better than each other one on new data, if there is one.

    Every unadjusted p must be at most alpha: the claim is true only if all its parts are, so none
    needs an adjustment (intersection-union, Berger 1982; Gutmann and Maymin 1987).

    Args:
        pairs: all pairs of the models.
        margin: see :func:`judge`.
        alpha: of the one claim.
    """
    names = dict.fromkeys(name for both in pairs for name in both)
    for name in names:
        duels = [pair for (first, _), pair in pairs.items() if first == name]
        duels += [pair.swapped() for (_, second), pair in pairs.items() if second == name]
        found = [pair.on_new_data for pair in duels if not pair.why_not]
        won = [new for new in found if new is not None and new.gain > 0 and new.p <= alpha]
        if not duels or len(won) < max(len(duels), len(names) - 1):
            continue
        gain = min(float(new.gain) for new in won)
        single = [pair.single for pair in duels if pair.single is not None]
        return Best(
            name,
            gain,
            all(runs.supports(True, alpha) for runs in single),
            margin is not None and all(_p_beyond(new, margin) <= alpha for new in won),
            margin is not None and gain > margin,
        )
    return None


def is_best(p: Array, gain: Array, alpha: float = ALPHA) -> NDArray[np.bool_]:
    """Return which model is best in each of many families of K models ``[..., K]``, as in `best`.

    Args:
        p: unadjusted, of each against each ``[..., K, K]``; the diagonal does not count.
        gain: of the row's model over the column's ``[..., K, K]``.
        alpha: of the claim.
    """
    wins = (p <= alpha) & (gain > 0)
    return np.asarray(wins.sum(-1) == p.shape[-1] - 1)


def holm(p_values: ArrayLike | Sequence[float]) -> Array:
    """Return p values adjusted for being several (Holm 1979).

    The i-th smallest of m becomes ``max over j <= i of (m - j + 1) p_j``, at most 1. Whoever claims
    those of at most a makes a false claim in at most a share a of such families, however the tests
    depend on each other.

    Args:
        p_values: ``[..., m]``, a family along the last axis; NaN where there was no test, which
            then does not count.

    Returns:
        Adjusted values in the same order ``[..., m]``; NaN where it was NaN.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, -1, kind="stable")  # NaN last
    ordered = np.take_along_axis(values, order, -1)
    known = ~np.isnan(ordered)
    factors = known.sum(-1, keepdims=True) - np.arange(values.shape[-1])
    stepped = np.maximum.accumulate(np.where(known, factors * ordered, 0), -1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.where(known, np.minimum(stepped, 1), np.nan), -1)
    return adjusted
