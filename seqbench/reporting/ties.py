"""Sentences of a table that has no best variant: who shares the lead, and who is worse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from seqbench.reporting.claims import pair_sentence
from seqbench.reporting.numbers import p_value
from seqbench.reporting.table import Table
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import called, design, group_words, limits, listed, scope
from seqbench.verdicts.family import Claim

_MOST_PAIRS = 3  # that a sentence of their own tells of


def tied(table: Table, ranked: Sequence[Variant]) -> list[str]:
    """Say who leads, that they cannot be told apart or how else they stand, and who is worse."""
    leaders = [x for x in ranked if not any(table.is_better(other, x) for other in ranked)]
    others = [item for item in ranked if item not in leaders]
    if len(leaders) == 1:
        return _unbeaten(table, leaders[0], others)
    told, open_ = _within(table, leaders)
    pairs = [table.pairs[one.label, other.label] for one, other in open_]
    equal = [pair for pair in pairs if pair.claim is Claim.EQUIVALENT]
    on = f"On {called(table.name)}, {scope(table)},"
    found = []
    if equal and len(equal) == len(pairs) and not told and table.margin:
        found.append(
            f"{on} {listed(leaders)} are equivalent ({design(table)}): they differ by less than "
            f"{table.margin.amount:.3g}, the smallest difference worth having."
        )
    elif pairs and not told:
        which = "p" if len(pairs) == 1 else "smallest adjusted p"
        smallest = p_value(min(pair.p_holm for pair in pairs))
        found.append(
            f"{on} {listed(leaders)} cannot be told apart ({which} = {smallest}; {design(table)})."
        )
    else:
        found.append(f"{on} no model is best ({design(table)}): {listed(leaders)} share the lead.")
        found += [pair_sentence(table, one, other) for one, other in told[:_MOST_PAIRS]]
        if told[_MOST_PAIRS:]:
            found.append(f"{len(told) - _MOST_PAIRS} more pairs stand in the table of pairs.")
        if pairs:
            found.append("The others of them cannot be told apart.")
    unsure = [pair for pair in pairs if pair.claim is Claim.OPEN]
    if unsure:
        found.append(limits(table, unsure, leaders[0].mean))
    return [*found, *_on_these_data(table, leaders), *_losers(table, leaders, others)]


def _within(
    table: Table, leaders: Sequence[Variant]
) -> tuple[list[tuple[Variant, Variant]], list[tuple[Variant, Variant]]]:
    """Return the pairs of leaders of which something is claimed, the favoured first, and others."""
    told, open_ = [], []
    for one, other in itertools.combinations(leaders, 2):
        pair = table.pairs[one.label, other.label]
        if pair.claim in (Claim.OPEN, Claim.EQUIVALENT):
            open_.append((one, other))
        else:
            told.append((one, other) if pair.favours_first else (other, one))
    return told, open_


def _unbeaten(table: Table, leader: Variant, others: Sequence[Variant]) -> list[str]:
    """Say whom the only one that none is better than is better than itself, and whom it is not."""
    beaten = [item for item in others if table.is_better(leader, item)]
    rest = [item for item in others if item not in beaten]
    on = f"On {called(table.name)}, {scope(table)},"
    found = [f"{on} no model is better than {called(leader.label)} ({design(table)})."]
    if beaten:
        found.append(f"It is better than {listed(beaten)} (adjusted p ≤ {table.look.alpha:.2g}).")
    told, open_ = [], []
    for item in rest:
        pair = table.pairs[leader.label, item.label]
        if pair.claim in (Claim.OPEN, Claim.EQUIVALENT):
            open_.append(item)
        else:
            told.append((leader, item) if pair.favours_first else (item, leader))
    found += [pair_sentence(table, one, other) for one, other in told[:_MOST_PAIRS]]
    if open_:
        pairs = [table.pairs[leader.label, item.label] for item in open_]
        found.append(f"It cannot be told apart from {listed(open_)}.")
        found.append(limits(table, pairs, leader.mean))
    return found


def _on_these_data(table: Table, leaders: Sequence[Variant]) -> list[str]:
    """Say of leaders that only these test data tell apart."""
    first = leaders[0]
    ahead = []
    for item in leaders[1:]:
        pair = table.pairs[first.label, item.label]
        if pair.claim is Claim.OPEN and pair.same_data_p <= table.look.alpha:
            ahead.append(item)
    if not ahead:
        return []
    text = f"On these test data alone, trained again, {called(first.label)} is ahead of "
    text += f"{listed(ahead)} (adjusted p ≤ {table.look.alpha:.2g});"
    return [f"{text} other {group_words(table)} may say otherwise."]


def _losers(table: Table, leaders: Sequence[Variant], others: Sequence[Variant]) -> list[str]:
    """Say who is worse than all leaders, than some, or only than one that does not lead."""
    worse: list[Variant] = []
    partly: list[Variant] = []
    besides: list[Variant] = []
    for item in others:
        number = sum(table.is_better(leader, item) for leader in leaders)
        kind = worse if number == len(leaders) else partly if number else besides
        kind.append(item)
    whom = "both" if len(leaders) == 2 else "all of them"
    some = "one of them" if len(leaders) == 2 else "some of them"
    parts = [
        (worse, f"worse than {whom} (adjusted p ≤ {table.look.alpha:.2g})"),
        (partly, f"worse than {some}"),
        (besides, "worse than a model that does not lead"),
    ]
    return [
        f"{listed(items)} {'is' if len(items) == 1 else 'are'} {text}."
        for items, text in parts
        if items
    ]
