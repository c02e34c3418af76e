"""A user's own labelled series: a folder of CSV files, each of which is a fold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seqbench.api import DataNames, LeftOut
from seqbench.config.userdata import UserData, files_below
from seqbench.errors import Refused, did_you_mean
from seqbench.tasks._choices import choose_file
from seqbench.tasks.anomaly.series import Labels, Parts, Samples, Series
from seqbench.tasks.anomaly.tables import Columns, SeriesReader, Unscored, listed
from seqbench.tasks.anomaly.windows import FILE, Windows

VALID_SHARE = 0.25
"""Of the leading rows, the last ones."""
FEWEST_STEPS = 10
"""Steps without a label that training and validation need; steps that test needs."""
MOST_FILES = 1600
"""Files of a source: a series' number stands among the targets, exact in float32."""


class _Fold(NamedTuple):
    parts: Parts
    names: DataNames
    unchecked: str


class Folder:
    """Series of CSV files, read when they are asked for.

    A file has a header, and a row for each sample, in the order of time, at intervals that are
    taken to be equal; :mod:`seqbench.tasks._tables` says which forms of CSV are read. Columns of
    times or of labels, and those to drop, are no values, all others are. A value that is missing
    (empty, ``NA``, ``null``, ``-``, ``nan``, ``inf``) is the one before it, carried forward.
    Instead of a label column there may be NAB's file of windows, see
    :class:`~seqbench.tasks.anomaly.windows.Windows`.

    The leading rows train, up to the last quarter of them, which validates; the rest is for test.
    How many lead: n where the file's name has ``_tr_n_`` in it (as in TSB-AD), else ``lead``.

    A file that cannot be *read* is bad: it is refused with all that is wrong with it, or left out
    if bad files are skipped. So is one whose times cannot be read, for the order of its rows cannot
    be checked; of one without times this is said. A file that can be read and not *scored* (without
    labels, without an anomaly in its test part, with too little to train on) is left out, with the
    reason, as long as another can be scored.

    Args:
        data: the folder, searched with what lies below, or one CSV file.
        columns: which are what.
        lead: a share of the rows if below 1, else a number of rows.
        window: samples of a step.
    """

    def __init__(self, data: UserData, columns: Columns, lead: float, window: int) -> None:
        self._data = data
        self._drop = columns.drop
        self._lead = lead
        self._window = window
        self._windows = Windows(data.path)
        self._reader = SeriesReader(columns, self._windows, self._order)
        self._kept: Mapping[int, DataNames] = {}
        self._wanted: dict[Path, int] = {}
        self._found: dict[int, _Fold] = {}

    def prepare(self, fold: int | str | None) -> None:
        """Find the files and read them.

        Args:
            fold: the one file that is wanted, by its place in the order of names or by its name;
                None: all.

        Raises:
            Refused: there is nothing that could be read, trained on and scored.
        """
        if self._found:
            return
        files = self._find()
        self._wanted = {path: number for number, path in enumerate(files)}
        if fold is not None:
            names = [self._data.name(path) for path in files]
            number = choose_file(names, fold, self._data.path)
            self._wanted = {files[number]: number}
        reasons = {}
        for path, found in self._data.read(self._wanted, self._read).items():
            if isinstance(found, Unscored):
                reasons[self._data.name(path)] = str(found)
            else:
                self._found[self._wanted[path]] = found
        self._check_drop()
        if not self._found:
            raise self._nothing(reasons)
        self._data.left_out += [LeftOut(name, reason) for name, reason in reasons.items()]
        self._data.left_out += [
            LeftOut(f"order of rows in {found.names.fold}", found.unchecked)
            for found in self._found.values()
            if found.unchecked
        ]

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read the columns of a file in the order in which a model knows those of its name.

        Where model and source have one file each, its name does not matter.
        """
        self._kept = kept

    @property
    def left_out(self) -> list[LeftOut]:
        """What is not used, and why."""
        return self._data.left_out

    def folds(self) -> tuple[int, ...]:
        """Return the numbers of the files that can be scored, counted among all that are found."""
        return tuple(self._found)

    def parts(self, fold: int) -> Parts:
        """Return the series of one file."""
        return self._found[fold].parts

    def names(self, fold: int) -> DataNames:
        """Return the name of a file, and of its columns of values."""
        return self._found[fold].names

    def _find(self) -> list[Path]:
        root = self._data.path
        below = root / "data"
        nab = (root / "labels" / FILE).is_file() and below.is_dir()
        files = self._data.find((".csv", ".tsv"), "CSV files", below if nab else None)
        if nab and any(path.suffix.lower() == ".csv" for path in _outside(root, below)):
            where = f"beside labels/{FILE}, series are in data/"
            self._data.left_out.append(LeftOut("CSV files outside data/", where))
        if len(files) > MOST_FILES:
            raise Refused(
                f"task.source '{root}' holds {len(files):,} CSV files; {MOST_FILES:,} are the most"
                " that a trial takes"
            )
        return files

    def _check_drop(self) -> None:
        """Refuse a column to drop that no file has."""
        for name in self._drop:
            if name not in self._reader.seen:
                hint, known = did_you_mean(name, self._reader.seen), sorted(self._reader.seen)
                raise Refused(
                    f"task.drop: no file that is read has a column '{name}'{hint}; known:"
                    f" {listed(known)}"
                )

    def _nothing(self, reasons: Mapping[str, str]) -> Refused:
        """Return the refusal of files of which none can be scored."""
        lines = [f"  {name}: {reason}" for name, reason in reasons.items()]
        if self._reader.unlabelled and self._windows.path is None:
            lines.append(f"  looked for {FILE} in {', '.join(self._windows.places)}")
        which = f"{next(iter(reasons))} cannot" if len(reasons) == 1 else "none of its files can"
        return Refused(f"task.source '{self._data.path}': {which} be scored", lines)

    def _read(self, path: Path) -> _Fold | Unscored:
        try:
            values, labels, columns, unchecked = self._reader(path)
            names = DataNames(self._data.name(path), columns)
            return _Fold(self._split(path, values, labels), names, unchecked)
        except Unscored as reason:
            return reason

    def _order(self, path: Path) -> Sequence[str]:
        """Return the columns of a file as a model knows them."""
        name = self._data.name(path)
        same = [names for names in self._kept.values() if names.fold == name]
        if not same and len(self._kept) == len(self._wanted) == 1:
            same = list(self._kept.values())
        return same[0].inputs if same else ()

    def _split(self, path: Path, values: Samples, labels: Labels) -> Parts:
        """Return the three parts of a file."""
        named = re.search(r"_tr_(\d+)_", path.name)
        rows = len(values)
        lead = int(named[1]) if named else int(self._lead * (rows if self._lead < 1 else 1))
        middle = lead - int(lead * VALID_SHARE)
        name = self._data.name(path)
        parts = [
            Series(values[start:stop], labels[start:stop], f"{name}, rows {start} to {stop - 1}")
            for start, stop in ((0, middle), (middle, lead), (lead, rows))
        ]
        train, valid, test = parts
        for part, series in (("trains", train), ("validates", valid)):
            if _normal_steps(series.labels, self._window) < FEWEST_STEPS:
                advice = "its name says how many rows lead" if named else "change task.lead"
                if self._window > 1:
                    advice += ", or take a smaller task.window"
                raise Unscored(
                    f"the part that {part} ({len(series.labels):,} of {rows:,} rows) has fewer than"
                    f" {FEWEST_STEPS} steps without a label; {advice}"
                )
        steps = len(test.labels) // self._window
        if steps < FEWEST_STEPS:
            raise Unscored(
                f"the rest, which is for test, has {steps} steps; {FEWEST_STEPS} are the least"
            )
        scored = test.labels[: len(test.labels) // self._window * self._window]
        if scored.all() or not scored.any():
            kind = "nothing but anomalies" if scored.any() else "no anomaly"
            raise Unscored(f"{kind} after its first {lead:,} rows, which train")
        return Parts([train], [valid], [test])


def _outside(root: Path, below: Path) -> Iterator[Path]:
    """Yield the files of a folder that are not in one of its folders."""
    return (path for path in files_below(root) if below not in path.parents)


def _normal_steps(labels: Labels, window: int) -> int:
    steps = len(labels) // window
    return int((~labels[: steps * window].reshape(steps, window).any(axis=1)).sum())
