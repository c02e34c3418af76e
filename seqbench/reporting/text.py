"""Numbers and names as a person reads them. Nothing heavy is imported."""

from __future__ import annotations

import re

from seqbench.records import MetricInfo


def slug(name: str) -> str:
    """Return a name as a part of a link or of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")[:60]


def with_unit(metric: MetricInfo) -> str:
    """Return a metric's name with its unit in brackets, if it has one."""
    return f"{metric.name} [{metric.unit}]" if metric.unit else metric.name


def with_direction(metric: MetricInfo) -> str:
    """Return a metric's name and unit, and which way is better."""
    better = "smaller" if metric.direction == "min" else "larger"
    return f"{with_unit(metric)}, {better} is better"


def duration(seconds: float) -> str:
    """Return a time as a person reads it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
