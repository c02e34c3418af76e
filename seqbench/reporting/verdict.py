"""What a table says, in a sentence that claims no more than the tests do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from seqbench.reporting.numbers import amount, p_value, score
from seqbench.reporting.overview import Overview
from seqbench.reporting.statistics import FEW
from seqbench.reporting.table import ALPHA, Difference, Table, Variant

_MOST_NAMED = 12  # labels in a sentence


def verdict(table: Table) -> str:
    """Return what a reader in a hurry should take away of a table."""
    able = table.able
    if not able:
        return f"Nothing can be said of {table.name}: {_unscored(table)}."
    if table.is_lost:
        return (
            f"Nothing can be said of {table.name}: what its {len(table.trials)} trials were "
            "cannot be read any more."
        )
    if len(able) == 1:
        sentences = [_alone(table, able[0])]
    elif not table.is_paired:
        sentences = [f"{listed(able)} share no seeds on {table.name}: they cannot be compared."]
    elif table.is_exploratory:
        sentences = [_exploratory(table, able)]
    elif table.is_large:
        sentences = [_against_control(table, able)]
    else:
        sentences = _ranked(table, able)
    sentences.append(_baseline(table, able))
    if table.is_smoke:
        sentences.append("Trained on a part of the data: a smoke run, no result.")
    return " ".join(filter(None, sentences))


def _unscored(table: Table) -> str:
    """Say why no trial of a table has a score: perhaps only because it has not ended."""
    number = len(table.trials)
    running = sum(trial.status == "RUNNING" for trial in table.trials)
    if running == number:
        return "its trial is running" if number == 1 else f"its {number} trials are running"
    text = f"none of its {number} trials has a score" if number > 1 else "its trial has no score"
    return f"{text}, {running} {'are' if running > 1 else 'is'} running" if running else text


def _alone(table: Table, item: Variant) -> str:
    spread = f" ± {amount(item.deviation, item.mean)}" if len(item.scores) > 1 else ""
    number = seeds(len(item.scores))
    return (
        f"{item.label} alone was run on {table.name}: {table.metric.name} "
        f"{score(item.mean, item.mean)}{spread} ({number})."
    )


def _exploratory(table: Table, able: Sequence[Variant]) -> str:
    """Name the best mean, and how many seeds would be needed to say more."""
    first = score(able[0].mean, able[0].mean)
    best = [item for item in able if score(item.mean, able[0].mean) == first]
    if best[1:]:
        text = f"On {table.name} {listed(best)} have the best mean, {first}"
    else:
        second = able[1]
        text = (
            f"On {table.name} {best[0].label} has the best mean, {first} against "
            f"{second.label}'s {score(second.mean, able[0].mean)}"
        )
    smallest = min(pair.smallest_p for pair in table.pairs.values())
    needed = table.seeds_needed
    return (
        f"{text}, which is exploratory: {seeds(table.seeds)} cannot tell {len(able)} models apart, "
        f"{needed} can (unadjusted p could not fall below {p_value(smallest)})."
    )


def _against_control(table: Table, able: Sequence[Variant]) -> str:
    """Say who differs from the control, where that is all that was tested."""
    control = next(item for item in able if item.label == table.control)
    better = [item for item in able if table.beats(item, control)]
    worse = sum(table.beats(control, item) for item in able)
    text = (
        f"{len(able)} variants are too many to compare every pair on {table.name}: each is "
        f"compared with {control.label} alone. {len(better)} of them are better than it"
    )
    if better:
        text += f" (the best mean has {better[0].label}, {score(better[0].mean, better[0].mean)})"
    text += f", {worse} are worse (adjusted p ≤ {ALPHA})"
    rest = len(able) - 1 - len(better) - worse
    return f"{text}; {rest} cannot be told apart from it."


def _ranked(table: Table, able: Sequence[Variant]) -> list[str]:
    """Say who is best, or who cannot be told apart, and who is worse."""
    leaders = [item for item in able if item.rank[0] == 1]
    if not leaders:
        why = "on the seeds that two have finished, each is worse than another one"
        return [
            f"No model is unbeaten on {table.name}: {why}. Seeds that all have finished tell more."
        ]
    others = [item for item in able if item not in leaders]
    if leaders[1:]:
        return [_tied(table, leaders), *_losers(table, leaders, others)]
    best = leaders[0]
    beaten = [item for item in others if table.beats(best, item)]
    if len(beaten) == len(others):
        return [_best(table, best, others)]
    open_ = [item for item in others if item not in beaten]
    told = [item for item in open_ if table.pair(best.label, item.label) is not None]
    unshared = [item for item in open_ if item not in told]
    parts = [f"it is better than {listed(beaten)} (adjusted p ≤ {ALPHA})"] if beaten else []
    parts += [f"{listed(told)} cannot be told apart from it"] if told else []
    parts += [f"it shares no seeds with {listed(unshared)}"] if unshared else []
    return [f"No model is better than {best.label} on {table.name}: {', '.join(parts)}."]


def _best(table: Table, best: Variant, others: Sequence[Variant]) -> str:
    """Say by how much the best is better than the one that comes closest to it."""
    pairs = [(item, table.pairs[best.label, item.label]) for item in others]
    second, pair = min(pairs, key=lambda found: abs(found[1].mean))
    low, high = pair.interval
    ends = (-high, -low) if table.sign > 0 else (low, high)
    matters = ", a difference too small to matter" if pair.equivalent else ""
    holds = ", which holds 0" if ends[0] <= 0 <= ends[1] else ""
    return (
        f"{best.label} is best on {table.name}, better than {second.label} by "
        f"{amount(abs(pair.mean), best.mean)} (95% interval {amount(ends[0], best.mean)} to "
        f"{amount(ends[1], best.mean)}{holds}; adjusted p = {p_value(pair.p_holm)}, "
        f"{seeds(pair.seeds)}){matters}."
    )


def _tied(table: Table, leaders: Sequence[Variant]) -> str:
    pairs: list[Difference] = []
    unshared: list[str] = []
    for one, other in itertools.combinations(leaders, 2):
        pair = table.pair(one.label, other.label)
        if pair is None:
            unshared.append(f"{one.label} and {other.label}")
        else:
            pairs.append(pair)
    values = [pair.p_holm for pair in pairs if math.isfinite(pair.p_holm)]
    if not values:
        return f"{listed(leaders)} share no seeds on {table.name}: they cannot be compared."
    which = "p" if len(pairs) == 1 else "smallest p"
    numbers = [pair.seeds for pair in pairs]
    few = min(numbers)
    shared = seeds(few) if few == max(numbers) else f"{few} to {seeds(max(numbers))}"
    text = (
        f"{listed(leaders)} cannot be told apart on {table.name} "
        f"({which} = {p_value(min(values))}, {shared})"
    )
    if unshared:
        return f"{text}; {_cut(unshared, '; ')} share no seeds."
    if all(pair.equivalent for pair in pairs):
        text += f"; their differences are too small to matter (within ±{pairs[0].practical:.3g})"
    return f"{text}."


def _losers(table: Table, leaders: Sequence[Variant], others: Sequence[Variant]) -> list[str]:
    """Say who is worse than all leaders, than some, or only than one that does not lead."""
    worse: list[Variant] = []
    partly: list[Variant] = []
    besides: list[Variant] = []
    for item in others:
        number = sum(table.beats(leader, item) for leader in leaders)
        kind = worse if number == len(leaders) else partly if number else besides
        kind.append(item)
    whom = "both" if len(leaders) == 2 else "all of them"
    some = "one of them" if len(leaders) == 2 else "some of them"
    parts = [
        (worse, f"worse than {whom} (adjusted p ≤ {ALPHA})"),
        (partly, f"worse than {some}"),
        (besides, "worse than another model, and cannot be told apart from them"),
    ]
    return [f"{listed(items)} {_are(items)} {text}." for items, text in parts if items]


def _baseline(table: Table, able: Sequence[Variant]) -> str:
    """Say which variants beat the best simple predictor: those whose whole interval does."""
    if table.best_baseline is None:
        return ""
    name, level = table.best_baseline
    said = f"the best simple predictor, {name} ({score(level, level)})"
    clauses: list[tuple[list[Variant], str, str]] = [
        ([], "beats", "beat"),
        ([], "cannot be told from", "cannot be told from"),
        ([], "is worse than", "are worse than"),
        ([], "has a better mean than", "have better means than"),
        ([], "has no better mean than", "have no better means than"),
    ]
    for item in able:
        if len(item.scores) < FEW:  # too few to say more than what their mean is
            kind = 3 if table.sign * (item.mean - level) < 0 else 4
        else:
            far, near = sorted(table.sign * (end - level) for end in item.interval)
            kind = 0 if near < 0 else 2 if far > 0 else 1
        clauses[kind][0].append(item)
    found = [
        (items, one if len(items) == 1 else several) for items, one, several in clauses if items
    ]
    if len(found) == 1:
        ((items, verb),) = found
        if verb.startswith("cannot"):
            who = {1: "It", 2: "Neither"}.get(len(items), "None")
            verb = verb if len(items) == 1 else verb.replace("cannot", "can")
        else:
            who = {1: "It", 2: "Both"}.get(len(items), "All")
        return f"{who} {verb} {said}."
    texts = [f"{listed(items)} {verb}" for items, verb in found]
    return f"{texts[0]} {said}; " + "; ".join(f"{text} it" for text in texts[1:]) + "."


def _are(items: Sequence[Variant]) -> str:
    return "is" if len(items) == 1 else "are"


def listed(items: Sequence[Variant]) -> str:
    """Return labels as a list in words; of many the first ones, and how many more."""
    return joined([item.label for item in items])


def joined(names: Sequence[str]) -> str:
    """Return names as a list in words; of many the first ones, and how many more."""
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cut(names: Sequence[str], between: str) -> str:
    left = len(names) - _MOST_NAMED
    return between.join([*names[:_MOST_NAMED], *([f"{left} more pairs"] if left > 0 else [])])


def overview_verdict(overview: Overview) -> str:
    """Return what an overview says: who leads, and whose intervals overlap with the leader's."""
    models = list(overview.iqm)
    best, (value, interval) = models[0], overview.iqm[models[0]]
    text = f"{best} has the highest interquartile mean, {value:.3f}"
    few = min(map(len, overview.seeds))
    if few < FEW:
        return f"{text}, which is exploratory: {seeds(few)} of a task can say no more."
    near = [name for name in models[1:] if overview.iqm[name][1].high >= interval.low]
    text += f" (95% interval {interval.low:.3f} to {interval.high:.3f})"
    if near:
        what = "interval of {} overlaps" if len(near) == 1 else "intervals of {} overlap"
        return f"{text}; the {what.format(joined(near))} with it."
    return f"{text}; no other model's interval overlaps with it."


def seeds(number: int) -> str:
    """Return a number of seeds in words."""
    return f"{number} seed{'s' * (number != 1)}"
