"""How a user's sequences are dealt: five disjoint test folds, and where nothing is dealt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqbench.api import Splits
from seqbench.errors import Refused
from seqbench.tasks.data.classify import Classify
from seqbench.tasks.data.forecast import Forecast


def arrays(folder: Path, **found: Any) -> str:
    np.savez(folder / "mine.npz", **found)
    return str(folder / "mine.npz")


def groups_of(splits: Splits) -> list[set[str]]:
    return [
        {example.group for example in part} for part in (splits.train, splits.valid, splits.test)
    ]


def test_split_seeds_are_disjoint_folds_of_a_deal(tmp_path: Path) -> None:
    """Each group is tested once, class by class; the next five seeds are those of another deal."""
    draw = np.random.default_rng(0)
    y = np.arange(120) // 2 % 3  # two sequences of a group have one class
    source = arrays(tmp_path, X=draw.normal(size=(120, 4)), y=y, groups=np.arange(120) // 2)
    deals = []
    for deal in (0, 1):
        tests = []
        for seed in range(5 * deal, 5 * deal + 5):
            splits = Classify(source=source, split_seed=seed).splits()
            train, valid, test = groups_of(splits)
            assert (36, 12, 12) == (len(train), len(valid), len(test))
            assert not (train & valid) | (train & test) | (valid & test)
            assert {0: 8, 1: 8, 2: 8} == Counter(int(e.targets) for e in splits.test)
            tests.append(test)
        assert 60 == len(set.union(*tests)) == sum(map(len, tests))
        deals.append(tests)
    assert not any(test in deals[0] for test in deals[1])


def test_a_split_in_time_has_no_seed(tmp_path: Path) -> None:
    source = arrays(tmp_path, X=np.random.default_rng(0).normal(size=(3, 60, 1)))
    Forecast(source=source).prepare()
    for task in (Forecast(source=source, split_seed=2), Forecast(source=source, split_seed=5)):
        with pytest.raises(Refused, match=r"task.split_seed=\d changes nothing: .* split in time"):
            task.prepare()
