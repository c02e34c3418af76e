"""Simple harmonisations of a tune, fitted on the training split: each voice on its own.

Each predicts a frame's alto, tenor and bass from the soprano's pitches near it, or from nothing.

Legend: N frames; M soprano codes; x ``[N, 2 R + 1]`` int64, the soprano's codes at t - R, ...,
t + R, R = :data:`REACH`; y ``[N, 3]`` int64, the classes of alto, tenor and bass; C classes of a
voice, K of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Predictor = Callable[[Codes], Floats]
"""From x to the log probabilities ``[N, C]`` of a voice."""

BASELINES_VERSION = "2"
"""Changes whenever the same chorales would give other predictions."""
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Inverse L2 penalties C of the logistic regression; validation chooses one for all voices."""
WINDOWS = (1, 2, 4, 8)
"""Frames on either side that the logistic regression sees; validation chooses, for all voices."""
REACH = max(WINDOWS)
PRIOR = 5.0
"""Weight of the unigram in a row of the table, in frames."""


class Frames(NamedTuple):
    """The frames of a split."""

    soprano: Codes
    """x."""
    voices: Codes
    """y."""


def fit_baselines(
    train: Frames, valid: Frames, codes: int, classes: Sequence[int]
) -> dict[str, Callable[[Codes], Floats]]:
    """Return every baseline: from x to the log probabilities ``[N, K]``.

    Args:
        train: what they are fitted on.
        valid: what chooses the logistic regression's window and penalty.
        codes: M.
        classes: C of each voice.
    """
    voices = list(zip(train.voices.T, classes, strict=True))
    fitted = {
        "unigram": [fit_unigram(y, size) for y, size in voices],
        "soprano_table": [fit_table(train.soprano, y, codes, size) for y, size in voices],
        "logistic_regression": _choose_logistic_regressions(train, valid, codes, classes),
    }
    return {name: _together(found) for name, found in fitted.items()}


def _choose_logistic_regressions(
    train: Frames, valid: Frames, codes: int, classes: Sequence[int]
) -> list[Predictor]:
    """Return the logistic regressions whose window and penalty validation prefers.

    Wider windows are tried until one is no better, and for each weaker penalties.
    """
    from threadpoolctl import threadpool_limits

    best: list[Predictor] = []
    least = np.inf
    with threadpool_limits(limits=1):
        for window in WINDOWS:
            of_window = np.inf
            for strength in STRENGTHS:
                found = [
                    fit_logistic_regression(train.soprano, y, codes, size, window, strength)
                    for y, size in zip(train.voices.T, classes, strict=True)
                ]
                error = _negative_log_likelihood(found, valid)
                if error >= of_window:
                    break
                of_window = error
                if error < least:
                    best, least = found, error
            if of_window > least:
                break
    return best


def fit_unigram(y: Codes, size: int) -> Predictor:
    """Return the predictor ``p = (count + 1/2) / (N + C/2)`` of each class."""
    logs = np.log(_marginals(y, size))
    return lambda x: np.tile(logs, (len(x), 1))


def fit_table(x: Codes, y: Codes, codes: int, size: int) -> Predictor:
    """Return the table by the soprano's current pitch s.

    ``P(y | s) = (count(s, y) + 5 p(y)) / (count(s) + 5)``, with the unigram's p.
    """
    counts = np.bincount(x[:, REACH] * size + y, minlength=codes * size).reshape(codes, size)
    table = (counts + PRIOR * _marginals(y, size)) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    logs = np.log(table)
    return lambda x: logs[x[:, REACH]]


def fit_logistic_regression(
    x: Codes, y: Codes, codes: int, size: int, window: int, strength: float
) -> Predictor:
    """Return the multinomial logistic regression of y on the codes of a window.

    Equal rows are merged into weights, which is exact. Classes that the training split lacks share
    out the unigram's probability of them.

    Args:
        x: see above.
        y: ``[N]``, the classes of a voice.
        codes: M.
        size: C.
        window: frames on either side of one.
        strength: inverse L2 penalty.
    """
    import scipy.sparse
    from sklearn.linear_model import LogisticRegression

    marginals = _marginals(y, size)
    near = slice(REACH - window, REACH + window + 1)
    rows, weights = np.unique(np.column_stack([x[:, near], y]), axis=0, return_counts=True)
    inputs = scipy.sparse.csr_array(_one_hot(rows[:, :-1], codes))  # thrice as fast
    model = LogisticRegression(C=strength, solver="newton-cg", max_iter=500)
    model.fit(inputs, rows[:, -1], sample_weight=weights)
    unseen = np.setdiff1d(np.arange(size), model.classes_)
    logs = np.log(marginals)
    seen = np.log1p(-marginals[unseen].sum())

    def predict(x: Codes) -> Floats:
        found = np.tile(logs, (len(x), 1))
        known = model.predict_log_proba(_one_hot(x[:, near], codes))
        found[:, model.classes_] = known + seen
        return found

    return predict


def _one_hot(x: Codes, codes: int) -> Floats:
    """Return codes ``[N, W]`` as ``[N, W M]``."""
    return np.eye(codes, dtype=np.float64)[x].reshape(len(x), -1)


def _marginals(y: Codes, size: int) -> Floats:
    counts = np.bincount(y, minlength=size).astype(np.float64)
    return (counts + 0.5) / (len(y) + size / 2)


def _negative_log_likelihood(voices: Sequence[Predictor], frames: Frames) -> float:
    """Return the mean over frames of the voices' NLL, in nats."""
    rows = np.arange(len(frames.voices))
    return -float(
        sum(
            predict(frames.soprano)[rows, frames.voices[:, voice]].mean()
            for voice, predict in enumerate(voices)
        )
    )


def _together(voices: Sequence[Predictor]) -> Callable[[Codes], Floats]:
    return lambda x: np.concatenate([predict(x) for predict in voices], axis=1)
