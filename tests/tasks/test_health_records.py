"""Records as arrays: carrying forward, folds and examples, on random patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seqbench.api import Example, Splits
from seqbench.tasks.health.pbc import PBC
from seqbench.tasks.health.records import (
    FOLDS,
    TEST,
    TRAIN,
    VALID,
    Records,
    assign_parts,
    carried_forward,
    make_splits,
    opaque_groups,
    to_grid,
)

PATIENTS, VARIABLES, STATICS = 60, 3, 2


@pytest.fixture(params=[0, 1, 2])
def records(request: pytest.FixtureRequest) -> Records:
    """Sixty patients of 1 to 6 steps; two of five values missing, one of five labels unknown."""
    generator = np.random.default_rng(request.param)
    lengths = generator.integers(1, 7, size=PATIENTS)
    total = int(lengths.sum())
    gaps = generator.exponential(size=total)
    values = generator.normal(size=(total, VARIABLES))
    values[generator.random(values.shape) < 0.4] = np.nan
    labels = (generator.random(total) < 0.3).astype(float)
    labels[generator.random(total) < 0.2] = np.nan
    static = generator.normal(loc=3, size=(PATIENTS, STATICS))
    static[generator.random(PATIENTS) < 0.2, 1] = np.nan
    starts = np.cumsum(lengths) - lengths
    times = np.cumsum(gaps) - np.repeat(np.cumsum(gaps)[starts], lengths)
    return Records(
        lengths=lengths,
        times=times,
        values=values,
        labels=labels,
        static=static,
        groups=opaque_groups([str(number // 2) for number in range(PATIENTS)], values),
        variables=np.array(["a", "b", "c"]),
        statics=np.array(["s", "t"]),
    )


def by_patient(records: Records) -> list[slice]:
    ends = np.cumsum(records.lengths)
    return [slice(end - length, end) for end, length in zip(ends, records.lengths, strict=True)]


def all_of(splits: Splits) -> list[Example]:
    return [*splits.train, *splits.valid, *splits.test]


def test_carrying_forward_equals_a_loop(records: Records) -> None:
    """The time since the last measurement follows the recursion of Che et al., equation 2."""
    values, elapsed = carried_forward(records)
    for steps in by_patient(records):
        last = [np.nan] * VARIABLES
        since = [0.0] * VARIABLES
        for step in range(steps.start, steps.stop):
            for column in range(VARIABLES):
                if step > steps.start:
                    gap = records.times[step] - records.times[step - 1]
                    missing_before = np.isnan(records.values[step - 1, column])
                    since[column] = gap + (since[column] if missing_before else 0.0)
                if not np.isnan(records.values[step, column]):
                    last[column] = records.values[step, column]
            np.testing.assert_array_equal(last, values[step])
            np.testing.assert_allclose(since, elapsed[step], rtol=0, atol=1e-12)


def test_folds_keep_units_together_and_test_each_once(records: Records) -> None:
    tested = np.zeros(PATIENTS)
    for fold in range(FOLDS):
        parts = assign_parts(records, fold, 0)
        assert {TRAIN, VALID, TEST} == set(parts.tolist())
        for group in np.unique(records.groups):
            assert len(set(parts[records.groups == group].tolist())) == 1
        tested += parts == TEST
    assert [1.0] * PATIENTS == tested.tolist()


def test_folds_are_alike(records: Records) -> None:
    """Positive labels are dealt out evenly: sorted by their number, five units go to five folds."""
    positives = []
    for fold in range(FOLDS):
        steps = (assign_parts(records, fold, 0) == TEST)[records.patients]
        positives.append(np.nansum(records.labels[steps]))
    most = max(
        np.nansum(records.labels[(records.groups == group)[records.patients]])
        for group in records.groups
    )
    assert max(positives) - min(positives) <= most


def test_another_seed_is_another_deal(records: Records) -> None:
    same, other = assign_parts(records, 0, 0), assign_parts(records, 0, 1)
    assert np.array_equal(same, assign_parts(records, 0, 0))
    assert not np.array_equal(same, other)


@pytest.mark.parametrize("online", [True, False])
def test_examples_hold_the_records(records: Records, online: bool) -> None:
    """Each example is a patient: its measured values, what is known of the others, its labels."""
    if not online:
        labels = np.full(len(records.labels), np.nan)
        ends = np.cumsum(records.lengths) - 1
        labels[ends] = np.random.default_rng(0).integers(0, 2, size=PATIENTS)
        records = replace(records, labels=labels)
    parts = assign_parts(records, 2, 0)
    splits = make_splits(records, parts, online)
    filled, elapsed = carried_forward(records)
    slices = by_patient(records)
    in_train = np.flatnonzero(parts == TRAIN)
    train_values = np.concatenate([records.values[slices[patient]] for patient in in_train])
    gaps = np.concatenate([np.diff(records.times[slices[patient]]) for patient in in_train])
    found = {}
    for part, examples in ((TRAIN, splits.train), (VALID, splits.valid), (TEST, splits.test)):
        for example in examples:
            found[example.group, round(float(example.values.sum()), 5), part] = example
    kept = 0
    for patient, steps in enumerate(slices):
        if np.isnan(records.labels[steps]).all():
            continue
        kept += 1
        values = np.where(np.isnan(filled[steps]), np.nanmean(train_values, axis=0), filled[steps])
        expected = torch.from_numpy(values).float()
        total = round(float(expected.sum()), 5)
        example = found[str(records.groups[patient]), total, int(parts[patient])]
        torch.testing.assert_close(expected, example.values)
        assert example.observed is not None
        assert (~np.isnan(records.values[steps])).tolist() == example.observed.tolist()
        delta = torch.from_numpy(elapsed[steps] / np.median(gaps)).float()
        torch.testing.assert_close(delta, example.delta)
        labels = records.labels[steps]
        if online:
            assert example.target_mask is not None
            assert (~np.isnan(labels)).tolist() == example.target_mask.tolist()
            assert (
                labels[~np.isnan(labels)].tolist() == example.targets[example.target_mask].tolist()
            )
        else:
            assert example.target_mask is None
            assert labels[-1] == float(example.targets)
    assert kept == len(found) == len(all_of(splits))


def test_static_features_are_standardised_by_the_training_patients(records: Records) -> None:
    """What is unknown is 0, the mean, and a column of its own says so."""
    parts = assign_parts(records, 0, 0)
    known = records.static[parts == TRAIN]
    mean, std = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
    labelled = [
        patient
        for patient, steps in enumerate(by_patient(records))
        if not np.isnan(records.labels[steps]).all()
    ]
    expected = sorted(
        [
            round((records.static[patient, 0] - mean[0]) / std[0], 4),
            round(np.nan_to_num((records.static[patient, 1] - mean[1]) / std[1]), 4),
            float(np.isnan(records.static[patient, 1])),
        ]
        for patient in labelled
    )
    found = []
    for example in all_of(make_splits(records, parts, online=True)):
        assert example.static is not None
        found.append([round(number, 4) for number in example.static.double().tolist()])
    np.testing.assert_allclose(expected, sorted(found), rtol=0, atol=2e-4)


def test_nothing_is_estimated_from_patients_who_are_not_trained_on(records: Records) -> None:
    parts = assign_parts(records, 0, 0)
    others = parts != TRAIN
    steps = others[records.patients]
    changed = replace(
        records,
        values=np.where(steps[:, None], records.values * 100 + 7, records.values),
        times=np.where(steps, records.times * 9, records.times),
        static=np.where(others[:, None], records.static - 50, records.static),
        labels=np.where(steps, 1 - records.labels, records.labels),
    )
    changed.values[steps & ~np.isnan(records.values[:, 0]), 0] = np.nan
    task = PBC()
    before, after = (make_splits(each, parts, online=True).train for each in (records, changed))
    for one, two in zip(before, after, strict=True):
        for field in ("values", "observed", "delta", "static", "targets", "target_mask"):
            assert torch.equal(getattr(one, field), getattr(two, field))
    specs = task.input_spec(before), task.input_spec(after)
    assert specs[0].mean is not None
    assert specs[1].mean is not None
    assert torch.equal(specs[0].mean, specs[1].mean)
    assert specs[0].observed_rate is not None
    assert specs[1].observed_rate is not None
    assert torch.equal(specs[0].observed_rate, specs[1].observed_rate)


@pytest.mark.parametrize("value", [np.nan, 0.1])
def test_what_does_not_vary_in_training_is_no_input(records: Records, value: float) -> None:
    """Its scale is unknown, so one patient's 140 in test must not reach a model as it is."""
    parts = assign_parts(records, 0, 0)
    trained = parts == TRAIN
    values, static = records.values.copy(), records.static.copy()
    values[:, 1] = np.where(trained[records.patients], value, 140.0)
    static[:, 1] = np.where(trained, value, 140.0)
    splits = make_splits(replace(records, values=values, static=static), parts, online=True)
    for example in all_of(splits):
        assert not example.values[:, 1].any()
        assert example.values[:, 0].any()
        assert example.static is not None
        assert float(example.static[1]) == 0


