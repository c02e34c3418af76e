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
from scipy.special import ndtr

from seqbench.verdicts.components import Components, from_bootstrap, from_groups, on_new_data
from seqbench.verdicts.family import holm, is_best
from seqbench.verdicts.looks import Looks
from seqbench.verdicts.planning import Variances, detectable
from seqbench.verdicts.scores import Groups, Runs
from seqbench.verdicts.single_runs import permuted_p
from seqbench.verdicts.splits import gains_over_splits, over_splits

Array = NDArray[np.float64]
Random = np.random.Generator

ALPHA = 0.05
CORRELATION = 0.8  # of a group between models
REST = 0.5  # sd of a run in a group, in sds of a group's difference between models
_NUMBERS = 3_000_000  # that are drawn at once

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
    """Yield how many data sets of so many numbers to draw at once, until there are enough."""
    size = max(1, _NUMBERS // numbers)
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


def misses_by_bootstrap(rng: Random, draws: int, groups: int, n: int, ratio: float) -> float:
    """The same of normal scores, from 1,000 bootstrap scores of each run."""
    found = 0
    counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=1000) / groups
    for number in parts(draws, 2 * n * 1000):
        y = scores(rng, number, n, groups, ratio, "normal")
        a, b = (Runs(y[:, m].mean(-1), y[:, m] @ counts.T) for m in (0, 1))
        found += int((on_new_data(from_bootstrap(a, b, Groups(groups))).p <= ALPHA).sum())
    return found / draws


def misses_unequal(rng: Random, draws: int, groups: int, sigma: float, ratio: float) -> float:
    """The same where groups count by their sizes, which are lognormal."""
    found, n = 0, 10
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, "normal")
        sizes = np.exp(sigma * rng.standard_normal((number, groups)))
        found += int((on_new_data(from_groups(y[:, 0], y[:, 1], sizes)).p <= ALPHA).sum())
    return found / draws


def misses_auroc(
    rng: Random, draws: int, steps: int, groups: int, n: int, seed_sd: float, better: float
) -> float:
    """E2's interval of a difference of AUROCs misses the true one, which is the mean over draws.

    Args:
        rng: draws them.
        draws: data sets.
        steps: of a group: 1 is a patient with one label, more a series with labels of its own.
        groups: of the test data.
        n: seeds.
        seed_sd: of a run's separation of the classes.
        better: separation of the first model; the second's is 1.
    """
    gains, limits = [], []
    for _ in range(draws):
        found = on_new_data(from_bootstrap(*_auroc(rng, steps, groups, n, seed_sd, better)))
        gains.append(float(found.gain))
        limits.append((float(found.low), float(found.high)))
    true = 0.0 if better == 1 else float(np.mean(gains))
    return float(np.mean([not low <= true <= high for low, high in limits]))


def _auroc(
    rng: Random, steps: int, groups: int, n: int, seed_sd: float, better: float
) -> tuple[Runs, Runs, Groups]:
    """Return two models' AUROCs over all steps, with 500 bootstrap scores each."""
    while True:
        rate = 0.2 if steps == 1 else rng.beta(1, 4, (groups, 1))
        labels = rng.random((groups, steps)) < rate
        with_cases = int(labels.any(1).sum())
        if 2 <= labels.sum() <= labels.size - 2 and with_cases >= 2:
            break
    shared = [rng.standard_normal(shape) for shape in ((groups, steps), (groups, 1), (groups, 1))]
    above = []
    for separation in (better, 1.0):
        noise, level, seen = (
            math.sqrt(CORRELATION) * z + math.sqrt(1 - CORRELATION) * rng.standard_normal(z.shape)
            for z in shared
        )
        base = noise + (0.5 * level if steps > 1 else 0.0)
        strength = separation + seed_sd * rng.standard_normal((n, 1, 1))
        rest = 0.4 * rng.standard_normal((n, groups, steps))
        y = strength * (1 + 0.5 * seen) * labels + base + rest
        above.append((y[:, labels][:, :, None] > y[:, ~labels][:, None]).astype(np.float32))
    counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=500).astype(np.float32)
    cases, others = labels.sum(1), (~labels).sum(1)
    of_cases, of_others = (
        np.repeat(np.eye(groups, dtype=np.float32), k, 1) for k in (cases, others)
    )
    of_case, of_other = np.repeat(counts, cases, 1), np.repeat(counts, others, 1)
    if steps > 1:  # count pairs by the groups of both
        of_case = of_other = counts
    with np.errstate(invalid="ignore"):
        pairs = (counts @ cases) * (counts @ others)
        runs = []
        for found in above:
            scores = found.mean((1, 2), dtype=np.float64)
            known = of_cases @ found @ of_others.T if steps > 1 else found
            # Of a draw: pairs of a case and another step, as often as their groups were drawn.
            weighted = (of_case @ known * of_other).sum(-1, dtype=np.float64)
            runs.append(Runs(scores, weighted / pairs))
    classes = (int(cases.sum()), int(others.sum())) if steps == 1 else ()
    return runs[0], runs[1], Groups(groups, (), classes)


