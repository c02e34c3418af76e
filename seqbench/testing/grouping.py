"""Whether a task's metrics say rightly how much each group of the test data counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from seqbench.api import GroupCounts, MetricSet
from seqbench.api.resampling import RESAMPLES, weighted_means
from seqbench.testing.checklist import require
from seqbench.testing.subjects import TaskSubject

_ROUNDING = 1e-9

Rows = tuple[Tensor, Tensor, Tensor]
"""Predictions, targets, and the number of each one's sequence."""


def check_groups(subject: TaskSubject, rows: Rows) -> str | None:
    """Compare what a metric set says of its groups with metric sets that hold one group each.

    Args:
        subject: the task.
        rows: predictions of its test split.

    Returns:
        Why nothing was compared; None if something was.

    Raises:
        ConformanceError: sizes, their number or the classes are others.
    """
    whole = _scored(subject, rows)
    drawn, name = whole.bootstrap_scores(), subject.task.primary.name
    if name not in drawn:
        return f"no bootstrap scores of {name}"
    if whole.group_counts(name) is None:
        return "group_counts() says nothing: groups are taken to count alike"
    for metric, scores in drawn.items():
        require(
            len(scores) == RESAMPLES,
            f"bootstrap_scores() has {len(scores)} draws of {metric}",
            f"{RESAMPLES}, from seqbench.api.resampling.resamples",
        )
        found = whole.group_counts(metric)
        require(
            found is not None,
            f"group_counts('{metric}') says nothing, and bootstrap_scores() has {metric}",
            "the sizes of the groups for each metric that is resampled",
        )
        assert found is not None
        _check_metric(subject, rows, metric, whole.compute()[metric], found, scores)
    return None


def _check_metric(
    subject: TaskSubject,
    rows: Rows,
    metric: str,
    score: float,
    found: GroupCounts,
    drawn: Sequence[float],
) -> None:
    require(
        list(found.sizes) == sorted(found.sizes) and all(0 < size < np.inf for size in found.sizes),
        f"group_counts('{metric}').sizes are not positive numbers in rising order",
        "the size of each group, the smallest first",
    )
    names, of_row = _groups(subject, rows[2], len(found.sizes))
    require(
        len(names) == len(found.sizes),
        f"group_counts('{metric}') has {len(found.sizes)} groups, and the predictions are of "
        f"{len(names)}",
        "a size for each group that is resampled",
    )
    counts = [int((of_row == place).sum()) for place in range(len(names))]
    alone = [
        _scored(subject, tuple(part[of_row == place] for part in rows))  # type: ignore[arg-type]
        for place in range(len(names))
    ]
    said = [one.group_counts(metric) for one in alone]
    sizes = np.array([one.sizes[0] if one and len(one.sizes) == 1 else np.nan for one in said])
    require(
        np.allclose(np.sort(sizes), found.sizes, rtol=_ROUNDING, atol=0),
        f"group_counts('{metric}') has other sizes for all groups than for each alone",
        "a group's size, which does not depend on the others",
    )
    scores = np.array([one.compute()[metric] for one in alone])
    if np.isfinite(scores).all() and np.isclose(
        float(scores @ sizes / sizes.sum()), score, rtol=_ROUNDING, atol=_ROUNDING
    ):
        orders = [np.arange(len(names)), np.argsort(np.array(names), kind="stable")]
        require(
            any(
                np.allclose(weighted_means(scores[order], sizes[order]), drawn, rtol=1e-6)
                for order in orders
            ),
            f"the draws of {metric} are not those of groups of these sizes",
            "groups in the order of their sequences or names, drawn by resamples()",
        )
    else:
        require(
            np.array_equal(sizes, counts),
            f"{metric} is no mean over groups that count as group_counts('{metric}') says",
            "sizes whose weighted mean is the score; of what is no mean, the predictions of each",
        )
    require(
        not found.classes or (len(found.classes) == 2 and sum(found.classes) == len(names)),
        f"group_counts('{metric}').classes is {found.classes} of {len(names)} groups",
        "groups with cases and groups with controls, or none",
    )


def _scored(subject: TaskSubject, rows: Rows) -> MetricSet:
    metrics = subject.task.metrics()
    metrics.update(*rows)
    return metrics


def _groups(
    subject: TaskSubject, sequences: Tensor, count: int
) -> tuple[list[str], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Return the groups, by their first sequence, and the place of each row's.

    Groups are those of the examples; where there are not so many, each sequence is one.
    """
    examples = subject.some.test
    numbers = sequences.tolist()
    by_group = [examples[number].group or str(number) for number in numbers]
    by_sequence = [f"{number:09}" for number in numbers]
    of = by_group if len(set(by_group)) == count else by_sequence
    names = list(dict.fromkeys(of))
    place = {name: at for at, name in enumerate(names)}
    return names, np.array([place[name] for name in of], dtype=np.int64)
