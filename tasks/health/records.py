"""Patients' records as arrays, and the examples that are made of them.

No name, number or date of a patient goes further than the functions that read them: a patient is a
position in these arrays, and a group is an opaque hash.

Legend of shapes: P patients, N steps of all patients end to end, F variables, S static features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seqbench.api import Example, Splits
from seqbench.errors import Refused
from seqbench.tasks._archive import Arrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDS = 5
VALID_SHARE = 5
"""One in so many of a fold's groups that are not for test is for validation."""
TRAIN, VALID, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False, repr=False)
class Records:
    """The records of a set of patients.

    Args:
        lengths: ``[P]``, steps of each patient, at least 1.
        times: ``[N]``, ascending within a patient; any unit.
        values: ``[N, F]``, NaN where a variable was not measured.
        labels: ``[N]``, 0 or 1 at a step that has a label, else NaN. A label of the whole patient
            stands at the last step.
        static: ``[P, S]``, NaN where unknown.
        groups: ``[P]``, what a split keeps together: an opaque hash of the patient, or of the set
            of patients that were matched to each other.
        variables: ``[F]`` names.
        statics: ``[S]`` names.
    """

    lengths: Integers
    times: Floats
    values: Floats
    labels: Floats
    static: Floats
    groups: NDArray[np.str_]
    variables: NDArray[np.str_]
    statics: NDArray[np.str_]

    @property
    def starts(self) -> Integers:
        """``[P]``: each patient's first step."""
        starts: Integers = np.cumsum(self.lengths) - self.lengths
        return starts

    @property
    def patients(self) -> Integers:
        """``[N]``: whose step it is."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def only(self, steps: NDArray[np.bool_]) -> Records:
        """Return the records of some steps ``[N]``; a patient left with none is left out."""
        lengths = np.bincount(self.patients[steps], minlength=len(self.lengths))
        kept = lengths > 0
        return Records(
            lengths=lengths[kept],
            times=self.times[steps],
            values=self.values[steps],
            labels=self.labels[steps],
            static=self.static[kept],
            groups=self.groups[kept],
            variables=self.variables,
            statics=self.statics,
        )

    def arrays(self) -> Arrays:
        """Return the arrays by name, for a cache; ``Records(**arrays)`` is their inverse."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Grid(NamedTuple):
    """Measurements as steps of patients."""

    patients: NDArray[Any]
    """``[P]``, ascending: what stood for them in the measurements."""
    lengths: Integers
    """``[P]``."""
    times: Floats
    """``[N]``."""
    values: Floats
    """``[N, F]``, NaN where nothing was measured."""


def to_grid(
    patients: NDArray[Any],
    times: NDArray[Any],
    variables: NDArray[np.str_],
    values: Floats,
    columns: NDArray[np.str_],
) -> Grid:
    """Return measurements with a step for each of a patient's distinct times.

    Args:
        patients: of each measurement, as are the next three.
        times: any unit.
        variables: their names.
        values: several of one patient, time and variable are averaged; NaN makes a step and is no
            measurement.
        columns: ``[F]``, the variables in the order of the values' columns.
    """
    order = np.lexsort((times, patients))
    new_patient = np.diff(patients[order], prepend=patients[order[:1]]) != 0
    new_step = new_patient | (np.diff(times[order], prepend=times[order[:1]]) != 0)
    new_patient[:1] = new_step[:1] = True
    steps = np.empty(len(order), dtype=np.int64)
    steps[order] = np.cumsum(new_step) - 1
    firsts = order[new_step]  # a measurement of each step
    kept, lengths = np.unique(patients[firsts], return_counts=True)
    known = ~np.isnan(values)
    sorter = np.argsort(columns)
    column = sorter[np.searchsorted(columns, variables[known], sorter=sorter)]
    cells = steps[known] * len(columns) + column
    size = len(firsts) * len(columns)
    sums, counts = np.bincount(cells, values[known], size), np.bincount(cells, minlength=size)
    with np.errstate(invalid="ignore"):
        means = (sums / counts).reshape(len(firsts), len(columns))
    return Grid(kept, lengths, times[firsts].astype(float), means)


