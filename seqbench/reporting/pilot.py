"""The trials of a store from which it is told how many more a difference takes."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from seqbench.config.settings import TrackingSettings
from seqbench.identity import SPLIT_SEED, conditions_and_variant, conditions_over_splits, flat
from seqbench.records import TrialRecord, is_own_failure
from seqbench.tracking.logged import logged_trials, trial_runs
from seqbench.tracking.tags import PARTS, mapping_in, schema_in
from seqbench.verdicts.pair import Pair, compare
from seqbench.verdicts.scores import Groups, Runs

PILOT = "pilot"
"""An experiment whose trials are looked at too: runs there are in no table of the others."""


@dataclass(frozen=True)
class AskedVariant:
    """A variant of a sweep.

    Args:
        name: what tells it from the others of its task.
        task: registered name.
        model: registered name.
        config: of one of its trials, as :meth:`seqbench.config.settings.Settings.to_dict` has it.
        parts: of that trial's identity.
        seeds: how many the sweep asks for.
    """

    name: str
    task: str
    model: str
    config: Mapping[str, Any]
    parts: Mapping[str, str]
    seeds: int


@dataclass
class PilotRuns:
    """The trials of a variant that have ended with a result, one of each seed.

    Args:
        by_split: the records of each ``task.split_seed``; None where the task has none.
    """

    by_split: dict[object, dict[int, TrialRecord]] = field(default_factory=dict)

    def of(self, split: object) -> list[TrialRecord]:
        """Return the records of a split."""
        return list(self.by_split.get(split, {}).values())


def pilot_runs(asked: Sequence[AskedVariant], tracking: TrackingSettings) -> dict[str, PilotRuns]:
    """Return what a store has of variants under the same conditions, on any split, by their names.

    Args:
        asked: variants of one task under the same conditions.
        tracking: the store; the experiment :data:`PILOT` beside the one it names counts too.

    Raises:
        Refused: the store cannot be used.
    """
    found = {item.name: PilotRuns() for item in asked}
    names = {_hashes(item.task, item.model, item.config, item.parts): item.name for item in asked}
    split = split_of(asked[0].config)
    data = ""
    for experiment in dict.fromkeys([tracking.experiment, PILOT]):
        store = replace(tracking, experiment=experiment)
        of_task = [
            run for run in trial_runs(store) if run.tags.get("seqbench.task") == asked[0].task
        ]
        for item in logged_trials(store, of_task):
            record, parts = item.record, mapping_in(item.tags.get(PARTS, ""))
            schema = schema_in(item.tags)
            name = names.get(_hashes(record.task, record.model, item.config, parts, schema))
            is_result = record.status == "FINISHED" or is_own_failure(item.status, item.reason)
            if name is None or item.gap or not is_result:
                continue
            at = split_of(item.config)
            if at == split:
                data = data or record.data
                if record.data != data:  # of a former version of the data
                    continue
            found[name].by_split.setdefault(at, {}).setdefault(record.seed, record)
    return found


def _hashes(
    task: str,
    model: str,
    config: Mapping[str, Any],
    parts: Mapping[str, str],
    schema: int | None = None,
) -> tuple[str, str]:
    more = () if schema is None else (schema,)
    _, variant = conditions_and_variant(task, model, config, parts, "", *more)
    return conditions_over_splits(task, config, parts, *more), variant


def split_of(config: Mapping[str, Any]) -> object:
    """Return ``task.split_seed`` of a configuration; None where the task deals no splits."""
    return flat(config).get(SPLIT_SEED)


class Pilot(NamedTuple):
    """Two variants that were tried.

    Args:
        names: of both.
        pair: what is known of them.
        groups: of the test data.
        runs: of each, on one split.
        record: of one of them that finished.
        level: their mean score.
        of_splits: the difference of the means on each split.
        test_share: test groups divided by training groups; NaN where that is unknown.
    """

    names: tuple[str, str]
    pair: Pair
    groups: Groups
    runs: tuple[int, int]
    record: TrialRecord
    level: float
    of_splits: list[float]
    test_share: float


def pilots(asked: Sequence[AskedVariant], found: Mapping[str, PilotRuns]) -> list[Pilot]:
    """Return each two variants that have two runs or more."""
    split = split_of(asked[0].config)
    made = []
    for one, other in itertools.combinations([item.name for item in asked], 2):
        records = found[one].of(split), found[other].of(split)
        runs = [_runs(items) for items in records]
        finished = [r for items in records for r in items if r.status == "FINISHED"]
        if min(item.number for item in runs) < 2 or not finished:
            continue
        first = finished[0]
        groups = Groups.of(first.group_sizes, first.group_classes)
        pair = compare(runs[0], runs[1], groups, _trivial(finished))
        gains = []
        for at in found[one].by_split.keys() & found[other].by_split.keys():
            means = [_mean(found[name].of(at)) for name in (one, other)]
            gains.append(means[0] - means[1])
        share = groups.number / first.train_groups if first.train_groups else math.nan
        numbers = (runs[0].number, runs[1].number)
        known = [gain for gain in gains if math.isfinite(gain)]
        level = _mean(finished)
        made.append(Pilot((one, other), pair, groups, numbers, first, level, known, share))
    return made


def _runs(records: Sequence[TrialRecord]) -> Runs:
    """Return records as runs; those that failed have no score."""
    finished = [item for item in records if item.status == "FINISHED"]
    drawn = [item.bootstrap_scores for item in finished]
    known = bool(drawn) and len({len(item) for item in drawn}) == 1 and bool(drawn[0])
    return Runs.of(
        [_score(item) for item in finished],
        drawn if known else None,
        larger_is_better=bool(finished) and finished[0].primary.direction == "max",
        failed=len(records) - len(finished),
    )


def _score(record: TrialRecord) -> float:
    return record.metrics.get(f"test/{record.primary.name}", math.nan)


def _mean(records: Sequence[TrialRecord]) -> float:
    scores = [_score(item) for item in records if item.status == "FINISHED"]
    return statistics.fmean(scores) if scores else math.nan


def _trivial(finished: Sequence[TrialRecord]) -> Runs | None:
    """Return the weakest simple predictor, whose score a failed run counts."""
    record = finished[0]
    name, larger = record.primary.name, record.primary.direction == "max"
    scores = {
        key: found[name]
        for key, found in record.baselines.items()
        if math.isfinite(found.get(name, math.nan))
    }
    if not scores:
        return None
    weakest = (min if larger else max)(scores, key=lambda key: scores[key])
    drawn = record.baseline_bootstrap.get(weakest)
    return Runs.of(
        [scores[weakest]], [drawn] if drawn else None, larger_is_better=larger, fixed=True
    )
