"""Numbers as a table has them."""

from __future__ import annotations

import math

import pytest

from seqbench.reporting.numbers import amount, p_value, percentage, quantity, score


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.5, "8.500"),
        (0.66666, "0.667"),
        (1234.5, "1,234"),
        (0.0123456, "0.0123"),
        (0.00017, "0.000170"),
        (3e-9, "3e-09"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (-0.00012, "-0.000120"),
        (math.nan, "-"),
        (-math.inf, "-inf"),
    ],
)
def test_scores(value: float, text: str) -> None:
    assert text == score(value, value)


@pytest.mark.parametrize(
    ("value", "level", "text"),
    [
        (0.1, 8.5, "0.1000"),
        (-0.1, 1234.5, "-0.1"),
        (0.00001, 8.5, "1e-05"),  # not 0.0000: it is a difference
        (-0.00001, 8.5, "-1e-05"),
        (0.0, 8.5, "0.0000"),
        (-0.0, 8.5, "0.0000"),
        (0.00002, 0.00017, "0.0000200"),
        (math.nan, 8.5, "-"),
    ],
)
def test_differences(value: float, level: float, text: str) -> None:
    assert text == amount(value, level)


def test_p_values_and_quantities() -> None:
    assert ["1.00", "0.31", "0.050", "0.002", "1.0e-04", "-"] == [
        p_value(p) for p in (1.0, 0.312, 0.05, 0.00195, 1e-4, math.nan)
    ]
    assert "1.25 M" == quantity(1_250_000)
    assert "340 µs" == quantity(340e-6, "s")
    assert "512 B" == quantity(512, "B")
    assert "-" == quantity(math.nan, "s")


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.2589, "26%"),
        (0.95, "95%"),
        (0.9944, "99.44%"),
        (0.0106, "1.1%"),
        (0.018, "1.8%"),
        (0.0004, "0.04%"),
        (math.nan, "-"),
    ],
)
def test_a_rate_has_the_digits_that_count(rate: float, text: str) -> None:
    assert text == percentage(rate)
