"""How many seeds, test groups and splits a difference takes, by the trials that have finished."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.stats import chi2

from seqbench.records import DEAL
from seqbench.reporting.comparison import Practical
from seqbench.reporting.numbers import amount
from seqbench.reporting.pilot import AskedVariant, Pilot, PilotRuns, pilots, split_of
from seqbench.reporting.wording import plural
from seqbench.verdicts.components import ALPHA
from seqbench.verdicts.planning import (
    Variances,
    detectable,
    detectable_over_splits,
    floor,
    groups_needed,
    in_range,
    plausible,
    seeds_needed,
)
from seqbench.verdicts.scores import FEW

USUAL = 10
"""Seeds of a variant, where a sweep asks for too few to claim anything."""

_MOST_SPLITS = 50


def needs(
    title: str,
    asked: Sequence[AskedVariant],
    found: Mapping[str, PilotRuns],
    difference: Practical,
) -> list[str]:
    """Return what a difference takes, in sentences; of several pairs, that which takes the most.

    Ranges go from the 10% to the 90% quantile of what the trials leave possible, at a power of 80%.

    Args:
        title: what the task's data are called.
        asked: two variants of the task or more.
        found: the trials of each.
        difference: that is to be found; a share is one of the pair's mean score.

    Returns:
        Nothing where no two variants have two trials each.
    """
    made = pilots(asked, found)
    if not made:
        return []
    judged = [item for item in made if item.pair.on_new_data is not None]
    if not judged:
        return [f"{title}: no number of seeds tells of new test data: {made[0].pair.why_not}"]
    seeds = max(item.seeds for item in asked)
    seeds = seeds if seeds >= FEW else USUAL
    alpha = ALPHA / math.comb(len(asked), 2)
    hardest = max(judged, key=lambda item: _detectable(item, seeds, alpha))
    gain = difference.of(hardest.level)
    return [
        f"{title}: {_seeds(hardest, gain, alpha, len(made))}",
        _floor(hardest, seeds, alpha),
        _groups(hardest, gain, seeds, alpha),
        *_splits(hardest, gain, alpha, split_of(asked[0].config)),
        _basis(hardest, len(asked)),
    ]


def _detectable(item: Pilot, seeds: int, alpha: float) -> float:
    assert item.pair.parts is not None
    variances = Variances.of(item.pair.parts, item.groups)
    return float(detectable(seeds, item.groups.number, variances, alpha))


def _seeds(item: Pilot, gain: float, alpha: float, pairs: int) -> str:
    """Say how many seeds of each variant a difference takes."""
    one, other = item.names
    which = f"{one} and {other}" + (f" (the hardest of {pairs} pairs)" if pairs > 1 else "")
    on = f"on these {item.groups.number} test {_group(item)}"
    low, high = in_range(seeds_needed(gain, item.groups.number, _plausible(item), alpha))
    if math.isinf(low):
        return f"no number of seeds finds a difference of {_shown(item, gain)} between {which} {on}"
    if math.isinf(high):
        takes = f"{low:,.0f} seeds of each or more, perhaps more than any number,"
    else:
        takes = f"{_range(low, high)} seeds of each"
    return f"a difference of {_shown(item, gain)} between {which} takes {takes} {on}"


def _floor(item: Pilot, seeds: int, alpha: float) -> str:
    """Say what the seeds that are asked for find, and what no number of seeds does."""
    variances, number = _plausible(item), item.groups.number
    seen = in_range(detectable(seeds, number, variances, alpha))
    least = in_range(floor(number, variances, alpha))
    return (
        f"{seeds} seeds of each find differences from {_amounts(item, seen)} on; no number of "
        f"seeds finds less than {_amounts(item, least)}"
    )


def _groups(item: Pilot, gain: float, seeds: int, alpha: float) -> str:
    """Say how many groups of the test data a difference takes."""
    low, high = in_range(groups_needed(gain, seeds, _plausible(item), alpha))
    if math.isinf(low):
        return f"with {seeds} seeds of each no number of test {_group(item)} finds it"
    if math.isinf(high):
        takes = f"{low:,.0f} test {_group(item)} or more, perhaps more than any number"
        return f"with {seeds} seeds of each it takes {takes}"
    return f"with {seeds} seeds of each it takes {_range(low, high)} test {_group(item)}"


def _splits(item: Pilot, gain: float, alpha: float, split: object) -> list[str]:
    """Say how many splits a difference takes on new training data; nothing of a task without."""
    if split is None or len(item.record.folds) > 1 or not math.isfinite(item.test_share):
        return []
    if len(item.of_splits) < 2:
        runs_five = f"task.split_seed={','.join(map(str, range(DEAL)))} runs five"
        return [f"what other training data change is not known from one split; {runs_five}"]
    df = len(item.of_splits) - 1
    variance = statistics.variance(item.of_splits)
    enough = []
    for quantile in (0.9, 0.1):
        possible = variance * df / float(chi2.ppf(quantile, df))
        enough.append(
            next(
                (
                    number
                    for number in range(DEAL, _MOST_SPLITS + 1, DEAL)
                    if detectable_over_splits(number, possible, item.test_share, alpha) <= gain
                ),
                math.inf,
            )
        )
    low, high = enough
    if math.isinf(low):
        takes = f"more than {_MOST_SPLITS} splits, or none finds it"
    elif math.isinf(high):
        takes = f"{low:.0f} splits or more"
    else:
        takes = f"{_range(low, high)} splits"
    return [f"on new training data too it takes {takes} (going by {len(item.of_splits)} splits)"]


def _basis(item: Pilot, variants: int) -> str:
    """Say from what all that is known."""
    (one, other), (n, m) = item.names, item.runs
    pairs = math.comb(variants, 2)
    holm = f", with Holm's adjustment for {pairs} pairs" if pairs > 1 else ""
    return (
        f"to find means in 80 of 100 cases{holm}; a range is what {n} runs of {one} and {m} of "
        f"{other} leave possible (10% to 90%)"
    )


def _plausible(item: Pilot) -> Variances:
    assert item.pair.parts is not None
    return plausible(item.pair.parts, item.groups)


def _group(item: Pilot) -> str:
    return plural(item.record.group or "group")


def _shown(item: Pilot, gain: float) -> str:
    return f"{gain:.4g} {item.record.primary.unit}".strip()


def _amounts(item: Pilot, ends: tuple[float, float]) -> str:
    low, high = (amount(end, item.level) for end in ends)
    return low if low == high else f"{low} to {high}"


def _range(low: float, high: float) -> str:
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
