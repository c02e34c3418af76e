"""What all tasks on a user's own sequences do first: read them, and split them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from seqbench.config.userdata import UserData
from seqbench.errors import Refused, did_you_mean
from seqbench.records import DataNames, LeftOut
from seqbench.tasks.data.collection import Collection, ReadSequence
from seqbench.tasks.data.columns import ColumnChoice
from seqbench.tasks.data.examples import Stretch, chronological, pieces
from seqbench.tasks.data.parts import SequenceParts, Split, deal, is_given, without_copies
from seqbench.tasks.data.source import read_source

IN_TIME = "fewer than ten groups of sequences are each split in time"
SHOWN = 3
"""Sequences that are named where none can be used."""
FEWEST_GROUPS = 10
"""Fewer sequences with steps to predict are split in time, not by sequence."""

Check = Callable[[Collection], Mapping[str, Sequence[str]]]
"""Returns what is wrong with each sequence that cannot be used, by its name."""


class Reader:
    """A source, as the parameters of a task say how it is read.

    Args:
        source: None for the built-in data, or a file or folder.
        problem: which of several problems in a folder of .ts or .arff files.
        columns: which columns of a table are what.
        split: ``given`` or ``hashed``.
        split_seed: which deal and fold, see :class:`~seqbench.records.Deal`.
        skip_bad: whether to go on without files and sequences that cannot be used.

    Raises:
        ValueError: a parameter is impossible.
    """

    def __init__(
        self,
        source: str | None,
        problem: str | None,
        columns: ColumnChoice,
        split: Split,
        split_seed: int,
        skip_bad: bool,
    ) -> None:
        if source is not None and not source.strip():
            raise ValueError("task.source must be a path or null, not empty")
        if split not in get_args(Split):
            hint = did_you_mean(str(split), get_args(Split))
            raise ValueError(f"task.split must be given or hashed, not '{split}'{hint}")
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        if source is None:
            given = {"problem": problem, "drop": list(columns.drop) or None}
            given |= {name: getattr(columns, name) for name in ("id", "time", "label", "group")}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"task.{name}={value} needs a task.source")
        self._source = None if source is None else Path(source).expanduser()
        self._problem = problem
        self.columns = columns
        self._split: Split = split
        self._split_seed = split_seed
        self._skip_bad = skip_bad
        self._kept: DataNames | None = None
        self._collection: Collection | None = None
        self.left_out: Sequence[LeftOut] = ()
        """What is not used, and why, once the data are read."""

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read columns in the order of a trained model's."""
        self._kept = next(iter(kept.values()), None)

    @property
    def kept_outputs(self) -> tuple[str, ...]:
        """What a trained model predicts, where there is one."""
        return self._kept.outputs if self._kept else ()

    def read(self, built_in: Callable[[], Collection], check: Check) -> Collection:
        """Return the sequences that can be used, read once.

        Args:
            built_in: returns the built-in data.
            check: of the sequences of a source.

        Raises:
            Refused: there are none, or some cannot be used and are not to be skipped.
        """
        if self._collection is None:
            self._collection = built_in() if self._source is None else self._read(check)
        return self._collection

    def _read(self, check: Check) -> Collection:
        assert self._source is not None
        data = UserData(self._source, self._skip_bad)
        found = read_source(data, self.columns, self._problem)
        kept = self._kept.inputs if self._kept else ()
        if kept != found.columns and sorted(kept) == sorted(found.columns):
            found = found.ordered_as(kept)
        bad = check(found)
        if len(bad) == len(found.series):
            raise self._all_bad(bad, found.are_named)
        data.drop(bad, len(found.series), "sequences")
        self.left_out = tuple(data.left_out)
        return found.only(item for item in found.series if item.name not in bad)

    def _all_bad(self, bad: Mapping[str, Sequence[str]], is_table: bool) -> Refused:
        """Return the refusal of all sequences: the wrong column or task, not bad sequences."""
        chosen = itertools.islice(bad.items(), SHOWN)
        lines = [f"  {name}: {problem}" for name, problems in chosen for problem in problems]
        if len(bad) > SHOWN:
            lines.append(f"  ... and {len(bad) - SHOWN} more")
        if len(bad) == 1 and is_table and self.columns.id is None:
            lines.append(
                "  the file is one sequence: task.id says which column tells several apart"
            )
        problem = f"none of its {len(bad)} sequences can be used"
        return Refused(f"task.source '{self._source}': {problem}", lines)

    def deal(self, collection: Collection, strata: Mapping[str, str]) -> SequenceParts:
        """Return the sequences by part; ``strata`` are their classes, by name.

        Raises:
            Refused: there are too few, or a group is in two parts of the data's own split.
        """
        if is_given(collection.series, self._split):
            self.deals_nothing("the data have a test part of their own; task.split=hashed deals"
                               " all sequences out anew")  # fmt: skip
        found = deal(collection.series, strata, self._split, self._split_seed)
        parts, copies = without_copies(found)
        self.left_out = (*self.left_out, *copies)
        return parts

    def deals_nothing(self, reason: str) -> None:
        """Refuse a split seed other than 0, as nothing is dealt by chance.

        Raises:
            Refused: there is one.
        """
        if self._split_seed:
            raise Refused(f"task.split_seed={self._split_seed} changes nothing: {reason}")

    def splits_in_time(self, collection: Collection) -> bool:
        """Return whether there are so few sequences that each is split in time."""
        series = collection.series
        given = is_given(series, self._split)
        return not given and len({item.group or item.name for item in series}) < FEWEST_GROUPS

    def pieces(self, collection: Collection, window: int, ahead: int) -> list[list[Stretch]]:
        """Return stretches of the sequences by part, where steps are predicted.

        Args:
            collection: the sequences.
            window: see :func:`~seqbench.tasks.data.examples.pieces`.
            ahead: likewise.
        """
        if not self.splits_in_time(collection):
            return [
                [piece for item in part for piece in pieces(item, window, ahead)]
                for part in self.deal(collection, {})
            ]
        self.deals_nothing(IN_TIME)
        found: list[list[Stretch]] = [[], [], []]
        for item in collection.series:
            for into, part in zip(found, chronological(item, window, ahead), strict=True):
                into += part
        return found

    def refuse(self, problem: str) -> Refused:
        """Return the refusal of a source."""
        return Refused(f"task.source '{self._source}': {problem}")


def series_of(parts: Sequence[Sequence[Stretch]]) -> SequenceParts:
    """Return the sequences of pieces, by part."""
    found: list[list[ReadSequence]] = [[piece.item for piece in part] for part in parts]
    return SequenceParts(*found)
