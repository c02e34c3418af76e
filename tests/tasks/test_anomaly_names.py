"""Names of a user's series: folds that are chosen by them, columns in a model's order."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from seqbench.api import DataNames
from seqbench.config.composition import compose, compose_each, settings
from seqbench.config.settings import deciding
from seqbench.errors import Refused
from seqbench.tasks._choices import choose_file, word
from seqbench.tasks.anomaly.recordings import CHANNELS
from seqbench.tasks.anomaly.watch import Watch

NAMES = ["10.csv", "2.csv", "a/nyc_taxi.csv", "a/x.csv", "b/x.csv", "b/y z (1).csv", "b/é.csv"]


def write(
    path: Path, columns: Sequence[str] = ("x", "y"), shift: int = 0, anomaly: int = 80
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"x": 1, "y": 7, "z": 100}
    lines = [",".join([*columns, "label"])]
    for row in range(120):
        cells = [str(shift + row % (5 + numbers[name]) + numbers[name]) for name in columns]
        lines.append(",".join([*cells, str(int(anomaly <= row < anomaly + 10))]))
    path.write_text("\n".join(lines))
    return path


def task_of(
    source: Path, fold: int | str = "all", kept: dict[int, DataNames] | None = None
) -> Watch:
    task = Watch(source=str(source), lead=0.5, fold=fold)
    task.expect(kept or {})
    task.prepare()
    return task


@pytest.mark.parametrize(
    ("fold", "number"),
    [
        (0, 0), (3, 3), ("10", 0), ("10.csv", 0), (10, 0), ("nyc_taxi", 2), ("nyc_taxi.csv", 2),
        ("a/nyc_taxi", 2), ("a/x", 3), ("b/x.csv", 4), ("y z (1)", 5), ("2", 1), ("é", 6),
    ],
)  # fmt: skip
def test_a_file_is_chosen_by_number_or_name(fold: int | str, number: int) -> None:
    assert choose_file(NAMES, fold, "here") == number


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (2, ("task.fold=2 may be a number or a name: write task.fold=2.csv or"
            " task.fold=a/nyc_taxi.csv")),
        ("x", ("task.fold=x is the name of several files: write task.fold=a/x.csv or"
            " task.fold=b/x.csv")),
        ("nyc_tax", ("task.fold=nyc_tax (did you mean 'nyc_taxi'?): task.source 'here' has the"
            " files 0 to 6, in the order of their names: 10.csv, 2.csv, a/nyc_taxi.csv, a/x.csv")),
        (7, "task.fold=7: task.source 'here' has the files 0 to 6, "),
        ("", "task.fold=: task.source"),
    ],
)  # fmt: skip
def test_what_is_no_file_or_may_be_several_is_refused(fold: int | str, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        choose_file(NAMES, fold, "here")
    assert expected in str(refused.value)


def test_of_many_files_the_first_are_named() -> None:
    with pytest.raises(Refused, match=r"or task.fold=2/x.csv, ... \(9 in all\)"):
        choose_file([f"{number}/x.csv" for number in range(9)], "x", "here")


ODD = [*NAMES, "1.5", "007", "null", "true", "1e5", "it's.csv", 'a "b".csv', "a,b.csv", "$x.csv",
       "a=b.csv", "[a].csv", "{a}.csv", "a\\b.csv", "~.csv", "#1.csv", "a:b.csv", "-x", "a%.csv",
       "${x}.csv", "a*b?.csv", "!x.csv", "a\\", "a;b&c|d.csv", "`x`.csv"]  # fmt: skip


def test_words_work_in_a_shell_and_in_hydra() -> None:
    """What bash makes of each is read as the name."""
    commands = "\n".join(f"printf '%s\\0' {word('task.fold', name)}" for name in ODD)
    said = subprocess.run(["bash", "-c", commands], capture_output=True, check=True, text=True)
    given = [["task=anomaly", text] for text in said.stdout.split("\0")[:-1]]
    found = [settings(config).task_parameters["fold"] for config in compose_each(given)]
    assert found == ODD
    (words,) = subprocess.run(
        ["bash", "-c", f"printf %s {word('task.drop', ODD)}"],
        capture_output=True, check=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert settings(compose(["task=anomaly", words])).task_parameters["drop"] == ODD


def test_numbers_count_the_files_that_are_found(tmp_path: Path) -> None:
    """Names of folds are the files' names, and inputs their columns."""
    write(tmp_path / "a.csv", anomaly=20)
    write(tmp_path / "sub" / "b.csv", ("y", "x", "z"))
    task = task_of(tmp_path)
    assert task.folds() == (1,)
    assert task.names(1) == DataNames("sub/b.csv", ("y", "x", "z"))
    assert dict(task.left_out()) == {
        "a.csv": "no anomaly after its first 60 rows, which train",
        "order of rows in sub/b.csv": "it is not checked, for there is no column of times",
    }
    for fold in ("b", "sub/b", "b.csv", 1):
        assert task_of(tmp_path, fold).names(1) == task.names(1)
        assert task_of(tmp_path, fold).fingerprint() == task.fingerprint()


