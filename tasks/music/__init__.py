"""The music task: the next frame of a piano roll."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import (
    Example,
    GroupCounts,
    InputSpec,
    LeftOut,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Predictions,
    Sight,
    Splits,
)
from seqbench.api.generative import GenerativeTask
from seqbench.config.userdata import UserData
from seqbench.errors import Refused, did_you_mean
from seqbench.tasks._predictions import cached_predictions, digest
from seqbench.tasks.music.baselines import BASELINES_VERSION, Scored, fit_baselines
from seqbench.tasks.music.chorales import load_chorales
from seqbench.tasks.music.drawing import Layer, draw_notes
from seqbench.tasks.music.midi import held_notes, write_midi
from seqbench.tasks.music.pianoroll import KEYS, STEPS_PER_QUARTER, Grid, Roll, split_by_group
from seqbench.tasks.music.sources import Piece, Pieces, load_source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ScoredFrames = Literal["auto", "all", "from_second"]
PICTURED_QUARTERS = 16
"""How much of a piece a picture shows: a few bars, since the notes are not ours to republish."""


class Music(GenerativeTask):
    """Predict the next frame of Bach's four-part chorales: which of 88 piano keys sound.

    The data are the 365 chorales in four parts of music21's corpus, read from the pinned wheel
    music21 10.5.1. A piece is a piano roll ``[T, 88]`` of 0 and 1, keys A0 to C8 (MIDI 21 to 108).
    A frame holds the notes that sound at that instant of the grid. Repeats are not expanded and
    grace notes are left out. The loss and the NLL are the binary cross entropies summed over the 88
    keys and averaged over real frames (Boulanger-Lewandowski et al. 2012): the keys of a frame are
    independent given the past.

    Split. The corpus has some chorales more than once, transposed or slightly altered. Pieces that
    share at least 30% of the shorter one's shingles form a group, by connected components. A
    shingle is three consecutive chords at quarter notes, as intervals above the first bass note, so
    it is the same in any key. A group is in one split only. Groups are assigned in a hashed order,
    60/20/20 by frames. The split is the same on both grids.

    Leaks that remain. Bach set many tunes more than once. About half of the test pieces have a tune
    that a training piece also has, with another harmony; the grouping does not join these. On the
    sixteenth grid most frames repeat the previous one, so its NLL per frame is much lower and
    cannot be compared with the quarter grid's. The quarter grid misplaces about a quarter of the
    onsets. Pieces, keys and splits differ from those of the papers' JSB_Chorales.mat: compare with
    the papers on that file only, with ``source``.

    Args:
        source: None for the built-in chorales, or a path to other music. A ``.mat`` file:
            JSB_Chorales.mat or Nottingham.mat, cell arrays traindata, validdata, testdata of ``[T,
            88]`` matrices. A ``.pkl`` or ``.pickle`` file: a dict of train, valid, test, each a
            list of pieces, a piece being a ``[T, 88]`` array or a list of frames of MIDI notes. An
            ``.npz`` file: for each split an array ``<split>`` ``[sum of T, 88]``, pieces end to
            end, and ``<split>_lengths``, their frames. A folder of MIDI files: with subfolders
            train, valid, test, or else split like the chorales. A piece has at most 100,000
            frames. The tracks of a MIDI file of type 2 are pieces of their own.
        skip_bad: whether to go on without the files and pieces of a source that cannot be used.
            They are listed.
        grid: frames per piece: one each ``quarter`` or ``sixteenth`` note. For chorales and MIDI
            files.
        split_seed: which split of the chorales, or of a folder of MIDI files: 0 to 4 test a fifth
            of the groups each, and together all; 5 to 9 are the fifths of another deal.
        transpose: training pieces move by a random number of semitones in ``[-transpose,
            transpose]`` each time they are drawn, as far as no note falls off the keyboard. 0
            leaves them alone.
        frames: which frames are predicted and scored: ``all``; ``from_second``, as in the papers,
            where the first is only input; ``auto``: ``from_second`` for ``.mat``, pickle and
            ``.npz`` files, ``all`` for chorales and MIDI.
    """

    version = "1"
    monitor = Metric("nll", "min", "nats per frame")
    primary = Metric("nll", "min", "nats per frame")
    group = "piece"
    smallest_difference = (0.1, "about 1% of the nats that the best simple predictor needs")
    citation = (
        "N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, Modeling temporal dependencies in"
        " high-dimensional sequences, ICML 2012 (task and measure); M. S. Cuthbert, C. Ariza,"
        " music21: a toolkit for computer-aided musicology and symbolic music data, ISMIR 2010"
        " (corpus)"
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
        "nll": "negative log-likelihood of a frame, summed over 88 keys, mean over real frames",
        "frame_accuracy": (
            "TP / (TP + FP + FN) over all keys and frames, a key being predicted where p > 0.5"
            " (Bay, Ehmann & Downie, ISMIR 2009)"
        ),
    }
    baseline_scores: ClassVar[Mapping[str, float]] = {
        "unigram": 11.330,
        "markov": 10.697,
        "logistic_regression": 9.281,
        "two_sided_markov": 10.185,
        "two_sided_logistic_regression": 8.450,
    }
    baseline_help: ClassVar[Mapping[str, str]] = {
        "unigram": "how often a key sounds",
        "markov": "whether it sounded in the frame before",
        "logistic_regression": (
            "all keys in the frames before: 1, 2, 4 or 8 of them, as validation chooses"
        ),
        "two_sided_markov": "whether a key sounds in the frames before and after",
        "two_sided_logistic_regression": (
            "all keys in 1, 2, 4 or 8 frames before and as many after; beside models that also"
            " read backwards"
        ),
    }

    def __init__(
        self,
        *,
        source: str | None = None,
        skip_bad: bool = False,
        grid: Grid = "quarter",
        split_seed: int = 0,
        transpose: int = 0,
        frames: ScoredFrames = "auto",
    ) -> None:
        if source is not None and not source.strip():
            raise ValueError("task.source must be a path or null, not empty")
        if skip_bad and source is None:
            raise ValueError(
                "task.skip_bad=true needs a task.source: nothing is bad in the built-in chorales"
            )
        _check_choice("task.grid", grid, get_args(Grid))
        _check_choice("task.frames", frames, get_args(ScoredFrames))
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        if not 0 <= transpose < KEYS:
            raise ValueError(f"task.transpose must be in 0..{KEYS - 1} semitones, not {transpose}")
        self._data = None if source is None else UserData(Path(source).expanduser(), skip_bad)
        self._grid: Grid = grid
        self._split_seed = split_seed
        self._transpose = transpose
        self._frames = frames
        self._splits: Splits | None = None

    def prepare(self) -> None:
        """Fetch, parse and cache the chorales, or read ``source``.

        Raises:
            Refused: the data are missing or damaged, or the cache folder cannot be written.
        """
        self.splits()

    def splits(self, fold: int = 0) -> Splits:
        """Return the pieces; ``values`` and ``targets`` are the roll ``[T, 88]`` float32."""
        if self._splits is None:
            if self._data is None:
                pieces, papers = self._chorales(), False
            else:
                pieces = load_source(self._data, self._grid, self._split_seed)
                papers = not self._data.path.is_dir()
            skip_first = papers if self._frames == "auto" else self._frames == "from_second"
            parts = {
                split: [_example(piece, skip_first) for piece in held]
                for split, held in pieces.items()
            }
            for split, examples in parts.items():
                if self._data and not any(_mask(example).any() for example in examples):
                    raise Refused(
                        f"task.source '{self._data.path}': no frame of {split} is scored, for each"
                        " piece has one, and task.frames leaves out the first; set task.frames=all"
                    )
            self._splits = Splits(**parts)
        return self._splits

    def left_out(self) -> Sequence[LeftOut]:
        """Return the files, tracks and pieces of ``source`` that are not used."""
        return () if self._data is None else self._data.left_out

    def fingerprint(self) -> str:
        """Return the hash of every split's rolls, masks and names, 16 hexadecimal digits."""
        return digest(self.splits())

    def input_spec(self, train: Sequence[Example]) -> InputSpec:
        """Return 88 features, left as they are: 0 or 1."""
        return InputSpec(size=KEYS)

    def output_spec(self, train: Sequence[Example]) -> OutputSpec:
        """Return 88 logits, biased to a key's log odds in the scored training frames.

        The probability is smoothed: ``(count + 1/2) / (N + 1)``.
        """
        scored = torch.cat([example.targets[_mask(example)] for example in train]).double()
        probability = (scored.sum(dim=0) + 0.5) / (len(scored) + 1)
        return OutputSpec(size=KEYS, bias=torch.logit(probability).float())

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return each frame's binary cross entropy summed over keys, ``[N]`` nats."""
        targets = targets.to(predictions.dtype)
        losses = F.binary_cross_entropy_with_logits(predictions, targets, reduction="none")
        return losses.sum(dim=-1)

    def metrics(self) -> MetricSet:
        """Return ``nll`` and ``frame_accuracy``."""
        return _FrameMetrics(self)

    def baselines(self, splits: Splits) -> dict[str, Predictions]:
        """Return the logits ``[T, 88]`` of ``unigram``, ``markov`` and ``logistic_regression``.

        They see training pieces as they are, never transposed.
        """
        return self.baselines_for(splits, "past")

    def baselines_for(self, splits: Splits, sight: Sight) -> dict[str, Predictions]:
        """Return those of :meth:`baselines`, or beside a model that reads on as it does.

        These are ``unigram``, ``two_sided_markov`` and ``two_sided_logistic_regression``.
        """
        two_sided = sight == "past+future"

        def build() -> dict[str, list[Tensor]]:
            fitted = fit_baselines(_scored(splits.train), _scored(splits.valid), two_sided)
            rolls = [example.values.double().numpy() for example in splits.test]
            return {
                name: [torch.from_numpy(predict(roll)) for roll in rolls]
                for name, predict in fitted.items()
            }

        name = "music-two-sided" if two_sided else "music"
        return cached_predictions(f"{name}-{BASELINES_VERSION}", splits, build)

    def augment(self, example: Example, generator: torch.Generator) -> Example:
        """Return the piece moved by a number of semitones drawn evenly from those that fit."""
        if not self._transpose:
            return example
        keys = torch.nonzero(example.values.any(dim=0))
        low, high = -self._transpose, self._transpose
        if len(keys):
            low = max(low, -int(keys[0]))
            high = min(high, KEYS - 1 - int(keys[-1]))
        shift = int(torch.randint(low, high + 1, (), generator=generator))
        moved = example.values.roll(shift, dims=1)  # nothing wraps: low and high see to it
        return replace(example, values=moved, targets=moved)

    def picture(self, figure: Figure) -> str:
        """Draw the first bars of a training piece."""
        piece = self.splits().train[0]
        shown = piece.values[: PICTURED_QUARTERS * STEPS_PER_QUARTER[self._grid]]
        notes = list(held_notes(_roll(shown)))
        draw_notes(figure.subplots(), [Layer("", "#1f5fbf", notes)], STEPS_PER_QUARTER[self._grid])
        return (
            f"The first {len(shown)} frames of {piece.group} of the training split, one each"
            f" {self._grid} note: which keys of a piano sound. Frames in a row are drawn as one"
            " note; a roll does not say whether a key was struck again."
        )

    def draw_step(
        self, prediction: Tensor, generator: torch.Generator, temperature: float
    ) -> Tensor:
        """Return a frame ``[88]``: each key sounds or not, independently, as the model says."""
        chances = torch.sigmoid(prediction.double() / temperature)
        return torch.bernoulli(chances, generator=generator)

    def write_sample(self, values: Tensor, given: int, stem: Path) -> list[Path]:
        """Write a MIDI file ``<stem>.mid``, with a marker where the continuation begins."""
        path = stem.with_name(f"{stem.name}.mid")
        write_midi(_roll(values), self._grid, given, path)
        return [path]

    def picture_sample(self, figure: Figure, values: Tensor, given: int) -> str:
        """Draw the roll, given notes in grey and the model's in blue, a line between them."""
        steps = STEPS_PER_QUARTER[self._grid]
        begun, drawn = values.clone(), values.clone()
        begun[given:], drawn[:given] = 0, 0
        axes = figure.subplots()
        layers = [
            Layer("given", "#8a8f98", list(held_notes(_roll(begun)))),
            Layer("continued by the model", "#1f5fbf", list(held_notes(_roll(drawn)))),
        ]
        draw_notes(axes, layers, steps)
        axes.axvline(given / steps, color="#c2410c", linewidth=1.5, zorder=3)
        axes.set_xlim(0, len(values) / steps)
        figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
        return f"{given} frames given, {len(values) - given} drawn from the model's predictions."

    def _chorales(self) -> Pieces:
        corpus = load_chorales(self._grid)
        chosen = split_by_group(corpus.names, corpus.groups, corpus.quarters, self._split_seed)
        pieces: Pieces = {"train": [], "valid": [], "test": []}
        for name, roll, split in zip(corpus.names, corpus.rolls, chosen, strict=True):
            pieces[split].append(Piece(name, roll))
        return pieces


