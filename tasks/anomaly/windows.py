"""NAB's labels: ``combined_windows.json``, the first and last time of each anomaly by file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from seqbench.config.userdata import Bad, files_below
from seqbench.errors import Refused, did_you_mean
from seqbench.tasks.anomaly.series import Labels
from seqbench.tasks.anomaly.times import FORMS, Times, as_moments, read_times

FILE = "combined_windows.json"
ABOVE = 3
"""Folders above the source in which, and in whose ``labels``, the file is looked for."""

Window = tuple[float, float]


class Windows:
    """The windows that belong to a source, looked for and read when they are asked for.

    Args:
        source: the folder or file; the file of windows is in it, below it, in one of the three
            folders above it, or in ``labels`` in one of these.
    """

    def __init__(self, source: Path) -> None:
        self._source = Path(os.path.abspath(source))

    @property
    def places(self) -> list[str]:
        """Where the file is looked for, for a message."""
        above = self._source.parents[:ABOVE]
        return [str(self._source), *(str(folder / "labels") for folder in above)]

    @cached_property
    def path(self) -> Path | None:
        """The file; None if there is none."""
        files = files_below(self._source) if self._source.is_dir() else ()
        below = [path for path in files if path.name == FILE]
        if below:
            return min(below, key=lambda path: len(path.parts))
        tried = [
            place / FILE
            for folder in self._source.parents[:ABOVE]
            for place in (folder / "labels", folder)
        ]
        return next((path for path in tried if path.is_file()), None)

    @cached_property
    def by_file(self) -> Mapping[str, Sequence[Window]]:
        """The windows of each file, microseconds since 1970.

        Raises:
            Refused: the file of windows cannot be read.
        """
        if self.path is None:
            return {}
        try:
            contents = json.loads(self.path.read_text(encoding="utf-8-sig"))
            return {
                name: [_window(first, last) for first, last in windows]
                for name, windows in contents.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise Refused(
                f"label windows '{self.path}' cannot be read: {reason}; expected is"
                ' {"folder/file.csv": [["first time", "last time"], ...], ...}'
            ) from error

    def of(self, path: Path) -> Sequence[Window] | None:
        """Return a file's windows, None if there are none.

        It is found by the end of its path, else by its name, if that is there once.

        Raises:
            Refused: the file of windows cannot be read.
        """
        whole = Path(os.path.abspath(path)).as_posix()
        for key, windows in self.by_file.items():
            if whole.endswith(f"/{key}"):
                return windows
        same = [key for key in self.by_file if key.rpartition("/")[2] == path.name]
        return self.by_file[same[0]] if len(same) == 1 else None

    def hint(self, path: Path) -> str:
        """Return the name that is most like a file's, for a message."""
        return did_you_mean(path.name, {key.rpartition("/")[2] for key in self.by_file})


def labels_of(windows: Sequence[Window], column: str, times: Times) -> Labels:
    """Return which rows are in a window, both ends included.

    Args:
        windows: microseconds since 1970.
        column: where the times come from, for a message.
        times: of the rows.

    Raises:
        Bad: it cannot be told.
    """
    found: list[Labels] = []
    for reading in times.ordered:
        moments = as_moments(reading) if times.plain else reading
        if moments is None:
            raise Bad(
                f"column {column}: its numbers are no seconds since 1970, and cannot be compared"
                f" with the times of {FILE}; read are, for example, {FORMS}"
            )
        labels = np.zeros(len(moments), dtype=bool)
        for first, last in windows:
            labels |= (first <= moments) & (moments <= last)
        found.append(labels)
    if any(not np.array_equal(found[0], other) for other in found[1:]):
        raise Bad(
            f"column {column}: day and month cannot be told apart, and {FILE} needs them; write"
            " dates as 2020-03-09"
        )
    return found[0]


def _window(first: object, last: object) -> Window:
    times = read_times([str(first), str(last)])
    if times.plain or len(times.readings) != 1:
        raise ValueError(f"{first} and {last} are no times such as 2020-03-09 10:20:30")
    begin, end = times.readings[0].tolist()
    if end < begin:
        raise ValueError(f"the window from {first} to {last} ends before it begins")
    return begin, end
