"""Variants compared over splits of one data set: new training and test data of these sizes."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqbench.identity import SPLIT_SEED
from seqbench.records import DEAL, Deal
from seqbench.reporting.difference import Interval, interval_of
from seqbench.reporting.numbers import amount, p_value
from seqbench.reporting.table import Table
from seqbench.reporting.text import slug
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import called, joined
from seqbench.verdicts.components import ALPHA, Estimate
from seqbench.verdicts.family import holm
from seqbench.verdicts.planning import detectable_over_splits
from seqbench.verdicts.splits import over_splits


@dataclass(frozen=True)
class SplitDifference:
    """Two variants over splits.

    Args:
        one: label of the first.
        other: of the second.
        mean: over splits, of the first one's mean over seeds minus the second one's.
        interval: 95%, of new training and test data of these sizes.
        p: two-sided.
        p_holm: that, adjusted for all pairs; NaN where nothing is claimed.
        of_splits: the difference on each split.
    """

    one: str
    other: str
    mean: float
    interval: Interval
    p: float
    p_holm: float
    of_splits: tuple[float, ...]


@dataclass(frozen=True)
class SplitTable:
    """The tables of the five disjoint test folds of one deal, and what they say together.

    Args:
        name: what a person calls it.
        tables: of each split, in the order of ``task.split_seed``.
        differences: of each two variants that are ranked on all splits, the better mean first.
        test_share: test groups divided by training groups.
        why_not: why nothing is claimed, a clause; empty where something may be.
        best: label of the variant that is better than each other one; empty without.
    """

    name: str
    tables: Sequence[Table]
    differences: Sequence[SplitDifference]
    test_share: float
    why_not: str
    best: str

    @property
    def identifier(self) -> str:
        """Unique among those of a report."""
        return f"splits-{slug(self.name)}-{self.tables[0].conditions}"

    @property
    def sign(self) -> int:
        """1 where smaller is better, otherwise -1."""
        return self.tables[0].sign


def split_tables(tables: Sequence[Table]) -> list[SplitTable]:
    """Return what can be said of tasks of which all five splits of a deal were run.

    Not of trials with several folds: these test every group already, so their splits would share
    test data. Nor where the sizes of the training data are unknown.
    """
    found: dict[tuple[object, ...], dict[int, Table]] = {}
    for table in tables:
        first = table.trials[0]
        seed = first.config.get(SPLIT_SEED)
        if (
            table.is_old
            or table.is_smoke
            or table.is_lost
            or not table.ranked
            or not isinstance(seed, int)
        ):
            continue
        if seed < 0 or any(trial.folds for trial in table.trials):
            continue
        deal = Deal.of(seed)
        key = (table.task, first.over_splits, table.two_sided, deal.number)
        found.setdefault(key, {})[deal.fold] = table
    complete = [
        [of_folds[fold] for fold in range(DEAL)]
        for of_folds in found.values()
        if len(of_folds) == DEAL
    ]
    return [item for group in complete if (item := _split_table(group)) is not None]


def _split_table(tables: Sequence[Table]) -> SplitTable | None:
    share = _test_share(tables)
    by_variant = [
        {item.trials[0].variant: item for item in table.ranked if item.has_mean} for table in tables
    ]
    shared = [key for key in by_variant[0] if all(key in found for found in by_variant)]
    if share is None or len(shared) < 2:
        return None
    variants = [[found[key] for found in by_variant] for key in shared]
    sign = tables[0].sign
    variants.sort(key=lambda items: sign * statistics.fmean(item.mean for item in items))
    why_not = next((f"{t.name}: {t.look.why_not}" for t in tables if t.is_exploratory), "")
    if any(len(table.look.of) > 1 for table in tables):
        why_not = why_not or "several looks are not planned for splits"
    differences, best = _differences(variants, share, sign, not why_not)
    words = [word for word in tables[0].changes.split() if not word.startswith(f"{SPLIT_SEED}=")]
    name = " ".join([tables[0].title, *words])
    seeds = [table.trials[0].config[SPLIT_SEED] for table in tables]
    name += f" over {SPLIT_SEED}={min(map(str, seeds))} to {max(map(str, seeds))}"
    return SplitTable(name, tables, differences, share, why_not, best)


def _test_share(tables: Sequence[Table]) -> float | None:
    """Return test groups divided by training groups; None where they are unknown."""
    shares = []
    for table in tables:
        trained = max((trial.train_groups for trial in table.trials), default=0.0)
        if not trained or table.groups is None:
            return None
        shares.append(table.groups.number / trained)
    return statistics.fmean(shares)


def _differences(
    variants: Sequence[Sequence[Variant]], share: float, sign: int, claimed: bool
) -> tuple[list[SplitDifference], str]:
    """Return the difference of each two variants ``[K][J]``, and the label of the best one."""
    both = list(itertools.combinations(range(len(variants)), 2))
    means = np.array([[item.mean for item in items] for items in variants])
    estimates = {(i, j): over_splits(-sign * (means[i] - means[j]), share) for i, j in both}
    adjusted = holm([float(item.p) for item in estimates.values()])
    labels = [items[0].label for items in variants]
    found = [
        SplitDifference(
            labels[i],
            labels[j],
            float((means[i] - means[j]).mean()),
            interval_of(estimate, sign),
            float(estimate.p) if claimed else float("nan"),
            float(p) if claimed else float("nan"),
            tuple((means[i] - means[j]).tolist()),
        )
        for ((i, j), estimate), p in zip(estimates.items(), adjusted, strict=True)
    ]
    return found, _best(labels, estimates) if claimed else ""


def _best(labels: Sequence[str], estimates: Mapping[tuple[int, int], Estimate]) -> str:
    """Return who is better than each other one at an unadjusted p, the first by mean if anyone."""
    duels = [estimate for (i, _), estimate in estimates.items() if i == 0]
    return labels[0] if all(float(d.p) <= ALPHA and float(d.gain) > 0 for d in duels) else ""


def split_verdict(item: SplitTable) -> str:
    """Return what splits say together, in sentences."""
    where = f"On new training and test data of these sizes ({called(item.name)})"
    if item.why_not:
        return f"{where} nothing is claimed: {item.why_not}."
    first = item.differences[0].one
    level = item.tables[0].ranked[0].mean
    mine = [pair for pair in item.differences if pair.one == first]
    closest = min(mine, key=lambda pair: abs(pair.mean))
    low, high = closest.interval.turned if item.sign > 0 else closest.interval
    facts = (
        f"{amount(abs(closest.mean), level)} (95% interval {amount(low, level)} to "
        f"{amount(high, level)}; p = {p_value(closest.p)}, {len(item.tables)} splits)"
    )
    if item.best:
        than = f"each of the {len(mine)} others" if mine[1:] else called(closest.other)
        text = f"{where} {called(first)} is best on average: better than {than}."
        return f"{text} {called(closest.other)} comes closest, behind by {facts}."
    open_ = [pair for pair in mine if not pair.p_holm <= ALPHA]
    text = f"{where} no model is best." if mine[1:] else f"{where} no model is better."
    names = joined([pair.other for pair in open_])
    most = max(max(map(abs, pair.interval)) for pair in open_)
    variance = max(statistics.variance(pair.of_splits) for pair in open_)
    seen = detectable_over_splits(len(item.tables), variance, item.test_share, ALPHA / len(mine))
    return (
        f"{text} {called(first)} and {names} cannot be told apart. A difference of up to "
        f"{amount(most, level)} is not excluded; these splits find one of about "
        f"{amount(seen, level)} with a probability of 80%."
    )
