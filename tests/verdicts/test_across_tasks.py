"""Several tasks: on how many of them a model is better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from seqbench.verdicts.across_tasks import better_on_at_least


@pytest.mark.parametrize(
    ("p", "u"),
    [
        ([0.004, 0.006, 0.008, 0.012, 0.5], 4),
        ([0.006, 0.001, 0.001, 0.001, 0.001], 5),
        ([0.006] * 5, 0),
        ([0.001, 0.2, 0.2], 1),
        ([0.001, 0.0126, 0.5], 1),
        ([0.001, np.nan, np.nan], 1),
        ([np.nan], 0),
    ],
)
def test_by_hand(p: list[float], u: int) -> None:
    """(T - i + 1) p_(i) is at most .025 up to u, whatever the order of tasks."""
    assert u == better_on_at_least(p)
    assert u == better_on_at_least(p[::-1])


def test_too_many_are_seldom_claimed() -> None:
    rng = np.random.default_rng(0)
    for tasks, better in ((3, 0), (5, 1), (5, 4)):
        z = rng.standard_normal((20_000, tasks)) + np.where(np.arange(tasks) < better, 3, 0)
        assert np.mean(better_on_at_least(norm.sf(z)) > better) <= 0.028
