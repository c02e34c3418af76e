"""The harmonisation task: alto, tenor and bass below a chorale's tune."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import (
    Example,
    GroupCounts,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Splits,
    Task,
    Visibility,
)
from seqbench.errors import did_you_mean
from seqbench.tasks._predictions import cached_predictions, digest
from seqbench.tasks.music.chorales import VOICES, load_chorales
from seqbench.tasks.music.drawing import Layer, draw_notes
from seqbench.tasks.music.midi import Held
from seqbench.tasks.music.pianoroll import STEPS_PER_QUARTER, Grid, split_by_group
from seqbench.tasks.music.voices import BASELINES_VERSION, REACH, Codes, Frames, fit_baselines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED_QUARTERS = 16
"""How much of a piece a picture shows: a few bars, since the notes are not ours to republish."""
_DRAWN = [
    ("Soprano", "#1f5fbf", 0.9),
    ("Alto", "#c2410c", 0.75),
    ("Tenor", "#0f766e", 0.6),
    ("Bass", "#6b21a8", 0.45),
]
"""Names, colours and heights of the voices' bars; lower voices are thinner, so unisons show."""


class Compass(NamedTuple):
    """The notes that a voice sings in the corpus, MIDI note numbers."""

    lowest: int
    highest: int

    @property
    def classes(self) -> int:
        """Its notes, and silence."""
        return self.highest - self.lowest + 2

    def encode(self, pitches: NDArray[np.uint8]) -> Codes:
        """Return pitches as classes: 0 for silence, 1 for the lowest note."""
        return np.where(pitches > 0, pitches.astype(np.int64) - self.lowest + 1, 0)


SOPRANO = Compass(57, 81)
LOWER = (Compass(53, 74), Compass(48, 69), Compass(36, 64))
"""Alto, tenor, bass."""
CLASSES = [compass.classes for compass in LOWER]
BOUNDARY = SOPRANO.classes
"""The soprano's code before a piece begins and after it ends, for the baselines."""


