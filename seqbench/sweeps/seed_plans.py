"""Which seeds a sweep plans for each of its variants, and when the report may be read.

A report may claim something where the number of seeds, and the looks at them, were planned before
the results were known. So a run keeps the plan under which its trial was first seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from seqbench.tracking.tags import plan_text

if TYPE_CHECKING:
    from seqbench.sweeps.plan import Planned


def with_seed_plans(
    planned: Sequence[Planned], variants: Sequence[Hashable]
) -> tuple[list[Planned], int]:
    """Return trials whose runs will say which seeds were planned.

    Trials of a variant have one plan: the seeds that the sweep asks for, and one look at the end,
    unless looks were declared (:func:`seqbench.trials.looks.with_looks`).

    Args:
        planned: the trials of a sweep.
        variants: of each trial, equal for those that differ in the seed only.

    Returns:
        The trials, and how many of them were seen before under another plan or without any: they
        keep what their first runs said.
    """
    seeds: dict[Hashable, list[int]] = {}
    for item, variant in zip(planned, variants, strict=True):
        if item.settings is not None:
            seeds.setdefault(variant, []).append(item.settings.seed)
    found, outside = [], 0
    for item, variant in zip(planned, variants, strict=True):
        if item.settings is not None:
            number = len(seeds[variant])
            asked = item.settings.plan or plan_text(seeds[variant], [number])
            kept = asked if item.first_plan is None else item.first_plan
            outside += kept != asked and number >= FEW
            item = replace(item, settings=replace(item.settings, plan=kept))
        found.append(item)
    return found, outside


FEW = 5
"""With fewer seeds nothing is claimed, however they were planned."""
