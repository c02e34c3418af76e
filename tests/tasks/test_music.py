"""The music task, on the chorales: fetched once into the user's cache, or read from it."""

from __future__ import annotations

import ast
import inspect
import math
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import scipy.io
import scipy.optimize
import scipy.special
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from seqbench.api import Example, Splits, Visibility
from seqbench.errors import Refused
from seqbench.tasks import music as music_module
from seqbench.tasks.music import Music
from seqbench.tasks.music.midifile import read_midi
from seqbench.tasks.music.pianoroll import Grid, to_roll

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid", "test")
KEYS = 88


@pytest.fixture(scope="module")
def task() -> Music:
    task = Music()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Music) -> Splits:
    return task.splits()


def parts(splits: Splits) -> dict[str, list[Example]]:
    return {name: list(getattr(splits, name)) for name in SPLITS}


# Data


def test_sizes_are_those_of_the_data(splits: Splits) -> None:
    sizes = {
        name: f"{len(examples)} pieces, {sum(len(e.values) for e in examples):,} frames"
        for name, examples in parts(splits).items()
    }
    assert dict(Music.sizes) == sizes


def test_examples_are_rolls_that_are_their_own_targets(splits: Splits) -> None:
    """Every frame of the chorales counts, each piece is in one split, and values are 0 or 1."""
    units = []
    for example in [example for examples in parts(splits).values() for example in examples]:
        assert example.values.shape[1] == KEYS
        assert example.values.dtype == torch.float32
        assert torch.equal(example.values, example.targets)
        assert torch.equal(example.values, example.values.bool().float())
        assert example.target_mask is None
        units.append(example.group)
    assert len(set(units)) == len(units) == 365


def test_the_split_is_the_same_on_both_grids_and_follows_its_seed(splits: Splits) -> None:
    def units(other: Splits) -> dict[str, list[str]]:
        return {name: [e.group for e in examples] for name, examples in parts(other).items()}

    assert units(splits) == units(Music(grid="sixteenth").splits())
    assert units(splits) != units(Music(split_seed=1).splits())


def test_fingerprint_follows_the_data_as_they_are_used(task: Music, papers_file: str) -> None:
    same = [Music(), Music(transpose=6)]
    others = [
        Music(grid="sixteenth"),
        Music(split_seed=1),
        Music(frames="from_second"),
        Music(source=papers_file),
    ]
    assert [task.fingerprint()] * 2 == [other.fingerprint() for other in same]
    assert len({task.fingerprint(), *(other.fingerprint() for other in others)}) == 5


@pytest.mark.parametrize(
    ("from_file", "frames", "first_counts"),
    [
        (True, "auto", False),
        (True, "from_second", False),
        (True, "all", True),
        (False, "from_second", False),
        (False, "auto", True),
    ],
)
def test_which_frames_count(
    from_file: bool, frames: Any, first_counts: bool, papers_file: str
) -> None:
    """The papers count frames 2..T; the first is then still an input."""
    task = Music(source=papers_file if from_file else None, frames=frames)
    for examples in parts(task.splits()).values():
        for example in examples:
            mask = example.target_mask
            counted = torch.ones(len(example.values)).bool() if mask is None else mask
            assert [first_counts] + [True] * (len(example.values) - 1) == counted.tolist()


def test_a_source_with_nothing_to_score_is_refused(tmp_path: Path) -> None:
    lengths = {f"{split}_lengths": [1] for split in SPLITS}
    rolls = {split: np.zeros((1, KEYS), dtype=np.uint8) for split in SPLITS}
    np.savez(tmp_path / "x.npz", **rolls, **lengths)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"x\.npz': no frame of train is scored"):
        Music(source=str(tmp_path / "x.npz")).prepare()
    Music(source=str(tmp_path / "x.npz"), frames="all").prepare()


def test_a_source_is_read_when_it_is_prepared_not_before(tmp_path: Path) -> None:
    task = Music(source=str(tmp_path / "missing.mat"))
    with pytest.raises(Refused, match=r"task\.source '.*missing\.mat' does not exist"):
        task.prepare()


# Transposition


def example_of(keys: list[int]) -> Example:
    values = torch.zeros(3, KEYS)
    values[1, keys] = 1
    mask = torch.tensor([False, True, True])
    return Example(values, values, target_mask=mask, group="piece")