class Harmonize(Task):
    """Give the tunes of Bach's chorales an alto, a tenor and a bass.

    The data are those of ``music``: the 365 chorales in four parts of music21's corpus. In all of
    them the parts are named Soprano, Alto, Tenor and Bass, come in this order, are written at
    sounding pitch and have one note at a time. The inputs of a frame are the soprano's pitch, one
    of 25 (none where it rests), and whether its note differs from the previous frame's note, which
    distinguishes repeated notes from held ones; tied notes are one. The targets are what the three
    lower voices sing at the same instant: alto and tenor one of 22 notes, bass one of 29, or
    silence. The loss and the NLL are the three voices' cross entropies, summed: the voices are
    independent given the tune. The whole tune is known, so a model may read it in both directions.
    A model that only reads forwards has seen the tune up to the current frame.

    Split. The same as for ``music``, piece by piece: near-duplicate chorales, by their chords in
    any key, are in one split.

    Leaks that remain. Bach set many tunes more than once. 34 of the 75 test pieces share at least
    30% of their tune's runs of eight intervals with a training piece, and in this task the tune is
    the input. The harmony differs, so the grouping does not join these settings, but cadences
    recur. On validation a BiLSTM's NLL is 5.06 on tunes that it has seen in training and 5.25 on
    new ones (logistic regression: 5.63 on both). The NLLs per frame of the two grids cannot be
    compared.

    Args:
        grid: frames per piece: one each ``quarter`` or ``sixteenth`` note.
        split_seed: which split: 0 to 4 test a fifth of the groups each, and together all; 5 to 9
            are the fifths of another deal.
    """

    version = "1"
    visibility = Visibility.STEP
    monitor = Metric("nll", "min", "nats per frame")
    primary = Metric("nll", "min", "nats per frame")
    group = "piece"
    smallest_difference = (0.05, "about 1% of the nats that the best simple predictor needs")
    citation = (
        "M. Allan, C. K. I. Williams, Harmonising chorales by probabilistic inference, NIPS 2004"
        " (task); M. S. Cuthbert, C. Ariza, music21: a toolkit for computer-aided musicology and"
        " symbolic music data, ISMIR 2010 (corpus)"
    )
    licence = (
        "music21's corpus, distributed with permission; some scores are for non-commercial use"
        " only. Fetched and cached on your machine; do not republish the notes."
    )
    sizes: ClassVar[Mapping[str, str]] = {
        "train": "215 pieces, 11,920 frames",
        "valid": "75 pieces, 3,959 frames",
        "test": "75 pieces, 3,985 frames",
    }
    metric_help: ClassVar[Mapping[str, str]] = {
        "nll": "negative log-likelihood of a frame, summed over 3 voices, mean over frames",
        "alto_accuracy": "frames whose most probable alto is Bach's",
        "tenor_accuracy": "frames whose most probable tenor is Bach's",
        "bass_accuracy": "frames whose most probable bass is Bach's",
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "unigram": "how often a voice sings each note",
        "soprano_table": "the soprano's pitch at the frame",
        "logistic_regression": (
            "that of the frame and of 1, 2, 4 or 8 before and after it, as validation chooses"
        ),
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "unigram": 7.881,
        "soprano_table": 6.139,
        "logistic_regression": 5.428,
    }

    def __init__(self, *, grid: Grid = "quarter", split_seed: int = 0) -> None:
        if grid not in get_args(Grid):
            hint = did_you_mean(str(grid), get_args(Grid))
            raise ValueError(f"task.grid must be one of quarter, sixteenth, not '{grid}'{hint}")
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        self._grid: Grid = grid
        self._split_seed = split_seed
        self._splits: Splits | None = None

    def prepare(self) -> None:
        """Fetch, parse and cache the chorales.

        Raises:
            Refused: the data are missing or damaged, or the cache folder cannot be written.
        """
        self.splits()

    def splits(self, fold: int = 0) -> Splits:
        """Return the pieces: ``values`` ``[T, 26]`` float32, ``targets`` ``[T, 3]`` int64.

        Values are the soprano's pitch, one-hot, and whether its note is a new one; targets are the
        classes of alto, tenor and bass, 0 for silence.
        """
        if self._splits is None:
            corpus = load_chorales(self._grid)
            chosen = split_by_group(corpus.names, corpus.groups, corpus.quarters, self._split_seed)
            parts: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
            for name, pitches, begins, split in zip(
                corpus.names, corpus.pitches, corpus.begins, chosen, strict=True
            ):
                parts[split].append(_example(name, pitches, begins))
            self._splits = Splits(**parts)
        return self._splits

    def fingerprint(self) -> str:
        """Return the hash of every split's tunes, voices and names, 16 hexadecimal digits."""
        return digest(self.splits())

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return 26 features, left as they are: 0 or 1."""
        return InputSpec(size=SOPRANO.classes)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return 76 logits, 23 of the alto, 23 of the tenor, 30 of the bass.

        They are biased to the log frequency of a class in the training split, smoothed: ``(count +
        1/2) / (N + C/2)`` of C classes.
        """
        targets = torch.cat([example.targets for example in train])
        counts = [
            torch.bincount(voice, minlength=size).double()
            for voice, size in zip(targets.unbind(dim=1), CLASSES, strict=True)
        ]
        logs = [torch.log((count + 0.5) / (count + 0.5).sum()) for count in counts]
        return OutputSpec(size=sum(CLASSES), bias=torch.cat(logs).float())

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each frame's cross entropy summed over voices, ``[N]`` nats."""
        losses = [
            F.cross_entropy(logits, classes, reduction="none")
            for logits, classes in zip(_by_voice(predictions), targets.unbind(dim=1), strict=True)
        ]
        return torch.stack(losses).sum(dim=0)

    def metrics(self) -> MetricSet:
        """Return ``nll`` and the accuracy of each voice."""
        return _VoiceMetrics(self)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the log probabilities ``[T, 76]`` of the simple harmonisations.

        ``unigram`` knows how often a voice sings each note; ``soprano_table`` also the soprano's
        pitch at the frame; ``logistic_regression`` that of frames before and after it, too. Like a
        model it may see all of the tune; validation chooses how much it does.
        """

        def build() -> dict[str, list[Tensor]]:
            fitted = fit_baselines(
                _frames_of(splits.train), _frames_of(splits.valid), BOUNDARY + 1, CLASSES
            )
            tunes = [_codes(example) for example in splits.test]
            return {
                name: [torch.from_numpy(predict(tune)) for tune in tunes]
                for name, predict in fitted.items()
            }

        return cached_predictions(f"music-harmonize-{BASELINES_VERSION}", splits, build)

    def picture(self, figure: Figure) -> str:
        """Draw the first bars of a training piece, voice by voice."""
        corpus = load_chorales(self._grid)
        name = self.splits().train[0].group
        piece = corpus.names.index(name)
        steps = STEPS_PER_QUARTER[self._grid]
        shown = slice(PICTURED_QUARTERS * steps)
        pitches, begins = corpus.pitches[piece][shown], corpus.begins[piece][shown]
        layers = [
            Layer(name, colour, _notes(line, new), height)
            for (name, colour, height), line, new in zip(_DRAWN, pitches.T, begins.T, strict=True)
        ]
        draw_notes(figure.subplots(), layers, steps)
        figure.legend(loc="outside upper right", ncols=len(layers), frameon=False, fontsize=9)
        return (
            f"The first {len(pitches)} frames of {name} of the training split, one each"
            f" {self._grid} note: the soprano is given, the other voices are to be found."
        )


class _VoiceMetrics(MetricSet):
    """NLL per frame, and the share of frames whose most probable note is right, for each voice."""

    def __init__(self, task: Harmonize) -> None:
        self._nll = MeanLoss(task, "nll")
        self._right = torch.zeros(len(LOWER), dtype=torch.int64)
        self._count = 0

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits ``[N, 76]`` and classes ``[N, 3]``."""
        self._nll.update(predictions, targets, sequences)
        found = torch.stack([logits.argmax(dim=1) for logits in _by_voice(predictions)], dim=1)
        self._right += (found == targets).sum(dim=0).cpu()
        self._count += len(targets)

    def compute(self) -> dict[str, float]:
        """Return all four metrics; NaN where nothing counted."""
        accuracies = {
            f"{name.lower()}_accuracy": right / self._count if self._count else float("nan")
            for name, right in zip(VOICES[1:], self._right.tolist(), strict=True)
        }
        return {**self._nll.compute(), **accuracies}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the NLL over other draws of the pieces."""
        return self._nll.bootstrap_scores()

    def group_counts(self, metric: str) -> GroupCounts | None:
        """Return how many frames each piece has."""
        return self._nll.group_counts(metric)


def _by_voice(predictions: Tensor) -> Sequence[Tensor]:
    """Return the logits of alto, tenor and bass, ``[N, C]`` each."""
    return torch.split(predictions, CLASSES, dim=1)


def _example(name: str, pitches: NDArray[np.uint8], begins: NDArray[np.bool_]) -> Example:
    soprano = torch.from_numpy(SOPRANO.encode(pitches[:, 0]))
    tune = F.one_hot(soprano, SOPRANO.classes)[:, 1:]
    onsets = torch.from_numpy(begins[:, :1].copy())
    voices = [compass.encode(pitches[:, 1 + voice]) for voice, compass in enumerate(LOWER)]
    return Example(
        values=torch.cat([tune, onsets], dim=1).float(),
        targets=torch.from_numpy(np.stack(voices, axis=1)),
        group=name,
    )


def _codes(example: Example) -> Codes:
    """Return the soprano's codes around each frame, ``[T, 2 R + 1]``, see :mod:`.voices`."""
    tune = example.values[:, :-1].numpy()
    codes = np.where(tune.any(axis=1), tune.argmax(axis=1) + 1, 0)
    padded = np.pad(codes, REACH, constant_values=BOUNDARY)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1)


def _frames_of(examples: Sequence[Example]) -> Frames:
    return Frames(
        np.concatenate([_codes(example) for example in examples]),
        np.concatenate([example.targets.numpy() for example in examples]),
    )


def _notes(pitches: NDArray[np.uint8], begins: NDArray[np.bool_]) -> list[Held]:
    """Return the notes of a voice: its pitches ``[T]``, and where one begins ``[T]``."""
    changes = begins | (np.diff(pitches, prepend=0) != 0)
    starts = np.flatnonzero(changes).tolist()
    return [
        Held(first, last, int(pitches[first]))
        for first, last in zip(starts, [*starts[1:], len(pitches)], strict=True)
        if pitches[first]
    ]