def test_inputs_are_scaled_by_what_was_measured(records: Records) -> None:
    """Mean and spread are of measurements in training, not of what is carried forward."""
    parts = assign_parts(records, 0, 0)
    splits = make_splits(records, parts, online=True)
    labelled = [not np.isnan(records.labels[steps]).all() for steps in by_patient(records)]
    used = ((parts == TRAIN) & labelled)[records.patients]
    spec = PBC().input_spec(splits.train)
    assert spec.mean is not None
    assert spec.std is not None
    np.testing.assert_allclose(np.nanmean(records.values[used], axis=0), spec.mean, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(records.values[used], axis=0), spec.std, atol=1e-5)
    assert spec.observed_rate is not None
    rate = (~np.isnan(records.values[used])).mean(axis=0)
    np.testing.assert_allclose(rate, spec.observed_rate, atol=1e-6)
    assert (VARIABLES, STATICS + 1, True) == (spec.size, spec.static_size, spec.missing)


def test_the_bias_starts_at_the_smoothed_log_odds(records: Records) -> None:
    splits = make_splits(records, assign_parts(records, 0, 0), online=True)
    labels = torch.cat([example.targets[example.target_mask] for example in splits.train])
    share = (float(labels.sum()) + 0.5) / (len(labels) + 1)
    bias = PBC().output_spec(splits.train).bias
    assert bias is not None
    assert np.log(share / (1 - share)) == pytest.approx(float(bias), abs=1e-6)


