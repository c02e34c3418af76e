"""What a table says, in a sentence that claims no more than the tests do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seqbench.reporting.comparison import ALPHA, Contender, Table
from seqbench.reporting.numbers import amount, p_value, score
from seqbench.reporting.overview import Overview


def verdict(table: Table) -> str:
    """Return what a reader in a hurry should take away of a table."""
    able = [item for item in table.contenders if item.scored]
    if not able:
        failed = len(table.trials)
        return f"Nothing can be said of {table.name}: none of its {failed} trials has a score."
    if len(able) == 1:
        sentences = [_alone(table, able[0])]
    else:
        sentences = [_leaders(table, able), _losers(table, able)]
    sentences.append(_baseline(table, able))
    if table.is_smoke:
        sentences.append("Trained on a part of the data: a smoke run, no result.")
    return " ".join(filter(None, sentences))


def _alone(table: Table, item: Contender) -> str:
    spread = f" ± {amount(item.deviation, item.mean)}" if len(item.scores) > 1 else ""
    number = seeds(len(item.scores))
    return (
        f"{item.label} alone was run on {table.name}: {table.metric.name} "
        f"{score(item.mean, item.mean)}{spread} ({number})."
    )


def _leaders(table: Table, able: Sequence[Contender]) -> str:
    """Say who is best, or who cannot be told apart."""
    best, second = able[0], able[1]
    leaders = [item for item in able if item.rank[0] == 1]
    if table.is_exploratory:
        return (
            f"On {table.name} {best.label} has the best mean, "
            f"{score(best.mean, best.mean)} against {second.label}'s "
            f"{score(second.mean, best.mean)}, which is exploratory: {seeds(table.seeds)} cannot "
            f"tell {len(able)} models apart, {table.seeds_needed} can (unadjusted p could not fall "
            f"below {p_value(_smallest(table))})."
        )
    if len(leaders) == 1:
        pair = table.pair(best.label, second.label)
        if pair is None:
            return f"{best.label} is best on {table.name}."
        low, high = sorted((abs(pair.interval.low), abs(pair.interval.high)))
        return (
            f"{best.label} is best on {table.name}, better than {second.label} by "
            f"{amount(abs(pair.mean), best.mean)} (95% interval {amount(low, best.mean)} to "
            f"{amount(high, best.mean)}; adjusted p = {p_value(pair.p_holm)}, "
            f"{seeds(pair.seeds)}){_matters(pair.equivalent)}."
        )
    pairs = [
        pair
        for number, one in enumerate(leaders)
        for other in leaders[number + 1 :]
        if (pair := table.pair(one.label, other.label)) is not None
    ]
    values = [pair.p_holm for pair in pairs if math.isfinite(pair.p_holm)]
    if not values:
        return f"{listed(leaders)} share no seeds on {table.name}: they cannot be compared."
    which = "p" if len(pairs) == 1 else "smallest p"
    number = min(pair.seeds for pair in pairs)
    text = (
        f"{listed(leaders)} cannot be told apart on {table.name} "
        f"({which} = {p_value(min(values))}, {seeds(number)})"
    )
    if all(pair.equivalent for pair in pairs):
        text += f"; their differences are too small to matter (within {_region(table)})"
    return f"{text}."


def _losers(table: Table, able: Sequence[Contender]) -> str:
    """Say who is worse than all leaders."""
    if table.is_exploratory:
        return ""
    leaders = [item for item in able if item.rank[0] == 1]
    worse: list[Contender] = []
    between: list[Contender] = []
    for item in able:
        if item in leaders:
            continue
        pairs = [table.pair(item.label, leader.label) for leader in leaders]
        beaten = all(pair is not None and pair.is_real for pair in pairs)
        (worse if beaten else between).append(item)
    parts = []
    if worse and len(leaders) > 1:
        verb = "is" if len(worse) == 1 else "are"
        whom = "both" if len(leaders) == 2 else "all of them"
        parts.append(f"{listed(worse)} {verb} worse than {whom} (adjusted p ≤ {ALPHA}).")
    if between:
        verb = "is" if len(between) == 1 else "are"
        parts.append(f"{listed(between)} {verb} worse than some of them.")
    return " ".join(parts)


def _baseline(table: Table, able: Sequence[Contender]) -> str:
    """Say which contenders do not beat the best simple predictor."""
    if table.best_baseline is None:
        return ""
    name, level = table.best_baseline
    behind = [item for item in able if table.sign * (item.mean - level) >= 0]
    said = f"the best simple predictor, {name} ({score(level, level)})"
    if not behind:
        return f"{'It beats' if len(able) == 1 else 'All beat'} {said}."
    if len(behind) == len(able):
        nobody = {1: "It does not beat", 2: "Neither beats"}.get(len(able), "None beats")
        return f"{nobody} {said}."
    return f"{listed(behind)} {'does' if len(behind) == 1 else 'do'} not beat {said}."


def _matters(equivalent: bool | None) -> str:
    return ", a difference too small to matter" if equivalent else ""


def _region(table: Table) -> str:
    region = next(pair.practical for pair in table.pairs.values() if pair.practical is not None)
    return f"±{region:.3g}"


def _smallest(table: Table) -> float:
    return min((pair.smallest_p for pair in table.pairs.values()), default=1.0)


def listed(items: Sequence[Contender]) -> str:
    """Return labels as a list in words."""
    return joined([item.label for item in items])


def joined(names: Sequence[str]) -> str:
    """Return names as a list in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def overview_verdict(overview: Overview) -> str:
    """Return what an overview says: who leads, and whose intervals overlap with the leader's."""
    models = list(overview.iqm)
    best, (value, interval) = models[0], overview.iqm[models[0]]
    near = [name for name in models[1:] if overview.iqm[name][1].high >= interval.low]
    text = (
        f"{best} has the highest interquartile mean, {value:.3f} "
        f"(95% interval {interval.low:.3f} to {interval.high:.3f})"
    )
    if near:
        what = "interval of {} overlaps" if len(near) == 1 else "intervals of {} overlap"
        return f"{text}; the {what.format(joined(near))} with it."
    return f"{text}; no other model's interval overlaps with it."


def seeds(number: int) -> str:
    """Return a number of seeds in words."""
    return f"{number} seed{'s' * (number != 1)}"
