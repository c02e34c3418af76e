"""Which differences are real: the contenders of each protocol, compared on paired seeds."""

from __future__ import annotations

import itertools
import math
import re
import statistics as plain
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seqbench.records import MetricInfo
from seqbench.reporting import statistics
from seqbench.reporting.statistics import FEW, Interval
from seqbench.reporting.trials import Defaults, Trial, by_pair, changes_of

ALPHA = 0.05
UNKNOWN = Interval(math.nan, math.nan)
CONTROL = "lstm"
"""What others are compared with unless something else is asked for."""
_FUTURE = "past+future"


@dataclass(frozen=True)
class Difference:
    """Two contenders of one protocol, over the seeds that both have finished.

    Args:
        seeds: how many those are.
        mean: of the first one's scores minus the second one's.
        interval: 95% interval of that mean.
        units: 95% interval over other draws of the test data, all seeds averaged; None without.
        p: of the exact sign-flip test, two-sided.
        p_holm: that, adjusted for the tests beside it (Holm 1979).
        smallest_p: the smallest that so many seeds could have reached.
        improvement: probability that a run of the first is better than one of the second.
        effect: the mean difference in standard deviations of the differences.
        practical: half the width of the region in which a difference does not matter.
        equivalent: whether the interval lies in that region; None if no region was given.
    """

    seeds: int
    mean: float
    interval: Interval
    units: Interval | None
    p: float
    p_holm: float
    smallest_p: float
    improvement: float
    effect: float
    practical: float | None
    equivalent: bool | None

    @property
    def is_real(self) -> bool:
        """Whether the adjusted test says so."""
        return self.p_holm <= ALPHA


