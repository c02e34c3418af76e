"""A user's own labelled series: each form is written by the test, read, and refused if damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from seqbench.errors import Refused
from seqbench.tasks.anomaly.watch import Watch
from seqbench.testing import check_task
from seqbench.training.scoring import score_baselines

ROWS = 120
ANOMALY = (80, 89)


def wave(row: int, channel: int, anomalies: tuple[int, int] = ANOMALY) -> float:
    return round(float(np.sin(row / (3 + channel))), 6) + 5 * (anomalies[0] <= row <= anomalies[1])


def write_tsb_ad(
    folder: Path, name: str = "001_NAB_id_1_Facility_tr_60_1st_80.csv", channel: int = 0
) -> Path:
    """As in TSB-AD: values, then ``Label``; the name says how many rows train."""
    lines = ["Data,Label"]
    lines += [f"{wave(row, channel)},{int(ANOMALY[0] <= row <= ANOMALY[1])}" for row in range(ROWS)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def write_skab(
    folder: Path, rows: int = ROWS, anomalies: Sequence[tuple[int, int]] = (ANOMALY,)
) -> Path:
    """As in SKAB: semicolons, a column of times, two kinds of labels."""
    lines = ["datetime;Accelerometer1RMS;Current;anomaly;changepoint"]
    for row in range(rows):
        near = next((span for span in anomalies if row <= span[1]), ANOMALY)
        label = float(near[0] <= row <= near[1])
        change = float(row in near)
        time = f"2020-03-09 10:{row // 60:02}:{row % 60:02}"
        lines.append(f"{time};{wave(row, 0, near)};{wave(row, 1, near)};{label};{change}")
    path = folder / "valve1" / "0.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_nab(folder: Path) -> Path:
    """As in NAB: ``data/<kind>/<file>.csv`` and ``labels/combined_windows.json``; one has none."""
    for channel, name in enumerate(("realKnownCause/machine.csv", "artificialNoAnomaly/flat.csv")):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["timestamp,value"]
        for row in range(ROWS):
            lines.append(f"2014-07-01 {row // 60:02}:{row % 60:02}:00,{wave(row, channel)}")
        path.write_text("\n".join(lines) + "\n")
    windows = {
        "artificialNoAnomaly/flat.csv": [],
        "realKnownCause/machine.csv": [
            ["2014-07-01 01:20:00.000000", "2014-07-01 01:29:00.000000"]
        ],
    }
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return folder


def refusal(path: Path, **parameters: object) -> str:
    """Return the line with which a source is refused, and the details below it."""
    with pytest.raises(Refused) as refused:
        Watch(source=str(path), **parameters).prepare()  # type: ignore[arg-type]
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 300
    return "\n".join([message, *refused.value.details])


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))


# What is read


def test_tsb_ad_names_say_how_many_rows_train(tmp_path: Path) -> None:
    write_tsb_ad(tmp_path)
    task = Watch(source=str(tmp_path))
    task.prepare()
    assert (0,) == task.folds()
    train, valid, test = (part[0] for part in task.parts(0))
    assert [45, 15, 60] == [len(series.values) for series in (train, valid, test)]
    assert [wave(row, 0) for row in range(45)] == train.values[:, 0].tolist()
    assert list(range(20, 30)) == np.flatnonzero(test.labels).tolist()


def test_skab_is_read_without_its_times_and_labels(tmp_path: Path) -> None:
    """Neither times nor either kind of labels is a value; ``lead`` may be a number of rows."""
    write_skab(tmp_path)
    task = Watch(source=str(tmp_path), lead=40)
    task.prepare()
    train, _, test = (part[0] for part in task.parts(0))
    assert (30, 2) == train.values.shape
    assert [wave(row, 1) for row in range(40, ROWS)] == test.values[:, 1].tolist()
    assert 10 == test.labels.sum()


@pytest.mark.parametrize(
    "below", ["", "data", "data/realKnownCause", "data/realKnownCause/machine.csv"]
)
@pytest.mark.parametrize("labels", ["labels", "data/labels", "data"])
def test_nab_is_read_with_its_windows_from_any_level(
    tmp_path: Path, below: str, labels: str
) -> None:
    """A window's two ends are in it; a file without a window cannot be scored and is left out."""
    write_nab(tmp_path)
    windows = (tmp_path / "labels" / "combined_windows.json").rename(tmp_path / "windows.json")
    (tmp_path / labels).mkdir(exist_ok=True)
    windows.rename(tmp_path / labels / "combined_windows.json")
    task = Watch(source=str(tmp_path / below), lead=0.5)
    task.prepare()
    expected = 0 if "realKnownCause" in below else 1
    reasons = [] if expected == 0 else ["no anomaly after its first 60 rows, which train"]
    assert [item.reason for item in task.left_out()] == reasons
    assert (expected,) == task.folds()
    assert list(range(20, 30)) == np.flatnonzero(task.parts(expected).test[0].labels).tolist()


