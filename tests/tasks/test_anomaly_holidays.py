"""Chicago's holidays: fetched once into the user's cache, or read from it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from seqbench.api import Splits
from seqbench.tasks._rdatasets import read_frames
from seqbench.tasks.anomaly.holidays import STATIONS, Holidays, holidays, weekday_distance
from seqbench.testing import check_task
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def task() -> Holidays:
    task = Holidays()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def splits(task: Holidays) -> Splits:
    return task.splits()


def test_it_keeps_the_contract_of_tasks() -> None:
    check_task(Holidays())


def test_parameters_are_those_of_its_configuration() -> None:
    config = OmegaConf.load(ROOT / "conf" / "task" / "anomaly" / "holidays.yaml")
    assert config == {"name": "anomaly/holidays"}


def test_a_day_has_its_own_passengers(task: Holidays) -> None:
    """The archive's ``ridership`` is Clark/Lake's on the row's own day; the stations' are late."""
    ridership = read_frames("modeldata/Chicago")["modeldata/Chicago"]["ridership"]
    expected = [ridership[day] - ridership[day - 28 : day].mean() for day in range(28, 5684)]
    values = np.concatenate([part[0].values for part in task.parts(0)])
    assert (5656, 20) == values.shape
    assert expected == pytest.approx(values[:, STATIONS.index("Clark_Lake")].tolist())


def test_no_day_is_on_both_sides(task: Holidays, splits: Splits) -> None:
    """Parts follow each other; together they are all days, and no sequence leaves its part."""
    parts = [part[0] for part in task.parts(0)]
    lengths = [len(part.values) for part in parts]
    start = date(2001, 2, 19)
    firsts = [start + timedelta(days=sum(lengths[:number])) for number in range(4)]
    assert [start, date(2010, 1, 1), date(2011, 1, 1), date(2016, 8, 15)] == firsts
    assert ["2001-02-19 to 2009-12-31", "2010-01-01 to 2010-12-31", "2011-01-01 to 2016-08-14"] == [
        part.group for part in parts
    ]
    for name, part in zip(SPLITS, parts, strict=True):
        seen = set()
        for example in getattr(splits, name):
            assert part.group == example.group
            seen |= set(example.targets[:, -1].long().tolist())
        assert set(range(len(part.values))) == seen


def test_sizes_are_those_of_the_data(task: Holidays) -> None:
    parts = [part[0] for part in task.parts(0)]
    sizes = {
        name: f"{len(part.values):,} days, {part.labels.sum()} of them holidays"
        for name, part in zip(SPLITS, parts, strict=True)
    }
    assert dict(Holidays.sizes) == sizes
    assert 137 == sum(part.labels.sum() for part in parts)


def test_holidays_are_those_of_the_calendar() -> None:
    assert [
        date(2012, 1, 1), date(2012, 1, 16), date(2012, 5, 28), date(2012, 7, 4), date(2012, 9, 3),
        date(2012, 11, 22), date(2012, 11, 23), date(2012, 12, 24), date(2012, 12, 25),
    ] == list(holidays(2012))  # fmt: skip


def test_holidays_do_not_train(splits: Splits) -> None:
    """A labelled day is read and not predicted in training and validation; in test each counts."""
    for name in ("train", "valid"):
        for example in getattr(splits, name):
            labels = example.targets[:, -3] > 0
            assert torch.equal(~labels, example.target_mask)
    counted = sum(
        len(e.values) if e.target_mask is None else int(e.target_mask.sum()) for e in splits.test
    )
    assert 2053 == counted


def test_detectors_score_what_the_card_says(task: Holidays, splits: Splits) -> None:
    found = score_baselines(task, [task.baselines(splits)], [splits.test])
    scores = {name: of.compute() for name, of in found.items()}
    expected = {name: pytest.approx(of["vus_pr"], abs=1e-4) for name, of in scores.items()}
    assert dict(Holidays.baseline_scores) == expected
    assert scores["last_week"]["auroc"] == pytest.approx(0.956, abs=0.001)
    assert scores["last_week"]["auprc"] == pytest.approx(0.431, abs=0.001)
    assert scores["same_weekday"]["auroc"] == pytest.approx(0.983, abs=0.001)
    assert scores["same_weekday"]["auprc"] == pytest.approx(0.853, abs=0.001)


def test_same_weekday_is_the_median_of_the_weeks_before() -> None:
    values = np.zeros((30, 2))
    values[[0, 7, 14, 21]] = [[1, 0], [5, 0], [3, 0], [10, 4]]
    assert weekday_distance(values, 3)[21] == pytest.approx((7 + 4) / 2)
    assert weekday_distance(values, 1)[21] == pytest.approx((7 + 4) / 2)
    assert [0.0] * 21 == weekday_distance(values, 3)[:21].tolist()


def test_a_picture_of_some_months(task: Holidays) -> None:
    figure = Figure()
    assert task.picture(figure).startswith("Entries to two stations")
    assert ["Clark/Lake", "Addison"] == [axes.get_ylabel() for axes in figure.axes]
    # Independence Day, Labor Day, two of Thanksgiving, two of Christmas, New Year's Day
    assert 5 == len(figure.axes[0].patches)
