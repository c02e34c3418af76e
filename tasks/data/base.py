"""What the tasks on a user's own sequences share: names, specifications, splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from seqbench.api import Example, InputSpec, Splits, Task
from seqbench.records import DataNames, LeftOut
from seqbench.tasks._predictions import digest
from seqbench.tasks.data.collection import Collection
from seqbench.tasks.data.columns import ColumnChoice, names_in
from seqbench.tasks.data.drawing import draw_series
from seqbench.tasks.data.examples import Filling, input_spec
from seqbench.tasks.data.parts import SequenceParts, Split
from seqbench.tasks.data.reader import Reader

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DataTask(Task):
    """Read a user's sequences, split them, and make examples of them.

    A subclass says what is predicted. Parameters are those of its configuration.
    """

    group = "group"
    title_parameters = ("problem",)
    forecasts: ClassVar[bool] = False
    """Whether values are what is predicted, and labels are not."""

    def __init__(
        self,
        *,
        source: str | None = None,
        problem: str | None = None,
        id: str | None = None,  # noqa: A002 - what the column is called
        time: str | None = None,
        label: str | None = None,
        group: str | None = None,
        drop: tuple[str, ...] | str = (),
        split: Split = "given",
        split_seed: int = 0,
        missing: bool | None = None,
        skip_bad: bool = False,
    ) -> None:
        columns = ColumnChoice(id, time, label, group, names_in(drop), self.forecasts)
        self.reader = Reader(source, problem, columns, split, split_seed, skip_bad)
        self._missing = missing
        self._splits: Splits | None = None

    @abstractmethod
    def built_in(self) -> Collection:
        """Return the built-in data."""

    @abstractmethod
    def check_series(self, collection: Collection) -> Mapping[str, Sequence[str]]:
        """Return what is wrong with each sequence that cannot be used, by its name."""

    @abstractmethod
    def make_splits(self, collection: Collection) -> Splits:
        """Return examples of sequences that can be used; called once."""

    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """Return what is predicted, by name."""

    @property
    def collection(self) -> Collection:
        """The sequences that can be used."""
        return self.reader.read(self.built_in, self.check_series)

    def prepare(self) -> None:
        """Read the data and split them; see the module of each form.

        Raises:
            Refused: they cannot be read, or not be split.
        """
        self.splits()

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read columns and classes in the order of a trained model's."""
        self.reader.expect(kept)

    def left_out(self) -> Sequence[LeftOut]:
        """Return files, columns and sequences that are not used."""
        return self.reader.left_out

    def names(self, fold: int = 0) -> DataNames:
        """Return the columns, and what is predicted."""
        return DataNames(inputs=self.collection.columns, outputs=self.output_names())

    def splits(self, fold: int = 0) -> Splits:
        """Return the examples of each part."""
        if self._splits is None:
            self._splits = self.make_splits(self.collection)
        return self._splits

    def fingerprint(self) -> str:
        """Return the hash of all examples, 16 hexadecimal digits."""
        return digest(self.splits())

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return the columns; missing values where there are any."""
        return input_spec(train)

    def picture(self, figure: Figure) -> str:
        """Draw the first columns of two sequences."""
        return draw_series(figure, self.collection)

    def filling(self, parts: SequenceParts) -> Filling:
        """Return how missing values are filled in, from the training part."""
        return Filling.of(parts.train, [*parts.train, *parts.valid, *parts.test], self._missing)

    def test_groups(self) -> list[str]:
        """Return the group of each test sequence, for the bootstrap."""
        return [example.group for example in self.splits().test]
