"""Simulations for ``verdicts.py``: how often claims are made where the truth is known.

Scores of model m, seed s and group g are ``mu[m] + seed[m, s] + group[m, g] + rest[m, s, g]``:
groups are shared by all models and correlated .8 between them, seeds are nested in models. Each
function returns the share of ``draws`` data sets in which something was claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from seqbench.verdicts.components import ALPHA, Components, from_bootstrap, from_groups, on_new_data
from seqbench.verdicts.family import Claim, holm, is_best, judge
from seqbench.verdicts.looks import Looks
from seqbench.verdicts.planning import Variances, detectable
from seqbench.verdicts.scores import Groups, Runs
from seqbench.verdicts.single_runs import permuted_p

Array = NDArray[np.float64]
Random = np.random.Generator

CORRELATION = 0.8  # of a group between models
REST = 0.5  # sd of a run in a group, in sds of a group's difference between models

SHAPES: dict[str, tuple[float, tuple[float, float]]] = {
    "normal": (0.0, (1.0, 1.0)),
    "lognormal, both alike": (1.0, (1.0, 1.0)),
    "lognormal .5, one model": (0.5, (1.0, 0.0)),
    "lognormal 1, unlike": (1.0, (1.0, 0.3)),
}
"""Of groups: sigma of the lognormal (0 is normal), and what the two models' are multiplied by."""


def spread(shape: str) -> float:
    """Return the sd over groups of the difference between the two models."""
    sigma, (a, b) = SHAPES[shape]
    if not sigma:
        own, shared = 1.0, CORRELATION
    else:  # moments of exp(sigma z)
        own = math.exp(2 * sigma**2) - math.exp(sigma**2)
        shared = math.exp(sigma**2 * (1 + CORRELATION)) - math.exp(sigma**2)
    return math.sqrt((a**2 + b**2) * own - 2 * a * b * shared)


def scores(
    rng: Random, draws: int, n: int, groups: int, ratio: float, shape: str, models: int = 2
) -> Array:
    """Return scores of models with equal means ``[draws, models, n, groups]``.

    Args:
        rng: draws them.
        draws: data sets.
        n: seeds.
        groups: of the test data.
        ratio: sd of a run's score over seeds, in standard errors of the difference over groups.
        shape: of groups.
        models: two, or more of a shape that is alike.
    """
    sigma, factors = SHAPES[shape]
    shared = rng.standard_normal((draws, 1, groups))
    own = rng.standard_normal((draws, models, groups))
    of_groups = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
    if sigma:
        of_groups = np.exp(sigma * of_groups) - math.exp(sigma**2 / 2)
    if models == 2:
        of_groups *= np.array(factors)[:, None]
    unit = spread(shape)
    seeds = ratio * unit / math.sqrt(groups) * rng.standard_normal((draws, models, n, 1))
    rest = REST * unit * rng.standard_normal((draws, models, n, groups))
    return np.asarray(of_groups[:, :, None] + seeds + rest)


def standard_error(n: int, groups: int, ratio: float) -> float:
    """Return the true standard error of a difference between two models of normal groups."""
    return spread("normal") * math.sqrt((1 + 2 * (ratio**2 + REST**2) / n) / groups)


def parts(draws: int, numbers: int) -> Iterator[int]:
    """Yield how many data sets to draw at once, of so many numbers each."""
    size = max(1, 3_000_000 // numbers)
    while draws > 0:
        yield min(size, draws)
        draws -= size


def misses(rng: Random, draws: int, shape: str, groups: int, n: int, ratio: float) -> float:
    """E2's interval misses a true difference of 0; from the groups' scores."""
    found = 0
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, shape)
        found += int((on_new_data(from_groups(y[:, 0], y[:, 1])).p <= ALPHA).sum())
    return found / draws


