"""The tasks on a user's own sequences: splits, targets, missing values, names, metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from seqbench.api import Splits, Task, Visibility
from seqbench.errors import Refused
from seqbench.records import DataNames
from seqbench.registry.plugins import registry
from seqbench.tasks.data.anomaly import Anomaly
from seqbench.tasks.data.classify import Classify
from seqbench.tasks.data.forecast import Forecast
from seqbench.tasks.data.label import Label
from seqbench.tasks.data.regress import Regress

ROOT = Path(__file__).parents[2]
TASKS = {
    "classify": Classify,
    "regress": Regress,
    "label": Label,
    "forecast": Forecast,
    "anomaly": Anomaly,
}


def ts(path: Path, count: int, classes: tuple[str, ...] = ("a", "b"), seed: int = 0) -> None:
    draw = np.random.default_rng(seed)
    lines = ["@classLabel true " + " ".join(classes), "@data"]
    for number in range(count):
        values = draw.normal(size=(2, 6)).round(3)
        columns = [",".join(map(str, column)) for column in values]
        lines.append(":".join([*columns, classes[number % len(classes)]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def groups_of(splits: Splits) -> list[set[str]]:
    return [
        {example.group for example in part} for part in (splits.train, splits.valid, splits.test)
    ]


def refusal(task: Task) -> str:
    with pytest.raises(Refused) as caught:
        task.prepare()
    return "\n".join([str(caught.value), *caught.value.details])


@pytest.mark.parametrize("name", TASKS)
def test_configuration_has_the_defaults_of_the_code(name: str) -> None:
    keys = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "task" / "data" / f"{name}.yaml"))
    assert keys.pop("name") == f"data/{name}"
    keys["drop"] = tuple(keys["drop"])
    parameters = registry().get("task", f"data/{name}").source().parameters
    assert {item.name: item.default for item in parameters} == keys


def test_a_given_split_is_kept_and_validation_is_cut_from_its_training_part(tmp_path: Path) -> None:
    ts(tmp_path / "P_TRAIN.ts", 20)
    ts(tmp_path / "P_TEST.ts", 7, seed=1)
    splits = Classify(source=str(tmp_path)).splits()
    assert (16, 4, 7) == (len(splits.train), len(splits.valid), len(splits.test))
    assert {2} == {sum(int(e.targets) for e in splits.valid)}, "class by class"
    train, valid, test = groups_of(splits)
    assert not train & valid
    assert {"P_TEST.ts"} == {name.partition(",")[0] for name in test}
    again = Classify(source=str(tmp_path)).splits()
    assert groups_of(again) == [train, valid, test]
    with pytest.raises(Refused, match=r"task.split_seed=1 changes nothing: .* test part") as no:
        Classify(source=str(tmp_path), split_seed=1).splits()
    assert "task.split=hashed" in str(no.value)
    Classify(source=str(tmp_path), split="hashed", split_seed=1).prepare()


def test_without_a_split_three_in_five_train(tmp_path: Path) -> None:
    ts(tmp_path / "all.ts", 50)
    splits = Classify(source=str(tmp_path / "all.ts")).splits()
    assert (30, 10, 10) == (len(splits.train), len(splits.valid), len(splits.test))
    ts(tmp_path / "P_TRAIN.ts", 50)
    ts(tmp_path / "P_TEST.ts", 50, seed=1)
    dealt = Classify(source=str(tmp_path), problem="P", split="hashed").splits()
    assert (60, 20, 20) == (len(dealt.train), len(dealt.valid), len(dealt.test))


def arrays(folder: Path, **found: Any) -> str:
    np.savez(folder / "mine.npz", **found)
    return str(folder / "mine.npz")


def test_groups_stay_together_and_copies_are_one_group(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(60, 5, 1))
    values[30:] = values[:30]
    y = np.arange(60) % 30 % 2
    copied = groups_of(Classify(source=arrays(tmp_path, X=values, y=y)).splits())
    assert 30 == sum(map(len, copied))
    values[30:] += 1
    named = Classify(source=arrays(tmp_path, X=values, y=y, groups=np.arange(60) // 3))
    train, valid, test = groups_of(named.splits())
    assert not (train & valid) | (train & test) | (valid & test)
    assert 20 == len(train | valid | test)


def test_a_group_in_two_given_parts_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    parts = {"X_train": draw.normal(size=(30, 4)), "y_train": np.arange(30) % 2}
    parts |= {"X_test": draw.normal(size=(9, 4)), "y_test": np.arange(9) % 2}
    parts |= {"groups_train": np.arange(30) // 2, "groups_test": np.arange(9) + 10}
    source = arrays(tmp_path, **parts)
    assert "5 groups are in two parts of its own split: 10, 11" in refusal(Classify(source=source))
    assert "task.split=hashed" in refusal(Classify(source=source))
    Classify(source=source, split="hashed").prepare()


def test_several_problems_are_refused_with_one_to_begin_with(tmp_path: Path) -> None:
    for seed, name in enumerate(("One", "Two")):
        ts(tmp_path / "deep" / name / f"{name}_TRAIN.ts", 20, seed=2 * seed)
        ts(tmp_path / "deep" / name / f"{name}_TEST.ts", 6, seed=2 * seed + 1)
        ts(tmp_path / "flat" / f"{name}_TRAIN.ts", 20, seed=2 * seed)
        ts(tmp_path / "flat" / f"{name}_TEST.ts", 6, seed=2 * seed + 1)
    text = refusal(Classify(source=str(tmp_path / "deep")))
    assert "has 2 problems" in text
    assert "  task.problem=One\n  task.problem=Two" in text
    Classify(source=str(tmp_path / "deep"), problem="One").prepare()
    Classify(source=str(tmp_path / "deep" / "One")).prepare()
    text = refusal(Classify(source=str(tmp_path / "flat")))
    assert "for example task.problem=One" in text
    assert 6 == len(Classify(source=str(tmp_path / "flat"), problem="Two").splits().test)
    text = refusal(Classify(source=str(tmp_path / "flat"), problem="Tow"))
    assert "(did you mean 'Two'?); it has One, Two" in text
    text = refusal(Classify(source=str(tmp_path / "flat" / "One_TRAIN.ts")))
    assert "is one part of a problem, and One_TEST.ts another" in text


def test_of_several_forms_the_first_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    ts(tmp_path / "P_TRAIN.ts", 20)
    ts(tmp_path / "P_TEST.ts", 6, seed=1)
    (tmp_path / "P_TRAIN.arff").write_text("anything")
    (tmp_path / "notes.csv").write_text("a,b\n")
    task = Classify(source=str(tmp_path))
    task.prepare()
    assert {
        "P_TRAIN.arff": "the folder's .ts files are read",
        "notes.csv": "the folder's .ts files are read",
    } == dict(task.left_out())


def test_bad_files_are_told_at_once_and_can_be_left_out(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / ("walk" if number % 2 else "run")
        folder.mkdir(exist_ok=True)
        pd.DataFrame(draw.normal(size=(5, 2)), columns=["x", "y_axis"]).to_csv(
            folder / f"{number}.csv", index=False
        )
    (tmp_path / "run" / "bad.csv").write_text("x,y_axis\n1,oops\n")
    (tmp_path / "walk" / "other.csv").write_text("x,z\n1,2\n")
    (tmp_path / "walk" / "empty.csv").write_text("")
    text = refusal(Classify(source=str(tmp_path)))
    assert "2 of 27 files cannot be used; task.skip_bad=true goes on without them" in text
    assert "run/bad.csv: column y_axis, line 2: 'oops' is not a number" in text
    task = Classify(source=str(tmp_path), skip_bad=True)
    task.prepare()
    assert ("run", "walk") == task.names().outputs
    left = dict(task.left_out())
    bad = {"run/bad.csv", "walk/other.csv", "walk/empty.csv"}
    assert bad | {"order of rows"} == left.keys()
    assert "it lacks y_axis and has z more (columns of run/0.csv)" == left["walk/other.csv"]
    assert 24 == sum(len(part) for part in vars(task.splits()).values())


def test_columns_of_several_files_are_read_by_name(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for part, order in (("train", ["a", "b"]), ("test", ["b", "a"])):
        frame = pd.DataFrame(
            {"id": np.repeat(np.arange(20), 4), "label": np.repeat(np.arange(20) % 2, 4)}
        )
        frame["a"], frame["b"] = draw.normal(size=80), 100 + draw.normal(size=80)
        frame[["id", *order, "label"]].to_csv(tmp_path / f"{part}.csv", index=False)
    splits = Classify(source=str(tmp_path)).splits()
    for part in vars(splits).values():
        means = torch.cat([example.values for example in part]).mean(dim=0)
        torch.testing.assert_close(torch.tensor([0.0, 100.0]), means, rtol=0, atol=1.0)
    assert 20 == len(splits.test)


def test_columns_and_classes_are_read_as_a_trained_model_knows_them(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = np.array(["up", "down"])[np.arange(20) % 2]
    source = arrays(tmp_path, X=draw.normal(size=(20, 4, 2)), y=y, columns=["a", "b"])
    plain, again = Classify(source=source), Classify(source=source)
    again.expect({0: DataNames(inputs=("b", "a"), outputs=("up", "left", "down"))})
    one, other = plain.splits().train, again.splits().train
    assert ("b", "a") == again.names().inputs
    assert ("up", "left", "down") == again.names().outputs
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.values, right.values.flip(1))
        assert plain.names().outputs[left.targets] == again.names().outputs[right.targets]
    strange = Classify(source=source)
    strange.expect({0: DataNames(inputs=("a", "c"), outputs=("x", "y"))})
    assert DataNames(inputs=("a", "b"), outputs=("down", "up")) == strange.names()


def test_missing_values_and_times_reach_the_model(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 4, 2))
    values[:, 2, 0] = np.nan
    values[:, :2, 1] = np.nan
    y = np.arange(20) % 2
    task = Classify(source=arrays(tmp_path, X=values, y=y))
    splits = task.splits()
    spec = task.input_spec(splits.train)
    assert spec.missing
    example = splits.train[0]
    assert [[True, False], [True, False], [False, True], [True, True]] == example.observed.tolist()
    assert example.values[2, 0] == example.values[1, 0], "carried forward"
    assert example.values[0, 1] == pytest.approx(float(spec.mean[1]), abs=1e-6), "the training mean"
    assert [0, 1, 1, 2] == example.delta[:, 0].tolist()
    assert [0, 1, 2, 1] == example.delta[:, 1].tolist()
    torch.testing.assert_close(torch.tensor([0.75, 0.5]), spec.observed_rate)
    told = Classify(source=arrays(tmp_path, X=np.nan_to_num(values), y=y), missing=True)
    assert told.input_spec(told.splits().train).missing
    assert (
        not Classify(source=arrays(tmp_path, X=np.nan_to_num(values), y=y))
        .splits()
        .train[0]
        .observed
    )


def test_regression_has_the_targets_unit(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = 1e6 + 1e4 * draw.normal(size=40)
    task = Regress(source=arrays(tmp_path, X=draw.normal(size=(40, 5, 2)), y=y))
    splits = task.splits()
    train = np.array([float(example.targets) for example in splits.train])
    assert set(train) < set(y.tolist()), "in float64, as they were given"
    spec = task.output_spec(splits.train)
    assert float(spec.bias) == pytest.approx(train.mean(), rel=1e-6)
    assert float(spec.scale) == pytest.approx(train.std(), rel=1e-6)
    targets = torch.stack([example.targets for example in splits.test])
    predictions = targets[:, None] + torch.tensor([[3.0], [-4.0]]).repeat(len(targets) // 2, 1)
    metrics = task.metrics()
    metrics.update(predictions, targets, torch.arange(len(targets)))
    found = metrics.compute()
    assert (12.5, 3.5) == (pytest.approx(found["mse"]), pytest.approx(found["mae"]))
    assert found["rmse"] == pytest.approx(12.5**0.5)
    assert found["r2"] == pytest.approx(1 - 12.5 / float(targets.var(correction=0)))
    drawn = metrics.bootstrap_scores()
    assert 1000 == len(drawn["rmse"])
    assert 3 <= min(drawn["rmse"]) <= found["rmse"] <= max(drawn["rmse"]) <= 4
    loss = task.loss(predictions, targets)
    assert float(loss[0]) == pytest.approx(9 / train.var())


def test_bootstrap_draws_groups(tmp_path: Path) -> None:
    """Twice each sequence in its group changes no interval; fewer than five groups give none."""
    draw = np.random.default_rng(0)
    values, y = draw.normal(size=(100, 4)), np.arange(100) % 2
    found = []
    for groups in (np.arange(100), np.arange(100) // 20):
        task = Classify(source=arrays(tmp_path, X=values, y=y, groups=groups))
        test = task.splits().test
        metrics = task.metrics()
        targets = torch.stack([example.targets for example in test])
        metrics.update(torch.randn(len(test), 2), targets, torch.arange(len(test)))
        found.append(metrics.bootstrap_scores())
        sizes = metrics.group_counts("accuracy").sizes
        assert ([1.0] * 20 if len(set(groups)) > 5 else [20.0]) == list(sizes)
    assert 1000 == len(found[0]["accuracy"])
    assert {} == found[1], "one group is for test"


def series_file(folder: Path, **columns: Any) -> str:
    pd.DataFrame(columns).to_csv(folder / "one.csv", index=False)
    return str(folder / "one.csv")


@pytest.mark.parametrize("horizon", [1, 3])
def test_forecasts_are_of_what_follows_and_each_step_counts_once(
    tmp_path: Path, horizon: int
) -> None:
    steps = np.arange(1000.0)
    source = series_file(tmp_path, time=steps, a=steps, b=-steps)
    task = Forecast(source=source, horizon=horizon, window=30)
    assert (Visibility.NEXT if horizon == 1 else Visibility.ONLINE) is task.visibility
    bounds = {"train": (0, 600), "valid": (600, 800), "test": (800, 1000)}
    for name, part in vars(task.splits()).items():
        counted = []
        for example in part:
            rows = example.values[:, 0]
            first = 0 if horizon == 1 else 1
            for row, target, counts in zip(rows, example.targets, example.target_mask, strict=True):
                if counts:
                    expected = [
                        sign * (row + first + n) for n in range(horizon) for sign in (1, -1)
                    ]
                    assert expected == target.tolist()
                    counted.append(int(row))
        start, stop = bounds[name]
        last = stop if horizon == 1 else stop - horizon
        begin = 1 if start == 0 and horizon == 1 else start
        assert list(range(begin, last)) == counted, "no target is in another part"
    expected = ("a", "b") if horizon == 1 else ("a, step 1", "b, step 1")
    assert expected == task.names().outputs[:2]


def test_one_column_is_forecast_and_a_gap_does_not_count(tmp_path: Path) -> None:
    values = np.sin(np.arange(200.0))
    values[50] = np.nan
    source = series_file(tmp_path, a=values, b=np.arange(200.0), label=np.zeros(200))
    task = Forecast(source=source, label="a")
    train = task.splits().train
    assert {(2, 1)} == {(e.values.shape[1], e.targets.shape[1]) for e in train}
    assert 118 == sum(int(example.target_mask.sum()) for example in train)
    assert ("a",) == task.names().outputs
    assert ("column label", "it is named like a label") in task.left_out()
    flat = Forecast(source=series_file(tmp_path, a=np.ones(200)))
    assert "column 'a' does not change in the training part" in refusal(flat)


def test_labels_of_steps_may_be_unknown(tmp_path: Path) -> None:
    labels = ["x" if n % 10 < 5 else "y" if n % 3 else "" for n in range(400)]
    source = series_file(tmp_path, a=np.arange(400.0), label=labels)
    task = Label(source=source, window=50)
    known = sum(int(e.target_mask.sum()) for part in vars(task.splits()).values() for e in part)
    assert known == sum(map(bool, labels))
    for part in vars(task.splits()).values():
        for example in part:
            for row in torch.nonzero(example.target_mask)[:, 0].tolist():
                expected = labels[int(example.values[row, 0])]
                assert expected == task.names().outputs[int(example.targets[row])]
    assert Visibility.ONLINE is Label(source=source, online=True).visibility
    assert Visibility.STEP is Label(source=source).visibility


def test_anomalies_train_nothing(tmp_path: Path) -> None:
    labels = np.zeros(500, dtype=int)
    labels[100:110] = labels[450:460] = 1
    task = Anomaly(source=series_file(tmp_path, a=np.sin(np.arange(500.0)), label=labels))
    train, valid, test = task.parts(0)
    assert [300, 100, 100] == [len(part[0].values) for part in (train, valid, test)]
    assert [10, 0, 10] == [int(part[0].labels.sum()) for part in (train, valid, test)]
    named = Anomaly(source=series_file(tmp_path, a=np.arange(9.0), label=list("012345678")))
    assert "its labels must be 0 or 1, not '2'" in refusal(named)
    none = Anomaly(source=series_file(tmp_path, a=np.sin(np.arange(500.0)), label=0 * labels))
    assert "the test part has no anomaly" in refusal(none)
    assert "the last fifth of each of fewer than 10 sequences" in refusal(none)


MISTAKES: list[tuple[Callable[..., Task], dict[str, Any], str]] = [
    (Classify, {"source": " "}, "task.source must be a path or null"),
    (Classify, {"id": "a"}, "task.id=a needs a task.source"),
    (Classify, {"drop": "a"}, "task.drop=.'a'. needs a task.source"),
    (Classify, {"split": "givn"}, r"not 'givn' \(did you mean 'given'\?\)"),
    (Classify, {"split_seed": -1}, "at least 0, not -1"),
    (Forecast, {"horizon": 0}, "task.horizon must be at least 1"),
    (Forecast, {"season": 0}, "task.season must be at least 1"),
    (Forecast, {"window": 0}, "task.window must be at least 1"),
    (Label, {"window": 0}, "task.window must be at least 1"),
    (Anomaly, {"buffer": -1}, "task.buffer must be at least 0"),
]


@pytest.mark.parametrize(("task", "given", "expected"), MISTAKES)
def test_impossible_values_are_refused_before_data_are_read(
    task: Callable[..., Task], given: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        task(**given)


def test_what_is_not_the_data_of_a_task_is_refused_with_the_task_that_takes_it(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(30, 5))
    numbers = arrays(tmp_path, X=values, y=draw.normal(size=30))
    assert "task=data/regress predicts one for each sequence" in refusal(Classify(source=numbers))
    assert "task=data/classify takes one of each sequence" in refusal(Label(source=numbers))
    texts = arrays(tmp_path, X=values, y=[*"ab"] * 15)
    text = refusal(Regress(source=texts))
    assert "none of its 30 sequences can be used" in text
    assert "'a' is not a number; task=data/classify takes classes" in text
    assert "... and 27 more" in text
    steps = arrays(tmp_path, X=values, y=draw.integers(2, size=(30, 5)))
    assert "task=data/label takes one a step" in refusal(Classify(source=steps))
    one = arrays(tmp_path, X=values, y=np.zeros(30))
    assert "all sequences are of one class, '0'" in refusal(Classify(source=one))
    few = arrays(tmp_path, X=values[:4], y=[0, 1, 0, 1])
    assert "4 groups of sequences, too few" in refusal(Classify(source=few))
    table = series_file(tmp_path, a=np.arange(9.0))
    assert "task.id says which column tells several apart" in refusal(Classify(source=table))