def opaque_groups(names: Sequence[str], *contents: NDArray[Any]) -> NDArray[np.str_]:
    """Return a hash for each name, 16 hexadecimal digits.

    The records themselves are the key: without them nobody can find a name by trying all.

    Args:
        names: of patients, or of sets of them.
        contents: the records.
    """
    key = hashlib.sha256()
    for array in contents:
        key.update(np.ascontiguousarray(array).tobytes())
    secret = key.digest()
    return np.array(
        [hashlib.blake2b(name.encode(), key=secret, digest_size=8).hexdigest() for name in names]
    )


def assign_parts(records: Records, fold: int, split_seed: int) -> Integers:
    """Return the part of each patient in a fold, ``[P]`` of TRAIN, VALID and TEST.

    Units are sorted by their positive labels, then their labels, then a hash, and dealt out in
    turn, so that folds are alike in both: one in :data:`FOLDS` is for test, and of the others one
    in :data:`VALID_SHARE` for validation. Each group is for test in one fold.

    Args:
        records: of all patients.
        fold: 0 to :data:`FOLDS` - 1.
        split_seed: another number, another deal.
    """
    groups, of_patient = np.unique(records.groups, return_inverse=True)
    of_step = of_patient.ravel()[records.patients]
    positives = np.bincount(of_step, np.nan_to_num(records.labels), len(groups))
    labels = np.bincount(of_step, ~np.isnan(records.labels), len(groups))
    draws = [hashlib.sha256(f"{split_seed}\0{group}".encode()).hexdigest() for group in groups]
    dealt = np.lexsort((np.array(draws), -labels, -positives))
    parts = np.full(len(groups), TRAIN)
    is_test = np.arange(len(groups)) % FOLDS == fold
    parts[dealt[is_test]] = TEST
    parts[dealt[~is_test][::VALID_SHARE]] = VALID
    of_patients: Integers = parts[of_patient.ravel()]
    return of_patients


def check_parts(records: Records, parts: Integers, fold: int) -> None:
    """Refuse parts, from :func:`assign_parts`, of which one lacks positive or negative labels.

    Raises:
        Refused: there is such a part.
    """
    of_step = parts[records.patients]
    for part, name in ((TRAIN, "training"), (VALID, "validation"), (TEST, "test")):
        for label, word in ((1, "positive"), (0, "negative")):
            if not (records.labels[of_step == part] == label).any():
                raise Refused(
                    f"task.source: fold {fold} has no {word} label for {name};"
                    " try another task.split_seed, or more patients"
                )


def carried_forward(records: Records) -> tuple[Floats, Floats]:
    """Return the last known values and the time since they were measured, ``[N, F]`` both.

    The values are NaN before the first measurement. The time is that of Che et al. (2018): from the
    last measurement before the step, or the patient's first step if there was none, to the step;
    so it says how old the value before this one is, 0 at the first step.
    """
    steps = np.arange(len(records.times))[:, None]
    starts = records.starts[records.patients][:, None]
    measured = np.where(np.isnan(records.values), -1, steps)
    latest = np.maximum.accumulate(measured, axis=0)
    known = latest >= starts
    values = np.where(known, np.take_along_axis(records.values, latest.clip(0), axis=0), np.nan)
    before = np.maximum(np.concatenate([latest[:1], latest[:-1]]), starts)
    before = np.minimum(before, steps)  # at the very first step nothing comes before
    return values, records.times[:, None] - records.times[before]


