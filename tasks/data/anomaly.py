"""An anomaly score for each step of a sequence, learnt from what is normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from seqbench.records import DataNames, LeftOut
from seqbench.tasks.anomaly import series as stretches
from seqbench.tasks.anomaly.forecasting import ForecastTask
from seqbench.tasks.data.builtin import generated
from seqbench.tasks.data.collection import Collection, ReadSequence
from seqbench.tasks.data.columns import ColumnChoice, names_in
from seqbench.tasks.data.drawing import draw_series
from seqbench.tasks.data.examples import Filling, chronological
from seqbench.tasks.data.parts import SequenceParts, Split
from seqbench.tasks.data.reader import FEWEST_GROUPS, IN_TIME, Reader

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEANINGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""What a label may be, in small letters."""
_WHERE = "task.label says in which column of a table they are"
_MORE = (
    f"it is the last fifth of each of fewer than {FEWEST_GROUPS} sequences: give more of them, or"
    " use task=anomaly, which reads CSV files and has task.lead"
)
CROP = 50
"""Steps of a training sequence."""
SPAN = 20
"""Steps that the detector window_mahalanobis looks at."""


class Anomaly(ForecastTask):
    """Find steps that do not follow from those before them: in your own data, or generated ones.

    Forms are those of ``task=data/label``, with labels 0 (normal) and 1 (anomalous) for each step;
    a step without a label is normal. What follows is ``task=anomaly``'s: a model forecasts each
    step's values from the steps before it as a Student-t distribution, labelled steps train
    nothing, and a step's score is the negative log-likelihood of its values. One model is trained
    on the sequences of the training part; a folder of CSV files with a model for each is
    ``task=anomaly``. Missing values are the last known ones, and the model is not told.

    Split. As of ``task=data/label``: groups with an anomaly and without are dealt out alike, fewer
    than ten groups are split in time.

    Leaks. As of ``task=data/label``.

    The built-in data are synthetic, drawn from a fixed seed: 60 series of two columns that
    oscillate slowly, in noise, with short stretches in which they oscillate fast. They show that a
    model works, and no more.

    Args:
        source: None for generated series, or a file or folder.
        id: a table's column that says of which sequence a row is; null: one named id, series_id,
            case, patient_id or the like.
        time: a table's column of times, numbers or ISO dates; null: one named time, timestamp,
            date or the like.
        label: a table's column of labels 0 and 1; null: one named label, anomaly, outlier, class,
            target or y.
        group: a table's column of what a split keeps together; null: one named group.
        drop: a table's columns that are not read: a name, or a list of them.
        split: ``given`` keeps a split that the data have; ``hashed`` deals all out anew.
        split_seed: which split that is dealt: 0 to 4 test a fifth of the groups each, and together
            all; 5 to 9 are the fifths of another deal. Refused where nothing is dealt.
        skip_bad: true goes on without files and sequences that cannot be used.
        buffer: largest width of VUS-PR's buffer, in steps.
    """

    version = "1"
    citation = (
        "J. Paparrizos et al., Volume under the surface, PVLDB 15, 2022 (measure). The data are"
        " your own, or generated."
    )
    licence = "Your own data keep theirs; generated ones are free of any."
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "36 generated series of 80 to 120 steps",
        "valid": "12 series",
        "test": "12 series",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "constant": 0.232,
        "random": 0.228,
        "z_score": 0.227,
        "mahalanobis": 0.227,
        "window_mahalanobis": 0.335,
        "static": 0.228,
    }

    def __init__(
        self,
        *,
        source: str | None = None,
        id: str | None = None,  # noqa: A002 - what the column is called
        time: str | None = None,
        label: str | None = None,
        group: str | None = None,
        drop: tuple[str, ...] | str = (),
        split: Split = "given",
        split_seed: int = 0,
        skip_bad: bool = False,
        buffer: int = 20,
    ) -> None:
        if buffer < 0:
            raise ValueError(f"task.buffer must be at least 0 steps, not {buffer}")
        super().__init__(stretches.Steps(1, 1, 1, CROP), False, buffer, SPAN)
        columns = ColumnChoice(id, time, label, group, names_in(drop), anomalies=True)
        self._reader = Reader(source, None, columns, split, split_seed, skip_bad)

    @property
    def collection(self) -> Collection:
        """The sequences that can be used."""
        return self._reader.read(lambda: generated(rare=True), _check)

    def prepare(self) -> None:
        """Read the data and split them.

        Raises:
            Refused: they cannot be read, or not be split, or a part lacks what it needs.
        """
        self.parts(0)

    def expect(self, kept: Mapping[int, DataNames]) -> None:
        """Read columns in the order of a trained model's."""
        self._reader.expect(kept)

    def left_out(self) -> Sequence[LeftOut]:
        """Return files, columns and sequences that are not used."""
        return self._reader.left_out

    def names(self, fold: int = 0) -> DataNames:
        """Return the columns."""
        return DataNames(inputs=self.collection.columns)

    def load_parts(self, fold: int) -> stretches.Parts:
        """Return the sequences of each part.

        Raises:
            Refused: no step of training or validation is normal, or test has no anomaly.
        """
        parts = self._split(self.collection)
        filling = Filling.of(parts.train, [], False)
        found = stretches.Parts(*([_stretch(item, filling) for item in part] for part in parts))
        for name, part in (("training", found.train), ("validation", found.valid)):
            if all(item.labels.all() for item in part):
                raise self._reader.refuse(f"all steps of the {name} part are anomalous")
        labels = np.concatenate([item.labels for item in found.test])
        if labels.all() or not labels.any():
            few = self._reader.splits_in_time(self.collection)
            advice = _MORE if few else "try task.split=hashed with another task.split_seed"
            raise self._reader.refuse(f"the test part has no anomaly, or nothing else; {advice}")
        return found

    def picture(self, figure: Figure) -> str:
        """Draw the first columns of two sequences."""
        return draw_series(figure, self.collection)

    def _split(self, collection: Collection) -> SequenceParts:
        if not self._reader.splits_in_time(collection):
            labelled = {item.name: str(_labels(item).any()) for item in collection.series}
            return self._reader.deal(collection, labelled)
        self._reader.deals_nothing(IN_TIME)
        found = SequenceParts([], [], [])
        for item in collection.series:
            parts = chronological(item, len(item.values), 0)
            for into, part in zip(found, parts, strict=True):
                for piece in part:
                    first = int(np.argmax(piece.counts))  # what stands before is of another part
                    kept = piece.item.steps(first, len(piece.counts))
                    into.append(kept)
        return found


def _check(collection: Collection) -> Mapping[str, Sequence[str]]:
    """Return what is wrong with labels."""
    bad: dict[str, Sequence[str]] = {}
    for item in collection.series:
        if len(item.labels) != len(item.values):
            steps = f"{len(item.values)} steps"
            bad[item.name] = [f"it has no label for each of its {steps}; {_WHERE}"]
        elif odd := sorted({t for t in item.labels if t and t.lower() not in MEANINGS}):
            bad[item.name] = [f"its labels must be 0 or 1, not {odd[0]!r}"]
    return bad


def _labels(item: ReadSequence) -> stretches.Labels:
    return np.array([MEANINGS.get(label.lower(), False) for label in item.labels])


def _stretch(item: ReadSequence, filling: Filling) -> stretches.Series:
    values = filling.inputs(item).values.double().numpy()
    return stretches.Series(values, _labels(item), item.group)
