"""What of a table may be claimed: fills in intervals, differences, ranks and the best variant."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqbench.reporting.difference import Difference, interval_of
from seqbench.reporting.look import look_at
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant
from seqbench.verdicts.family import best, judge_pairs
from seqbench.verdicts.pair import Pair, compare
from seqbench.verdicts.planning import Variances, detectable
from seqbench.verdicts.scores import Groups, Runs

UNAUDITED = "its models were trained before audits"


def judge_table(table: Table) -> None:
    """Fill in what is known of a table's variants; ``margin`` is there already."""
    table.groups = _groups(table)
    trivial = _trivial(table)
    runs = {item.label: item.runs(table.groups) for item in table.able}
    ranked = table.ranked
    table.look = look_at({x.label: [*x.scored.values(), *x.failed] for x in ranked})
    if ranked and not table.is_audited:
        table.look = table.look.barred(UNAUDITED)
    for item in table.able:
        own = compare(runs[item.label], _zero(runs[item.label]), table.groups, trivial,
                      table.look.alpha)  # fmt: skip
        item.interval = interval_of(own.on_new_data, table.sign)
        item.same_data_interval = interval_of(own.on_these_data, table.sign)
    labels = [item.label for item in ranked]
    both = list(itertools.combinations(labels, 2))
    if table.is_large:
        both = [pair for pair in both if table.control in pair]
    pairs = {
        (one, other): compare(runs[one], runs[other], table.groups, trivial, table.look.alpha)
        for one, other in both
    }
    for (one, other), found in _differences(table, pairs).items():
        table.pairs[one, other] = found
        table.pairs[other, one] = found.turned()
    _rank(table, ranked, {} if table.is_large else pairs)
    for item in ranked:
        item.control = table.pair(item.label, table.control)
    _against_baseline(table, runs, trivial)


def _rank(table: Table, ranked: Sequence[Variant], pairs: dict[tuple[str, str], Pair]) -> None:
    """Say which is best and which places each may have, where anything is claimed."""
    claimed = table.pairs and not any(pair.why_not for pair in table.pairs.values())
    if table.is_exploratory or not claimed:
        return
    if pairs:
        table.best = best(pairs, table.margin.amount if table.margin else None, table.look.alpha)
    if table.best is not None:
        name = table.best.name
        if any(pair.runs_favour < 0 for (one, _), pair in table.pairs.items() if one == name):
            table.best = None  # its mean is better, another's single runs are: no winner
    better = np.array([[table.is_better(one, other) for other in ranked] for one in ranked])
    for item, rank in zip(ranked, rank_intervals(better), strict=True):
        item.rank = rank
        item.is_best = bool(table.best and table.best.single and table.best.name == item.label)


def rank_intervals(better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ranks that each of K models may have, 1 the best.

    A model's rank is at least 1 + the number that are better, and at most K - the number that it is
    better than. If a false claim is among the tests in at most 5% of reports, a rank lies outside
    its interval in at most 5% of them too (Al Mohamad et al. 2022, Simultaneous confidence
    intervals for ranks).

    Args:
        better: whether the model of the row is better than that of the column ``[K, K]``.

    Returns:
        The smallest and the largest rank of each model.
    """
    lowest = 1 + better.sum(axis=0)
    highest = len(better) - better.sum(axis=1)
    return [(int(low), int(high)) for low, high in zip(lowest, highest, strict=True)]


def _differences(
    table: Table, pairs: dict[tuple[str, str], Pair]
) -> dict[tuple[str, str], Difference]:
    """Return pairs as a table says them, adjusted for each other."""
    margin = table.margin.amount if table.margin else None
    findings = judge_pairs(pairs, margin, table.look.alpha)
    lost = _lost_groups(table)
    level = table.look.alpha / max(1, len(pairs))
    return {
        names: Difference.of(
            finding,
            table.sign,
            alpha=table.look.alpha,
            practical=margin,
            detectable=_detectable(finding.pair, table.groups, level),
            barred=table.look.why_not,
            unknown=lost if finding.pair.on_new_data is None else "",
        )
        for names, finding in findings.items()
    }


def _detectable(pair: Pair, groups: Groups | None, alpha: float) -> float:
    """Return the difference that the design finds in 80 of 100 cases; NaN where it is unknown."""
    if pair.on_new_data is None or pair.parts is None or groups is None:
        return math.nan
    n = min(pair.parts.a_df, pair.parts.b_df) + 1
    return float(detectable(n, groups.number, Variances.of(pair.parts, groups), alpha))


def _against_baseline(table: Table, runs: dict[str, Runs], trivial: Runs | None) -> None:
    """Compare each ranked variant with the best simple predictor."""
    if table.best_baseline is None:
        return
    name = table.best_baseline[0]
    simple = _simple(table, name)
    pairs = {
        (item.label, name): compare(
            runs[item.label], simple, table.groups, trivial, table.look.alpha
        )
        for item in table.ranked
    }
    found = _differences(table, pairs)
    for item in table.ranked:
        item.baseline = found[item.label, name]


def _trivial(table: Table) -> Runs | None:
    return _simple(table, table.trivial_baseline[0]) if table.trivial_baseline else None


def _simple(table: Table, name: str) -> Runs:
    """Return a simple predictor as runs: training it again changes nothing."""
    drawn = table.baseline_bootstrap.get(name)
    return Runs.of(
        [table.baselines[name]],
        None if drawn is None else [drawn],
        larger_is_better=table.sign < 0,
        fixed=True,
    )


def _zero(runs: Runs) -> Runs:
    """Return a fixed score of 0, the difference from which is the mean."""
    drawn = None if runs.bootstrap is None else np.zeros((1, runs.bootstrap.shape[-1]))
    return Runs(np.zeros(1), drawn, fixed=True)


def _groups(table: Table) -> Groups | None:
    """Return the groups of the test data; None where no run tells their sizes."""
    told = [trial for trial in table.trials if trial.group_sizes and trial.is_scored]
    if not told:
        return None
    latest = max(told, key=lambda trial: trial.began)
    return Groups.of(latest.group_sizes, latest.group_classes)


def _lost_groups(table: Table) -> str:
    """Say that runs kept no sizes of the groups, as those of before did; empty if they did."""
    drawn = any(len(trial.bootstrap_scores) for trial in table.trials)
    return "its runs kept no sizes of the test groups" if drawn and table.groups is None else ""
