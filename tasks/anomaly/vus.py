"""VUS-PR: the volume under precision and recall over thresholds and widths of a tolerance buffer.

J. Paparrizos, P. Boniol, T. Palpanas, R. S. Tsay, A. Elmore, M. J. Franklin, Volume Under the
Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly Detection, PVLDB 15(11), 2022. A
label is widened by a buffer in which it fades, so that a score which is right a few samples early
or late is not punished as if it were wrong; the area under precision and recall is then averaged
over the buffer's widths, so that no width has to be chosen.

Followed to the letter is the version "opt" of the authors' packages (vus 0.0.6, the same in TSB-AD
1.5, whose leaderboard uses it). It differs from the paper's equations in two ways: half of the
positives' number that recall is divided by counts the buffer only where the threshold is passed
(the paper: all of it), and the area is summed with the precision at the right end of each step of
recall (the authors' first code: the mean of both ends).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]

THRESHOLDS = 250
"""Thresholds, at evenly spaced ranks of the scores."""


class Range(NamedTuple):
    """An anomaly: its first and its last sample."""

    first: int
    last: int


def vus_pr(scores: Sequence[Scores], labels: Sequence[Labels], buffer: int) -> float:
    """Return the VUS-PR of some series' scores, under thresholds that they share.

    For one series this is the authors' number. Of several series, buffers end where a series ends.

    Args:
        scores: of each series ``[T]``; larger is more anomalous.
        labels: of each series ``[T]``.
        buffer: the largest width of the buffer, in samples: half of it on either side of an
            anomaly. The widths are 0, 1, ..., buffer.

    Returns:
        Between 0 and 1; NaN if no sample is labelled, or a score is not a number.
    """
    ranges = [label_ranges(found) for found in labels]
    everything = np.concatenate(scores)
    if not any(ranges) or np.isnan(everything).any():
        return float("nan")
    ascending = np.sort(everything)
    ranks = np.linspace(0, len(ascending) - 1, THRESHOLDS).astype(int)
    thresholds = ascending[::-1][ranks]  # [K], from the largest score down
    predicted = _at_least(ascending, thresholds)
    inside = np.concatenate([of[found] for of, found in zip(scores, labels, strict=True)])
    hits = _at_least(np.sort(inside), thresholds)
    faded = _faded_hits(scores, labels, ranges, thresholds, buffer)  # [buffer + 1, K]
    existence = _existence(scores, ranges, thresholds, buffer)  # [buffer + 1, K]
    positives = (2 * len(inside) + faded) / 2
    recall = np.minimum((hits + faded) / positives, 1) * existence
    precision = (hits + faded) / predicted
    steps = np.diff(recall, axis=1, prepend=0.0)
    return float((steps * precision).sum(axis=1).mean())


def label_ranges(labels: Labels) -> list[Range]:
    """Return the runs of labelled samples, in the order of time."""
    edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0))
    return [Range(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _at_least(ascending: Scores, thresholds: Scores) -> NDArray[np.float64]:
    """Return how many scores reach each threshold."""
    return len(ascending) - np.searchsorted(ascending, thresholds, side="left").astype(float)


def _faded_hits(
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    ranges: Sequence[list[Range]],
    thresholds: Scores,
    buffer: int,
) -> NDArray[np.float64]:
    """Return, for each width and threshold, the sum of the buffer's labels that reach it.

    At a distance d from an anomaly's end the label is ``sqrt(1 - d / width)`` up to half the width;
    where buffers overlap their labels are added, up to 1.
    """
    widths = np.arange(buffer + 1)
    half = buffer // 2
    # [half, buffer + 1]: the label at distances 1, 2, ..., by width
    distances = np.arange(1, half + 1)[:, None]
    reached = distances <= widths // 2
    faded = np.sqrt(np.where(reached, 1 - distances / np.maximum(widths, 1), 0.0))
    total = np.zeros((buffer + 1, len(thresholds)))
    for of, found, anomalies in zip(scores, labels, ranges, strict=True):
        labelled: dict[int, NDArray[Any]] = {}
        for first, last in anomalies:
            for distance in range(1, half + 1):
                for sample in (first - distance, last + distance):
                    if 0 <= sample < len(found) and not found[sample]:
                        label = faded[distance - 1]
                        labelled[sample] = labelled.get(sample, 0.0) + label
        if labelled:
            weights = np.minimum(np.stack(list(labelled.values()), axis=1), 1.0)
            passed = of[list(labelled)][:, None] >= thresholds
            total += weights @ passed.astype(float)
    return total


def _existence(
    scores: Sequence[Scores], ranges: Sequence[list[Range]], thresholds: Scores, buffer: int
) -> NDArray[np.float64]:
    """Return, for each width and threshold, the share of anomalies of which a sample reaches it.

    Anomalies whose buffers meet count as one, and the samples between them as its own.
    """
    shares = np.empty((buffer + 1, len(thresholds)))
    by_half: dict[int, NDArray[np.float64]] = {}
    for width in range(buffer + 1):
        half = width // 2
        if half not in by_half:
            peaks = [
                of[max(first, 0) : last + 1].max()
                for of, anomalies in zip(scores, ranges, strict=True)
                for first, last in _widened(anomalies, half)
            ]
            by_half[half] = _at_least(np.sort(peaks), thresholds) / len(peaks)
        shares[width] = by_half[half]
    return shares


def _widened(ranges: list[Range], half: int) -> list[Range]:
    """Return ranges with a margin on either side, joined where the margins meet."""
    widened: list[Range] = []
    for first, last in ranges:
        if widened and widened[-1].last >= first - half:
            widened[-1] = Range(widened[-1].first, last + half)
        else:
            widened.append(Range(first - half, last + half))
    return widened
