"""Labelled series as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from seqbench.tasks.anomaly.series import Series
from seqbench.tasks.anomaly.vus import label_ranges

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#2563eb", "#059669", "#7c3aed")
"""Of up to three channels."""


def draw_series(
    figure: Figure,
    series: Series,
    times: NDArray[Any],
    unit: str,
    channels: Sequence[str],
) -> None:
    """Draw the first channels of a series over time, with its anomalies shaded.

    Args:
        figure: empty.
        series: ``[T, C]``.
        times: ``[T]``, numbers, or dates with a unit of which two make a step or more.
        unit: what the time axis says.
        channels: names of the channels that are drawn.
    """
    axes = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
    half = (times[1] - times[0]) / 2
    for number, (axis, name) in enumerate(zip(axes, channels, strict=True)):
        for first, last in label_ranges(series.labels):
            shaded = times[first] - half, times[last] + half
            axis.axvspan(*shaded, color="#fca5a5", alpha=0.6, linewidth=0)
        axis.plot(times, series.values[:, number], color=COLOURS[number], linewidth=0.8)
        axis.set_ylabel(name)
        axis.set_xlim(times[0], times[-1])
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(unit)
