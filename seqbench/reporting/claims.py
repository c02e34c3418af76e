"""Sentences of what a table claims: which variant is best, and what beats simple predictors."""

from __future__ import annotations

from collections.abc import Sequence

from seqbench.reporting.difference import Difference
from seqbench.reporting.numbers import p_value, percentage, score, share
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import (
    called,
    design,
    gain,
    gain_text,
    interval_text,
    joined,
    limits,
    listed,
    p_text,
    scope,
)
from seqbench.verdicts.family import Claim


def best(table: Table, ranked: Sequence[Variant]) -> list[str]:
    """Say which variant is best, by how much, and whether that matters."""
    assert table.best is not None
    first = next(item for item in ranked if item.label == table.best.name)
    others = [item for item in ranked if item is not first]
    pairs = {item.label: table.pairs[first.label, item.label] for item in others}
    closest = min(others, key=lambda item: gain(table, pairs[item.label]))
    pair = pairs[closest.label]
    name, second = called(first.label), called(closest.label)
    on = f"On {called(table.name)}, {scope(table)}, {name} is best"
    by = gain_text(pair, first.mean)
    facts = (
        f"({interval_text(table, pair.interval, first.mean)}; {p_text(pair, adjusted=False)}, "
        f"{design(table)})"
    )
    single = table.best.single
    average = "" if single else " on average"
    if len(others) == 1:
        found = [f"{on}{average}: better than {second} by {by} {facts}."]
    else:
        found = [
            f"{on}{average}: better than each of the {len(others)} others.",
            f"{second} comes closest, {by} behind {facts}.",
        ]
    if not single:
        mixed = [item for item in others if pairs[item.label].runs_favour <= 0]
        found.append(_overlap(first, mixed, pairs))
    return [*found, *_matters(table, pair), *_vanishes(name, pair)]


def _overlap(first: Variant, mixed: Sequence[Variant], pairs: dict[str, Difference]) -> str:
    """Say whose single runs overlap with the best one's."""
    chance = min(pairs[item.label].improvement for item in mixed)
    return (
        f"Single runs overlap: one of {called(first.label)} is better than one of {listed(mixed)} "
        f"in {'at least ' if len(mixed) > 1 else ''}{share(chance)} of cases."
    )


def _matters(table: Table, pair: Difference) -> list[str]:
    """Say whether the lead over the one that comes closest is worth having."""
    if table.margin is None or table.best is None:
        return []
    least = f"{table.margin.amount:.3g}, the smallest difference worth having"
    if table.best.beyond:
        return [f"The lead is more than {least}."]
    if pair.equivalent:
        return [f"The lead is too small to matter: less than {least}."]
    if table.best.estimated_beyond:
        return [f"The lead is estimated to matter, for it is above {least}; this is not certain."]
    return [f"Whether the lead matters is open: {least}, is not excluded."]


def _vanishes(name: str, pair: Difference) -> list[str]:
    if pair.vanishes_at is None:
        return []
    rate = percentage(pair.vanishes_at)
    return [f"The lead would vanish if {name} failed in a further {rate} of its runs."]


def pair_sentence(table: Table, one: Variant, other: Variant) -> str:
    """Say what is claimed of two that share the lead, the one that the claim favours first."""
    pair = table.pairs[one.label, other.label]
    first, second = called(one.label), called(other.label)
    by = gain_text(pair, one.mean)
    where = interval_text(table, pair.interval, one.mean)
    chance = f"{share(pair.improvement)}, p = {p_value(pair.improvement_p)}"
    usually = "on these test data a single run of"
    if pair.claim is Claim.BETTER_ON_AVERAGE:
        return (
            f"{first} is better than {second} on average, by {by} ({where}; "
            f"{p_text(pair, adjusted=True)}), but single runs overlap ({chance})."
        )
    if pair.claim is Claim.USUALLY_BETTER:
        return (
            f"{usually.capitalize()} {first} is usually better than one of {second} ({chance}), "
            f"but the means are not told apart. {limits(table, [pair], one.mean)}"
        )
    return (
        f"The mean of {first} is better than that of {second}, by {by} ({where}), but {usually} "
        f"{second} is usually better ({share(1 - pair.improvement)}): there is no winner."
    )


