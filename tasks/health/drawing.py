"""A picture of records that shows nobody: groups of patients alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqbench.tasks.health.records import Records, carried_forward

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_PATIENTS = 10
"""No bar stands for fewer patients."""
MOST_VARIABLES = 20
_COLOURS = {"positive": "#c44e52", "negative": "#4c72b0"}


def draw_groups(figure: Figure, records: Records) -> str:
    """Draw how positive and negative steps differ in each variable, and how often it is measured.

    Returns:
        A sentence that says what is to be seen.
    """
    filled, _ = carried_forward(records)
    measured = ~np.isnan(records.values)
    groups = [records.labels == 1, records.labels == 0]
    patients = [[_patients(records, ~np.isnan(x) & group) for group in groups] for x in filled.T]
    shown = np.min(patients, axis=1) >= LEAST_PATIENTS
    columns = np.flatnonzero(shown)
    means = [np.nanmean(filled[group][:, columns], axis=0) for group in groups]
    spread = np.nanstd(filled[groups[0] | groups[1]][:, columns], axis=0)
    difference = (means[0] - means[1]) / np.where(spread > 0, spread, 1.0)
    order = np.argsort(abs(difference))[-MOST_VARIABLES:]
    rows = np.arange(len(order))
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(rows, difference[order], color="#555555")
    left.axvline(0, color="black", linewidth=0.8)
    left.set_yticks(rows, records.variables[columns][order])
    left.set_xlabel("positive minus negative (standard deviations)")
    for offset, (name, colour), group in zip((0.2, -0.2), _COLOURS.items(), groups, strict=True):
        share = measured[group][:, columns[order]].mean(axis=0)
        right.barh(rows + offset, share, height=0.38, color=colour, label=name)
    right.set_xlabel("share of labelled steps that measure it")
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return (
        "Left: how the last known values of positive and negative steps differ, as the difference"
        " of their means; right: how often each variable is measured at such steps."
    )


def _patients(records: Records, steps: NDArray[np.bool_]) -> int:
    return len(np.unique(records.patients[steps]))