def misses_over_splits(
    rng: Random,
    draws: int,
    splits: int,
    folds: bool,
    groups: int,
    items: int,
    features: int,
    noise: float,
    kept: int,
) -> float:
    """E3's interval misses 0, the mean over data sets of two models that are equally good there.

    Two ridge regressions, each on half of the features, which are exchangeable: equal over data
    sets, unlike on each. A seed adds noise to the weights; the score is minus the squared error.

    Args:
        rng: draws them.
        draws: data sets.
        splits: of each.
        folds: into disjoint test folds; otherwise random fifths.
        groups: of the whole data set.
        items: of each group.
        features: of each model.
        noise: sd over seeds of a weight.
        kept: items of each training group that are trained on; few make the training data matter.
    """
    found, n = 0, 5
    size = groups // splits if folds else groups // 5
    for _ in range(draws):
        inputs, target = _regression(rng, groups, items, features)
        order = rng.permutation(groups)
        runs: list[list[Runs]] = [[], []]
        for split in range(splits):
            tested = order[split * size :][:size] if folds else rng.permutation(groups)[:size]
            trained = np.delete(np.arange(groups), tested)
            y = target[trained, :kept].ravel()
            for model in (0, 1):
                x = inputs[model][trained, :kept].reshape(-1, features)
                weights = np.linalg.solve(x.T @ x + np.eye(features), x.T @ y)
                seeds = weights[:, None] + noise * rng.standard_normal((features, n))
                errors = (target[tested][..., None] - inputs[model][tested] @ seeds) ** 2
                runs[model].append(Runs(-errors.mean((0, 1))))
        gains = gains_over_splits(*runs)
        found += over_splits(gains, size / (groups - size)).p <= ALPHA
    return found / draws


def _regression(rng: Random, groups: int, items: int, features: int) -> tuple[list[Array], Array]:
    """Return two models' inputs ``[groups, items, features]`` and a target ``[groups, items]``."""
    inputs = [
        rng.standard_normal((groups, items, features))
        + 0.5 * rng.standard_normal((groups, 1, features))
        for _ in (0, 1)
    ]
    signal = 0.7 * (inputs[0] + inputs[1]).sum(-1) / math.sqrt(features)
    spreads = np.exp(0.4 * rng.standard_normal((groups, 1)))
    rest = spreads * rng.standard_normal((groups, items))
    return inputs, signal + 0.5 * rng.standard_normal((groups, 1)) + rest


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


def unplanned_levels(_rng: Random, draws: int, numbers: tuple[int, ...]) -> float:
    """The share of numbers of seeds, up to ``draws``, at which an unplanned look has a level."""
    looks = Looks.planned(numbers)
    others = [number for number in range(1, draws) if number not in numbers]
    return sum(looks.level_at(number) is not None for number in others) / len(others)


def planned_power(rng: Random, draws: int, groups: int, n: int, ratio: float) -> float:
    """The difference is found that should be found in 80%."""
    unit = spread("normal") ** 2
    variances = Variances(unit, *[unit * ratio**2 / groups] * 2, rest=unit * REST**2)
    gain, found = float(detectable(n, groups, variances)), 0
    for number in parts(draws, 2 * n * groups):
        y = scores(rng, number, n, groups, ratio, "normal")
        e = on_new_data(from_groups(y[:, 0] + gain, y[:, 1]))
        found += int(((e.p <= ALPHA) & (e.gain > 0)).sum())
    return found / draws
