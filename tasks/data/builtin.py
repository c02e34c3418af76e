"""The built-in data: two problems of the archives, and generated series with a label at each step.

The archives' problems are those that the wheel of aeon carries.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqbench.tasks._archive import Archive, read_members
from seqbench.tasks.data.collection import Collection, ReadSequence
from seqbench.tasks.data.ts import read_ts

ARCHIVE = Archive(
    package="aeon",
    version="1.6.0",
    filename="aeon-1.6.0-py3-none-any.whl",
    sha256="d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
    size=6_421_000,
    members=r"aeon/datasets/data/(BasicMotions|Covid3Month)/(BasicMotions|Covid3Month)_(TRAIN|TEST)\.ts",
    members_sha256="b3744be8e789c5e78ac9da39827eb98620f03df37bd2625a20d740377fd18040",
)
GENERATED = 60
"""Generated series."""


def load_problem(name: str) -> Collection:
    """Return a problem of the archive, with its own split.

    Raises:
        Refused: the data are missing or damaged, or the cache folder cannot be written.
    """
    members = {path.rpartition("/")[2]: data for path, data in read_members(ARCHIVE).items()}
    train = read_ts(members[f"{name}_TRAIN.ts"], "train")
    test = read_ts(members[f"{name}_TEST.ts"], "test")
    series = [
        replace(item, name=f"{item.part}, {item.name}") for item in (*train.series, *test.series)
    ]
    return replace(train, series=series)


def generated(rare: bool = False) -> Collection:
    """Return series of two columns that change between a slow and a fast oscillation, in noise.

    A step's label is ``0`` where it is slow and ``1`` where it is fast. They are drawn from a fixed
    seed, by a generator whose numbers never change.

    Args:
        rare: whether the fast stretches are short and rare, as anomalies are.
    """
    draw = np.random.RandomState(0)
    series = []
    for number in range(GENERATED):
        length = 80 + int(draw.randint(41))
        fast = np.zeros(length, dtype=bool)
        place = int(draw.randint(10, 30))
        while place < length:
            stretch = int(draw.randint(5, 9) if rare else draw.randint(10, 30))
            fast[place : place + stretch] = True
            place += stretch + int(draw.randint(40, 80) if rare else draw.randint(10, 30))
        phase = 2 * np.pi * (draw.random_sample() + np.cumsum(np.where(fast, 1 / 5, 1 / 16)))
        clean = np.stack([np.sin(phase), np.cos(phase)], axis=1)
        values = clean * (1 + draw.random_sample()) + 0.3 * draw.standard_normal((length, 2))
        labels = tuple("1" if step else "0" for step in fast)
        series.append(ReadSequence(f"series {number}", values, labels))
    return Collection(("first", "second"), series, ("0", "1"))
