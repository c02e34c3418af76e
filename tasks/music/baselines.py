"""Trivial next-frame predictors of piano rolls, fitted on the training split.

Each predicts the 88 keys of a frame independently, from nothing or from the frame before; before a
piece's first frame there is silence. Only frames that count are fitted on and chosen on.

Legend: N scored frames, x the frame before ``[N, 88]``, y the frame ``[N, 88]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqbench.tasks.music.pianoroll import KEYS

Floats = NDArray[np.float64]
Predictor = Callable[[Floats], Floats]
"""From x to the logits ``[N, 88]`` of y."""

BASELINES_VERSION = "1"
"""Changes whenever the same rolls would give other predictions."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Inverse L2 penalties C of the logistic regression; validation chooses one for all keys."""


class Frames(NamedTuple):
    """The scored frames of a split."""

    before: Floats
    """x."""
    now: Floats
    """y."""


def scored_frames(rolls: Sequence[Floats], masks: Sequence[NDArray[np.bool_]]) -> Frames:
    """Return the frames that count, each with the one before it.

    Args:
        rolls: ``[T, 88]`` each.
        masks: ``[T]`` each, the frames that count.
    """
    before = [frames_before(roll)[mask] for roll, mask in zip(rolls, masks, strict=True)]
    now = [roll[mask] for roll, mask in zip(rolls, masks, strict=True)]
    return Frames(np.concatenate(before), np.concatenate(now))


def frames_before(roll: Floats) -> Floats:
    """Return the frame before each of a roll's frames ``[T, 88]``; silence before the first."""
    return np.concatenate([np.zeros((1, KEYS)), roll[:-1]])


def fit_baselines(train: Frames, valid: Frames) -> dict[str, Predictor]:
    """Return every baseline; validation only chooses the logistic regression's penalty."""
    from threadpoolctl import threadpool_limits

    # problems this small run ten times slower when threads fight over a busy machine's cores
    with threadpool_limits(limits=1):
        candidates = fit_logistic_regressions(train)
    return {
        "unigram": fit_unigram(train),
        "markov": fit_markov(train),
        "logistic_regression": min(
            candidates, key=lambda predict: negative_log_likelihood(predict, valid)
        ),
    }


def fit_unigram(train: Frames) -> Predictor:
    """Return the predictor ``p = (count + 1/2) / (N + 1)`` for each key."""
    logits = _log_odds(_marginals(train))
    return lambda before: np.tile(logits, (len(before), 1))


def fit_markov(train: Frames) -> Predictor:
    """Return the first-order Markov chain of each key.

    ``P(y = 1 | x) = (count(x, y = 1) + 5 p) / (count(x) + 5)``, with the unigram's p.
    """
    marginals = _marginals(train)
    on = train.before.sum(axis=0)
    on_then_on = (train.before * train.now).sum(axis=0)
    off = len(train.now) - on
    off_then_on = train.now.sum(axis=0) - on_then_on
    after_on = _log_odds((on_then_on + 5 * marginals) / (on + 5))
    after_off = _log_odds((off_then_on + 5 * marginals) / (off + 5))
    return lambda before: np.where(before > 0, after_on, after_off)


def fit_logistic_regressions(train: Frames) -> list[Predictor]:
    """Return, for each C of :data:`STRENGTHS`, 88 logistic regressions of y on x.

    Equal frames x are merged into weights, which is exact and spares most of the time. A key that
    never changes in the training split keeps the unigram's log odds.
    """
    from sklearn.linear_model import LogisticRegression

    distinct, index = np.unique(train.before, axis=0, return_inverse=True)
    index = index.ravel()  # one version of numpy gives it a second axis
    total = np.bincount(index).astype(float)
    active = distinct.any(axis=0)
    inputs = distinct[:, active]
    weights = np.zeros((len(STRENGTHS), KEYS, int(active.sum())))
    intercepts = np.tile(_log_odds(_marginals(train)), (len(STRENGTHS), 1))
    for key in np.flatnonzero((train.now.min(axis=0) == 0) & (train.now.max(axis=0) == 1)):
        ones = np.bincount(index, weights=train.now[:, key], minlength=len(distinct))
        zeros = total - ones
        features = np.concatenate([inputs[ones > 0], inputs[zeros > 0]])
        labels = np.repeat([1, 0], [(ones > 0).sum(), (zeros > 0).sum()])
        counts = np.concatenate([ones[ones > 0], zeros[zeros > 0]])
        model = LogisticRegression(solver="newton-cholesky", max_iter=200, warm_start=True)
        for number, strength in enumerate(STRENGTHS):
            model.set_params(C=strength).fit(features, labels, sample_weight=counts)
            weights[number, key] = model.coef_[0]
            intercepts[number, key] = model.intercept_[0]

    def predictor(number: int) -> Predictor:
        return lambda before: before[:, active] @ weights[number].T + intercepts[number]

    return [predictor(number) for number in range(len(STRENGTHS))]


def negative_log_likelihood(predict: Predictor, frames: Frames) -> float:
    """Return the mean over frames of the NLL summed over keys, in nats."""
    logits = predict(frames.before)
    return float((np.logaddexp(0, logits) - frames.now * logits).sum() / len(frames.now))


def _marginals(train: Frames) -> Floats:
    marginals: Floats = (train.now.sum(axis=0) + 0.5) / (len(train.now) + 1)
    return marginals


def _log_odds(probabilities: Floats) -> Floats:
    log_odds: Floats = np.log(probabilities) - np.log1p(-probabilities)
    return log_odds
