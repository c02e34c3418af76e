"""What a report says beside its tables: warnings, what a reader must know, titles."""

from __future__ import annotations

from seqbench.errors import listed as named
from seqbench.records import GOES_ON, left_out_lines, some
from seqbench.reporting.budgets import same_budget
from seqbench.reporting.overview import Overview
from seqbench.reporting.table import MOST_PAIRED, Table
from seqbench.reporting.variant import NOT_AUDITED, PASSED
from seqbench.reporting.wording import listed, new_groups

_MOST_FAILURES = 20  # lines below a table


def badge(table: Table) -> str:
    """Return a word of warning; empty if none is due."""
    if table.is_smoke:
        return "smoke run"
    if table.is_lost:
        return "not compared"
    if table.able and not table.is_audited:
        return "not audited"
    if table.ranked and table.is_exploratory:
        return "exploratory"
    return "one model" if len(table.able) < 2 else ""


def failure_lines(table: Table) -> list[str]:
    """Return why trials of a table have no score, a line for each variant and reason."""
    found = []
    for item in table.variants:
        reasons: dict[str, list[int]] = {}
        for trial in item.trials:
            if not trial.is_scored:
                why = f"{trial.status}: {trial.reason}" if trial.reason else trial.status
                if trial.status == "KILLED":
                    why += f"; the same command {GOES_ON}"
                reasons.setdefault(why, []).append(trial.seed)
        for why, of_seeds in reasons.items():
            found.append(f"{item.label}, seed {named(map(str, of_seeds), 60)}: {why}")
    return found


def table_notes(table: Table, *, left_out: bool = True) -> list[str]:
    """Return what a reader must know of a table.

    Args:
        table: of a report.
        left_out: whether that includes what of the data was left out, in short.
    """
    notes = []
    if any(pair.interval.low <= pair.interval.high for pair in table.pairs.values()):
        notes.append(
            f"Intervals on {new_groups(table)} are of models trained again on this training set. "
            f"They assume that no rare {table.group or 'group'} decides."
        )
    if table.margin is not None:
        notes.append(
            f"The smallest difference worth having is {table.margin.amount:.3g} "
            f"{table.metric.unit or table.metric.name}: {table.margin.reason}."
        )
    if left_out:
        notes += [f"Left out of the data: {line}" for line in left_out_lines(table.left_out)]
    if table.wanted and table.control:
        control = next(item for item in table.variants if item.label == table.control)
        if table.wanted not in (control.label, control.model):
            notes.append(
                f"control={table.wanted} is not ranked here: compared with {control.label}."
            )
    if table.is_large:
        notes.append(
            f"Of more than {MOST_PAIRED} variants each is compared with the control alone."
        )
    more = "{} more lines of failures; results.csv has the reason of each trial."
    notes += some(failure_lines(table), _MOST_FAILURES, more)
    for item in table.able:
        if item.audit not in (PASSED, NOT_AUDITED):
            notes.append(f"{item.label}, audit {item.audit}.")
    gaps = [trial for trial in table.trials if trial.gap]
    if gaps:
        notes.append(
            f"{len(gaps)} run{'s' * (len(gaps) > 1)} cannot be read in full, for example "
            f"{gaps[0].short}: {gaps[0].gap}; the same command with rerun=always makes "
            f"{'them' if len(gaps) > 1 else 'it'} anew."
        )
    changed = [item for item in table.variants if any(t.uncommitted for t in item.trials)]
    if changed:
        count = sum(bool(trial.uncommitted) for trial in table.trials)
        notes.append(
            f"{count} of {len(table.trials)} trials were trained with uncommitted changes: "
            f"{listed(changed)}."
        )
    if not same_budget(trial.tuning for trial in table.trials):
        notes.append("Not all were tuned with the same budget: each run says how it was.")
    return notes


def overview_title(item: Overview) -> str:
    """Return the heading of an overview."""
    extra = ", predictions that see what comes after" if item.two_sided else ""
    return f"Across {len(item.tables)} tasks{extra}"


def overview_explanation(item: Overview) -> str:
    """Return what an overview's numbers are of."""
    names = "; ".join(
        f"{table.name}, 0 is {table.trivial_baseline[0]}"
        for table in item.tables
        if table.trivial_baseline is not None
    )
    text = (
        "Scores are normalised for each task: its weakest simple predictor is 0, the best score "
        f"seen is 1. Tasks: {names}."
    )
    if item.left_out:
        missing = "; ".join(f"{model} ({why})" for model, why in item.left_out.items())
        text += f" Left out, as incomplete: {missing}."
    return text
