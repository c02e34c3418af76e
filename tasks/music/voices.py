"""Simple harmonisations of a tune, fitted on the training split: each voice on its own.

Each predicts a frame's alto, tenor and bass from the soprano's pitches near it, or from nothing.

Legend: N frames; M soprano codes; x ``[N, 3]`` int64, the soprano's codes at t - 1, t, t + 1; y
``[N, 3]`` int64, the classes of alto, tenor and bass; C classes of a voice, K of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Predictor = Callable[[Codes], Floats]
"""From x to the log probabilities ``[N, C]`` of a voice."""

BASELINES_VERSION = "1"
"""Changes whenever the same chorales would give other predictions."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
"""Inverse L2 penalties C of the logistic regression; validation chooses one for all voices."""
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
        valid: what chooses the logistic regression's penalty.
        codes: M.
        classes: C of each voice.
    """
    from threadpoolctl import threadpool_limits

    fitted: dict[str, list[Predictor]] = {"unigram": [], "soprano_table": []}
    candidates: dict[float, list[Predictor]] = {strength: [] for strength in STRENGTHS}
    for voice, size in enumerate(classes):
        y = train.voices[:, voice]
        fitted["unigram"].append(fit_unigram(y, size))
        fitted["soprano_table"].append(fit_table(train.soprano, y, codes, size))
        with threadpool_limits(limits=1):
            found = fit_logistic_regressions(train.soprano, y, codes, size)
        for strength, predict in zip(STRENGTHS, found, strict=True):
            candidates[strength].append(predict)
    fitted["logistic_regression"] = min(
        candidates.values(), key=lambda voices: _negative_log_likelihood(voices, valid)
    )
    return {name: _together(voices) for name, voices in fitted.items()}


def fit_unigram(y: Codes, size: int) -> Predictor:
    """Return the predictor ``p = (count + 1/2) / (N + C/2)`` of each class."""
    logs = np.log(_marginals(y, size))
    return lambda x: np.tile(logs, (len(x), 1))


def fit_table(x: Codes, y: Codes, codes: int, size: int) -> Predictor:
    """Return the table by the soprano's current pitch s.

    ``P(y | s) = (count(s, y) + 5 p(y)) / (count(s) + 5)``, with the unigram's p.
    """
    counts = np.bincount(x[:, 1] * size + y, minlength=codes * size).reshape(codes, size)
    table = (counts + PRIOR * _marginals(y, size)) / (counts.sum(axis=1, keepdims=True) + PRIOR)
    logs = np.log(table)
    return lambda x: logs[x[:, 1]]


def fit_logistic_regressions(x: Codes, y: Codes, codes: int, size: int) -> list[Predictor]:
    """Return, for each C of :data:`STRENGTHS`, the multinomial logistic regression of y on x.

    Equal rows are merged into weights, which is exact. Classes that the training split lacks share
    out the unigram's probability of them.
    """
    import scipy.sparse
    from sklearn.linear_model import LogisticRegression

    rows, weights = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
    inputs = scipy.sparse.csr_array(_one_hot(rows[:, :3], codes))  # thrice as fast
    marginals = _marginals(y, size)
    return [
        _completed(
            LogisticRegression(C=strength, solver="newton-cg", max_iter=500).fit(
                inputs, rows[:, 3], sample_weight=weights
            ),
            codes,
            marginals,
        )
        for strength in STRENGTHS
    ]


def _completed(model: LogisticRegression, codes: int, marginals: Floats) -> Predictor:
    """Return a regression's log probabilities ``[N, C]``, of classes it has not seen as well."""
    unseen = np.setdiff1d(np.arange(len(marginals)), model.classes_)
    logs = np.log(marginals)
    seen = np.log1p(-marginals[unseen].sum())

    def predict(x: Codes) -> Floats:
        found = np.tile(logs, (len(x), 1))
        found[:, model.classes_] = model.predict_log_proba(_one_hot(x, codes)) + seen
        return found

    return predict


def _one_hot(x: Codes, codes: int) -> Floats:
    """Return codes ``[N, 3]`` as ``[N, 3 M]``."""
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