@dataclass
class Contender:
    """A model with its parameters and recipe, under one protocol.

    Args:
        label: by which the table names it.
        model: registered name.
        changes: what differs from the model's own configuration.
        trials: by seed.
        direction: ``min`` or ``max``.
    """

    label: str
    model: str
    changes: str
    trials: list[Trial]
    direction: str
    interval: Interval = UNKNOWN
    units: Interval | None = None
    rank: tuple[int, int] = (1, 1)
    control: Difference | None = None

    @property
    def scored(self) -> dict[int, Trial]:
        """Trials that have a score, by seed."""
        return {trial.seed: trial for trial in self.trials if trial.is_scored}

    @property
    def scores(self) -> list[float]:
        """Scores in the order of seeds."""
        return [trial.score for trial in self.scored.values()]

    @property
    def mean(self) -> float:
        """Of the scores; NaN without any."""
        return plain.fmean(self.scores) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the scores over seeds; NaN of fewer than two."""
        return plain.stdev(self.scores) if len(self.scores) > 1 else math.nan

    @property
    def is_skewed(self) -> bool:
        """Whether the scores lie so unevenly that an interval may not hold what it says."""
        return statistics.is_skewed(np.array(self.scores))

    def cost(self, name: str) -> float:
        """Return the median of a cost over seeds; NaN if no trial tells it."""
        found = [trial.costs[name] for trial in self.scored.values() if name in trial.costs]
        found = [value for value in found if math.isfinite(value)]
        return plain.median(found) if found else math.nan

    @property
    def backend(self) -> str:
        """What ran the recurrence."""
        return ", ".join(dict.fromkeys(trial.backend for trial in self.scored.values()))

    @property
    def context(self) -> str:
        """What predictions saw."""
        return next((trial.context for trial in self.trials if trial.context), "")


@dataclass
class Table:
    """The contenders of one protocol; on ``next`` tasks of one context.

    Args:
        task: registered name.
        changes: what of the protocol differs from the task's own configuration.
        protocol: its hash.
        two_sided: whether its predictions see what comes after.
        contenders: the best mean first.
        control: label of the contender that others are compared with; empty without.
        metric: the primary one.
        baselines: the task's simple predictors by name, the best first.
        newest: when its latest run began, in seconds since 1970.
        pairs: differences of contenders by their labels, both ways round.
        is_old: whether a later protocol of the same task and changes has taken its place.
        identifier: unique among the tables of a report, and the same in the next one.
    """

    task: str
    changes: str
    protocol: str
    two_sided: bool
    contenders: list[Contender]
    control: str
    metric: MetricInfo
    baselines: dict[str, float]
    newest: float
    pairs: dict[tuple[str, str], Difference] = field(default_factory=dict)
    is_old: bool = False
    identifier: str = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        words = [self.task, *([self.changes] if self.changes else [])]
        return " ".join(words) + (f" (context={_FUTURE})" if self.two_sided else "")

    @property
    def trials(self) -> list[Trial]:
        """All trials, contender by contender."""
        return [trial for contender in self.contenders for trial in contender.trials]

    @property
    def is_smoke(self) -> bool:
        """Whether it was trained on a part of the data."""
        return any(trial.is_smoke for trial in self.trials)

    @property
    def seeds(self) -> int:
        """The largest number of seeds that two contenders share, or that the only one has."""
        shared = [pair.seeds for pair in self.pairs.values()]
        return max(shared or [len(item.scored) for item in self.contenders], default=0)

    @property
    def is_exploratory(self) -> bool:
        """Whether no two contenders share enough seeds for an adjusted p that can reach 0.05."""
        return self.seeds < self.seeds_needed

    @property
    def seeds_needed(self) -> int:
        """Seeds from which on a difference of two contenders can be told, all pairs adjusted."""
        pairs = max(1, len(self.pairs) // 2)
        return next(n for n in itertools.count(FEW) if pairs * statistics.smallest_p(n) <= ALPHA)

    @property
    def sign(self) -> int:
        """1 where smaller is better, otherwise -1."""
        return 1 if self.metric.direction == "min" else -1

    @property
    def complete_seeds(self) -> list[int]:
        """Seeds that every contender with a score has finished."""
        found = [set(item.scored) for item in self.contenders if item.scored]
        return sorted(set.intersection(*found)) if found else []

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The best simple predictor and its score; None without any."""
        return next(iter(self.baselines.items()), None)

    @property
    def trivial_baseline(self) -> tuple[str, float] | None:
        """The weakest simple predictor and its score; None without any."""
        return list(self.baselines.items())[-1] if self.baselines else None

    def pair(self, one: str, other: str) -> Difference | None:
        """Return the difference of two contenders, by their labels; None without shared seeds."""
        return self.pairs.get((one, other))


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
    trials: Iterable[Trial],
    control: str = "",
    practical: Practical | None = None,
    defaults: Defaults | None = None,
) -> list[Table]:
    """Return a table for each protocol, by task, the newest first.

    Args:
        trials: of a store; candidates of tunings are left out.
        control: model or label that others are compared with; empty takes ``lstm``, and where it
            was not run what has the most seeds.
        practical: when a difference does not matter; None does not ask.
        defaults: what tasks and models are composed to with nothing changed.
    """
    defaults = defaults or {}
    groups: dict[tuple[str, str, bool], list[Trial]] = {}
    for trial in trials:
        if not trial.candidate:
            key = (trial.task, trial.protocol, trial.context == _FUTURE)
            groups.setdefault(key, []).append(trial)
    of_pair = by_pair(itertools.chain.from_iterable(groups.values()))
    tables = [_table(group, control, practical, defaults, of_pair) for group in groups.values()]
    current: dict[tuple[str, bool, str], float] = {}
    for table in tables:
        asked = (table.task, table.two_sided, table.changes)
        if any(item.scored for item in table.contenders):  # one that has only begun replaces none
            current[asked] = max(current.get(asked, -math.inf), table.newest)
    for table in tables:
        asked = (table.task, table.two_sided, table.changes)
        table.is_old = table.newest < current.get(asked, -math.inf)
    tables.sort(key=lambda table: (table.task, table.two_sided, table.changes, -table.newest))
    tables.sort(key=lambda table: (table.is_old, table.is_smoke))  # stable
    taken: set[str] = set()
    for table in tables:
        plain_name = re.sub(r"[^a-z0-9.]+", "-", table.name.lower()).strip("-")[:60]
        alone = not table.is_old and plain_name not in taken
        future = "-future" if table.two_sided else ""
        table.identifier = plain_name if alone else f"{plain_name}-{table.protocol}{future}"
        taken.add(plain_name)
    return tables


def _table(
    trials: Sequence[Trial],
    control: str,
    practical: Practical | None,
    defaults: Defaults,
    of_pair: Mapping[tuple[str, str], Sequence[Trial]],
) -> Table:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.contender, []).append(trial)
    metric = next((trial.metric for trial in trials if trial.is_scored), trials[0].metric)
    contenders = [
        Contender(
            label="",
            model=group[0].model,
            changes=changes_of(group[0], defaults, of_pair, shared=False),
            trials=sorted(group, key=lambda trial: trial.seed),
            direction=metric.direction,
        )
        for group in groups.values()
    ]
    _label(contenders)
    sign = 1 if metric.direction == "min" else -1
    contenders.sort(key=lambda item: (not item.scored, sign * item.mean if item.scored else 0.0))
    table = Table(
        task=trials[0].task,
        changes=changes_of(trials[0], defaults, of_pair, shared=True),
        protocol=trials[0].protocol,
        two_sided=trials[0].context == _FUTURE,
        contenders=contenders,
        control=_control(contenders, control),
        metric=metric,
        baselines=_baselines(trials, sign),
        newest=max(trial.began for trial in trials),
    )
    _judge(table, practical)
    return table


def _control(contenders: Sequence[Contender], asked: str) -> str:
    """Return the label of what others are compared with; empty if nothing has a score."""
    able = [item for item in contenders if item.scored]
    for name in (asked, CONTROL):
        for item in able:
            if name and name in (item.label, item.model):
                return item.label
    most = max(able, key=lambda item: len(item.scored), default=None)
    return most.label if most else ""