def test_columns_are_read_in_the_order_that_a_model_knows(tmp_path: Path) -> None:
    """Of a file of the same name; what is new comes last, what is missing is missing."""
    old = task_of(write(tmp_path / "old" / "a.csv").parent)
    write(tmp_path / "old" / "b.csv", ("z", "y"))
    old = task_of(tmp_path / "old")
    kept = {fold: old.names(fold) for fold in old.folds()}
    write(tmp_path / "new" / "a.csv", ("y", "x"))
    write(tmp_path / "new" / "b.csv", ("y", "x", "z"))
    new = task_of(tmp_path / "new", kept=kept)
    assert new.names(0) == old.names(0)
    assert (new.parts(0).train[0].values == old.parts(0).train[0].values).all()
    assert new.names(1).inputs == ("z", "y", "x")
    write(tmp_path / "new" / "b.csv", ("y", "x"), shift=1)
    assert task_of(tmp_path / "new", kept=kept).names(1).inputs == ("y", "x")


def test_of_one_file_each_the_name_does_not_matter(tmp_path: Path) -> None:
    kept = {0: DataNames("a.csv", ("y", "x"))}
    other = write(tmp_path / "other.csv")
    assert task_of(other, kept=kept).names(0) == DataNames("other.csv", ("y", "x"))
    write(tmp_path / "more.csv", shift=1)
    assert task_of(tmp_path, kept=kept).names(0).inputs == ("x", "y")
    assert task_of(tmp_path, "other", kept).names(1).inputs == ("y", "x")


def test_the_watch_has_exercises_and_channels() -> None:
    task = Watch(fold="pen")
    assert task.folds() == (0,)
    assert task.names(0) == DataNames("PEN", CHANNELS)
    assert Watch(fold="ROW").folds() == (6,)
    assert task.left_out() == ()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"fold": "RWO"},
            r"task.fold must be 0..6, PEN, .*, ROW or all, not RWO \(did you mean 'RO",
        ),
        ({"skip_bad": True}, "task.skip_bad=true needs a task.source"),
        ({"drop": ["x"]}, r"task.drop=\['x'\] needs a task.source"),
        ({"time": "t"}, "task.time=t needs a task.source"),
        (
            {"source": "here", "fold": -1},
            "task.fold must be a file's number or name, or all, not -1",
        ),
        ({"source": "here", "fold": True}, "or all, not True"),
        ({"source": "here", "label": "x", "drop": ["x"]}, "task.drop names 'x', which is also"),
    ],
)
def test_impossible_parameters(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Watch(**parameters)  # type: ignore[arg-type]


def test_new_parameters_leave_old_trials_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").mkdir()
    config = settings(compose(["task=anomaly"])).to_dict()
    assert not {"skip_bad", "time", "drop"} & set(deciding(config)["task"])
    changed = settings(compose(["task=anomaly", "task.source=x", "task.skip_bad=true"])).to_dict()
    assert deciding(changed)["task"]["skip_bad"] is True


def test_of_nab_only_the_series_count(tmp_path: Path) -> None:
    """Its repository also holds the results of detectors, which have labels too."""
    write(tmp_path / "data" / "kind" / "a.csv")
    write(tmp_path / "results" / "numenta" / "kind" / "numenta_a.csv", shift=3)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "combined_windows.json").write_text("{}")
    task = task_of(tmp_path)
    assert [task.names(fold).fold for fold in task.folds()] == ["data/kind/a.csv"]
    assert [item.name for item in task.left_out()] == [
        "CSV files outside data/",
        "order of rows in data/kind/a.csv",
    ]
