"""Times of a step: their intervals, and when two of them can be told apart."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from seqbench.reporting.columns import COSTS, cost_layout
from seqbench.reporting.comparison import compare
from seqbench.reporting.drawing import looks
from seqbench.reporting.forms import Form
from seqbench.reporting.front import places
from seqbench.reporting.latency import (
    Latency,
    is_faster,
    latencies,
    latency_layout,
    median_interval,
)
from seqbench.reporting.numbers import quantity
from seqbench.reporting.pictures import costs_picture
from seqbench.reporting.summary import summary
from seqbench.reporting.table import Table
from seqbench.reporting.trials import make_trials
from seqbench.tracking.logged import LoggedTrial
from seqbench.tracking.measured import MEASURED, Measured

Family = Callable[..., list[LoggedTrial]]


def timed(
    runs: Sequence[LoggedTrial],
    session: str = "2026-01-01",
    streams: bool = True,
    **seconds: Sequence[float],
) -> list[LoggedTrial]:
    """Tag the first run of each model with its seconds by block."""
    found, done = [], set()
    for run in runs:
        model = run.record.model
        if model in seconds and model not in done:
            done.add(model)
            measured = Measured(session, list(seconds[model]), streams, "a processor")
            run = dataclasses.replace(run, tags={**run.tags, MEASURED: json.dumps(vars(measured))})
        found.append(run)
    return found


def table_of(runs: Sequence[LoggedTrial]) -> Table:
    (table,) = compare(make_trials(runs), "", None, {})
    return table


def blocks(seconds: float, spread: float = 0.01, count: int = 25) -> list[float]:
    """Return blocks around a time, whose noise is the same in every call: that of the machine."""
    noise = np.random.default_rng(3).normal(0, spread, count)
    return (seconds * np.exp(noise)).tolist()


def test_the_interval_of_a_median_covers_it() -> None:
    """At least 95% of samples, of a skewed distribution too; none of fewer than six values."""
    draws = np.random.default_rng(0).exponential(size=(4000, 25))
    ends = [median_interval(row.tolist()) for row in draws]
    inside = np.mean([low <= math.log(2) <= high for low, high in ends])
    assert 0.945 <= inside <= 0.975
    assert (1.0, 6.0) == median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert all(map(math.isnan, median_interval([1.0, 2.0, 3.0, 4.0, 5.0])))


def test_two_are_told_apart_by_their_ratio() -> None:
    """What slows a block slows both: the ratio is known much better than either."""
    loud = 0.3
    one, other = Latency(blocks(1.0, loud), True), Latency(blocks(1.1, loud), True)
    assert one.interval[1] > other.interval[0]
    assert is_faster(one, other)
    assert not is_faster(other, one)
    assert not is_faster(one, Latency(blocks(1.02, loud), True))  # less than the resolution
    own = np.random.default_rng(5).normal(0, loud, 25)
    assert not is_faster(one, Latency((1.1 * np.exp(own)).tolist(), True))
    assert not is_faster(one, Latency(blocks(2.0, count=9), True))  # of another session


def test_only_the_latest_session_is_compared(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.4, rnn=9.0)
    runs = timed(runs, "2026-01-01", lstm=blocks(1e-5), rnn=blocks(1e-5))
    table = table_of(timed(runs, "2026-01-02", gru=blocks(2e-5), lstm=blocks(3e-5)))
    assert {"gru", "lstm"} == set(latencies(table))
    assert 3e-5 == pytest.approx(latencies(table)["lstm"].seconds, rel=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "{}", '{"seconds": []}', '{"seconds": [0.0]}', '{"seconds": ["a"]}',
        '{"seconds": [NaN]}', '{"seconds": [Infinity]}', '{"seconds": [true]}', '{"seconds": 3}',
    ],
)  # fmt: skip
def test_a_tag_that_is_damaged_tells_nothing(text: str) -> None:
    assert Measured.of({MEASURED: text}) is None


def test_columns(family: Family) -> None:
    """An interval where models were timed together, and what was timed; otherwise a number."""
    runs = family(lstm=8.5, gru=8.4)
    assert "1.00 ms" in _steps(table_of(runs)).values()
    table = table_of(timed(runs, streams=False, lstm=blocks(2e-5), gru=blocks(1e-5)))
    found = latencies(table)["gru"]
    low, high = found.interval
    middle, first, last = (quantity(value, "s") for value in (found.seconds, low, high))
    assert f"{middle} ({first} to {last}), a whole sequence" == _steps(table)["gru"]
    written = {item["model"]: item for item in summary([table])[0]["variants"]}
    assert [low, high] == written["gru"]["step_interval"]
    lines = latency_layout(latencies(table)).lines
    assert [["gru", "lstm"], ["lstm", "-"]] == [
        [line.items[0].text, line.items[2].text] for line in lines
    ]


def _steps(table: Table) -> dict[str, str]:
    found = cost_layout(table, Form.PAGE)
    at = next(n for n, head in enumerate(found.heads) if head.text == "step")
    return {line.items[0].text: line.items[at].text for line in found.lines}


def test_frozen_numbers_and_buffers_are_shown_where_there_are_any(
    logged: Callable[..., LoggedTrial],
) -> None:
    def heads(*runs: LoggedTrial) -> set[str]:
        return {head.text for head in cost_layout(table_of(runs), Form.PAGE).heads}

    plain = heads(logged("lstm"), logged("gru"))
    assert not {"frozen", "buffers"} & plain
    assert {"frozen"} == heads(logged("lstm"), logged("gru", frozen=3)) - plain
    assert {"buffers"} == heads(logged("lstm", buffers=4), logged("gru")) - plain
    assert {"frozen", "buffers"} <= {column.key for column in COSTS}


def test_the_front_is_what_can_be_told(family: Family) -> None:
    """Better by the verdict or cheaper by the intervals; what overlaps is neither on nor off."""
    runs = family(lstm=8.5, gru=8.0, rnn=9.0)
    apart = table_of(timed(runs, lstm=blocks(3e-5), gru=blocks(2e-5), rnn=blocks(1e-5)))
    assert {"gru": "front", "lstm": "beaten", "rnn": "front"} == places(
        apart, "step_seconds", apart.able
    )
    alike = table_of(timed(runs, lstm=blocks(2.02e-5), gru=blocks(2e-5), rnn=blocks(1e-5)))
    assert {"gru": "front", "lstm": "open", "rnn": "front"} == places(
        alike, "step_seconds", alike.able
    )
    untimed = table_of(runs)  # each trial's own time tells nothing
    assert {"gru": "front", "lstm": "open", "rnn": "open"} == places(
        untimed, "step_seconds", untimed.able
    )


def test_the_front_of_scores_that_are_not_told_apart(family: Family) -> None:
    """The cheapest is on it; of the others nobody knows."""
    table = table_of(
        timed(family(seeds=range(3), lstm=8.5, gru=8.4), lstm=blocks(3e-5), gru=blocks(1e-5))
    )
    assert {"gru": "front", "lstm": "open"} == places(table, "step_seconds", table.able)


def test_equal_counts_and_a_better_score(family: Family) -> None:
    """Counts are exact: of two with the same number the better one beats the other."""
    same_size = {"parameters": 1000}
    table = table_of(family(fields=same_size, lstm=8.5, gru=8.0))
    assert {"gru": "front", "lstm": "beaten"} == places(table, "parameters", table.able)
    same = table_of(family(fields=same_size, lstm=8.0, gru=8.0))
    assert {"open"} == set(places(same, "parameters", same.able).values())


def test_the_picture_says_what_cannot_be_told(family: Family) -> None:
    runs = family(lstm=8.5, gru=8.0, rnn=9.0)
    table = table_of(timed(runs, lstm=blocks(2.02e-5), gru=blocks(2e-5), rnn=blocks(1e-5)))
    picture = costs_picture(table, looks(item.label for item in table.able))
    assert picture is not None
    latency = "latency of a step, batch 1"
    assert f"Nothing beats in both score and {latency}: gru, rnn." in picture.alternative
    assert f"in both score and {latency} cannot be told: lstm." in picture.alternative
