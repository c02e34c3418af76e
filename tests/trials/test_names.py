"""Names are part of a trained model: columns, classes and folds of other data are compared."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqbench
from seqbench.cli import main
from seqbench.errors import Refused
from seqbench.records import DataNames, TrialRecord
from seqbench.registry.plugins import add_plugin_file
from seqbench.tracking.store import open_store
from seqbench.trials import names

TASK = '''
"""A folder of CSV files, a fold each; what is predicted is the next value of the first column."""

import csv
import os
from pathlib import Path

import torch
from torch import Tensor

from seqbench.api import DataNames, Example, InputSpec, LeftOut, MeanLoss, Metric, OutputSpec
from seqbench.api import Splits, Task, Visibility

COLUMN = {"a": 1.0, "b": 10.0, "c": 100.0, "d": 1000.0}


class Tables(Task):
    """Tables.

    Args:
        source: the folder.
        arrange: whether columns are read in the order that a model knows.
        derive: whether features are made of the columns.
    """

    version = "1"
    visibility = Visibility.SEQUENCE
    monitor = primary = Metric("error", "min")
    pooling = "folds"
    citation = licence = ""
    sizes = {"train": "2 windows"}
    metric_help = {"error": "squared error"}

    def __init__(self, *, source: str = "", arrange: bool = True, derive: bool = False) -> None:
        self._folder, self._arrange, self._derive = Path(source), arrange, derive
        self._kept = {}

    def expect(self, kept) -> None:
        if self._arrange:
            self._kept = {names.fold: names.inputs for names in kept.values()}

    def prepare(self) -> None:
        self._tables, self._left_out = {}, []
        for path in sorted(self._folder.glob("*.csv")):
            if path.name.startswith("bad"):
                self._left_out.append(LeftOut(path.name, "it is bad"))
                continue
            header, *rows = csv.reader(path.read_text().splitlines())
            kept = self._kept.get(path.stem, ())
            order = kept if sorted(kept) == sorted(header) else header
            values = torch.tensor([[float(row[header.index(name)]) for name in order]
                                   for row in rows])
            self._tables[path.stem] = (tuple(order), values)

    def left_out(self):
        return self._left_out

    def folds(self):
        return tuple(range(len(self._tables)))

    def names(self, fold: int = 0):
        strange = os.environ.get("STRANGE_NAMES")
        if strange == "raise":
            raise KeyError("a")
        if strange == "none":
            return None
        if strange == "numbers":
            return DataNames(inputs=(1, 2))
        if strange == "text":
            return DataNames(inputs="ab")
        if strange == "twins":
            return DataNames(fold="same")
        if strange == "unnamed":
            return DataNames()
        stem = list(self._tables)[fold]
        return DataNames(stem, self._tables[stem][0], outputs=("next a",))

    def splits(self, fold: int = 0) -> Splits:
        header, values = list(self._tables.values())[fold]
        if self._derive:
            values = torch.cat([values, values**2], dim=1)
        parts = [values[start : start + 4] for start in range(0, len(values) - 3, 4)]
        target = header.index("a") if "a" in header else 0
        examples = [Example(part[:3], part[3, target : target + 1], group=str(number))
                    for number, part in enumerate(parts)]
        return Splits(examples[:2], examples[2:4], examples[4:])

    def fingerprint(self) -> str:
        return str(hash(str([(name, values.tolist()) for name, (_, values)
                             in self._tables.items()])))

    def input_spec(self, train) -> InputSpec:
        values = torch.cat([example.values for example in train])
        return InputSpec(values.shape[1], mean=values.mean(0), std=values.std(0))

    def output_spec(self, train) -> OutputSpec:
        return OutputSpec(1)

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return (predictions - targets)[:, 0] ** 2

    def metrics(self):
        return MeanLoss(self, "error")

    def baselines(self, splits):
        return {"zero": [torch.zeros(1) for _ in splits.test]}
'''

SMALL = ("model=rnn", "model.hidden_size=2", "recipe.max_epochs=1", "trainer.progress=false")


def table(path: Path, columns: Sequence[str] = "abc", seed: int = 0, scale: float = 1.0) -> None:
    """Write 24 rows; a column's values depend on its name and on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = {
        name: np.random.default_rng([seed, *name.encode()]).normal(size=24) * scale
        for name in columns
    }
    pd.DataFrame(numbers)[list(columns)].to_csv(path, index=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store, which takes seconds to make."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(runs))
    Path("tables.py").write_text(TASK)
    add_plugin_file("tables.py")
    for number, name in enumerate(("pump", "valve")):
        table(Path("first", f"{name}.csv"), seed=number)
    return tmp_path


def train(source: str = "first", **parameters: object) -> seqbench.Result:
    return seqbench.run(
        task="tables",
        **{"task.source": source, **{f"task.{key}": value for key, value in parameters.items()}},
        **{"model": "rnn", "model.hidden_size": 2, "recipe.max_epochs": 1},
        **{"trainer.progress": False},
    )


def refusal(run: str, source: str) -> str:
    """Return the whole answer to an evaluation, its details too."""
    with warnings.catch_warnings(), pytest.raises(Refused) as found:
        warnings.simplefilter("ignore")
        seqbench.evaluate(run, source=source)
    assert len(str(found.value)) < 300
    assert "\n" not in str(found.value)
    return "\n".join([str(found.value), *found.value.details])


def by_fold(result: seqbench.Result) -> dict[str, float]:
    """Return scores by the name of the fold."""
    record = result.record
    return {record.fold_name(fold): record.metrics[f"fold-{fold}/error"] for fold in record.folds}


def test_columns_in_any_order_have_the_same_scores(folder: Path) -> None:
    trained = train()
    for number, name in enumerate(("pump", "valve")):
        table(Path("turned", f"{name}.csv"), "cba", seed=number)
    again = seqbench.evaluate(trained.record.run_id, source="turned")
    assert by_fold(trained) == by_fold(again)
    assert again.record.names[0].inputs == ("a", "b", "c")


def test_what_the_task_does_not_arrange_is_refused() -> None:
    """Without `expect` columns in another order would be read as each other."""
    trained = train(arrange=False)
    for name in ("pump", "valve"):
        table(Path("turned", f"{name}.csv"), "bac")
    said = refusal(trained.record.run_id, "turned")
    assert "inputs in another order: b stands where its model has a" in said


def test_missing_and_new_columns_are_named() -> None:
    run = train().record.run_id
    cases: dict[str, tuple[Sequence[str], str]] = {
        "few": ("ab", "inputs missing: c"),
        "many": ("abcd", "inputs new: d"),
        "other": ("abd", "inputs missing: c, new: d"),
        "long": (["a", "b", "volume" * 9, "c"], "inputs new: " + ("volume" * 9)[:37] + "..."),
        "renamed": (["a", "b", "c2"], "inputs missing: c, new: c2"),
        "all": ([f"lab{n:02}" for n in range(40)], "missing: a, b, c, new: lab00, lab01, lab02, "),
        "spaces": (["a", " b", "c"], "inputs missing: b, new:  b"),
    }
    for source, (columns, said) in cases.items():
        for name in ("pump", "valve"):
            table(Path(source, f"{name}.csv"), columns)
        assert " ".join(said.split()) in " ".join(refusal(run, source).split())
    for name in ("pump", "valve"):  # a column that is there twice
        text = Path(f"first/{name}.csv").read_text().splitlines()
        table(Path("twice", f"{name}.csv"))
        Path("twice", f"{name}.csv").write_text("\n".join(f"{t},{t[0]}" for t in text))
    assert "inputs new: a" in refusal(run, "twice")


def test_folds_that_differ_have_a_line_each() -> None:
    run = train().record.run_id
    table(Path("other/pump.csv"), "ab")
    table(Path("other/valve.csv"), "abcd")
    said = refusal(run, "other").splitlines()
    assert said[0].endswith("trained on other names than 2 of 2 folds of these data have")
    assert said[1:] == ["  pump: inputs missing: c", "  valve: inputs new: d"]


def test_a_model_is_that_of_the_fold_of_the_same_name() -> None:
    """The files of other data stand in another order, and some are not there."""
    trained = train()
    table(Path("late/valve.csv"), seed=1)
    with pytest.warns(UserWarning, match=r"scored on 1 of its 2 folds; these data lack pump"):
        alone = seqbench.evaluate(trained.record.run_id, source="late")
    assert alone.score == by_fold(trained)["valve"]
    assert alone.record.best_epochs == [trained.record.best_epochs[1]]
    assert alone.record.fold_name(0) == "valve"


def test_unknown_folds_are_named() -> None:
    run = train().record.run_id
    cases: dict[str, tuple[Sequence[str], str]] = {
        "near": (["valves"], "fold valves (did you mean 'valve'?); it has: pump, valve"),
        "one": (["pump", "zebra"], "no model for fold zebra; it has: pump, valve"),
        "two": (["x", "y"], "no model for folds x, y; it has: pump, valve"),
        "many": ([f"{n:03}" for n in range(9)], "000, 001, 002, 003, 004, ... and 4 more; it has"),
        "case": (["Pump"], "no model for fold Pump (did you mean 'pump'?)"),
    }
    for source, (files, said) in cases.items():
        for name in files:
            table(Path(source, f"{name}.csv"))
        assert said in refusal(run, source)


def rewrite(run: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a run as an older or a damaged one would have it."""
    from seqbench.config.settings import TrackingSettings

    path = open_store(TrackingSettings()).find(run).files.path("record.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_run_that_kept_no_names_is_compared_by_number() -> None:
    trained = train()
    run = trained.record.run_id
    rewrite(run, lambda record: (record.pop("names"), record.pop("left_out"), record.pop("title")))
    for number, name in enumerate(("other", "names")):
        table(Path("second", f"{name}.csv"), "abc", seed=number)
    with pytest.warns(UserWarning, match="columns unknown: compared by number"):
        again = seqbench.evaluate(run, source="second")
    assert again.record.fold_name(0) == "names"
    with pytest.warns(UserWarning, match="columns unknown: compared by number"):
        seqbench.evaluate(run)
    for name in ("pump", "valve"):
        table(Path("wide", f"{name}.csv"), "abcd")
    said = refusal(run, "wide")
    assert "was trained with 3 features a step, and these data have 4" in said


def test_data_that_have_lost_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    run = train().record.run_id
    monkeypatch.setenv("STRANGE_NAMES", "unnamed")
    with pytest.warns(UserWarning, match="columns unknown: compared by number"):
        seqbench.evaluate(run)


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        ("raise", "names failed: KeyError: 'a'"),
        ("none", "names failed: TypeError: names(0) is None, and no DataNames"),
        ("numbers", "in which not all names are texts"),
        ("text", "and not made of names"),
        ("twins", "names failed: ValueError: 2 folds have the name 'same'"),
    ],
)
def test_strange_names_are_the_tasks_fault(
    strange: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRANGE_NAMES", strange)
    with pytest.raises(Refused, match=r"^task=tables \(.*tables\.py\): ") as found:
        train()
    assert said in str(found.value)


def test_load_takes_a_fold_by_number_or_name() -> None:
    trained = train()
    run = trained.record.run_id
    for fold in ("valve", 1, "1"):
        model = seqbench.load(run, fold)
        assert (model.fold, model.fold_name) == (1, "valve")
        assert model.score() == {"error": by_fold(trained)["valve"]}
    for wrong in ("valv", 2, "2", -1, "", "pump.csv"):
        with pytest.raises(Refused, match=r"no model for fold .*it has: pump, valve"):
            seqbench.load(run, wrong)
    with pytest.raises(Refused, match=r"choose fold= of pump, valve"):
        seqbench.load(run)


def test_score_on_other_data_finds_the_fold_by_name() -> None:
    trained = train()
    model = seqbench.load(trained.record.run_id, "valve")
    table(Path("late/valve.csv"), "bca", seed=1)
    with pytest.warns(UserWarning, match="lack pump"):
        assert model.score(source="late") == {"error": by_fold(trained)["valve"]}
    table(Path("only/pump.csv"))
    with pytest.warns(UserWarning), pytest.raises(Refused, match="have no fold valve"):
        model.score(source="only")


@pytest.fixture
def model() -> Any:
    return seqbench.load(train().record.run_id, "pump")


VALUES = np.arange(12.0).reshape(4, 3)


def test_a_frame_is_read_by_its_columns(model: Any) -> None:
    wanted = model.predict(VALUES)
    frame = pd.DataFrame(VALUES, columns=list("abc"))
    assert torch.equal(wanted, model.predict(frame))
    assert torch.equal(wanted, model.predict(frame[["c", "a", "b"]]))
    assert torch.equal(wanted[None], model.predict([frame[["b", "c", "a"]]]))
    assert torch.equal(wanted, model.predict(frame.set_index(pd.Index(list("wxyz")))))


def test_a_series_is_a_step(model: Any) -> None:
    frame = pd.DataFrame(VALUES, columns=list("abc"))[["c", "b", "a"]]
    state, found = None, torch.empty(0)
    for _, row in frame.iterrows():
        found, state = model.step(row, state)
    torch.testing.assert_close(model.predict(VALUES), found)
    found, _ = model.step(frame)  # four sequences of one step
    assert found.shape == (4, 1)


def test_columns_of_a_frame_that_do_not_fit(model: Any) -> None:
    cases: list[tuple[Sequence[object], str]] = [
        ("abd", "values: columns missing: c, new: d"),
        ("abcd", "values: columns new: d"),
        ("ab", "values: columns missing: c"),
        ("abb", "values: columns missing: c, new: b"),
        ([0, 1, 2], "values: columns missing: a, b, c, new: 0, 1, 2"),
        (["a", "b", "volum"], "values: columns missing: c, new: volum"),
    ]
    for columns, said in cases:
        frame = pd.DataFrame(np.zeros((4, len(columns))), columns=list(columns))
        with pytest.raises(Refused, match=re.escape(said)):
            model.predict(frame)


def test_a_column_of_texts(model: Any) -> None:
    frame = pd.DataFrame({"a": ["x"], "b": [0.0], "c": [0.0]})
    with pytest.raises(Refused, match="values must be an array of numbers"):
        model.predict(frame)


def test_features_made_of_columns_are_no_columns() -> None:
    model = seqbench.load(train(derive=True).record.run_id, 0)
    with pytest.raises(Refused, match="the 6 features of a step are made of the columns a, b, c"):
        model.predict(pd.DataFrame(VALUES, columns=list("abc")))


def test_fold_names_stand_in_the_table_and_in_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("first/bad one.csv").write_text("")
    Path("first/bad.csv").write_text("")
    words = ["task=tables", "task.source=first", *SMALL]
    assert 0 == main(words)
    out = capsys.readouterr().out
    assert re.search(r"^by fold +pump \d.*, valve \d", out, re.MULTILINE)
    assert re.search(r"^left out +2: bad one.csv, bad.csv: it is bad$", out, re.MULTILINE)
    assert re.search(r"^tables: first, rnn, seed 0$", out, re.MULTILINE)
    run = re.search(r"run ([0-9a-f]{8})$", out, re.MULTILINE)
    assert run
    from seqbench.config.settings import TrackingSettings

    stored = open_store(TrackingSettings()).find(run[1])
    assert stored.tags["seqbench.folds"] == "fold-0: pump, fold-1: valve"
    assert stored.tags["seqbench.left_out"] == "2: bad one.csv, bad.csv: it is bad"
    assert stored.tags["seqbench.title"] == "tables: first"
    assert stored.record.names[1] == DataNames("valve", ("a", "b", "c"), outputs=("next a",))
    assert [tuple(item) for item in stored.record.left_out] == [
        ("bad one.csv", "it is bad"), ("bad.csv", "it is bad"),
    ]  # fmt: skip
    capsys.readouterr()
    assert 0 == main(["prepare", "task=tables", "task.source=first"])
    out = capsys.readouterr().out
    assert "  fold valve\n" in out
    assert "  left out 2: bad one.csv, bad.csv: it is bad\n" in out


def test_the_fold_is_named_in_an_error() -> None:
    Path("first/valve.csv").write_text("a,b,c\n" + "1,2,3\n" * 7)
    with pytest.raises(Refused, match=r"^fold valve: the task's valid split is empty"):
        train()


def names_of(**parts: Sequence[str]) -> DataNames:
    return DataNames(**{key: tuple(value) for key, value in parts.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kept", "found", "said"),
    [
        ({"inputs": "ab"}, {"inputs": "ab"}, []),
        ({}, {"inputs": "ab"}, []),
        ({"inputs": "ab"}, {}, []),
        ({"static": ["age"], "inputs": "a"}, {"inputs": "a"}, ["static inputs missing: age"]),
        ({"outputs": ["no", "yes"]}, {"outputs": ["no", "yes", "may"]}, ["outputs new: may"]),
        ({"outputs": ["no", "yes"]}, {"outputs": ["yes"]}, ["outputs missing: no"]),
        (
            {"outputs": ["no", "yes"]},
            {"outputs": ["yes", "no"]},
            ["outputs in another order: yes stands where its model has no"],
        ),
        (
            {"inputs": ["pressure"]},
            {"inputs": ["presure"]},
            ["inputs missing: pressure, new: presure (did you mean 'pressure'?)"],
        ),
        (
            {"inputs": "a", "static": ["x"], "outputs": ["k"]},
            {"inputs": "b", "static": ["y"], "outputs": ["l"]},
            ["inputs missing: a, new: b", "static inputs missing: x, new: y",
             "outputs missing: k, new: l"],
        ),
    ],
)  # fmt: skip
def test_differences(
    kept: Mapping[str, Sequence[str]], found: Mapping[str, Sequence[str]], said: list[str]
) -> None:
    assert names.differences(names_of(**kept), names_of(**found)) == said


def test_folds_are_found_by_name_before_number() -> None:
    record = TrialRecord("k", "t", "m", 0, folds=[0, 1, 2])
    record.names = {0: DataNames("2"), 1: DataNames("a/b c.csv"), 2: DataNames()}
    assert [names.find_fold(record, text) for text in ("2", 2, "a/b c.csv", "1", "3", "²")] == [
        0, 2, 1, 1, None, None,
    ]  # fmt: skip
    found = {0: DataNames("a/b c.csv"), 1: DataNames("2"), 2: DataNames()}
    assert names.match_folds("run x", record, found) == {0: 1, 1: 0, 2: 2}
