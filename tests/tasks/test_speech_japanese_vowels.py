"""The vowels of nine men: fetched once into the user's cache, or read from it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from seqbench.api import Splits
from seqbench.tasks.speech.japanese_vowels import JapaneseVowels, read_utterances
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def task() -> JapaneseVowels:
    task = JapaneseVowels()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: JapaneseVowels) -> Splits:
    return task.splits()


def test_sizes_are_those_of_the_data(splits: Splits) -> None:
    sizes = {name: f"{len(getattr(splits, name))} utterances" for name in JapaneseVowels.sizes}
    assert dict(JapaneseVowels.sizes) == sizes


def test_the_official_split_with_every_fifth_to_validate(splits: Splits) -> None:
    """30 of each man's train or validate, 6 of them validate; the test split is the data set's."""
    by_man = [
        Counter(int(e.targets) for e in part) for part in (splits.train, splits.valid, splits.test)
    ]
    assert by_man[0] == dict.fromkeys(range(9), 24)
    assert by_man[1] == dict.fromkeys(range(9), 6)
    assert [31, 35, 88, 44, 29, 24, 40, 50, 29] == [by_man[2][man] for man in range(9)]
    numbers = {int(example.group.rpartition("-")[2]) for example in splits.valid}
    assert numbers == set(range(4, 270, 5))
    lengths = [len(e.values) for part in (splits.train, splits.valid) for e in part]
    assert (7, 26) == (min(lengths), max(lengths))


def test_utterances_are_read_as_they_are_written(splits: Splits) -> None:
    """The first value and length of the first training utterance are those of the file."""
    first = next(example for example in splits.train if example.group == "train-0")
    assert first.values.shape == (20, 12)
    assert first.values[:2, 0].tolist() == pytest.approx([1.860936, 1.891651])
    assert float(first.values[0, 1]) == pytest.approx(-0.207383)
    assert int(first.targets) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3,4:1", r"utterance 1 of train has 2 channels and label '1'"),
        (":".join(["1,2"] * 12 + ["10"]), r"utterance 1 of train has 12 channels and label '10'"),
        (":".join(["1,2"] * 11 + ["1", "3"]), r"inhomogeneous"),
        (":".join(["1,x"] * 12 + ["3"]), r"could not convert"),
    ],
)
def test_a_damaged_file(line: str, message: str) -> None:
    good = ":".join(["1,2"] * 12 + ["9"])
    (example,) = read_utterances(f"@x\n@data\n{good}\n", "train")
    assert torch.equal(torch.tensor([[1.0] * 12, [2.0] * 12]), example.values)
    with pytest.raises(ValueError, match=message):
        read_utterances(f"@x\n@data\n{good}\n{line}\n", "train")


def test_baselines_score_what_the_card_says(task: JapaneseVowels, splits: Splits) -> None:
    found = score_baselines(task, [task.baselines(splits)], [splits.test])
    scores = {name: fold_scores.compute()["accuracy"] for name, fold_scores in found.items()}
    assert dict(JapaneseVowels.baseline_scores) == pytest.approx(scores, abs=0.005)


def test_configuration_and_picture(task: JapaneseVowels) -> None:
    path = ROOT / "conf" / "task" / "speech" / "japanese_vowels.yaml"
    assert {"name": "speech/japanese_vowels"} == OmegaConf.to_container(OmegaConf.load(path))
    figure = Figure()
    assert "two of the men" in task.picture(figure)
    assert ["man", "man"] == [axes.get_title().split()[0] for axes in figure.axes]
