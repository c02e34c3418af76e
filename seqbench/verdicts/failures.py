"""Runs that fail by a model's own fault are results: what they do to means and to claims."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from seqbench.verdicts.scores import Runs


def filled(runs: Runs, trivial: Runs) -> Runs:
    """Return runs in which each failed one has the score of the trivial predictor.

    A model that gave no prediction is used as if it had none to give. Its bootstrap scores are the
    trivial predictor's, too; without these nothing is left of the others'.

    Args:
        runs: with failed ones or without.
        trivial: the task's trivial predictor, fixed, with a score.
    """
    if not runs.failed:
        return runs
    scores = np.concatenate([runs.scores, np.repeat(trivial.scores[..., :1], runs.failed, -1)], -1)
    drawn = None
    if trivial.bootstrap is not None:
        drawn = np.repeat(trivial.bootstrap[..., :1, :], runs.failed, -2)
        if runs.bootstrap is not None:
            drawn = np.concatenate([runs.bootstrap, drawn], -2)
        elif runs.scores.shape[-1]:
            drawn = None
    return Runs(scores, drawn, 0, runs.fixed)


def failure_rate_at_most(failed: int, number: int, level: float = 0.95) -> float:
    """Return the upper limit of the rate at which a model fails (Clopper and Pearson 1934).

    Args:
        failed: runs that failed.
        number: all runs, at least one.
        level: one-sided: none of ten gives 0.26, none of twenty 0.14.

    Raises:
        ValueError: there are not so many runs.
    """
    if not 0 <= failed <= number or number < 1:
        raise ValueError(f"{failed} failed of {number} runs")
    return 1.0 if failed == number else float(betaincinv(failed + 1, number - failed, level))


def vanishes_at(gain: float, mean: float, failed_score: float) -> float | None:
    """Return how much more often a model must fail for its lead to vanish.

    Each further share r of failing runs takes ``r (mean - failed score)`` from the mean.

    Args:
        gain: of the model over another, above 0.
        mean: the model's, failed runs filled in.
        failed_score: what a failed run counts, the trivial predictor's score.

    Returns:
        The rate, from 0 to 1; None if it never does: a run that fails costs too little, or nothing.
    """
    cost = mean - failed_score
    return gain / cost if gain > 0 and cost > 0 and gain <= cost else None