def test_units_tell_nothing_without_the_records() -> None:
    """The same name has another unit in other records; in the same it has the same."""
    one, two = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    units = opaque_groups(["7", "8", "7"], one)
    assert units[0] == units[2] != units[1]
    assert not set(units) & set(opaque_groups(["7", "8", "7"], two))
    assert {16} == {len(group) for group in units}


def test_a_grid_has_a_step_for_each_distinct_time() -> None:
    """Rows come in any order; a patient's values of one time and variable are averaged."""
    grid = to_grid(
        patients=np.array([5, 2, 5, 5, 2, 5]),
        times=np.array([3.0, 1.0, -1.0, 3.0, 1.0, 4.0]),
        variables=np.array(["b", "a", "b", "b", "b", "?"]),
        values=np.array([1.0, 7.0, 2.0, 4.0, 8.0, np.nan]),
        columns=np.array(["b", "a"]),
    )
    assert [2, 5] == grid.patients.tolist()
    assert [1, 3] == grid.lengths.tolist()
    assert [1.0, -1.0, 3.0, 4.0] == grid.times.tolist()
    nan = np.nan
    np.testing.assert_array_equal([[8, 7], [2, nan], [2.5, nan], [nan, nan]], grid.values)


def test_steps_can_be_left_out(records: Records) -> None:
    """A patient of whom no step is left is left out with their static features and unit."""
    steps = records.patients != 3
    steps[0] = records.lengths[0] == 1
    kept = records.only(steps)
    assert PATIENTS - 1 == len(kept.lengths) == len(kept.static) == len(kept.groups)
    np.testing.assert_array_equal(records.times[steps], kept.times)
    np.testing.assert_array_equal(np.delete(records.static, 3, axis=0), kept.static)
