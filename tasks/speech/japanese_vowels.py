"""The JapaneseVowels task: which of nine men speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from seqbench.api import Example, Splits
from seqbench.tasks._archive import Archive, read_members
from seqbench.tasks.speech.classification import ClassificationTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARCHIVE = Archive(
    package="aeon",
    version="1.6.0",
    filename="aeon-1.6.0-py3-none-any.whl",
    sha256="d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
    size=6_421_000,
    members=r"aeon/datasets/data/JapaneseVowels/JapaneseVowels_(TRAIN|TEST)\.ts",
    members_sha256="dc9b5a08c99e94a2d1f2806115044b0dc6eb575c87115102af6858f773465de8",
)
CHANNELS = 12
SPEAKERS = 9
VALID_EVERY = 5
"""The last of each five utterances of the training file validates."""


class JapaneseVowels(ClassificationTask):
    """Say which of nine men utters the vowels "ae": a small, solved task, for a quick look.

    The data are the 640 utterances of Kudo, Toyama and Shimbo as aeon 1.6.0 ships them: 12 cepstral
    coefficients of a linear prediction analysis, 7 to 29 frames, one every 6.4 ms. Values are
    unchanged; the harness standardises them.

    Split. The data set's own: 270 utterances for training, 30 per man, and 370 for test. Every
    fifth of the 270 in their order, 6 per man, is for validation.

    Leaks that remain. All nine men are in the training split: that is the task. Logistic regression
    solves it, so it distinguishes working models from broken ones, and little else.
    """

    version = "1"
    smallest_difference = (0.01, "the errors of the best simple predictor")
    citation = (
        "M. Kudo, J. Toyama, M. Shimbo, Multidimensional curve classification using"
        " passing-through regions, Pattern Recognition Letters 20, 1999"
    )
    licence = "Creative Commons Attribution 4.0 (UCI Machine Learning Repository)"
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "216 utterances",
        "valid": "54 utterances",
        "test": "370 utterances",
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "majority": 0.084,
        "logistic_regression": 0.989,
        "gradient_boosting": 0.976,
    }

    def __init__(self) -> None:
        self._splits: Splits | None = None

    @property
    def classes(self) -> int:
        """The men."""
        return SPEAKERS

    def prepare(self) -> None:
        """Fetch and read the utterances.

        Raises:
            Refused: the data are missing or damaged, or the cache folder cannot be written.
        """
        self.splits()

    def splits(self, fold: int = 0) -> Splits:
        """Return the utterances: ``[T, 12]`` and the man's number."""
        if self._splits is None:
            files = {path.rpartition("_")[2]: file for path, file in read_members(ARCHIVE).items()}
            train = read_utterances(files["TRAIN.ts"].decode(), "train")
            test = read_utterances(files["TEST.ts"].decode(), "test")
            last = VALID_EVERY - 1
            kept = [item for number, item in enumerate(train) if number % VALID_EVERY != last]
            self._splits = Splits(*map(_shuffled, (kept, train[last::VALID_EVERY], test)))
        return self._splits

    def picture(self, figure: Figure) -> str:
        """Draw the first coefficients of an utterance of each of two men."""
        train = self.splits().train
        panels = figure.subplots(1, 2, sharey=True)
        for axes, example in zip(panels, (train[0], train[-1]), strict=True):
            for channel in range(4):
                axes.plot(example.values[:, channel], label=f"coefficient {channel + 1}")
            axes.set_title(f"man {int(example.targets) + 1}", fontsize=10)
            axes.set_xlabel("frames of 6.4 ms")
        panels[0].set_ylabel("cepstral coefficient")
        panels[1].legend(frameon=False, fontsize=8)
        return f'An utterance of "ae" by two of the men: 4 of the {CHANNELS} coefficients.'


def read_utterances(text: str, part: str) -> list[Example]:
    """Return the utterances of a ``.ts`` file: channels between colons, a label at the end.

    Args:
        text: of the file.
        part: its name, for the groups.

    Raises:
        ValueError: a line does not hold :data:`CHANNELS` channels of one length and a label.
    """
    lines = text.partition("@data\n")[2].splitlines()
    examples = []
    for number, line in enumerate(lines):
        *channels, label = line.split(":")
        if len(channels) != CHANNELS or label not in map(str, range(1, SPEAKERS + 1)):
            raise ValueError(
                f"utterance {number} of {part} has {len(channels)} channels and label '{label}'"
            )
        values = np.array([channel.split(",") for channel in channels], dtype=np.float32).T
        group = f"{part}-{number}"
        examples.append(
            Example(torch.from_numpy(values.copy()), torch.tensor(int(label) - 1), group=group)
        )
    return examples


def _shuffled(examples: Sequence[Example]) -> list[Example]:
    """Return examples in a hashed order: the files go man by man."""
    return sorted(examples, key=lambda item: hashlib.sha256(item.group.encode()).hexdigest())
