"""Looks that were declared: after how many seeds the report may be read before all have run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seqbench.config.settings import Settings
from seqbench.errors import Refused
from seqbench.tracking.tags import plan_text

BLOCK = 100
"""Seeds of declared looks begin at a multiple of this, so that each call means the same seeds."""


def with_looks(settings: Settings, looks: Sequence[int] | None) -> Settings:
    """Return settings whose run says which seeds and looks were planned.

    The plan is that of the looks, whichever seeds a call asks for: the first so many of the
    hundred that the trial's seed is in, 0 to 19 or 100 to 119 of ``looks=6,10,14,20``.

    Args:
        settings: of a trial.
        looks: numbers of seeds, rising; None declares nothing.

    Raises:
        Refused: no looks can be at these numbers, or the trial's seed is not of the plan.
    """
    if looks is None:
        return settings
    from seqbench.verdicts.looks import Looks

    numbers = Looks.planned(looks).numbers
    shown, last = ",".join(map(str, numbers)), numbers[-1]
    if last > BLOCK:
        raise Refused(f"looks={shown}: the last look must be at {BLOCK} seeds or fewer")
    first = settings.seed - settings.seed % BLOCK
    planned = range(first, first + last)
    if settings.seed not in planned:
        raise Refused(
            f"looks={shown} plans the seeds {first} to {first + last - 1}, and seed={settings.seed}"
            " is none of them"
        )
    return replace(settings, plan=plan_text(planned, numbers))
