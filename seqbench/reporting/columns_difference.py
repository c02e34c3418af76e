"""Columns about a difference: of a variant from the control, or of a pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from seqbench.reporting.difference import Difference
from seqbench.reporting.forms import Column, Form
from seqbench.reporting.numbers import NONE, amount, p_value, share
from seqbench.reporting.rows import Compared
from seqbench.verdicts.family import Claim

READ = Form.PAGE | Form.MARKDOWN
NARROW = Form.LATEX | Form.TERMINAL


def ends(value: tuple[float, float] | None, level: float) -> str:
    """Return an interval; a dash where it is unknown."""
    if value is None or not all(map(math.isfinite, value)):
        return NONE
    return f"{amount(value[0], level)} to {amount(value[1], level)}"


def signed(value: float, level: float) -> str:
    """Return a difference with its sign."""
    text = amount(value, level)
    return f"+{text}" if value > 0 else text


def matters(pair: Difference) -> str:
    """Return whether a difference is worth having, in words."""
    if pair.practical is None:
        return NONE
    within = f"±{pair.practical:.3g}"
    if pair.equivalent:
        return f"no, within {within}"
    return f"yes, beyond {within}" if pair.beyond else f"open ({within})"


_TURNED = {
    Claim.BETTER: "worse",
    Claim.BETTER_ON_AVERAGE: "worse on average",
    Claim.USUALLY_BETTER: "usually worse",
}


def _claim(pair: Difference) -> str:
    """Return what is claimed of the first of two, in words."""
    return str(pair.claim) if pair.favours_first else _TURNED.get(pair.claim, str(pair.claim))


def difference(
    key: str,
    heading: str,
    meaning: str,
    value: Callable[[Difference], object],
    text: Callable[[Difference, float], str],
    control: str = "",
    **options: Any,
) -> Column[Compared]:
    """Return a column about a difference: of a variant from the control, or of a pair.

    Args:
        key: see :class:`~seqbench.reporting.forms.Column`.
        heading: likewise.
        meaning: likewise.
        value: of a difference.
        text: of a difference and a score of its row.
        control: what the control itself has there.
        options: what else the column is given.
    """

    def found(row: Compared) -> object:
        return None if row.difference is None else value(row.difference)

    def said(_: object, row: Compared) -> str:
        if row.is_control:
            return control
        return NONE if row.difference is None else text(row.difference, row.level)

    return Column(key, heading, meaning, found, said, **options)


def _with_interval(pair: Difference, level: float) -> str:
    text, interval = signed(pair.mean, level), ends(pair.interval, level)
    return text if interval == NONE else f"{text} ({interval})"


def differences(p: str) -> list[Column[Compared]]:
    """Return the columns of a difference; ``p`` says what its test is adjusted for.

    JSON has a difference whole, under the keys of
    :class:`~seqbench.reporting.difference.Difference`.
    """
    return [
        difference("mean", "difference", "of the means, from the control; of a pair, first minus "
                    "second", lambda pair: pair.mean,
                    lambda pair, level: signed(pair.mean, level), "control",
                    forms=READ | Form.LATEX),
        difference("interval", "new groups", "interval of the difference if models are trained "
                    "again and tested on new groups from the same source, t",
                    lambda pair: pair.interval, lambda pair, level: ends(pair.interval, level),
                    forms=READ),
        difference("mean", "difference (new groups)", "of the means, and its interval if models "
                    "are trained again and tested on new groups", lambda pair: pair.mean,
                    _with_interval, "control", forms=Form.TERMINAL),
        difference("p_holm", "p", p, lambda pair: pair.p_holm,
                    lambda pair, _: p_value(pair.p_holm), forms=READ | NARROW),
        difference("claim", "claim", "what may be said of the row, or of the first of a pair, on "
                    "new groups", lambda pair: pair.claim, lambda pair, _: _claim(pair),
                    forms=READ | Form.TERMINAL),
        difference("improvement", "run better",
                    "probability that a run is better than one of the control; of a pair, one of "
                    "the first than one of the second", lambda pair: pair.improvement,
                    lambda pair, _: share(pair.improvement), forms=READ | Form.TERMINAL),
        difference("same_data_interval", "these test data", "interval of the difference if models "
                    "are trained again and tested on these same test data",
                    lambda pair: pair.same_data_interval,
                    lambda pair, level: ends(pair.same_data_interval, level),
                    forms=READ | Form.TERMINAL),
    ]  # fmt: skip


def limits() -> list[Column[Compared]]:
    """Return the columns that say what of a difference these test data show, and what is open."""
    return [
        difference("same_data_p", "p, these data", "two-sided, of no difference if models are "
                    "trained again and tested on these same test data; adjusted alike",
                    lambda pair: pair.same_data_p, lambda pair, _: p_value(pair.same_data_p),
                    forms=READ),
        difference("not_excluded", "not excluded",
                    "the largest difference, of either direction, that new groups may show",
                    lambda pair: pair.not_excluded,
                    lambda pair, level: amount(pair.not_excluded, level), forms=READ),
        difference("detectable", "found at 80%",
                    "the difference that this many seeds and groups find in 80 of 100 cases",
                    lambda pair: pair.detectable,
                    lambda pair, level: amount(pair.detectable, level), forms=READ),
    ]  # fmt: skip
