"""E3: new training and test data, from several splits."""

from __future__ import annotations

import numpy as np
from scipy.stats import ttest_1samp

from seqbench.verdicts.splits import over_splits


def test_without_shared_data_it_is_the_t_test() -> None:
    gains = np.random.default_rng(0).standard_normal((9, 5)) + 0.3
    assert np.allclose(ttest_1samp(gains, 0, axis=1).pvalue, over_splits(gains, 0.0).p)


def test_by_hand() -> None:
    """Five gains of mean 3 and variance 2.5; (1 / 5 + 1 / 4) 2.5 = 1.125."""
    found = over_splits([1.0, 2.0, 3.0, 4.0, 5.0], 0.25)
    assert np.isclose(1.125, found.error**2)
    assert np.isclose(3 - 2.7764 * 1.125**0.5, found.low, atol=1e-4)
    assert 4 == found.df


def test_one_split_says_nothing() -> None:
    found = over_splits([1.0], 0.25)
    assert 1 == found.gain
    assert np.isnan(found.p)


def test_splits_without_spread() -> None:
    assert over_splits([0.1] * 5, 0.25).p < 1e-6
    assert 1 == over_splits([0.0] * 5, 0.25).p
