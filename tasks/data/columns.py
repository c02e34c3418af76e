"""Which columns of a table are what: said by the user, or recognised by their names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seqbench.config.overrides import override_text
from seqbench.config.userdata import Bad
from seqbench.errors import did_you_mean, listed
from seqbench.tasks.data.collection import Problems, shown

ID: tuple[str, ...] = (
    "id",
    "series",
    "series_id",
    "sequence",
    "sequence_id",
    "case",
    "case_id",
    "patient",
)
ID += ("patient_id", "stay_id", "recording", "recording_id", "trial_id", "unique_id")
TIME = (
    "time", "timestamp", "datetime", "date_time", "date", "ts", "step", "t", "time_step",
    "timestep", "ds",
)  # fmt: skip
LABEL = ("label", "labels", "class", "target", "y", "outcome")
ANOMALY = ("anomaly", "is_anomaly", "outlier")
"""Labels too, where they say which steps are anomalous."""
CHANGE = "changepoint"
"""Tells of the same events as SKAB's labels: there it is never a value."""
GROUP = ("group", "groups")
INDEX = ("", "unnamed:_0", "__index_level_0__")
"""A table's own numbers of rows: nothing to learn from."""
MOST_COLUMNS = 20_000


class ColumnChoice(NamedTuple):
    """Which columns are what, as a user says it; None: recognised by name.

    Args:
        id: of the sequence that a row is of.
        time: of the row.
        label: of the sequence or the step.
        group: what a split keeps together.
        drop: columns that are not read.
        forecast: whether the label column is a value too, and found only if it is given.
        anomalies: whether labels say which steps are anomalous.
    """

    id: str | None = None
    time: str | None = None
    label: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    forecast: bool = False
    anomalies: bool = False


@dataclass(frozen=True)
class Roles:
    """The places of columns in a table; None: there is none."""

    id: int | None
    time: int | None
    label: int | None
    group: int | None
    values: tuple[int, ...]
    unused: tuple[tuple[str, str], ...]

    @property
    def texts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """The places of columns that are no values: id, time, label, group."""
        return self.id, self.time, self.label, self.group


def names_in(drop: tuple[str, ...] | str) -> tuple[str, ...]:
    """Return the columns that a parameter names: one, or a list of them."""
    return (drop,) if isinstance(drop, str) else tuple(drop)


def option(name: str, value: str | list[str]) -> str:
    """Return a parameter as it is written in a shell: ``'task.drop=["my column"]'``."""
    return shlex.quote(f"task.{name}={override_text(value)}")


def find_roles(header: Sequence[str], columns: ColumnChoice) -> Roles:
    """Return which column is what.

    Raises:
        Bad: one that was asked for is not there, or several could be meant.
    """
    problems = Problems()
    if len(header) > MOST_COLUMNS:
        raise Bad(f"it has {len(header):,} columns; {MOST_COLUMNS:,} are the most")
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise Bad(f"its header names a column twice: {listed(twice)}")
    for name in columns.drop:
        if name not in header:
            problems.add(_unknown("drop", name, header))
    taken: dict[int, str] = {
        place: "drop" for place, name in enumerate(header) if name in columns.drop
    }
    lower = ["_".join(name.lower().replace("-", " ").split()) for name in header]
    unused = [(f"column {header[place]}", "task.drop leaves it out") for place in taken]
    for place, name in enumerate(lower):
        if name in INDEX and place not in taken:
            taken[place] = "index"
            unused.append((f"column {header[place] or place + 1}", "it numbers the rows"))
        elif columns.anomalies and name == CHANGE and header[place] != columns.label:
            taken.setdefault(place, "label")
            unused.append((f"column {header[place]}", "it is a label of something else"))
    labels = (*LABEL, *ANOMALY) if columns.anomalies else LABEL
    roles: dict[str, int | None] = {}
    for role, known in (("id", ID), ("time", TIME), ("label", labels), ("group", GROUP)):
        given = getattr(columns, role)
        found = [place for place, name in enumerate(lower) if name in known and place not in taken]
        roles[role] = None
        if given is not None:
            if given not in header:
                problems.add(_unknown(role, given, header))
                continue
            roles[role] = header.index(given)
            if role == "label":  # a second label would give the first away
                others = [place for place in found if place != roles[role]]
                taken |= dict.fromkeys(others, "label")
                reason = "it is named like a label"
                unused += [(f"column {header[place]}", reason) for place in others]
        elif len(found) > 1:
            names = [header[place] for place in found]
            problems.add(
                f"the {role} could be the column {' or '.join(names)}; for example"
                f" {option(role, names[0])} {option('drop', names[1:])}"
            )
            taken |= dict.fromkeys(found, role)
        elif found:
            roles[role] = found[0]
        place_of = roles[role]
        if place_of is not None and not (role == "group" and given is not None):
            taken[place_of] = role
        elif place_of is not None:
            taken.setdefault(place_of, role)
    problems.refuse()
    if columns.forecast and columns.label is None and roles["label"] is not None:
        unused.append(
            (
                f"column {header[roles['label']]}",
                "a label is not forecast; task.label says otherwise",
            )
        )
        roles["label"] = None
    values = [place for place in range(len(header)) if place not in taken]
    if columns.forecast and roles["label"] is not None:
        values = sorted({*values, roles["label"]})
        roles["label"] = None
    if roles["time"] is None:
        unused.append(("order of rows", "it is not checked, for there is no column of times"))
    if not values:
        raise Bad(f"it has no column of values; its columns are {listed(header)}")
    return Roles(
        roles["id"], roles["time"], roles["label"], roles["group"], tuple(values), tuple(unused)
    )


def _unknown(role: str, name: str, header: Sequence[str]) -> str:
    hint = did_you_mean(name, header)
    return f"task.{role}: there is no column {shown(name)}{hint}; there are {listed(header)}"