def test_a_file_is_a_fold_in_the_order_of_names(tmp_path: Path) -> None:
    for channel, name in enumerate(("b_tr_60_x.csv", "a_tr_40_x.csv", "c_tr_50_x.csv")):
        write_tsb_ad(tmp_path, name, channel)
    task = Watch(source=str(tmp_path))
    task.prepare()
    assert (0, 1, 2) == task.folds()
    assert [80, 60, 70] == [len(task.parts(fold).test[0].values) for fold in (0, 1, 2)]
    alone = Watch(source=str(tmp_path), fold=1)
    alone.prepare()
    assert (1,) == alone.folds()
    assert alone.fingerprint() != task.fingerprint()


def test_one_file_may_be_named(tmp_path: Path) -> None:
    task = Watch(source=str(write_tsb_ad(tmp_path)))
    task.prepare()
    assert (0,) == task.folds()


def test_missing_values_are_carried_forward(tmp_path: Path) -> None:
    """The first are carried back; a column without any value is 0."""
    path = tmp_path / "a.csv"
    lines = [f"{row},{row},,{int(row > 90)}" for row in range(ROWS)]
    lines[0], lines[5] = "0,,,0", "5,nan,,0"
    path.write_text("time,x,empty,label\n" + "\n".join(lines))
    task = Watch(source=str(path), lead=0.5)
    task.prepare()
    values = task.parts(0).train[0].values
    assert [1, 1, 2, 3, 4, 4, 6] == values[:7, 0].tolist()
    assert not values[:, 1].any()


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.usefixtures("own_cache")
def test_it_keeps_the_contract_of_tasks(tmp_path: Path, window: int) -> None:
    write_skab(tmp_path, 400, [(300, 319)])
    parameters = {"source": str(tmp_path), "window": window, "lead": 0.6, "buffer": 10}
    check_task(Watch(**parameters))  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_cache")
def test_detectors_find_a_plain_anomaly(tmp_path: Path) -> None:
    write_skab(tmp_path)
    task = Watch(source=str(tmp_path), lead=70)
    task.prepare()
    splits = task.splits(0)
    found = score_baselines(task, [task.baselines(splits)], [splits.test])
    assert found["z_score"].compute()["auroc"] == pytest.approx(1.0)
    assert found["constant"].compute()["auroc"] == pytest.approx(0.5)
    assert set(found) == {
        "constant", "random", "z_score", "mahalanobis", "window_mahalanobis", "static",
    }  # fmt: skip


def test_labelled_rows_do_not_train(tmp_path: Path) -> None:
    """They are read and not predicted, and their values do not move the scale."""
    write_skab(tmp_path, 160, [ANOMALY, (140, 149)])
    task = Watch(source=str(tmp_path), lead=124)
    task.prepare()
    train = task.parts(0).train[0]
    normal = train.values[~train.labels]
    values = {
        int(first): row
        for example in task.splits(0).train
        for first, row in zip(example.targets[:, -1], example.values, strict=True)
    }
    expected = (train.values[85] - normal.mean(axis=0)) / normal.std(axis=0)
    assert expected == pytest.approx(values[85].numpy(), rel=1e-5)
    counted = {
        int(first)
        for example in task.splits(0).train
        for first in example.targets[example.target_mask][:, -1]
    }
    assert set(range(93)) - set(range(80, 90)) == counted


