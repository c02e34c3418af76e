"""Which differences are real: the variants of each set of conditions, compared on paired seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqbench.config.titles import part
from seqbench.identity import BUDGET
from seqbench.reporting import statistics
from seqbench.reporting.statistics import FEW, Interval
from seqbench.reporting.table import FUTURE, LOST, Difference, Table, Variant, by_weight
from seqbench.reporting.text import slug
from seqbench.reporting.trials import (
    SOURCE_KEY,
    Defaults,
    ReportedTrial,
    by_pair,
    changes_of,
    task_parameters,
    word,
)
from seqbench.tracking.address import readable_path

CONTROL = "lstm"
"""What others are compared with unless something else is asked for."""


@dataclass(frozen=True)
class Practical:
    """Half the width of the region in which a difference does not matter.

    Args:
        amount: in the metric's unit, or a share of the control's mean.
        is_share: which of them.
    """

    amount: float
    is_share: bool

    def of(self, level: float) -> float:
        """Return it in the metric's unit, given the control's mean."""
        return abs(level) * self.amount if self.is_share else self.amount


def compare(
    trials: Iterable[ReportedTrial],
    control: str = "",
    practical: Practical | None = None,
    defaults: Defaults | None = None,
) -> list[Table]:
    """Return a table for each set of conditions, by task, the newest first.

    Args:
        trials: of a store; candidates of tunings are left out.
        control: model or label that others are compared with; empty takes ``lstm``, and where it
            was not run what has the most seeds.
        practical: when a difference does not matter; None does not ask.
        defaults: what tasks and models are composed to with nothing changed.
    """
    defaults = defaults or {}
    compared = [trial for trial in trials if not trial.candidate]
    # A trial that failed early does not say what its predictions see; others of its model do.
    contexts = {
        (trial.conditions, trial.variant): trial.context for trial in compared if trial.context
    }
    groups: dict[tuple[str, str, bool], list[ReportedTrial]] = {}
    for trial in compared:
        context = trial.context or contexts.get((trial.conditions, trial.variant), "")
        key = (trial.task, trial.conditions, context == FUTURE)
        groups.setdefault(key, []).append(trial)
    of_pair = by_pair(compared)
    tables = [
        _table(group, two_sided, control, practical, defaults, of_pair)
        for (_, _, two_sided), group in groups.items()
    ]
    _tell_old(tables)
    _tell_apart(tables)
    tables.sort(
        key=lambda table: (table.task, table.title, table.two_sided, table.changes, -table.newest)
    )
    tables.sort(key=lambda table: (table.is_old, table.is_smoke))  # stable
    taken: set[str] = set()
    for table in tables:
        plain_name = slug(table.name)
        alone = not table.is_old and plain_name not in taken
        future = "-future" if table.two_sided else ""
        table.identifier = plain_name if alone else f"{plain_name}-{table.conditions}{future}"
        taken.add(plain_name)
    return tables


def _tell_old(tables: Sequence[Table]) -> None:
    """Find the tables whose place a later one has taken, and name those that differ in budget."""
    budgets = [tuple(word(table.trials[0].config.get(key)) for key in BUDGET) for table in tables]
    asked = [
        (table.task, table.title, table.two_sided, table.changes, budget, _part(table))
        for table, budget in zip(tables, budgets, strict=True)
    ]
    current: dict[tuple[object, ...], float] = {}
    for table, key in zip(tables, asked, strict=True):
        for source in table.sources or {""}:
            if table.able and not table.is_lost:  # one that has only begun replaces none
                place = (*_without_title(key), source)
                current[place] = max(current.get(place, -math.inf), table.newest)
    named: dict[tuple[object, ...], set[tuple[str, ...]]] = {}
    for table, key, budget in zip(tables, asked, budgets, strict=True):
        table.is_old = not table.is_lost and all(
            table.newest < current.get((*_without_title(key), source), -math.inf)
            for source in table.sources or {""}
        )
        named.setdefault(_without_budget(key), set()).add(budget)
    for table, key, budget in zip(tables, asked, budgets, strict=True):
        differing = zip(BUDGET, budget, zip(*named[_without_budget(key)], strict=True), strict=True)
        words = [f"{name}={value}" for name, value, all_of in differing if len(set(all_of)) > 1]
        table.changes = " ".join([*filter(None, [table.changes]), *words])


def _without_title(key: tuple[object, ...]) -> tuple[object, ...]:
    """Return what a table was asked for; the same data may be called otherwise by now."""
    return (key[0], *key[2:])


def _without_budget(key: tuple[object, ...]) -> tuple[object, ...]:
    return (*key[:4], *key[5:])


def _part(table: Table) -> tuple[str, ...]:
    """Return which part of a source a table is of, where its title may be all that says it."""
    trial = table.trials[0]
    return tuple(part(trial.task, task_parameters(trial)).values())


def _tell_apart(tables: Sequence[Table]) -> None:
    """Say where data lie, of tables of one name whose data are others."""
    alike: dict[str, list[Table]] = {}
    for table in tables:
        alike.setdefault(table.name, []).append(table)
    for group in alike.values():
        if len({table.data for table in group}) > 1 and not set.intersection(
            *(set(table.sources) for table in group)
        ):
            for table in group:
                places = [f"{SOURCE_KEY}={readable_path(Path(p))}" for p in sorted(table.sources)]
                table.changes = " ".join(filter(None, [table.changes, *places[:1]]))


def _table(
    trials: Sequence[ReportedTrial],
    two_sided: bool,
    control: str,
    practical: Practical | None,
    defaults: Defaults,
    of_pair: Mapping[tuple[str, str], Sequence[ReportedTrial]],
) -> Table:
    groups: dict[str, list[ReportedTrial]] = {}
    for trial in trials:
        groups.setdefault(trial.variant, []).append(trial)
    metric = next((trial.metric for trial in trials if trial.is_scored), trials[0].metric)
    variants = [
        Variant(
            label="",
            model=group[0].model,
            changes=changes_of(group[0], defaults, of_pair, shared=False),
            trials=sorted(group, key=lambda trial: trial.seed),
            direction=metric.direction,
        )
        for group in groups.values()
    ]
    _label(variants)
    known = any(trial.config for trial in trials)
    # What all share is named by a trial whose defaults are known; a plugin's may not be here.
    named = next((trial for trial in trials if (trial.task, trial.model) in defaults), trials[0])
    sign = 1 if metric.direction == "min" else -1
    variants.sort(key=lambda item: (not item.scored, sign * item.mean if item.scored else 0.0))
    table = Table(
        task=trials[0].task,
        title=max(trials, key=lambda trial: trial.began).title,
        sources=frozenset(trial.source for trial in trials if trial.source),
        changes=changes_of(named, defaults, of_pair, shared=True) if known else LOST,
        conditions=trials[0].conditions,
        two_sided=two_sided,
        variants=variants,
        control=_control(variants, control),
        wanted=control,
        metric=metric,
        baselines=_baselines(trials, sign),
        newest=max(trial.began for trial in [t for t in trials if t.is_scored] or trials),
    )
    if known:
        _judge(table, practical)
    return table


def _control(variants: Sequence[Variant], asked: str) -> str:
    """Return the label of what others are compared with; empty if nothing has a score.

    Of several variants of a model it is the one with most seeds, then with the fewest changes.
    """
    able = sorted((item for item in variants if item.scores), key=by_weight)
    for name in filter(None, (asked, CONTROL)):
        named = [item for item in able if item.label == name]
        for item in named or [item for item in able if item.model == name]:
            return item.label
    return able[0].label if able else ""


def _label(variants: Sequence[Variant]) -> None:
    """Name variants by model, and by what else is needed to tell them apart."""
    by_model: dict[str, list[Variant]] = {}
    for item in variants:
        by_model.setdefault(item.model, []).append(item)
    for model, items in by_model.items():
        labels = [f"{model} {item.changes}".strip() for item in items] if items[1:] else [model]
        for item, label in zip(items, labels, strict=True):
            twin = labels.count(label) > 1
            code = item.trials[0].origin.get("model", "")[:6]
            item.label = f"{label} code={code or item.trials[0].variant[:6]}" if twin else label
    labels = [item.label for item in variants]
    for item in variants:
        if labels.count(item.label) > 1:
            item.label = f"{item.label} {item.trials[0].variant}"


def _judge(table: Table, practical: Practical | None) -> None:
    """Fill in intervals, differences and ranks."""
    able = [item for item in table.variants if item.scored]
    for item in able:
        item.interval = statistics.mean_interval(np.array(item.scores))
        item.groups = _group_interval([trial.bootstrap_scores for trial in item.scored.values()])
    level = next((item.mean for item in able if item.label == table.control), math.nan)
    region = practical.of(level) if practical else None
    pairs = list(itertools.combinations(able, 2))
    if table.is_large:
        pairs = [pair for pair in pairs if table.control in (pair[0].label, pair[1].label)]
    found = [_difference(one, other, region) for one, other in pairs]
    adjusted = statistics.holm([item.p if item else math.nan for item in found])
    for (one, other), difference, p in zip(pairs, found, adjusted, strict=True):
        if difference is not None:
            table.pairs[one.label, other.label] = _with_p(difference, p)
            table.pairs[other.label, one.label] = _turned(_with_p(difference, p))
    better = np.zeros((len(able), len(able)), dtype=bool)
    place = {item.label: number for number, item in enumerate(able)}
    for (first, second), difference in table.pairs.items():
        better[place[first], place[second]] = table.favours_first(difference)
    for item, rank in zip(able, statistics.rank_intervals(better), strict=True):
        item.rank = rank
    others = [item for item in able if item.label != table.control]
    with_control = [table.pair(item.label, table.control) for item in others]
    adjusted = statistics.holm([item.p if item else math.nan for item in with_control])
    for item, difference, p in zip(others, with_control, adjusted, strict=True):
        item.control = None if difference is None else _with_p(difference, p)


def _difference(one: Variant, other: Variant, region: float | None) -> Difference | None:
    mine, theirs = one.scored, other.scored
    seeds = sorted(set(mine) & set(theirs))
    if not seeds:
        return None
    values = np.array([mine[seed].score - theirs[seed].score for seed in seeds])
    interval = statistics.mean_interval(values)
    drawn = [(mine[seed].bootstrap_scores, theirs[seed].bootstrap_scores) for seed in seeds]
    p = statistics.sign_flip(values)
    return Difference(
        seeds=len(seeds),
        mean=float(values.mean()),
        interval=interval,
        groups=_group_interval([a - b if len(a) == len(b) else a[:0] for a, b in drawn]),
        p=p,
        p_holm=p,
        smallest_p=statistics.smallest_p(len(seeds)),
        improvement=statistics.improvement(
            np.array(one.scores), np.array(other.scores), one.direction
        ),
        effect=statistics.effect_size(values),
        practical=region,
        equivalent=None
        if region is None
        else len(seeds) >= FEW and statistics.is_equivalent(interval, region),
    )


def _group_interval(bootstrap_scores: Sequence[np.ndarray]) -> Interval | None:
    """Return the interval of the mean over seeds; None unless each has the same draws."""
    lengths = {len(values) for values in bootstrap_scores}
    if len(lengths) != 1 or 0 in lengths:
        return None
    return statistics.group_interval(np.mean(bootstrap_scores, axis=0, dtype=np.float64))


def _with_p(difference: Difference, p: float) -> Difference:
    return Difference(**{**vars(difference), "p_holm": p})


def _turned(difference: Difference) -> Difference:
    """Return the difference the other way round."""
    changes = {
        "mean": -difference.mean,
        "interval": Interval(-difference.interval.high, -difference.interval.low),
        "groups": difference.groups and Interval(-difference.groups.high, -difference.groups.low),
        "improvement": 1 - difference.improvement,
        "effect": -difference.effect,
    }
    return Difference(**{**vars(difference), **changes})


def _baselines(trials: Sequence[ReportedTrial], sign: int) -> dict[str, float]:
    """Return the simple predictors' scores, the best first; the latest trial's, as all agree."""
    latest = max((trial for trial in trials if trial.baselines), key=lambda trial: trial.began,
                 default=None)  # fmt: skip
    found = dict(latest.baselines) if latest else {}
    finite = {name: value for name, value in found.items() if math.isfinite(value)}
    return dict(sorted(finite.items(), key=lambda item: sign * item[1]))