class _FrameMetrics(MetricSet):
    """NLL per frame, and the frame-level accuracy of Bay, Ehmann & Downie (ISMIR 2009)."""

    def __init__(self, task: Music) -> None:
        self._nll = MeanLoss(task, "nll")
        self._hits = 0  # true positives
        self._union = 0  # true positives, false positives and false negatives

    def update(self, predictions: Tensor, targets: Tensor, sequences: Tensor) -> None:
        """Take logits and rolls, ``[N, 88]`` both."""
        self._nll.update(predictions, targets, sequences)
        predicted, sounding = predictions > 0, targets > 0  # logit 0 is p = 0.5
        self._hits += int((predicted & sounding).sum())
        self._union += int((predicted | sounding).sum())

    def compute(self) -> dict[str, float]:
        """Return both metrics; NaN where nothing counted."""
        accuracy = self._hits / self._union if self._union else float("nan")
        return {**self._nll.compute(), "frame_accuracy": accuracy}

    def bootstrap_scores(self) -> dict[str, list[float]]:
        """Return the NLL over other draws of the pieces."""
        return self._nll.bootstrap_scores()

    def group_counts(self, metric: str) -> GroupCounts | None:
        """Return how many frames each piece has."""
        return self._nll.group_counts(metric)


def _check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        hint = did_you_mean(str(value), allowed)
        raise ValueError(f"{key} must be one of {', '.join(allowed)}, not '{value}'{hint}")


def _example(piece: Piece, skip_first: bool) -> Example:
    values = torch.from_numpy(piece.roll).float()
    mask = None
    if skip_first:
        mask = torch.ones(len(values), dtype=torch.bool)
        mask[0] = False
    return Example(values, targets=values, target_mask=mask, group=piece.name)


def _mask(example: Example) -> Tensor:
    """Return the frames that count, ``[T]`` bool."""
    if example.target_mask is None:
        return torch.ones(len(example.values), dtype=torch.bool)
    return example.target_mask


def _scored(examples: Sequence[Example]) -> Scored:
    return Scored(
        [example.values.double().numpy() for example in examples],
        [_mask(example).numpy() for example in examples],
    )


def _roll(values: Tensor) -> Roll:
    """Return values ``[T, 88]`` as a roll."""
    roll: Roll = values.to(torch.uint8).numpy()
    return roll
