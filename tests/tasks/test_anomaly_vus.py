"""VUS-PR against the authors' packages, whose numbers stand here as literals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from seqbench.tasks.anomaly.vus import Range, label_ranges, vus_pr

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


def example(
    length: int, anomalies: list[tuple[int, int]], strength: float, grain: float
) -> tuple[Scores, Labels]:
    """Return scores that are scattered evenly, and higher three samples after an anomaly's own."""
    labels = np.zeros(length, dtype=bool)
    for first, last in anomalies:
        labels[first : last + 1] = True
    scores = (np.arange(length) * 7919 % 997) / 997 + strength * np.roll(labels, 3)
    return (np.round(scores / grain) * grain if grain else scores), labels


@pytest.mark.parametrize(
    ("expected", "length", "anomalies", "strength", "grain", "buffer"),
    [
        (0.8465364198186214, 300, [(50, 69), (200, 229)], 0.8, 0.0, 20),
        # anomalies at both ends, two whose buffers meet
        (0.7357666019066491, 400, [(0, 9), (30, 32), (40, 59), (390, 399)], 0.5, 0.0, 100),
        # a single sample, fewer scores than thresholds, an odd buffer
        (0.03252568493652692, 150, [(75, 75)], 0.3, 0.0, 7),
        # many equal scores
        (0.5662501610451681, 1000, [(100, 149), (160, 169), (500, 649)], 0.3, 0.1, 50),
        (0.1449777481748973, 300, [(3, 8), (20, 24), (100, 100)], 0.0, 0.1, 31),
        # no buffer
        (0.6216143568849817, 500, [(250, 299)], 0.6, 0.0, 0),
        # a constant detector
        (0.2665604298786025, 200, [(20, 60)], 0.0, 10.0, 30),
    ],
)
def test_it_is_the_authors_number(
    expected: float,
    length: int,
    anomalies: list[tuple[int, int]],
    strength: float,
    grain: float,
    buffer: int,
) -> None:
    """``RangeAUC_volume_opt`` of vus 0.0.6 and of TSB-AD 1.5 both give these."""
    scores, labels = example(length, anomalies, strength, grain)
    assert expected == pytest.approx(vus_pr([scores], [labels], buffer), abs=1e-12)


def test_only_the_order_of_scores_counts() -> None:
    scores, labels = example(300, [(50, 69)], 0.8, 0.0)
    assert vus_pr([scores], [labels], 20) == vus_pr([scores**3 - 5], [labels], 20)


def test_buffers_end_where_a_series_ends() -> None:
    """Series whose anomalies lie inside give the number of one long series; others do not."""
    scores, labels = example(600, [(100, 120), (450, 490)], 0.5, 0.0)
    whole = vus_pr([scores], [labels], 40)
    apart = vus_pr([scores[:300], scores[300:]], [labels[:300], labels[300:]], 40)
    assert whole == pytest.approx(apart, abs=1e-12)
    at_the_end = vus_pr([scores[:121], scores[121:]], [labels[:121], labels[121:]], 40)
    assert abs(whole - at_the_end) > 1e-3


def test_there_must_be_an_anomaly_and_every_score_a_number() -> None:
    scores, labels = example(100, [(10, 20)], 0.5, 0.0)
    assert math.isnan(vus_pr([scores], [np.zeros(100, dtype=bool)], 10))
    scores[50] = np.nan
    assert math.isnan(vus_pr([scores], [labels], 10))


def test_ranges_are_runs_of_labels() -> None:
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 1], dtype=bool)
    assert [Range(0, 1), Range(4, 4), Range(6, 7)] == label_ranges(labels)
    assert [] == label_ranges(np.zeros(5, dtype=bool))
