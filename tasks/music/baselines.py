"""Simple next-frame predictors of piano rolls, fitted on the training split.

Each predicts the 88 keys of a frame independently of each other: from nothing, from frames before
it, or from frames before and after it, never from the frame itself. Before a piece's first frame
and after its last there is silence. Only frames that count are fitted on and chosen on.

Legend: T frames of a piece, N frames that are fitted on, W frames of a window; x what is seen of a
frame ``[N, 88 W]``, y the frame ``[N, 88]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.tasks.music.pianoroll import KEYS

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Predictor = Callable[[Floats], Floats]
"""From a roll ``[T, 88]`` to the logits ``[T, 88]`` of its frames."""

BASELINES_VERSION = "2"
"""Changes whenever the same rolls would give other predictions."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse L2 penalties C of the logistic regression, from the strongest penalty on."""
WINDOWS = (1, 2, 4, 8)
"""Frames that the logistic regression sees on each side that it may see."""
MOST_FRAMES = 50_000
"""Frames that the logistic regression is fitted on, evenly spread over the training split."""
PRIOR = 5.0
"""Weight of the unigram in a state of a Markov chain, in frames."""


class Scored(NamedTuple):
    """The pieces of a split."""

    rolls: Sequence[Floats]
    """``[T, 88]`` each."""
    masks: Sequence[NDArray[np.bool_]]
    """``[T]`` each, the frames that count."""

    def counted(self, arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
        """Return the rows that count of an array ``[T, ...]`` for each piece."""
        return np.concatenate([array[mask] for array, mask in zip(arrays, self.masks, strict=True)])


def fit_baselines(train: Scored, valid: Scored, two_sided: bool) -> dict[str, Predictor]:
    """Return every baseline; validation only chooses the logistic regression's window and penalty.

    Args:
        train: what they are fitted on.
        valid: what chooses.
        two_sided: whether they see the frames after the predicted one as well.
    """
    prefix = "two_sided_" if two_sided else ""
    return {
        "unigram": fit_unigram(train),
        f"{prefix}markov": fit_markov(train, two_sided),
        f"{prefix}logistic_regression": choose_logistic_regression(train, valid, two_sided),
    }


def fit_unigram(train: Scored) -> Predictor:
    """Return the predictor ``p = (count + 1/2) / (N + 1)`` for each key."""
    logits = _log_odds(_marginals(train))
    return lambda roll: np.tile(logits, (len(roll), 1))


def fit_markov(train: Scored, two_sided: bool) -> Predictor:
    """Return the first-order Markov chain of each key, or of one between its neighbours in time.

    ``P(y = 1 | s) = (count(s, y = 1) + 5 p) / (count(s) + 5)``, with the unigram's p; s is whether
    the key sounds in the frame before, or in that before and in that after.
    """
    marginals = _marginals(train)
    states = train.counted([_state(roll, two_sided) for roll in train.rolls])
    now = train.counted(train.rolls)
    count = 4 if two_sided else 2
    of_state = [states == state for state in range(count)]
    logits = np.stack(
        [
            _log_odds(((held * now).sum(axis=0) + PRIOR * marginals) / (held.sum(axis=0) + PRIOR))
            for held in of_state
        ]
    )  # [S, 88]
    keys = np.arange(KEYS)
    return lambda roll: logits[_state(roll, two_sided), keys]


def choose_logistic_regression(train: Scored, valid: Scored, two_sided: bool) -> Predictor:
    """Return the logistic regression whose window and penalty validation prefers.

    Wider windows are tried until one is no better, and for each weaker penalties.
    """
    from threadpoolctl import threadpool_limits

    best, least = fit_unigram(train), np.inf
    # problems this small run ten times slower when threads fight over a busy machine's cores
    with threadpool_limits(limits=1):
        for window in WINDOWS:
            found, error = _choose_penalty(train, valid, window, two_sided)
            if error >= least:
                break
            best, least = found, error
    return best


def _choose_penalty(
    train: Scored, valid: Scored, window: int, two_sided: bool
) -> tuple[Predictor, float]:
    """Return the logistic regression of a window whose penalty validation prefers, and its NLL."""
    now = train.counted(train.rolls).astype(np.float32)
    marginals = _marginals(train)
    sounding = np.any([roll.any(axis=0) for roll in train.rolls], axis=0)
    changing = (now.min(axis=0) == 0) & (now.max(axis=0) == 1)

    def view(roll: Floats) -> Singles:
        return seen(roll[:, sounding], window, two_sided)

    kept = np.unique(np.linspace(0, len(now) - 1, min(len(now), MOST_FRAMES)).astype(np.int64))
    x = train.counted([view(roll) for roll in train.rolls])[kept]
    weights = np.zeros((x.shape[1] + 1, KEYS))
    weights[-1] = _log_odds(marginals)  # a key that never changes keeps these

    def predictor(fitted: Floats) -> Predictor:
        return lambda roll: view(roll) @ fitted[:-1] + fitted[-1]

    best, least = predictor(weights), np.inf
    for strength in STRENGTHS:
        weights = weights.copy()
        start = weights[:, changing]
        weights[:, changing] = fit_logistic(x, now[kept][:, changing], strength, start)
        found = predictor(weights)
        error = negative_log_likelihood(found, valid)
        if error >= least:
            break
        best, least = found, error
    return best, least


def fit_logistic(x: Singles, y: Singles, strength: float, start: Floats) -> Floats:
    """Return weights and intercepts ``[D + 1, K]`` of K logistic regressions of y on x.

    They minimise the NLL of all plus ``|weights|^2 / (2 C)``, by L-BFGS (Liu & Nocedal 1989) on all
    at once: the products with x, which take the time, are then of matrices.

    Args:
        x: ``[N, D]``.
        y: ``[N, K]``, 0 or 1.
        strength: C.
        start: ``[D + 1, K]``, weights to begin with.
    """
    from scipy.optimize import minimize

    if not y.size:
        return start

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(start.shape)
        logits = x @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float32)
        small = np.exp(-np.abs(logits))
        # log(1 + exp(z)) and its derivative, without overflow
        losses = np.maximum(logits, 0) + np.log1p(small) - y * logits
        slopes = np.where(logits >= 0, 1, small) / (1 + small) - y
        gradient = np.empty(start.shape)
        gradient[:-1] = x.T @ slopes + weights[:-1] / strength
        gradient[-1] = slopes.sum(axis=0, dtype=np.float64)
        value = losses.sum(dtype=np.float64) + (weights[:-1] ** 2).sum() / (2 * strength)
        return value / len(x), gradient.ravel() / len(x)

    options = {"maxiter": 1000, "maxcor": 10, "ftol": 1e-7, "gtol": 1e-5}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    weights: Floats = found.x.reshape(start.shape)
    return weights


