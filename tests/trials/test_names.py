"""Names are part of a trained model: columns, classes and folds of other data are compared."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import seqbench
from seqbench.cli import main
from seqbench.errors import Refused
from seqbench.records import DataNames, TrialRecord
from seqbench.tracking.store import open_store
from seqbench.trials import names

Table = Callable[..., None]
Train = Callable[..., seqbench.Result]
ByFold = Callable[[seqbench.Result], dict[str, float]]


def refusal(run: str, source: str) -> str:
    """Return the whole answer to an evaluation, its details too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Refused) as found:
            seqbench.evaluate(run, source=source)
    assert len(str(found.value)) < 300
    assert "\n" not in str(found.value)
    return "\n".join([str(found.value), *found.value.details])


def test_columns_in_any_order_have_the_same_scores(
    table: Table, train: Train, by_fold: ByFold
) -> None:
    trained = train()
    for number, name in enumerate(("pump", "valve")):
        table(f"turned/{name}.csv", "cba", seed=number)
    again = seqbench.evaluate(trained.record.run_id, source="turned")
    assert by_fold(trained) == by_fold(again)
    assert again.record.names[0].inputs == ("a", "b", "c")


def test_what_the_task_does_not_arrange_is_refused(table: Table, train: Train) -> None:
    """Without `expect` columns in another order would be read as each other."""
    trained = train(arrange=False)
    for name in ("pump", "valve"):
        table(f"turned/{name}.csv", "bac")
    said = refusal(trained.record.run_id, "turned")
    assert "inputs in another order: b stands where its model has a" in said


def test_missing_and_new_columns_are_named(table: Table, train: Train) -> None:
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
            table(f"{source}/{name}.csv", columns)
        assert " ".join(said.split()) in " ".join(refusal(run, source).split())
    for name in ("pump", "valve"):  # a column that is there twice
        text = Path(f"first/{name}.csv").read_text().splitlines()
        table(f"twice/{name}.csv")
        Path("twice", f"{name}.csv").write_text("\n".join(f"{t},{t[0]}" for t in text))
    assert "inputs new: a" in refusal(run, "twice")


def test_folds_that_differ_have_a_line_each(table: Table, train: Train) -> None:
    run = train().record.run_id
    table("other/pump.csv", "ab")
    table("other/valve.csv", "abcd")
    said = refusal(run, "other").splitlines()
    assert said[0].endswith("trained on other names than 2 of 2 folds of these data have")
    assert said[1:] == ["  pump: inputs missing: c", "  valve: inputs new: d"]


def test_a_model_is_that_of_the_fold_of_the_same_name(
    table: Table, train: Train, by_fold: ByFold
) -> None:
    """The files of other data stand in another order, and some are not there."""
    trained = train()
    table("late/valve.csv", seed=1)
    with pytest.warns(UserWarning, match=r"scored on 1 of its 2 folds; these data lack pump"):
        alone = seqbench.evaluate(trained.record.run_id, source="late")
    assert alone.score == by_fold(trained)["valve"]
    assert alone.record.best_epochs == [trained.record.best_epochs[1]]
    assert alone.record.fold_name(0) == "valve"


def test_unknown_folds_are_named(table: Table, train: Train) -> None:
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
            table(f"{source}/{name}.csv")
        assert said in refusal(run, source)


def rewrite(run: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a run as an older or a damaged one would have it."""
    from seqbench.config.settings import TrackingSettings

    path = open_store(TrackingSettings()).find(run).files.path("record.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_run_that_kept_no_names_is_compared_by_number(table: Table, train: Train) -> None:
    trained = train()
    run = trained.record.run_id
    rewrite(run, lambda record: (record.pop("names"), record.pop("left_out"), record.pop("title")))
    for number, name in enumerate(("other", "names")):
        table(f"second/{name}.csv", "abc", seed=number)
    with pytest.warns(UserWarning, match="columns unknown: compared by number"):
        again = seqbench.evaluate(run, source="second")
    assert again.record.fold_name(0) == "names"
    with pytest.warns(UserWarning, match="columns unknown: compared by number"):
        seqbench.evaluate(run)
    for name in ("pump", "valve"):
        table(f"wide/{name}.csv", "abcd")
    said = refusal(run, "wide")
    assert "was trained with 3 features a step, and these data have 4" in said


def test_data_that_have_lost_their_names(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
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
    train: Train, strange: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRANGE_NAMES", strange)
    with pytest.raises(Refused, match=r"^task=tables \(.*tables\.py\): ") as found:
        train()
    assert said in str(found.value)


@pytest.mark.usefixtures("table")
def test_fold_names_stand_in_the_table_and_in_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("first/bad one.csv").write_text("")
    Path("first/bad.csv").write_text("")
    words = ["task=tables", "task.source=first", "model=rnn", "model.hidden_size=2"]
    words += ["recipe.max_epochs=1", "trainer.progress=false"]
    assert 0 == main(words)
    out = capsys.readouterr().out
    assert re.search(r"^by fold +pump \d.*, valve \d", out, re.MULTILINE)
    assert re.search(r"^left out +bad one.csv, bad.csv: it is bad$", out, re.MULTILINE)
    assert re.search(r"^tables: first, rnn, seed 0$", out, re.MULTILINE)
    run = re.search(r"run ([0-9a-f]{8}); to see it: seqbench ui", out)
    assert run
    from seqbench.config.settings import TrackingSettings

    stored = open_store(TrackingSettings()).find(run[1])
    assert stored.tags["seqbench.folds"] == "fold-0: pump, fold-1: valve"
    assert stored.tags["seqbench.left_out"] == "bad one.csv, bad.csv: it is bad"
    assert stored.tags["seqbench.title"] == "tables: first"
    assert stored.record.names[1] == DataNames("valve", ("a", "b", "c"), outputs=("next a",))
    assert [tuple(item) for item in stored.record.left_out] == [
        ("bad one.csv", "it is bad"), ("bad.csv", "it is bad"),
    ]  # fmt: skip
    capsys.readouterr()
    assert 0 == main(["prepare", "task=tables", "task.source=first"])
    out = capsys.readouterr().out
    assert "  fold valve\n" in out
    for name in ("bad one.csv", "bad.csv"):
        assert f"  left out {name}: it is bad\n" in out


def test_the_fold_is_named_in_an_error(train: Train) -> None:
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