def make_splits(
    records: Records, parts: Integers, online: bool, flags: NDArray[np.bool_] | None = None
) -> Splits:
    """Return the examples of a fold; whatever is estimated comes from the training patients.

    Values are the last known ones, and before the first measurement the mean of the training
    patients' measurements. A variable that these never have, or in which they do not differ, is 0
    throughout: nothing can be learnt of it, and its scale is not known. ``delta`` is counted in the
    training patients' median time between two steps, so that it is about 1 whatever the unit of
    time. Static features are standardised, and 0 likewise; where some patient's are unknown they
    are 0, and a column of their own, 0 or 1, says which. Patients without a label are left out.

    Args:
        records: of all patients.
        parts: ``[P]``, from :func:`assign_parts`.
        online: whether steps have labels; else the patient has.
        flags: ``[S]``, of which static features a column says where they are unknown; None: of
            those that are unknown of some patient.
    """
    in_train = parts == TRAIN
    train_steps = in_train[records.patients]
    filled, delta = carried_forward(records)
    means = known_mean(records.values[train_steps])
    values = np.where(np.isnan(filled), means, filled)
    values[:, ~_varies(records.values[train_steps])] = 0
    delta /= _median_gap(records, train_steps)
    ends = records.starts + records.lengths - 1
    labels = records.labels if online else records.labels[ends]
    target = torch.from_numpy(np.nan_to_num(labels)).float()
    lengths = records.lengths.tolist()
    columns = [
        torch.split(_floats(values), lengths),
        torch.split(target, lengths) if online else target.unbind(),
        torch.split(torch.from_numpy(~np.isnan(labels)), lengths)
        if online
        else [None] * len(lengths),
        torch.split(torch.from_numpy(~np.isnan(records.values)), lengths),
        torch.split(_floats(delta), lengths),
        _floats(_standardised(records.static, in_train, flags)).unbind(),
    ]
    has_static = records.static.shape[1] > 0
    has_label = np.bincount(records.patients, ~np.isnan(records.labels)) > 0
    parted: tuple[list[Example], ...] = ([], [], [])
    order = np.argsort(records.groups, kind="stable")
    for patient in order[has_label[order]].tolist():
        steps, targets, mask, observed, since, static = (column[patient] for column in columns)
        example = Example(
            values=steps,
            targets=targets,
            target_mask=mask,
            observed=observed,
            delta=since,
            static=static if has_static else None,
            group=str(records.groups[patient]),
        )
        parted[parts[patient]].append(example)
    return Splits(*parted)


def known_mean(values: Floats) -> Floats:
    """Return the mean of each column's numbers, 0 where a column has none."""
    known = ~np.isnan(values)
    means: Floats = np.nansum(values, axis=0) / known.sum(axis=0).clip(1)
    return means


def _varies(values: Floats) -> NDArray[np.bool_]:
    """Return which columns have two numbers that differ."""
    known = ~np.isnan(values)
    low = values.min(axis=0, initial=np.inf, where=known)
    varies: NDArray[np.bool_] = values.max(axis=0, initial=-np.inf, where=known) > low
    return varies


def _median_gap(records: Records, chosen: NDArray[np.bool_]) -> float:
    """Return the median time between two steps in a row of some patients, 1 if there are none."""
    follows = np.ones(len(records.times), dtype=bool)
    follows[records.starts] = False
    gaps = np.diff(records.times, prepend=records.times[0])[follows & chosen]
    return float(np.median(gaps)) if len(gaps) else 1.0


def _standardised(
    static: Floats, in_train: NDArray[np.bool_], flags: NDArray[np.bool_] | None
) -> Floats:
    unknown = np.isnan(static)
    flagged = unknown.any(axis=0) if flags is None else flags
    means = known_mean(static[in_train])
    spread = np.sqrt(known_mean((static[in_train] - means) ** 2))
    varies = _varies(static[in_train])  # of equal numbers the spread may not come out as 0
    scaled = np.where(unknown | ~varies, 0.0, (static - means) / np.where(varies, spread, 1.0))
    return np.concatenate([scaled, unknown[:, flagged]], axis=1)


def _floats(array: Floats) -> torch.Tensor:
    return torch.from_numpy(array).float()