def seen(roll: NDArray[np.floating], window: int, two_sided: bool) -> Singles:
    """Return the frames around each of a roll's, ``[T, K W]``, never the frame itself.

    Args:
        roll: ``[T, K]``.
        window: frames before, and if ``two_sided`` as many after.
        two_sided: whether frames after it are seen.
    """
    silence = np.zeros((window, roll.shape[1]))
    padded = np.concatenate([silence, roll, silence]).astype(np.float32)
    after = range(1, window + 1) if two_sided else ()
    offsets = [*range(-window, 0), *after]
    return np.concatenate([padded[window + at : window + at + len(roll)] for at in offsets], axis=1)


def negative_log_likelihood(predict: Predictor, split: Scored) -> float:
    """Return the mean over frames that count of the NLL summed over keys, in nats."""
    logits = split.counted([predict(roll) for roll in split.rolls])
    now = split.counted(split.rolls)
    return float((np.logaddexp(0, logits) - now * logits).sum() / len(now))


def _state(roll: Floats, two_sided: bool) -> NDArray[np.int64]:
    """Return ``[T, 88]``: 1 where a key sounds in the frame before, 2 more where in that after."""
    views = seen(roll, 1, two_sided).astype(np.int64)
    return views[:, :KEYS] + 2 * views[:, KEYS:] if two_sided else views


def _marginals(train: Scored) -> Floats:
    now = train.counted(train.rolls)
    marginals: Floats = (now.sum(axis=0) + 0.5) / (len(now) + 1)
    return marginals


def _log_odds(probabilities: Floats) -> Floats:
    log_odds: Floats = np.log(probabilities) - np.log1p(-probabilities)
    return log_odds