@pytest.mark.parametrize(
    ("keys", "transpose", "expected"),
    [
        ([40, 44], 3, range(-3, 4)),
        ([1, 44], 3, range(-1, 4)),
        ([40, 87], 3, range(-3, 1)),
        ([0, 87], 87, range(1)),
        ([], 2, range(-2, 3)),
        ([40], 0, range(1)),
    ],
)
def test_transposition_draws_every_shift_that_fits(
    keys: list[int], transpose: int, expected: range
) -> None:
    """No note falls off the keyboard; inputs and targets move alike, and nothing else."""
    task, example = Music(transpose=transpose), example_of(keys)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(200):
        moved = task.augment(example, generator)
        assert torch.equal(moved.values, moved.targets)
        assert (moved.group, moved.target_mask) == (example.group, example.target_mask)
        found = torch.nonzero(moved.values[1]).flatten().tolist()
        assert len(found) == len(keys)
        assert moved.values.sum() == len(keys)
        shift = found[0] - keys[0] if keys else 0
        assert [key + shift for key in keys] == found
        seen.add(shift)
    assert seen == (set(expected) if keys else {0})
    assert example.values[1, keys].all()  # the original stands


def test_transposition_follows_the_generator(splits: Splits) -> None:
    task = Music(transpose=6)

    def draw() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        return [task.augment(example, generator).values for example in splits.train[:20]]

    assert all(torch.equal(*pair) for pair in zip(draw(), draw(), strict=True))


# Loss, metrics and specifications