def _label(contenders: Sequence[Contender]) -> None:
    """Name contenders by model, and by what else is needed to tell them apart."""
    by_model: dict[str, list[Contender]] = {}
    for item in contenders:
        by_model.setdefault(item.model, []).append(item)
    for model, items in by_model.items():
        labels = [f"{model} {item.changes}".strip() for item in items] if items[1:] else [model]
        for item, label in zip(items, labels, strict=True):
            twin = labels.count(label) > 1
            code = item.trials[0].origin.get("model", "")[:6]
            item.label = f"{label} code={code or item.trials[0].contender[:6]}" if twin else label
        if len({item.label for item in items}) < len(items):
            for item in items:
                item.label = f"{item.label} {item.trials[0].contender}"


def _judge(table: Table, practical: Practical | None) -> None:
    """Fill in intervals, differences and ranks."""
    able = [item for item in table.contenders if item.scored]
    for item in able:
        item.interval = statistics.mean_interval(np.array(item.scores))
        item.units = _unit_interval([trial.replicates for trial in item.scored.values()])
    level = next((item.mean for item in able if item.label == table.control), math.nan)
    region = practical.of(level) if practical else None
    pairs = list(itertools.combinations(able, 2))
    found = [_difference(one, other, region) for one, other in pairs]
    adjusted = statistics.holm([item.p if item else math.nan for item in found])
    for (one, other), difference, p in zip(pairs, found, adjusted, strict=True):
        if difference is not None:
            table.pairs[one.label, other.label] = _with_p(difference, p)
            table.pairs[other.label, one.label] = _turned(_with_p(difference, p))
    better = np.zeros((len(able), len(able)), dtype=bool)
    for (i, one), (j, other) in itertools.permutations(enumerate(able), 2):
        pair = table.pair(one.label, other.label)
        better[i, j] = pair is not None and pair.is_real and table.sign * pair.mean < 0
    for item, rank in zip(able, statistics.rank_intervals(better), strict=True):
        item.rank = rank
    others = [item for item in able if item.label != table.control]
    with_control = [table.pair(item.label, table.control) for item in others]
    adjusted = statistics.holm([item.p if item else math.nan for item in with_control])
    for item, difference, p in zip(others, with_control, adjusted, strict=True):
        item.control = None if difference is None else _with_p(difference, p)


def _difference(one: Contender, other: Contender, region: float | None) -> Difference | None:
    mine, theirs = one.scored, other.scored
    seeds = sorted(set(mine) & set(theirs))
    if not seeds:
        return None
    values = np.array([mine[seed].score - theirs[seed].score for seed in seeds])
    interval = statistics.mean_interval(values)
    drawn = [(mine[seed].replicates, theirs[seed].replicates) for seed in seeds]
    p = statistics.sign_flip(values)
    return Difference(
        seeds=len(seeds),
        mean=float(values.mean()),
        interval=interval,
        units=_unit_interval([a - b if len(a) == len(b) else a[:0] for a, b in drawn]),
        p=p,
        p_holm=p,
        smallest_p=statistics.smallest_p(len(seeds)),
        improvement=statistics.improvement(
            np.array(one.scores), np.array(other.scores), one.direction
        ),
        effect=statistics.effect_size(values),
        practical=region,
        equivalent=None if region is None else statistics.is_equivalent(interval, region),
    )


def _unit_interval(replicates: Sequence[np.ndarray]) -> Interval | None:
    """Return the interval of the mean over seeds; None unless each has the same draws."""
    lengths = {len(values) for values in replicates}
    if len(lengths) != 1 or 0 in lengths:
        return None
    return statistics.unit_interval(np.mean(replicates, axis=0, dtype=np.float64))


def _with_p(difference: Difference, p: float) -> Difference:
    return Difference(**{**vars(difference), "p_holm": p})


def _turned(difference: Difference) -> Difference:
    """Return the difference the other way round."""
    changes = {
        "mean": -difference.mean,
        "interval": Interval(-difference.interval.high, -difference.interval.low),
        "units": difference.units and Interval(-difference.units.high, -difference.units.low),
        "improvement": 1 - difference.improvement,
        "effect": -difference.effect,
    }
    return Difference(**{**vars(difference), **changes})


def _baselines(trials: Sequence[Trial], sign: int) -> dict[str, float]:
    """Return the simple predictors' scores, the best first; the latest trial's, as all agree."""
    latest = max((trial for trial in trials if trial.baselines), key=lambda trial: trial.began,
                 default=None)  # fmt: skip
    found = dict(latest.baselines) if latest else {}
    finite = {name: value for name, value in found.items() if math.isfinite(value)}
    return dict(sorted(finite.items(), key=lambda item: sign * item[1]))
