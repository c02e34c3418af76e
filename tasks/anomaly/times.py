"""Columns of times: which they are, how they are read, and whether they are in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "timestamp", "datetime", "datestamp", "ts", "timestamps", "datetimes", "utctimestamp",
    "timestamputc", "utcdatetime", "datetimeutc", "timestampms", "epoch", "epochtime", "epochms",
    "unixtime", "unixtimestamp", "posixtime", "date", "dates", "dateutc", "time", "times", "utc",
    "utctime", "timeutc", "localtime", "timelocal", "eventtime", "sampletime", "recordtime",
    "measuredat", "recordedat", "timems", "timesec", "timeseconds", "timeindex", "elapsed",
    "elapsedtime", "", "unnamed0",
)  # fmt: skip
"""Of columns of times, in small letters without marks, nor what stands in brackets, a unit. The
first that a file has tells the order of its rows; the last two are a table's index."""
FORMS = "2020-03-09 10:20:30, 3/9/2020 10:20, 9-Mar-2020, 10:20:30 and numbers"
"""Times that are read, for a message."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = ((1e8, 1e11, 1e6), (1e11, 1e14, 1e3), (1e14, 1e17, 1.0), (1e17, 1e20, 1e-3))
"""Numbers from, numbers below, microseconds of each: seconds, and thousandths of what was before;
any day since 1973 is in one of them."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2})?"
)
_MOMENT = re.compile(
    rf"(?P<a>\d{{1,4}})(?P<mark>[-/. ])(?P<b>\d{{1,2}}|[a-z]{{3,9}})(?P=mark)(?P<c>\d{{1,4}})"
    rf"(?:[t, ]\s*{_CLOCK})?",
    re.IGNORECASE,
)
_TIME_OF_DAY = re.compile(_CLOCK, re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


class Times(NamedTuple):
    """A column of times, as it can be read.

    Args:
        readings: ``[T]`` each: microseconds since 1970, of the day where there is no date, or the
            numbers of the file. Two where day and month cannot be told apart, none where a field
            cannot be read.
        unread: rows that cannot be read.
        plain: whether they are numbers of the file.
    """

    readings: list[NDArray[np.float64]]
    unread: list[int]
    plain: bool = False

    @property
    def ordered(self) -> list[NDArray[np.float64]]:
        """The readings in which no row is earlier than the row before; all, if there are none."""
        found = [times for times in self.readings if not len(backward(times))]
        return found or self.readings


def time_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that are times by their names, in the order of :data:`NAMES`."""
    found = {name: re.sub(r"\(.*?\)|\[.*?\]", "", name.lower()) for name in names}
    bare = {name: re.sub(r"[\W_]", "", text) for name, text in found.items()}
    times = [name for name in found if bare[name] in NAMES and (bare[name] or not name)]
    return sorted(times, key=lambda name: NAMES.index(bare[name]))


def read_times(fields: Sequence[str]) -> Times:
    """Read a column of times: numbers, dates with or without a time, or times of the day.

    Years may come first; of day and month either, as in the United States or elsewhere, unless one
    is told by a number above 12. Of years of two digits those below 70 are of this century. Times
    that say their zone are read as UTC, others as they stand.
    """
    plain = [_number(field) for field in fields]
    unread = [row for row, number in enumerate(plain) if number is None]
    if len(unread) <= len(fields) / 2:
        return Times([] if unread else [np.array(plain, dtype=np.float64)], unread, True)
    iso = [_iso(field) for field in fields]
    if None not in iso:
        return Times([np.array(iso, dtype=np.float64)], [])
    pairs = list(zip(fields, iso, strict=True))
    ways = [
        [_moment(field, day_first) if known is None else known for field, known in pairs]
        for day_first in (False, True)
    ]
    readings = [np.array(way, dtype=np.float64) for way in ways if None not in way]
    if len(readings) == 2 and np.array_equal(readings[0], readings[1]):
        readings.pop()
    missed = [[row for row, time in enumerate(way) if time is None] for way in ways]
    return Times(readings, min(missed, key=len) if not readings else [])


def as_moments(times: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return numbers as microseconds since 1970, where they are seconds, or thousandths, ...

    Args:
        times: ``[T]``, numbers that a file holds.

    Returns:
        None where they are no times since 1970.
    """
    for low, high, microseconds in _UNITS:
        if (times >= low).all() and (times < high).all():
            return times * microseconds
    return None


def backward(times: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows that are earlier than the row before them."""
    return np.flatnonzero(np.diff(times) < 0) + 1


def _number(field: str) -> float | None:
    if _DECIMAL_COMMA.fullmatch(field):
        field = field.replace(",", ".")
    try:
        number = float(field)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _iso(field: str) -> int | None:
    try:
        time = datetime.fromisoformat(field)
        if time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return (time - _EPOCH) // _MICROSECOND


def _moment(field: str, day_first: bool) -> int | None:
    found = _MOMENT.fullmatch(field)
    if found is None:
        of_day = _TIME_OF_DAY.fullmatch(field)
        return None if of_day is None else _clock(of_day)
    clock = 0 if found["hour"] is None else _clock(found)
    a, b, c = found["a"], found["b"], found["c"]
    if not b.isdigit():
        name = b[:3].lower()
        b, day_first = str(_MONTHS.index(name) + 1 if name in _MONTHS else 0), True
    if len(a) == 4:
        year, month, day = a, b, c
    else:
        year, month, day = (c, b, a) if day_first else (c, a, b)
    if clock is None or len(year) not in (2, 4) or len(day) > 2:
        return None
    number = int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900)
    try:
        date = datetime(number, int(month), int(day))
    except ValueError:
        return None
    return (date - _EPOCH) // _MICROSECOND + clock


def _clock(found: re.Match[str]) -> int | None:
    """Return the microseconds since the day began, in UTC where there is a zone."""
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found["half"][0].lower() == "p")
    if hour > 24 or minute > 59 or second > 60:
        return None
    part = int(f"{found['part'] or ''}000000"[:6])
    zone = found["zone"] or "z"
    east = 0
    if zone[0] in "+-":
        east = int(f"{zone[0]}1") * (60 * int(zone[1:3]) + int(zone[-2:]))
    return 1_000_000 * (3600 * hour + 60 * (minute - east) + second) + part
