"""Whether a table may claim anything now: its seeds and the looks at them were planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from seqbench.reporting.trials import ReportedTrial
from seqbench.tracking.tags import mapping_in
from seqbench.verdicts.components import ALPHA
from seqbench.verdicts.looks import Looks
from seqbench.verdicts.scores import FEW, counted


@dataclass(frozen=True)
class SeedPlan:
    """What a sweep planned.

    Args:
        seeds: of each of its conditions, in their order.
        looks: after how many seeds the report may be read, rising.
    """

    seeds: tuple[int, ...]
    looks: tuple[int, ...]


@dataclass(frozen=True)
class SeedLook:
    """A look at a table's results.

    Args:
        seeds: runs that each variant has, failed ones included; 0 where they differ.
        alpha: p up to which something is claimed at this look; intervals have the level 1 - alpha.
        why_not: why nothing may be claimed, a clause; empty where something may.
        of: all looks that were planned.
    """

    seeds: int
    alpha: float = ALPHA
    why_not: str = ""
    of: tuple[int, ...] = ()

    def barred(self, why_not: str) -> SeedLook:
        """Return the look at which nothing may be claimed, for one more reason."""
        return replace(self, why_not="; ".join(filter(None, [why_not, self.why_not])))


UNSEEN = SeedLook(0, why_not="nothing is compared")
"""Of a table that is not judged."""


@lru_cache
def read_plan(text: str) -> SeedPlan | None:
    """Return the plan that a run's tag holds; None where it holds none."""
    found = mapping_in(text)
    seeds, looks = (found.get(key) for key in ("seeds", "looks"))
    if not _are_integers(seeds) or not _are_integers(looks) or not seeds or not looks:
        return None
    return SeedPlan(tuple(seeds), tuple(sorted({look for look in looks if look >= FEW})))


def look_at(runs: Mapping[str, Sequence[ReportedTrial]]) -> SeedLook:
    """Return what may be claimed of a table.

    Something may be if all runs belong to one plan, and each variant has as many of its seeds as
    one of the plan's looks asks for. A look's level is that of O'Brien and Fleming's spending
    function, see :class:`seqbench.verdicts.looks.Looks`.

    Args:
        runs: those that count, of each variant that is ranked, by its label.
    """
    if not runs:
        return SeedLook(0, why_not="no variant is ranked")
    number = {len(trials) for trials in runs.values()}
    seeds = number.pop() if len(number) == 1 else 0
    least, most = (pick(runs, key=lambda label: len(runs[label])) for pick in (min, max))
    if len(runs[least]) < FEW:
        few = len(runs[least])
        words = f"{counted(few, 'seed')} of {least} {'are' if few != 1 else 'is'}"
        return SeedLook(seeds, why_not=f"{words} too few")
    plans = {label: {read_plan(t.plan) for t in trials} for label, trials in runs.items()}
    unplanned = [label for label, found in plans.items() if None in found]
    if unplanned:
        whose = "its seeds" if len(unplanned) == len(plans) else f"the seeds of {unplanned[0]}"
        return SeedLook(seeds, why_not=f"{whose} were not planned beforehand")
    all_plans = {plan for found in plans.values() for plan in found if plan is not None}
    if len(all_plans) > 1:
        return SeedLook(seeds, why_not="its runs belong to different plans of seeds")
    (plan,) = all_plans
    if len(runs[least]) != len(runs[most]):
        counts = f"{least} has {len(runs[least])} runs and {most} {len(runs[most])}"
        return SeedLook(0, why_not=f"its plan is not complete: {counts}", of=plan.looks)
    if any(trial.seed not in plan.seeds for trials in runs.values() for trial in trials):
        return SeedLook(seeds, why_not="it has seeds that were not planned", of=plan.looks)
    if seeds not in plan.looks:
        looks = ", ".join(map(str, plan.looks))
        return SeedLook(seeds, why_not=f"of {seeds} seeds no look was planned, only of {looks}",
                    of=plan.looks)  # fmt: skip
    level = Looks.planned(plan.looks).level_at(seeds)
    assert level is not None
    return SeedLook(seeds, level, of=plan.looks)


def _are_integers(found: object) -> bool:
    return isinstance(found, list) and all(type(item) is int for item in found)
