"""What is known of two variants, as a table says it: flat, in the metric's own direction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from seqbench.verdicts.components import ALPHA, Estimate
from seqbench.verdicts.family import Claim, PairFinding
from seqbench.verdicts.single_runs import SingleRuns


class Interval(NamedTuple):
    """The two ends, in the unit of what was measured; NaN where nothing can be said."""

    low: float
    high: float

    @property
    def turned(self) -> Interval:
        """The interval of the same difference the other way round."""
        return Interval(-self.high, -self.low)


UNKNOWN = Interval(math.nan, math.nan)


def interval_of(estimate: Estimate | None, sign: int) -> Interval:
    """Return the interval of an estimate in the metric's direction; NaN of none.

    Args:
        estimate: a gain: above 0 is better.
        sign: 1 where a smaller score is better, otherwise -1.
    """
    if estimate is None:
        return UNKNOWN
    found = Interval(float(estimate.low), float(estimate.high))
    return found.turned if sign > 0 else found


def _favoured(single: SingleRuns | None, alpha: float) -> int:
    if single is None:
        return 0
    return int(single.supports(True, alpha)) - int(single.supports(False, alpha))


@dataclass(frozen=True)
class Difference:
    """Two variants of the same conditions, or a variant and a simple predictor.

    p and intervals are at the level of the table's look. Nothing is claimed, and there is no p, in
    a table that is exploratory.

    Args:
        claim: what may be said of new data, see :class:`seqbench.verdicts.family.Claim`.
        favours_first: whether the claim is about the first; of ``opposed``, its mean.
        mean: of the first one's scores minus the second one's.
        interval: of that, trained again and tested on new groups; NaN where these cannot be judged.
        p: two-sided.
        p_holm: that, adjusted for the tests beside it (Holm 1979).
        same_data_interval: of the mean, trained again and tested on these same test data.
        same_data_p: two-sided, adjusted likewise.
        improvement: probability that a run of the first is better than one of the second.
        improvement_interval: of it.
        improvement_p: of one half, by permutation.
        runs_favour: whose single runs are better as a claim needs it: 1 the first one's, -1 the
            second one's, 0 neither's.
        not_excluded: the largest difference, of either direction, in ``interval``.
        detectable: the difference that this design finds with a probability of 80%.
        practical: the smallest difference that is worth having; None if nobody says.
        equivalent: whether the difference is surely smaller; None if nobody says.
        beyond: whether it is surely larger.
        vanishes_at: how much more often the better one must fail for its lead to vanish.
        why_not: why nothing is claimed of new data, a clause; empty where something may be.
    """

    claim: Claim
    favours_first: bool
    mean: float
    interval: Interval
    p: float
    p_holm: float
    same_data_interval: Interval
    same_data_p: float
    improvement: float
    improvement_interval: Interval
    improvement_p: float
    runs_favour: int
    not_excluded: float
    detectable: float
    practical: float | None
    equivalent: bool | None
    beyond: bool
    vanishes_at: float | None
    why_not: str

    @classmethod
    def of(
        cls,
        finding: PairFinding,
        sign: int,
        *,
        alpha: float = ALPHA,
        practical: float | None = None,
        detectable: float = math.nan,
        barred: str = "",
        unknown: str = "",
    ) -> Difference:
        """Return a finding in the metric's direction.

        Args:
            finding: of the pair.
            sign: 1 where a smaller score is better, otherwise -1.
            alpha: of the table's look.
            practical: see the class.
            detectable: see the class.
            barred: why the whole table claims nothing; empty where it may.
            unknown: why new groups cannot be judged, if the table knows better.
        """
        pair = finding.pair
        new, these, single = pair.on_new_data, pair.on_these_data, pair.single
        known = new or these
        return cls(
            claim=Claim.NO_VERDICT if barred else finding.claim,
            favours_first=finding.first,
            mean=-sign * float(known.gain) if known else math.nan,
            interval=interval_of(new, sign),
            p=float(new.p) if new and not barred else math.nan,
            p_holm=math.nan if barred else finding.p_new,
            same_data_interval=interval_of(these, sign),
            same_data_p=math.nan if barred else finding.p_these,
            improvement=single.chance if single else math.nan,
            improvement_interval=Interval(single.low, single.high) if single else UNKNOWN,
            improvement_p=single.p if single and not barred else math.nan,
            runs_favour=_favoured(single, alpha) if not barred else 0,
            not_excluded=float(new.not_excluded) if new else math.nan,
            detectable=detectable,
            practical=practical,
            equivalent=None if practical is None else finding.equivalent and not barred,
            beyond=finding.beyond and not barred,
            vanishes_at=pair.vanishes_at,
            why_not=barred or unknown or pair.why_not,
        )

    def turned(self) -> Difference:
        """Return the difference the other way round."""
        return replace(
            self,
            favours_first=not self.favours_first,
            mean=-self.mean,
            interval=self.interval.turned,
            same_data_interval=self.same_data_interval.turned,
            improvement=1 - self.improvement,
            runs_favour=-self.runs_favour,
            improvement_interval=Interval(
                1 - self.improvement_interval.high, 1 - self.improvement_interval.low
            ),
        )