def misses_by_bootstrap(
    rng: Random, draws: int, groups: int, n: int, ratio: float, sigma: float = 0
) -> float:
    """The same of normal scores, from 1,000 bootstrap scores; sizes as even as lognormal ones."""
    found = 0
    sizes = np.exp(sigma * ndtri((np.arange(groups) + 0.5) / groups))
    counts = sizes * rng.multinomial(groups, np.full(groups, 1 / groups), size=1000)
    counts /= counts.sum(1, keepdims=True)
    for number in parts(draws, 2 * n * 1000):
        y = scores(rng, number, n, groups, ratio, "normal")
        whole = y @ (sizes / sizes.sum())
        a, b = (Runs(whole[:, m], y[:, m] @ counts.T) for m in (0, 1))
        found += int((on_new_data(from_bootstrap(a, b, Groups.of(sizes))).p <= ALPHA).sum())
    return found / draws


def misses_unequal(rng: Random, draws: int, groups: int, sigma: float, ratio: float) -> float:
    """The same where groups count by their sizes, which are lognormal."""
    found, n = 0, 10
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, "normal")
        sizes = np.exp(sigma * rng.standard_normal((number, groups)))
        found += int((on_new_data(from_groups(y[:, 0], y[:, 1], sizes)).p <= ALPHA).sum())
    return found / draws


MODELS = 6
PAIRS = [(i, j) for i in range(MODELS) for j in range(i + 1, MODELS)]


def _family(y: Array) -> tuple[Array, Array]:
    """Return p and gain of every pair of the models ``[draws, pairs]``."""
    found = [on_new_data(from_groups(y[:, i], y[:, j])) for i, j in PAIRS]
    return np.stack([e.p for e in found], 1), np.stack([e.gain for e in found], 1)


def false_pairs(rng: Random, draws: int, shape: str, groups: int, n: int, ratio: float) -> float:
    """Any of six equal models is called better than another, by Holm."""
    found = 0
    for number in parts(draws, MODELS * n * groups):
        p, _ = _family(scores(rng, number, n, groups, ratio, shape, MODELS))
        found += int((holm(p).min(1) <= ALPHA).sum())
    return found / draws


def false_best(
    rng: Random, draws: int, shape: str, groups: int, n: int, ratio: float, tied: int
) -> float:
    """One of the equal models is called best; further ones are 20 standard errors worse."""
    found = 0
    means = np.where(np.arange(MODELS) < tied, 0, -20 * standard_error(n, groups, ratio))
    for number in parts(draws, MODELS * n * groups):
        y = scores(rng, number, n, groups, ratio, shape, MODELS) + means[:, None, None]
        found += int(_best(*_family(y), ALPHA).any(1).sum())
    return found / draws


def _best(p: Array, gain: Array, alpha: float) -> NDArray[np.bool_]:
    """Return which model is called best ``[draws, models]``."""
    square = np.ones((2, len(p), MODELS, MODELS))
    for place, (i, j) in enumerate(PAIRS):
        square[:, :, i, j] = p[:, place], gain[:, place]
        square[:, :, j, i] = p[:, place], -gain[:, place]
    square[:, :, np.arange(MODELS), np.arange(MODELS)] = np.array([1.0, 0.0])[:, None, None]
    return is_best(square[0], square[1], alpha)


def false_equivalence(
    rng: Random, draws: int, groups: int, n: int, ratio: float, margin: float
) -> float:
    """Two models are called equivalent whose difference is the margin, in standard errors."""
    found, worth = 0, margin * standard_error(n, groups, ratio)
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, "normal")
        e = on_new_data(from_groups(y[:, 0] + worth, y[:, 1]))
        found += int((e.p_equivalent(worth) <= ALPHA).sum())
    return found / draws