def test_rows_may_be_late_where_a_clock_was_set_back(tmp_path: Path) -> None:
    """Nor is an hour of the day out of order."""
    lines = [f"{row % 24},{wave(row, 0)},{int(row > 90)}" for row in range(ROWS)]
    (tmp_path / "a.csv").write_text("time,x,label\n" + "\n".join(lines))
    task = Watch(source=str(tmp_path), lead=0.5)
    task.prepare()
    assert (0,) == task.folds()


def test_windows_and_times_of_other_zones_meet(tmp_path: Path) -> None:
    """20 past one in UTC is 20 past three two hours east of it."""
    write_nab(tmp_path)
    path = tmp_path / "labels" / "combined_windows.json"
    path.write_text(path.read_text().replace(":00.000000", ":00Z"))
    for data in (tmp_path / "data").rglob("*.csv"):
        text = data.read_text()
        for hour in ("01", "00"):
            text = text.replace(f"2014-07-01 {hour}:", f"2014-07-01 0{int(hour) + 2}:")
        data.write_text(text.replace(":00,", ":00+02:00,"))
    task = Watch(source=str(tmp_path), lead=0.5)
    task.prepare()
    assert list(range(20, 30)) == np.flatnonzero(task.parts(1).test[0].labels).tolist()


def test_an_ending_may_be_in_capitals(tmp_path: Path) -> None:
    write_tsb_ad(tmp_path, "A_tr_60_x.CSV")
    task = Watch(source=str(tmp_path))
    task.prepare()
    assert (0,) == task.folds()


def test_a_picture_of_the_test_part(tmp_path: Path) -> None:
    write_skab(tmp_path)
    task = Watch(source=str(tmp_path), lead=0.5)
    task.prepare()
    figure = Figure()
    assert "valve1/0.csv" in task.picture(figure)
    assert 2 == len(figure.axes)


# What is refused


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_a_folder_without_series(tmp_path: Path) -> None:
    assert "holds no CSV files" in refusal(tmp_path)


def test_a_fold_that_is_not_there(tmp_path: Path) -> None:
    write_tsb_ad(tmp_path)
    message = refusal(tmp_path, fold=4)
    assert "task.fold=4: " in message
    assert message.endswith("in the order of their names: 001_NAB_id_1_Facility_tr_60_1st_80.csv")


def test_a_fold_that_cannot_be_scored(tmp_path: Path) -> None:
    """It is named, although another file could be scored."""
    write_tsb_ad(tmp_path)
    write_tsb_ad(tmp_path, "z_tr_100_x.csv", 1)
    message = refusal(tmp_path, fold=1)
    assert "z_tr_100_x.csv cannot be scored" in message
    assert "z_tr_100_x.csv: no anomaly after its first 100 rows, which train" in message


def test_a_file_without_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,x\n" + "1,2\n" * 50)
    message = refusal(tmp_path)
    assert "  a.csv: no label column (label, labels, anomaly, is_anomaly, outlier)" in message
    assert "its columns are time, x; task.label says which" in message
    for place in (tmp_path, tmp_path.parent / "labels", tmp_path.parents[2] / "labels"):
        assert str(place) in message.splitlines()[-1]


def test_a_label_column_that_is_not_there(tmp_path: Path) -> None:
    write_tsb_ad(tmp_path)
    assert "(did you mean 'Label'?)" in refusal(tmp_path, label="Labels")


def test_a_file_whose_anomalies_all_train(tmp_path: Path) -> None:
    write_tsb_ad(tmp_path, "a_tr_100_x.csv")
    assert "no anomaly after its first 100 rows" in refusal(tmp_path)


