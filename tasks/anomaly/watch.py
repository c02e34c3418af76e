"""A smartwatch on the wrist: stretches of another exercise within one exercise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from seqbench.api import DataNames, LeftOut
from seqbench.config import values
from seqbench.config.userdata import UserData
from seqbench.errors import did_you_mean
from seqbench.tasks.anomaly.drawing import draw_series
from seqbench.tasks.anomaly.folder import Folder
from seqbench.tasks.anomaly.forecasting import ForecastTask
from seqbench.tasks.anomaly.recordings import (
    CHANNELS,
    EXERCISES,
    RATE,
    Recordings,
    load_recordings,
    watch_parts,
)
from seqbench.tasks.anomaly.series import Parts, Steps
from seqbench.tasks.anomaly.tables import Columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WATCH_STEPS = Steps(window=50, hop=10, train_hop=50, crop=10)
"""A second; training recordings come in copies that begin later, so each is read once."""
BUFFER = 100
"""Largest width of VUS-PR's buffer, in samples."""
SPAN = 100
"""Samples that the detector window_mahalanobis looks at."""
SOURCE_CROP = 50
"""Steps of a training sequence of a user's series."""
LEAD = 0.3
"""Share of a user's rows that lead, unless told otherwise."""


class Watch(ForecastTask):
    """Find where somebody doing one exercise does another, having seen the one exercise only.

    The data are 140 recordings of a smartwatch's acceleration and angular velocity, six channels at
    50 Hz: 10 subjects, 7 shoulder exercises (PEN, ABD, FEL, IR, ER, TRAP, ROW), left and right,
    read from the pinned wheel seglearn 1.2.5. Three stretches of 100 to 200 samples from another
    exercise of the same subject and side are spliced into each test recording. They replace the
    samples there, and are at least 100 samples from each other and from the ends. Hashes determine
    lengths, places and exercises, so the data are the same everywhere. About a quarter of the test
    samples are anomalous.

    The protocol. A step is one second. Its 18 features are, per channel, the mean, the logarithm of
    the standard deviation, and the logarithm of the standard deviation of differences between
    samples. A model forecasts a step's features from the steps before it (a bidirectional model
    also from the steps after it) as a multivariate Student-t distribution. The loss and the monitor
    are its NLL, in nats per feature. A recording is read five times, from samples 0, 10, ..., 40
    on. A sample's score is the mean NLL of the five seconds that contain it, or of fewer at a
    recording's ends; at most nine last samples are in none and do not count. There is no other
    smoothing and no threshold. A training recording is also used five times: unchanged, and four
    times rotated by about 8 degrees, as if the watch sat differently. Detectors are fitted to the
    same data. Each exercise has its own model (``fold``), and scores are means over the seven.
    VUS-PR's buffer is at most 100 samples wide, the length of the shortest splice.

    Split. Subjects 1 to 5 are for training and subject 6 is for validation, without splices;
    subjects 7 to 10 are for test. Window, features, distribution and rotations were chosen on
    splices among subjects 1 to 6 only (``docs/recipes/anomaly-exploration.csv``), epochs and
    recipes by the NLL of subject 6's normal movement. The test splices were not used for any
    choice.

    Leaks that remain. Pairs of subjects moved in time with each other (1 and 2, 3 and 4, 5 and 6,
    some of 7 to 10), as if they had trained together, so the validation subject is easier than a
    test subject. A splice begins and ends with a jump, which reveals single samples. A splice is a
    whole other exercise; there are no faint anomalies. The statistics of a single second contain
    most of the signal: the baselines ``static``, the best forecast that ignores the past, and
    ``statistics_mahalanobis`` show how much.

    Args:
        source: null for the watch, or a folder of CSV files, or one: columns of values, a column of
            labels 0 or 1, perhaps one of times (TSB-AD, SKAB and the like); or without labels, with
            NAB's ``combined_windows.json`` in the folder, below it, in one of the three above it,
            or in ``labels`` in one of these. Columns are separated by commas, semicolons or tabs;
            where it is not commas, decimal commas are read. Rows are in the order of time, which is
            checked where there are times. A missing value is the one before it. Each file is a
            fold, in the order of names, with a model of its own. Its leading rows train, the last
            quarter of them validates, and labelled rows among them do not count; the rest is for
            test. Files without labels, with too few leading rows, or in whose rest there is no
            anomaly cannot be scored: they are left out and listed. A file that cannot be read stops
            the trial, unless ``skip_bad``.
        fold: of the watch, the exercise, 0 to 6 or its name, PEN; of a source, the file, by its
            number among all that are found, or by its name, ``nyc_taxi`` or
            ``realKnownCause/nyc_taxi.csv``; ``all``: each in turn.
        window: samples of a step, of a source: 1 forecasts the values themselves, more their
            statistics as above, of steps that begin every fifth of a step. null is 1. The watch's
            is fixed, 50.
        buffer: largest width of VUS-PR's buffer, of a source, in samples; null is 100. TSB-AD uses
            each series' period. The watch's is fixed, 100.
        lead: leading rows of a file, of a source: a share below 1, or a number of rows. NAB's is
            0.15, SKAB's 400. Where a file's name says ``_tr_n_``, as TSB-AD's do, it is n.
        label: a source's column of labels; null: one named label, labels, anomaly, is_anomaly or
            outlier.
        time: a source's column of times, which is no value; null: one named timestamp, datetime,
            date, time, ts, epoch or the like, whatever its capitals and marks (Date_Time). Numbers
            are read, ISO times, and dates with month or day first.
        drop: columns of a source that are no values, for example of text: ``[note,operator]``;
            null: none.
        skip_bad: whether files of a source that cannot be read are left out, and listed, where
            others can.
    """

    smallest_difference = (0.01, "a quarter of what the best simple predictor leaves to be gained")
    version = "1"
    beside_source = (
        "labels/combined_windows.json",
        "combined_windows.json",
        "../labels/combined_windows.json",
        "../combined_windows.json",
        "../../labels/combined_windows.json",
        "../../combined_windows.json",
    )
    source_name_counts = True
    title_parameters = ("fold",)
    citation = (
        "D. M. Burns, N. Leung, M. Hardisty, C. Whyne, P. Henry, S. McLachlin, Shoulder"
        " physiotherapy exercise recognition: machine learning the inertial signals from a"
        " smartwatch, Physiological Measurement 39, 2018 (recordings); J. Paparrizos et al., Volume"
        " under the surface, PVLDB 15, 2022 (measure)"
    )
    licence = "BSD 3-Clause (seglearn). Fetched and cached on your machine."
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "70 recordings of 5 subjects, each in 5 copies",
        "valid": "14 recordings of 1 subject",
        "test": "56 recordings of 4 subjects, 104,474 samples, 23.6% of them in a splice",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "constant": 0.315,
        "random": 0.316,
        "z_score": 0.685,
        "mahalanobis": 0.705,
        "window_mahalanobis": 0.896,
        "statistics_mahalanobis": 0.937,
        "static": 0.959,
    }

    def __init__(
        self,
        *,
        source: str | None = None,
        fold: int | str = "all",
        window: int | None = None,
        buffer: int | None = None,
        lead: float = LEAD,
        label: str | None = None,
        time: str | None = None,
        drop: Sequence[str] | None = None,
        skip_bad: bool = False,
    ) -> None:
        if source is not None and not source.strip():
            raise ValueError("task.source must be a path or null, not empty")
        if source is None:
            fold = _exercise(fold)
            changed = None if lead == LEAD else lead
            given: dict[str, object] = {"window": window, "buffer": buffer, "lead": changed}
            given |= {"label": label}
            given |= {"time": time, "drop": drop, "skip_bad": skip_bad or None}
            for name, value in given.items():
                if value is not None:
                    shown = values.show(value) if isinstance(value, bool | list) else value
                    raise ValueError(
                        f"task.{name}={shown} needs a task.source: the watch's protocol is fixed"
                    )
        elif isinstance(fold, bool) or (isinstance(fold, int) and fold < 0) or fold == "":
            raise ValueError(f"task.fold must be a file's number or name, or all, not {fold!r}")
        for name in drop or ():
            if name in (label, time):
                raise ValueError(f"task.drop names '{name}', which is also task.label or task.time")
        if window is not None and window < 1:
            raise ValueError(f"task.window must be at least 1 sample, not {window}")
        if window in (2, 3):
            raise ValueError(
                f"task.window={window} is too short for statistics; it must be 1, or 4 or more"
            )
        if buffer is not None and buffer < 0:
            raise ValueError(f"task.buffer must be at least 0 samples, not {buffer}")
        if not 0 < lead < math.inf:
            raise ValueError(f"task.lead must be a share above 0 or a number of rows, not {lead:g}")
        size = 1 if window is None else window
        hop = max(1, size // 5)
        steps = WATCH_STEPS if source is None else Steps(size, hop, hop, SOURCE_CROP)
        super().__init__(steps, source is None, BUFFER if buffer is None else buffer, SPAN)
        self._fold = fold
        self._folder = None
        if source is not None:
            data = UserData(Path(source).expanduser(), skip_bad)
            self._folder = Folder(data, Columns(label, time, drop or ()), lead, size)
        self._recordings: Recordings = {}

    def prepare(self) -> None:
        """Fetch, parse and cache the recordings, or read ``source``.

        Raises:
            Refused: the data are missing or damaged, or the cache folder cannot be written.
        """
        if self._folder is not None:
            self._folder.prepare(None if self._fold == "all" else self._fold)
        elif not self._recordings:
            self._recordings = load_recordings()

    def folds(self) -> tuple[int, ...]:
        """Return the exercises, or the files of a source that can be scored."""
        if self._folder is not None:
            return self._folder.folds()
        return tuple(range(len(EXERCISES))) if self._fold == "all" else (int(self._fold),)

    def names(self, fold: int = 0) -> DataNames:
        """Return an exercise and the watch's channels, or a file's name and its columns."""
        if self._folder is not None:
            return self._folder.names(fold)
        return DataNames(EXERCISES[fold], CHANNELS)

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read the columns of a source's files in the order in which a model knows them."""
        if self._folder is not None:
            self._folder.expect(kept)

    def left_out(self) -> Sequence[LeftOut]:
        """Return the files of a source that are not scored."""
        return () if self._folder is None else tuple(self._folder.left_out)

    def load_parts(self, fold: int) -> Parts:
        """Return the recordings of one exercise, or the parts of one file."""
        if self._folder is not None:
            return self._folder.parts(fold)
        return watch_parts(self._recordings, fold)

    def picture(self, figure: Figure) -> str:
        """Draw a test series: the watch's acceleration, or a source's first channels."""
        fold = self.folds()[0]
        series = self.parts(fold).test[0]
        if self._folder is not None:
            rows = np.arange(len(series.values))
            names = self.names(fold).inputs[:3]
            draw_series(figure, series, rows, "row of the test part", names)
            return f"The first values of {series.group}; anomalies are shaded."
        seconds = np.arange(len(series.values)) / RATE
        draw_series(figure, series, seconds, "seconds", [f"{name} (g)" for name in CHANNELS[:3]])
        name = EXERCISES[fold]
        return f"A test recording of {name}, acceleration; splices of other exercises are shaded."


def _exercise(fold: int | str) -> int | str:
    """Return the number of an exercise that may be given by its name.

    Raises:
        ValueError: there is none.
    """
    if fold == "all":
        return fold
    if isinstance(fold, str) and fold.upper() in EXERCISES:
        return EXERCISES.index(fold.upper())
    if isinstance(fold, bool) or fold not in range(len(EXERCISES)):
        hint = did_you_mean(str(fold), EXERCISES)
        raise ValueError(
            f"task.fold must be 0..{len(EXERCISES) - 1}, {', '.join(EXERCISES)} or all, not"
            f" {fold}{hint}"
        )
    return fold
