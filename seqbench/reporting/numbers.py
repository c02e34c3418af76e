"""Numbers as a table has them: as many digits as mean something."""

from __future__ import annotations

import math

NONE = "-"
"""What stands where nothing is known."""


def finite(value: float) -> float | None:
    """Return a number; None if it is not finite."""
    return value if math.isfinite(value) else None


def score(value: float, level: float) -> str:
    """Return a score with four significant digits; three decimals at most from 0.1 on.

    Args:
        value: the score.
        level: a score of the same table.
    """
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    return _rounded(value, _decimals(level))


def amount(value: float, level: float) -> str:
    """Return a difference or spread with a digit more than the scores beside it.

    Args:
        value: the difference.
        level: a score of the same table.
    """
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    return _rounded(value, _decimals(level) + 1)


def _decimals(level: float) -> int:
    magnitude = math.floor(math.log10(abs(level))) if level and math.isfinite(level) else 0
    if magnitude < -1:
        return min(_FINEST, 2 - magnitude)
    return min(3, max(0, 3 - magnitude))


_FINEST = 6  # decimals


def _rounded(value: float, decimals: int) -> str:
    """Return a number with so many decimals; one that they would make 0 has a digit of its own."""
    if value and not round(value, decimals):
        return f"{value:.0e}"
    return f"{value + 0.0:,.{decimals}f}"  # -0.0 is 0


def p_value(p: float) -> str:
    """Return a p-value: two significant digits, three decimals at least."""
    if math.isnan(p):
        return NONE
    if p >= 0.0995:
        return f"{p:.2f}"
    return f"{p:.3f}" if p >= 0.0005 else f"{p:.1e}"


def share(value: float) -> str:
    """Return a probability as a percentage."""
    return NONE if math.isnan(value) else f"{value:.0%}"


def percentage(value: float) -> str:
    """Return a rate as a percentage, exact to a twentieth of what is left to 0% or 100%."""
    if math.isnan(value):
        return NONE
    for decimals in (0, 1, 2):
        text = f"{value:.{decimals}%}"
        if abs(value - round(value, decimals + 2)) <= 0.05 * min(value, 1 - value):
            return text
    return f"{value:.2%}"


def quantity(value: float, unit: str = "") -> str:
    """Return a cost with three significant digits and a prefix: ``1.25 M``, ``340 µs``.

    Args:
        value: the cost.
        unit: ``s`` for seconds, ``B`` for bytes (powers of 1024), or another; empty for a count.
    """
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    steps: list[tuple[float, str]]
    if unit == "B":
        steps = [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
    elif unit == "s":
        steps = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]
    else:
        steps = [(1e12, f"T{unit}"), (1e9, f"G{unit}"), (1e6, f"M{unit}"), (1e3, f"k{unit}")]
        steps.append((1.0, unit))
    size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    scaled = value / size
    digits = 0 if not scaled else max(0, 2 - math.floor(math.log10(abs(scaled))))
    whole = size == 1 and unit != "s" and float(value).is_integer()
    return f"{scaled:,.{0 if whole else digits}f} {name}".rstrip()
