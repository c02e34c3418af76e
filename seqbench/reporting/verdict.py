"""What a table says, in sentences that claim no more than the tests do."""

from __future__ import annotations

from collections.abc import Sequence

from seqbench.reporting.claims import against_baseline, against_control, best, unranked
from seqbench.reporting.difference import Difference
from seqbench.reporting.failures import failures
from seqbench.reporting.numbers import amount, p_value, score
from seqbench.reporting.table import Table
from seqbench.reporting.ties import tied
from seqbench.reporting.variant import Variant
from seqbench.reporting.wording import (
    called,
    design,
    interval_name,
    interval_text,
    joined,
    listed,
    new_groups,
    seeds,
)


def verdict(table: Table) -> str:
    """Return what a reader in a hurry should take away of a table."""
    return " ".join(sentences(table))


def sentences(table: Table) -> list[str]:
    """Return a table's verdict, sentence by sentence."""
    name = called(table.name)
    if table.is_lost:
        what = f"what its {len(table.trials)} trials were cannot be read any more"
        return [f"Nothing can be said of {name}: {what}."]
    if not table.able:
        return [f"Nothing can be said of {name}: {_unscored(table)}.", *failures(table)]
    ranked = table.ranked
    if not ranked:
        found = [f"Nothing is ranked on {name}: no model passed the audit."]
    elif table.is_exploratory:
        found = _exploratory(table, ranked)
    else:
        found = [*_look(table), *_claimed(table, ranked)]
    found += [*against_baseline(table), *failures(table), *unranked(table)]
    if table.is_smoke:
        found.append("Trained on a part of the data: a smoke run, no result.")
    return found


def _unscored(table: Table) -> str:
    """Say why no trial of a table has a score: perhaps only because it has not ended."""
    number = len(table.trials)
    running = sum(trial.status == "RUNNING" for trial in table.trials)
    if running == number:
        return "its trial is running" if number == 1 else f"its {number} trials are running"
    text = f"none of its {number} trials has a score" if number > 1 else "its trial has no score"
    return f"{text}, {running} {'are' if running > 1 else 'is'} running" if running else text


def _claimed(table: Table, ranked: Sequence[Variant]) -> list[str]:
    """Return what may be claimed: of new data if it can be, otherwise of these alone."""
    why_not = next((pair.why_not for pair in table.pairs.values() if pair.why_not), "")
    if len(ranked) == 1:
        return [_alone(table, ranked[0])]
    if why_not:
        return _on_these_data(table, ranked, why_not)
    if table.is_large:
        return against_control(table, ranked)
    return best(table, ranked) if table.best else tied(table, ranked)


def _look(table: Table) -> list[str]:
    """Say at which of several planned looks this is."""
    look = table.look
    if len(look.of) < 2:
        return []
    looks = joined(list(map(str, look.of)))
    text = f"This is the planned look at {seeds(look.seeds)}, of {looks}:"
    return [f"{text} a claim needs p up to {look.alpha:.2g}."]


def _alone(table: Table, item: Variant) -> str:
    spread = f" ± {amount(item.deviation, item.mean)}" if len(item.scores) > 1 else ""
    text = (
        f"{called(item.label)} alone was run on {called(table.name)}: {table.metric.name} "
        f"{score(item.mean, item.mean)}{spread} ({design(table)})"
    )
    low, high = item.interval
    if low <= high:
        text += (
            f"; on {new_groups(table)}, trained again, {interval_name(table)} "
            f"{amount(low, item.mean)} to {amount(high, item.mean)}"
        )
    return f"{text}."


def _exploratory(table: Table, ranked: Sequence[Variant]) -> list[str]:
    """Give means, and the difference of the first two; claim nothing."""
    found = [f"On {called(table.name)} nothing is claimed: {table.look.why_not}."]
    level = ranked[0].mean
    first = score(level, level)
    same = [item for item in ranked if score(item.mean, level) == first]
    lowest = "lowest" if table.sign > 0 else "highest"
    mean = f"{table.metric.name}, {first}"
    if len(ranked) == 1:
        text = f"{called(ranked[0].label)} has a mean {table.metric.name} of {first}"
        return [*found, f"{text} ({design(table)})."]
    if same[1:]:
        return [*found, f"{listed(same)} have the {lowest} mean {mean} ({design(table)})."]
    second = ranked[1]
    text = f"{called(ranked[0].label)} has the {lowest} mean {mean} ({design(table)})"
    pair = table.pair(ranked[0].label, second.label)
    if pair is not None:
        text += f"; {called(second.label)} is {amount(abs(pair.mean), level)} behind"
        if pair.interval.low <= pair.interval.high:
            on = f"on {new_groups(table)}"
            text += f" ({interval_text(table, pair.interval, level)} {on})"
        elif pair.same_data_interval.low <= pair.same_data_interval.high:
            text += f" ({interval_text(table, pair.same_data_interval, level)} on these test data)"
    return [*found, f"{text}."]


def _on_these_data(table: Table, ranked: Sequence[Variant], why_not: str) -> list[str]:
    """Say who is ahead if trained again and tested on these test data; claim nothing of others."""
    found = [f"On {called(table.name)} nothing is claimed of new data: {why_not}."]
    first = ranked[0]
    ahead: list[Variant] = []
    open_: list[Variant] = []
    for item in ranked[1:]:
        pair = table.pair(first.label, item.label)
        if pair is not None:
            (ahead if pair.same_data_p <= table.look.alpha else open_).append(item)
    where = "On these test data alone, trained again,"
    if len(ranked) == 2 and table.pairs:
        pair = table.pairs[first.label, ranked[1].label]
        verb = "is ahead of" if ahead else "is not shown to be ahead of"
        who = f"{called(first.label)} {verb} {called(ranked[1].label)}"
        return [*found, f"{where} {who}: by {_these(table, pair, first.mean)}."]
    if ahead:
        found.append(f"{where} {called(first.label)} is ahead of {listed(ahead)} (adjusted p ≤ "
                     f"{table.look.alpha:.2g}, {design(table)}).")  # fmt: skip
    if open_:
        verb = "It" if ahead else f"{where} {called(first.label)}"
        found.append(f"{verb} is not shown to be ahead of {listed(open_)}.")
    return found


def _these(table: Table, pair: Difference, level: float) -> str:
    return (
        f"{amount(abs(pair.mean), level)} "
        f"({interval_text(table, pair.same_data_interval, level)}, "
        f"p = {p_value(pair.same_data_p)}; {design(table)})"
    )
