"""Looking at results before all seeds have run, at moments that were planned beforehand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from seqbench.errors import Refused
from seqbench.verdicts.components import ALPHA
from seqbench.verdicts.scores import FEW

PLANNED: dict[tuple[int, ...], tuple[float, ...]] = {
    (6, 10, 14, 20): (0.0003, 0.0056, 0.0169, 0.0428),
    (10, 20): (0.0055, 0.0479),
}
"""Looks after so many seeds, and the p that a claim needs at each in place of 0.05."""


@dataclass(frozen=True)
class Looks:
    """When results are looked at, and how small p must be each time.

    Args:
        numbers: seeds of every model at each look, rising; the last is the planned number.
        levels: the nominal two-sided p at each; an interval's level is 1 minus it.
    """

    numbers: tuple[int, ...]
    levels: tuple[float, ...]

    @classmethod
    def planned(cls, numbers: Sequence[int]) -> Looks:
        """Return the plan of looks after so many seeds: one number is one look at 0.05.

        Raises:
            Refused: the numbers do not rise, or start below five seeds.
        """
        chosen = tuple(numbers)
        rising = all(one < other for one, other in itertools.pairwise(chosen))
        if not chosen or not rising or chosen[0] < FEW:
            raise Refused(
                f"looks={','.join(map(str, chosen))} must be rising numbers of seeds from {FEW} "
                "on, for example 6,10,14,20"
            )
        return cls(chosen, PLANNED.get(chosen) or nominal_levels(chosen))

    def level_at(self, number: int) -> float | None:
        """Return the p that a claim needs after so many seeds; None if no look was planned then.

        Without it all is exploratory: seeds are missing, or there are more than were planned.
        """
        return dict(zip(self.numbers, self.levels, strict=True)).get(number)


@cache
def nominal_levels(numbers: tuple[int, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """Return the nominal two-sided p of looks that together spend ``alpha``.

    Lan and DeMets 1983 (Biometrika 70) with the spending function of O'Brien and Fleming,
    ``2 - 2 Phi(z / sqrt(t))``, where t is the share of seeds. The density of paths that went on is
    integrated from look to look (Armitage, McPherson and Rowe 1969).

    Args:
        numbers: seeds at each look, rising.
        alpha: of all looks together.
    """
    if len(numbers) == 1:
        return (alpha,)
    times = np.asarray(numbers, dtype=np.float64) / numbers[-1]
    spent = 2 * ndtr(ndtri(alpha / 2) / np.sqrt(times))
    nodes, weights = np.polynomial.legendre.leggauss(400)
    points, density, found, before = np.zeros(1), np.ones(1), [], 0.0
    for k, time in enumerate(times):
        step = math.sqrt(time - before)
        goal = spent[k] - (spent[k - 1] if k else 0.0)

        def beyond(cut: float, at=points, mass=density, sd=step) -> float:  # type: ignore[no-untyped-def]
            """Return the chance to cross at this look, at ``cut`` in units of the path."""
            return float((mass * (ndtr((at - cut) / sd) + ndtr((-cut - at) / sd))).sum())

        cut = brentq(lambda c: beyond(c) - goal, 1e-6, 12.0 * math.sqrt(time), xtol=1e-13)  # noqa: B023
        found.append(float(2 * ndtr(-cut / math.sqrt(time))))
        fresh = cut * nodes
        steps = np.exp(-0.5 * ((fresh[:, None] - points) / step) ** 2) / math.sqrt(2 * math.pi)
        density = cut * weights * (steps @ density) / step
        points, before = fresh, time
    return tuple(found)