def test_a_file_with_too_little_to_train_on(tmp_path: Path) -> None:
    """Where its name says how many rows train, ``lead`` would change nothing."""
    path = write_tsb_ad(tmp_path, "a_tr_20_x.csv")
    reason = "fewer than 10 steps without a label; "
    assert f"{reason}its name says how many rows lead" in refusal(tmp_path)
    path.rename(tmp_path / "a.csv")
    assert f"{reason}change task.lead" in refusal(tmp_path, lead=20)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("x,label\n", "no rows below its header"),
        ("x,x,label\n1,2,0\n", "its header names a column twice: x"),
        ("x,label\n1,0\n1\n", "line 3: 1 fields, but the header has 2"),
        ("x,label\n1,0\n2,0\nred,0\n", "line 4: 'red' in column x is not a number"),
        ('"x\n1",label\n1,0\n1,0\nred,0\n', "line 5: 'red' in column x 1 is not a number"),
        ("x,label\n1,0\n1,maybe\n", "line 3: the label 'maybe' in column label is not 0 (normal)"),
        ("time,label\n1,0\n", "it has no column of values: its columns are time, label"),
        ('x,label\n1,0\n1,0\n"red\nor blue",0\n', r"line 4: 'red\nor blue' in column x is"),
        (f"x,label\n1,0\n1,0\n{'red' * 99},0\n", f"'{'red' * 13}r...' in column x is not a"),
        (f"x,label\n{'1' * 200_000},0\n", "line 2: it is no CSV from here on: field larger than"),
        (
            "x,label\n1,0\n-1e200,0\n",
            "line 3: '-1e200' in column x is too large; 1e+30 is the most",
        ),
        (
            ",".join(f"c{number}" for number in range(99)) + "\n" + "0," * 98 + "0\n",
            ", c28, c29, ... (99 in all)",
        ),
        (b"\xff\xfe\x00x\xff", "line 1: byte 5 of the file is not UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_damaged_file(tmp_path: Path, contents: str | bytes, expected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    message = refusal(tmp_path)
    assert "\n  a.csv: " in message
    assert expected in message
    assert f"'{tmp_path}'" in message


@pytest.mark.parametrize(
    "windows",
    [
        "{",
        '{"a.csv": [["2014-07-01"]]}',
        '["a"]',
        '{"a": [[1, 2]]}',
        '{"a": [["2014-07-02", "2014-07-01"]]}',
        "[" * 100_000,
    ],
)
def test_damaged_windows(tmp_path: Path, windows: str) -> None:
    write_nab(tmp_path)
    (tmp_path / "labels" / "combined_windows.json").write_text(windows)
    assert "combined_windows.json' cannot be read" in refusal(tmp_path)


def test_a_time_that_is_none(tmp_path: Path) -> None:
    write_nab(tmp_path)
    path = tmp_path / "data" / "realKnownCause" / "machine.csv"
    path.write_text(path.read_text().replace("2014-07-01 00:03:00", "yesterday"))
    message = refusal(tmp_path)
    assert (
        "line 5: 'yesterday' in column timestamp is no time, so the rows' order cannot be"
        in message
    )
    assert "task.drop=[timestamp]" in message


def test_windows_of_another_file(tmp_path: Path) -> None:
    write_nab(tmp_path)
    path = tmp_path / "labels" / "combined_windows.json"
    path.write_text(path.read_text().replace("machine.csv", "machines.csv").replace("flat", "f"))
    message = refusal(tmp_path, fold=1)
    assert "it is not named in" in message
    assert "combined_windows.json' (did you mean 'machines.csv'?)" in message


def test_windows_without_times(tmp_path: Path) -> None:
    write_nab(tmp_path)
    for path in (tmp_path / "data").rglob("*.csv"):
        path.write_text(path.read_text().replace("timestamp", "when"))
    assert "no column of times for combined_windows.json: its columns are when," in refusal(
        tmp_path
    )
    task = Watch(source=str(tmp_path), lead=0.5, time="when")
    task.prepare()
    assert task.folds() == (1,)


@pytest.mark.parametrize("order", [-1, 37])
@pytest.mark.parametrize("dates", [True, False])
def test_rows_that_are_not_in_the_order_of_time(tmp_path: Path, order: int, dates: bool) -> None:
    """From last to first, or shuffled; times are numbers or dates."""
    lines = []
    for row in range(ROWS):
        number = row * order % ROWS
        when = f"2014-07-01 {number // 60:02}:{number % 60:02}" if dates else number
        lines.append(f"{when},{wave(row, 0)},{int(row > 90)}")
    (tmp_path / "a.csv").write_text("time,x,label\n" + "\n".join(lines))
    assert "rows are not in the order of time" in refusal(tmp_path)