def against_control(table: Table, ranked: Sequence[Variant]) -> list[str]:
    """Say who differs from the control, where that is all that was tested."""
    control = next(item for item in ranked if item.label == table.control)
    better = [item for item in ranked if table.is_better(item, control)]
    worse = sum(table.is_better(control, item) for item in ranked)
    many = f"On {called(table.name)} {len(ranked)} variants are too many to compare every pair:"
    found = [f"{many} each is compared with {called(control.label)} alone."]
    text = f"T{scope(table)[1:]}, {len(better)} are better than it"
    if better:
        text += f" (the best mean has {called(better[0].label)}, "
        text += f"{score(better[0].mean, better[0].mean)})"
    found.append(f"{text}; {worse} are worse (adjusted p ≤ {table.look.alpha:.2g}).")
    rest = [
        pair
        for (first, second), pair in table.pairs.items()
        if second == table.control and first != second and pair.claim is not Claim.BETTER
    ]
    if rest:
        found.append(f"{len(rest)} are not shown to be better or worse.")
        found.append(limits(table, rest, control.mean))
    return found


def against_baseline(table: Table) -> list[str]:
    """Say which variants beat the best simple predictor, and which predictor has no score."""
    found = []
    if table.without_score:
        who = joined(table.without_score)
        verb = "has no finite score and is" if len(table.without_score) == 1 else (
            "have no finite scores and are")  # fmt: skip
        found.append(f"The simple predictor {who} {verb} left out.")
    if table.best_baseline is None or not table.ranked:
        return found
    name, level = table.best_baseline
    said = f"the best simple predictor, {called(name)} ({score(level, level)})"
    if any(item.baseline is None or item.baseline.why_not for item in table.ranked):
        said = f"The strongest simple predictor, {called(name)}, has {score(level, level)}."
        return [*found, said]
    clauses: dict[tuple[str, str], list[Variant]] = {words: [] for words in _VERBS.values()}
    for item in table.ranked:
        assert item.baseline is not None
        clauses[_VERBS[item.baseline.claim, item.baseline.favours_first]].append(item)
    groups = [(items, words) for words, items in clauses.items() if items]
    if len(groups) == 1 and len(table.ranked) == len(table.able):
        ((items, (one, several)),) = groups
        who = {1: "It", 2: "Both"}.get(len(items), "All")
        found.append(f"{who} {one if len(items) == 1 else several} {said}.")
    else:
        for place, (items, (one, several)) in enumerate(groups):
            whom = said if not place else called(name)
            found.append(f"{listed(items)} {one if len(items) == 1 else several} {whom}.")
    open_ = [i.baseline for i in table.ranked if i.baseline and i.baseline.claim is Claim.OPEN]
    return [*found, *([limits(table, open_, level)] if open_ else [])]


_VERBS: dict[tuple[Claim, bool], tuple[str, str]] = {
    (Claim.BETTER, True): ("beats", "beat"),
    (Claim.BETTER_ON_AVERAGE, True): ("beats, on average,", "beat, on average,"),
    (Claim.USUALLY_BETTER, True): (
        "usually beats, though its mean is not told apart from it,",
        "usually beat, though their means are not told apart from it,",
    ),
    (Claim.EQUIVALENT, True): ("is equivalent to", "are equivalent to"),
    (Claim.OPEN, True): ("is not told apart from", "are not told apart from"),
    (Claim.OPPOSED, True): (
        "has a better mean, but usually worse runs, than",
        "have better means, but usually worse runs, than",
    ),
    (Claim.OPPOSED, False): (
        "has a worse mean, but usually better runs, than",
        "have worse means, but usually better runs, than",
    ),
    (Claim.USUALLY_BETTER, False): (
        "is usually worse, though its mean is not told apart from it, than",
        "are usually worse, though their means are not told apart from it, than",
    ),
    (Claim.BETTER_ON_AVERAGE, False): ("is worse, on average, than", "are worse, on average, than"),
    (Claim.BETTER, False): ("is worse than", "are worse than"),
}
for _claim in (Claim.EQUIVALENT, Claim.OPEN):
    _VERBS[_claim, False] = _VERBS[_claim, True]


def unranked(table: Table) -> list[str]:
    """Say which variants are listed without a rank, as their audit was not passed."""
    ranked = {item.label for item in table.ranked}
    by_reason: dict[str, list[Variant]] = {}
    for item in table.able:
        if item.label not in ranked:
            by_reason.setdefault(item.audit.partition(":")[0], []).append(item)
    return [
        f"{listed(items)} {'is' if len(items) == 1 else 'are'} listed without a rank: "
        f"{_AUDITS.get(reason, reason)}."
        for reason, items in by_reason.items()
    ]


_AUDITS = {
    "not audited": "trained before audits",
    "failed": "the audit saw what it may not see",
    "not possible": "an audit was not possible",
}