RUNS: dict[str, Callable[[Random, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "normal, sd 3": lambda rng, shape: 3 * rng.standard_normal(shape),
    "exponential": lambda rng, shape: 1 - rng.standard_exponential(shape),
    "lognormal": lambda rng, shape: -rng.lognormal(0, 1, shape),
    "bad run in ten, 10 sd": lambda rng, shape: (
        rng.standard_normal(shape) - 10.0 * (rng.random(shape) < 0.1)
    ),
    "bad run in ten, 50 sd": lambda rng, shape: (
        rng.standard_normal(shape) - 50.0 * (rng.random(shape) < 0.1)
    ),
    "fails in ten": lambda rng, shape: np.where(
        rng.random(shape) < 0.1, -np.inf, rng.standard_normal(shape)
    ),
}
"""Shapes of a model's runs, against a normal one's."""


def false_single_runs(rng: Random, draws: int, shape: str, n: int) -> float:
    """Single runs of a shape are called better or worse than normal ones, at P = 1/2."""
    many = RUNS[shape](rng, (400_000,))
    shift = brentq(lambda by: float(ndtr(many + by).mean()) - 0.5, -9, 9)
    x, y = RUNS[shape](rng, (draws, n)) + shift, rng.standard_normal((draws, n))
    return float(np.mean([permuted_p(x[i], y[i]) <= ALPHA for i in range(draws)]))


def false_at_looks(
    rng: Random, draws: int, numbers: tuple[int, ...], ratio: float, shape: str = "normal"
) -> float:
    """Two equal models are told apart at any planned look.

    Args:
        rng: draws them.
        draws: data sets of 75 groups.
        numbers: seeds at each look.
        ratio: see :func:`scores`; infinite of test data that do not vary.
        shape: of runs: normal or exponential.
    """
    most = numbers[-1]
    draw = rng.standard_normal if shape == "normal" else rng.standard_exponential
    y, groups, found = draw((2, draws, most)), 75, np.zeros(draws, bool)
    of_data = rng.standard_normal(draws) / ratio
    variance = rng.chisquare(groups - 1, draws) / (groups - 1) / ratio**2
    for number, level in zip(numbers, Looks.planned(numbers).levels, strict=True):
        a, b = y[0, :, :number], y[1, :, :number]
        means = [z.var(1, ddof=1) / number for z in (a, b)]
        gain, df = of_data + a.mean(1) - b.mean(1), number - 1.0
        known = Components(
            gain, variance, groups - 1.0, means[0], df, means[1], df, 0 * gain, 0 * gain
        )
        found |= on_new_data(known).p <= level
    return float(found.mean())


def false_family_at_looks(
    rng: Random, draws: int, numbers: tuple[int, ...], ratio: float, tied: int
) -> float:
    """At any look: of six equal models a pair is told apart by Holm, or of two tied one is best."""
    found, groups, most = 0, 75, numbers[-1]
    means = np.where(np.arange(MODELS) < tied, 0, -20 * standard_error(most, groups, ratio))
    for drawn in parts(draws, MODELS * most * groups):
        y = scores(rng, drawn, most, groups, ratio, "normal", MODELS) + means[:, None, None]
        hit = np.zeros(drawn, bool)
        for number, level in zip(numbers, Looks.planned(numbers).levels, strict=True):
            p, gain = _family(y[:, :, :number])
            if tied == MODELS:
                hit |= holm(p).min(1) <= level
            else:
                hit |= _best(p, gain, level).any(1)
        found += int(hit.sum())
    return found / draws


def claims_at_unplanned_looks(rng: Random, draws: int, numbers: tuple[int, ...]) -> float:
    """Anything is claimed of models ten standard deviations apart, where no look was planned."""
    looks, found = Looks.planned(numbers), 0
    for _ in range(draws):
        n = int(rng.choice([5, 7, 9, 12]))
        scores = rng.standard_normal((2, n)) + np.array([[10.0], [0.0]])
        drawn = scores[..., None] + rng.standard_normal((2, n, 200))
        models = {name: Runs(scores[m], drawn[m]) for m, name in enumerate("ab")}
        said = judge(models, Groups(20), margin=1.0, alpha=looks.level_at(n))
        found += said.best is not None or said.findings["a", "b"].claim != Claim.NO_VERDICT
    return found / draws


def planned_power(rng: Random, draws: int, groups: int, n: int, ratio: float) -> float:
    """The difference is found that should be found in 80%."""
    unit, found = spread("normal") ** 2, 0
    seeds = unit * ratio**2 / groups
    variances = Variances(unit, seeds, seeds, unit * REST**2)
    gain = float(detectable(n, groups, variances))
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, "normal")
        e = on_new_data(from_groups(y[:, 0] + gain, y[:, 1]))
        found += int(((e.p <= ALPHA) & (e.gain > 0)).sum())
    return found / draws
