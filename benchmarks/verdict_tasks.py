"""Simulated tasks for ``verdicts.py``: pooled AUROCs, and ridge regressions trained on splits."""

from __future__ import annotations

import math

import numpy as np
from verdict_levels import CORRELATION, Array, Random

from seqbench.verdicts.components import ALPHA, from_bootstrap, on_new_data
from seqbench.verdicts.scores import Groups, Runs
from seqbench.verdicts.splits import over_splits


def misses_auroc(
    rng: Random, draws: int, steps: int, groups: int, n: int, seed_sd: float, better: float
) -> float:
    """E2's interval of a difference of AUROCs misses the true one: the mean over draws.

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

    Two ridge regressions, each on half of the features, which are exchangeable. A seed adds noise
    to the weights; the score is minus the squared error.

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
        means: list[list[float]] = [[], []]
        for split in range(splits):
            tested = order[split * size :][:size] if folds else rng.permutation(groups)[:size]
            trained = np.delete(np.arange(groups), tested)
            y = target[trained, :kept].ravel()
            for model in (0, 1):
                x = inputs[model][trained, :kept].reshape(-1, features)
                weights = np.linalg.solve(x.T @ x + np.eye(features), x.T @ y)
                seeds = weights[:, None] + noise * rng.standard_normal((features, n))
                errors = (target[tested][..., None] - inputs[model][tested] @ seeds) ** 2
                means[model].append(float(-errors.mean((0, 1)).mean()))
        gains = np.array(means[0]) - np.array(means[1])
        found += int(over_splits(gains, size / (groups - size)).p <= ALPHA)
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
