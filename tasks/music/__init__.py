"""The music task: the next frame of a piano roll."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqbench.api import (
    Alignment,
    Example,
    InputSpec,
    MeanLoss,
    Metric,
    MetricSet,
    OutputSpec,
    Splits,
    Task,
)
from seqbench.errors import Refused, did_you_mean
from seqbench.tasks._archive import cache_folder, load_arrays, save_arrays
from seqbench.tasks.music.baselines import (
    BASELINES_VERSION,
    Frames,
    score_baselines,
    scored_frames,
)
from seqbench.tasks.music.chorales import load_chorales
from seqbench.tasks.music.pianoroll import KEYS, Grid, split_by_group
from seqbench.tasks.music.sources import Piece, Pieces, load_source

ScoredFrames = Literal["auto", "all", "from_second"]


class Music(Task):
    """Predict the next frame of Bach's four-part chorales: which of 88 piano keys sound.

    The data are the 365 chorales in four parts of music21's corpus, read from the pinned wheel
    music21 10.5.1. A piece is a piano roll ``[T, 88]`` of 0 and 1, keys A0 to C8 (MIDI 21 to 108):
    a frame holds the notes that sound at that instant of the grid. Repeats are not expanded and
    grace notes are left out. The loss and the NLL sum the 88 keys' binary cross entropies and
    divide by real frames (Boulanger-Lewandowski et al. 2012): the keys of a frame are independent
    given the past.

    Split. The corpus holds some chorales more than once, transposed or barely altered. Pieces that
    share at least 30% of the shorter one's shingles (three chords in a row at quarter notes, as
    intervals above the first bass note, so in any key) form a group, by connected components, and a
    group is in one split only; groups are assigned in a hashed order, 60/20/20 by frames. The split
    is the same on both grids.

    Leaks that remain. Bach set many tunes more than once: about half of the test pieces have a
    tune that a training piece has too, with another harmony, which the grouping leaves apart. On
    the sixteenth grid most frames repeat the one before, so its NLL per frame is much lower and is
    not comparable with the quarter grid's, which in turn misplaces about a quarter of the onsets.
    These are not the pieces, keys and splits of the papers' JSB_Chorales.mat: compare with the
    papers on that file only, with ``source``.

    Args:
        source: None for the built-in chorales, or a path to other music. A ``.mat`` file:
            JSB_Chorales.mat or Nottingham.mat, cell arrays traindata, validdata, testdata of ``[T,
            88]`` matrices. A ``.pkl`` or ``.pickle`` file: a dict of train, valid, test, each a
            list of pieces, a piece being a ``[T, 88]`` array or a list of frames of MIDI notes. An
            ``.npz`` file: for each split an array ``<split>`` ``[sum of T, 88]``, pieces end to
            end, and ``<split>_lengths``, their frames. A folder of MIDI files: with subfolders
            train, valid, test, or else split like the chorales.
        grid: frames per piece: one each ``quarter`` or ``sixteenth`` note. For chorales and MIDI
            files.
        split_seed: another number gives another split of the chorales or of a folder of MIDI files.
        transpose: training pieces move by a random number of semitones in ``[-transpose,
            transpose]`` each time they are drawn, as far as no note falls off the keyboard. 0
            leaves them alone.
        frames: which frames are predicted and scored: ``all``; ``from_second``, as in the papers,
            where the first is only input; ``auto``: ``from_second`` for ``.mat``, pickle and
            ``.npz`` files, ``all`` for chorales and MIDI.
    """

    version = "1"
    alignment = Alignment.NEXT
    monitor = Metric("nll", "min", "nats per frame")
    primary = Metric("nll", "min", "nats per frame")
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

    def __init__(
        self,
        *,
        source: str | None = None,
        grid: Grid = "quarter",
        split_seed: int = 0,
        transpose: int = 0,
        frames: ScoredFrames = "auto",
    ) -> None:
        if source is not None and not source.strip():
            raise ValueError("task.source must be a path or null, not empty")
        _check_choice("task.grid", grid, get_args(Grid))
        _check_choice("task.frames", frames, get_args(ScoredFrames))
        if split_seed < 0:
            raise ValueError(f"task.split_seed must be at least 0, not {split_seed}")
        if not 0 <= transpose < KEYS:
            raise ValueError(f"task.transpose must be in 0..{KEYS - 1} semitones, not {transpose}")
        self._source = None if source is None else Path(source).expanduser()
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

    def splits(self) -> Splits:
        """Return the pieces; ``values`` and ``targets`` are the roll ``[T, 88]`` float32."""
        if self._splits is None:
            if self._source is None:
                pieces, papers = self._chorales(), False
            else:
                pieces = load_source(self._source, self._grid, self._split_seed)
                papers = not self._source.is_dir()
            skip_first = papers if self._frames == "auto" else self._frames == "from_second"
            parts = {
                split: [_example(piece, skip_first) for piece in held]
                for split, held in pieces.items()
            }
            for split, examples in parts.items():
                if not any(_mask(example).any() for example in examples):
                    raise Refused(f"task.source '{self._source}': no frame of {split} is scored")
            self._splits = Splits(**parts)
        return self._splits

    def fingerprint(self) -> str:
        """Return the hash of every split's rolls, masks and names, 16 hexadecimal digits."""
        return _fingerprint(self.splits())

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

    def baselines(self, splits: Splits) -> dict[str, dict[str, float]]:
        """Return ``unigram``, ``markov`` and ``logistic_regression`` on test's scored frames.

        They see training pieces as they are, never transposed. The scores are cached by the data's
        fingerprint; where the cache folder cannot be written they are computed each time.
        """
        name = f"music-baselines-{BASELINES_VERSION}-{_fingerprint(splits)}.npz"
        path = cache_folder() / name
        cached = load_arrays(path)
        if cached is not None:
            return _nest({key: float(value) for key, value in cached.items()})
        scores = score_baselines(
            _frames_of(splits.train), _frames_of(splits.valid), _frames_of(splits.test)
        )
        with contextlib.suppress(Refused):
            save_arrays(
                path,
                {
                    f"{baseline}/{metric}": np.array(value)
                    for baseline, metrics in scores.items()
                    for metric, value in metrics.items()
                },
            )
        return scores

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

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take logits and rolls, ``[N, 88]`` both."""
        self._nll.update(predictions, targets)
        predicted, sounding = predictions > 0, targets > 0  # logit 0 is p = 0.5
        self._hits += int((predicted & sounding).sum())
        self._union += int((predicted | sounding).sum())

    def compute(self) -> dict[str, float]:
        """Return both metrics; NaN where nothing counted."""
        accuracy = self._hits / self._union if self._union else float("nan")
        return {**self._nll.compute(), "frame_accuracy": accuracy}


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
    return Example(values, targets=values, target_mask=mask, unit=piece.name)


def _mask(example: Example) -> Tensor:
    """Return the frames that count, ``[T]`` bool."""
    if example.target_mask is None:
        return torch.ones(len(example.values), dtype=torch.bool)
    return example.target_mask


def _frames_of(examples: Sequence[Example]) -> Frames:
    return scored_frames(
        [example.values.double().numpy() for example in examples],
        [_mask(example).numpy() for example in examples],
    )


def _fingerprint(splits: Splits) -> str:
    digest = hashlib.sha256()
    for name, examples in (
        ("train", splits.train),
        ("valid", splits.valid),
        ("test", splits.test),
    ):
        digest.update(f"{name}\0{len(examples)}\0".encode())
        for example in examples:
            digest.update(f"{example.unit}\0{len(example.values)}\0".encode())
            digest.update(example.values.to(torch.uint8).numpy().tobytes())
            digest.update(_mask(example).numpy().tobytes())
    return digest.hexdigest()[:16]


def _nest(flat: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return ``{"a": {"b": x}}`` from ``{"a/b": x}``."""
    nested: dict[str, dict[str, float]] = {}
    for key, value in flat.items():
        outer, inner = key.split("/")
        nested.setdefault(outer, {})[inner] = value
    return nested