def test_loss_is_the_frames_cross_entropy_summed_over_keys() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, KEYS, generator=generator, dtype=torch.float64)
    targets = (torch.rand(4, KEYS, generator=generator) < 0.1).float()
    p = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.where(targets.numpy() > 0, np.log(p), np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(expected, Music().loss(logits, targets).numpy(), rtol=1e-12)


def test_metrics_do_not_depend_on_the_batches() -> None:
    """Two keys of three sounding are found and one is wrong: 2 / (2 + 1 + 1)."""
    logits, targets = torch.full((4, KEYS), -1.0), torch.zeros(4, KEYS)
    targets[0, [10, 20]] = 1
    targets[3, 30] = 1
    logits[0, 10] = logits[3, 30] = logits[2, 5] = 1.0
    logits[1, 7] = 0.0  # p = 0.5 is not predicted
    whole, pieces = Music().metrics(), Music().metrics()
    whole.update(logits, targets, torch.arange(4))
    for rows in (slice(0, 1), slice(1, 4)):
        pieces.update(logits[rows], targets[rows], torch.arange(4)[rows])
    nll = float(Music().loss(logits.double(), targets).mean())
    assert whole.compute() == pytest.approx({"nll": nll, "frame_accuracy": 0.5}, rel=1e-12)
    assert pieces.compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert all(math.isnan(value) for value in Music().metrics().compute().values())


def test_specifications(task: Music, splits: Splits, papers_file: str) -> None:
    """88 in, untouched; 88 out, beginning at the smoothed log odds of the scored frames."""
    assert task.input_spec(splits.train).size == KEYS
    assert task.input_spec(splits.train).mean is None
    papers = Music(source=papers_file)
    train = papers.splits().train
    frames = np.concatenate([example.values[1:].numpy() for example in train])
    expected = scipy.special.logit((frames.sum(axis=0) + 0.5) / (len(frames) + 1))
    spec = papers.output_spec(train)
    assert spec.size == KEYS
    assert spec.bias is not None
    np.testing.assert_allclose(expected, spec.bias.numpy(), rtol=1e-5, atol=1e-6)


# Samples


def test_a_key_sounds_as_often_as_its_logit_says() -> None:
    """Independently of the others; the temperature divides the logits."""
    task, generator = Music(), torch.Generator().manual_seed(0)
    logits = torch.full((KEYS,), -30.0)
    logits[:3] = torch.tensor([0.0, 2.0, 30.0])
    for temperature in (1.0, 0.5, 2.0):
        drawn = torch.stack([task.draw_step(logits, generator, temperature) for _ in range(4000)])
        expected = torch.sigmoid(logits.double() / temperature)
        torch.testing.assert_close(expected, drawn.mean(dim=0).double(), rtol=0, atol=0.03)
        both = float((drawn[:, 0] * drawn[:, 1]).mean())
        assert float(expected[0] * expected[1]) == pytest.approx(both, abs=0.03)


def test_the_smallest_temperature_takes_the_most_probable() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.linspace(-1, 1, KEYS)
    drawn = Music().draw_step(logits, generator, 5e-324)
    assert torch.equal((logits > 0).float(), drawn.float())


@pytest.mark.parametrize("grid", ["quarter", "sixteenth"])
def test_midi_is_the_roll(grid: Grid, tmp_path: Path) -> None:
    """Read back, on either grid: notes in a row are one, silence at the end is time."""
    values = (torch.rand(33, KEYS, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    values[20:22] = 0
    (path,) = Music(grid=grid).write_sample(values, 12, tmp_path / "a.b")
    assert tmp_path / "a.b.mid" == path
    (notes,), ticks = read_midi(path)
    np.testing.assert_array_equal(values.numpy(), to_roll(notes, ticks, grid))
    rises = torch.diff(values, dim=0, prepend=torch.zeros(1, KEYS)) > 0
    assert int(rises.sum()) == len(notes)
    file = mido.MidiFile(path)
    quarters = 33 if grid == "quarter" else 33 / 4
    assert quarters * 60 / 80 == pytest.approx(file.length)
    assert len(file.tracks) == 1
    silent = torch.cat([values, torch.zeros(3, KEYS)])
    (path,) = Music(grid=grid).write_sample(silent, 12, tmp_path / "longer")
    assert quarters * 36 / 33 * 60 / 80 == pytest.approx(mido.MidiFile(path).length)


@pytest.mark.parametrize("given", [0, 5, 12])
def test_midi_marks_where_the_continuation_begins(given: int, tmp_path: Path) -> None:
    (path,) = Music().write_sample(torch.ones(12, KEYS), given, tmp_path / "a")
    file = mido.MidiFile(path)
    now = 0
    for message in file.tracks[0]:
        now += message.time
        if message.type == "marker":
            assert "continuation" == message.text
            break
    assert given == now / file.ticks_per_beat


def test_picture_of_a_sample_tells_the_parts_apart(splits: Splits) -> None:
    """A note that is held over the border is cut there; a line marks it."""
    values = torch.zeros(12, KEYS)
    values[2:9, 40] = 1
    values[8:, 44] = 1
    figure = Figure()
    assert "5 frames given, 7 drawn" in Music().picture_sample(figure, values, 5)
    (axes,) = figure.axes
    bars = [(bar.get_x(), bar.get_width()) for group in axes.containers for bar in group]
    assert [(2, 3), (5, 4), (8, 4)] == bars
    colours = [group[0].get_facecolor() for group in axes.containers]
    assert 2 == len(set(colours))
    assert [5, 5] == axes.lines[-1].get_xdata()
    assert (0, 12) == axes.get_xlim()
    assert "C4" in [label.get_text() for label in axes.get_yticklabels()]


# The card and the configuration


@pytest.mark.parametrize("grid", ["quarter", "sixteenth"])
def test_picture_shows_a_few_bars(grid: Grid) -> None:
    """Of a training piece, and no more of the notes, which are not ours to republish."""
    task = Music(grid=grid)
    figure = Figure()
    caption = task.picture(figure)
    assert task.splits().train[0].group in caption
    (axes,) = figure.axes
    ends = [bar.get_x() + bar.get_width() for group in axes.containers for bar in group]
    assert 10 < max(ends) <= 16


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"grid": "quater"},
            r"task\.grid .*quarter, sixteenth, not 'quater' \(did you mean 'quart",
        ),
        ({"frames": "second"}, r"task\.frames must be one of auto, all, from_second, not 'second'"),
        ({"split_seed": -1}, r"task\.split_seed must be at least 0, not -1"),
        ({"transpose": -1}, r"task\.transpose must be in 0\.\.87 semitones, not -1"),
        ({"transpose": 88}, r"task\.transpose must be in 0\.\.87 semitones, not 88"),
        ({"source": " "}, r"task\.source must be a path or null"),
    ],
)
def test_impossible_values(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Music(**parameters)


def test_configuration_is_the_constructor() -> None:
    """The YAML has every parameter with its default, and the docstring explains each."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(Music).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "task" / "music.yaml"))
    assert {"name": "music", **defaults} == config
    documented = inspect.getdoc(Music)
    assert documented is not None
    assert all(f"\n    {name}: " in documented for name in defaults)


def test_the_card_is_literal() -> None:
    """Version, citation, licence, sizes and metrics can be read without importing the module."""
    tree = ast.parse(Path(music_module.__file__).read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef)][:1]
    card = {}
    for node in body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id not in ("visibility", "monitor", "primary"):
            card[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    expected = {
        "version",
        "citation",
        "licence",
        "sizes",
        "metric_help",
        "baseline_help",
        "baseline_scores",
        "group",
        "smallest_difference",
        "source_files",
    }
    assert expected == set(card)
    assert card["sizes"] == Music.sizes
    assert set(card["metric_help"]) == set(Music().metrics().compute())
    assert Music.visibility is Visibility.NEXT
    assert Music.monitor.name == Music.primary.name == "nll"
