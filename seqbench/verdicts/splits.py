"""New training and test data of these sizes (E3), from several splits of one data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from seqbench.verdicts.components import ALPHA, Estimate


def over_splits(gains: ArrayLike, test_share: float, alpha: float = ALPHA) -> Estimate:
    """Return the test and interval of E3, with Nadeau and Bengio's correction for shared data.

    ``V = (1 / J + n_test / n_train) s^2`` with J - 1 degrees of freedom (Nadeau and Bengio 2003,
    Machine Learning 52, section 3). Of five disjoint test folds it keeps its level; of random
    splits, or ten folds, it exceeds 0.05 where training data matter much, up to 0.10.

    Args:
        gains: of the models' means over seeds, a split each ``[..., J]``.
        test_share: test groups divided by training groups of a split: 1/4 of five folds.
        alpha: 1 minus the level of the interval.

    Returns:
        NaN of fewer than two splits. Fewer than five carry no verdict.
    """
    gains = np.asarray(gains, dtype=np.float64)
    number = gains.shape[-1]
    if number < 2:
        unknown = np.full(gains.shape[:-1], np.nan)
        return Estimate(gains.mean(-1), unknown, unknown, unknown, unknown, 0.0)
    gain = gains.mean(-1)
    error = np.sqrt((1 / number + test_share) * gains.var(-1, ddof=1))
    error = np.maximum(error, 1e-12 * np.abs(gain) + np.finfo(np.float64).tiny)
    return Estimate.of(gain, error, number - 1.0, alpha)
