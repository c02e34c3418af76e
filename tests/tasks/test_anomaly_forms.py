"""Forms of a user's series: times, labels, decimal commas, columns of text; all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.tasks.anomaly.times import read_times, time_columns
from seqbench.tasks.anomaly.watch import Watch

ROWS = 120
TIMES = [datetime(2014, 1, 10) + timedelta(hours=7 * row) for row in range(ROWS)]


def formatted(form: str) -> list[str]:
    return [time.strftime(form) for time in TIMES]


def seconds(scale: float = 1.0) -> list[str]:
    return [f"{(time - datetime(1970, 1, 1)).total_seconds() * scale:.0f}" for time in TIMES]


def lines(
    times: Sequence[str],
    separator: str = ",",
    value: Callable[[float], str] = "{:.2f}".format,
    label: Callable[[int], str] = str,
) -> list[str]:
    return [
        separator.join([time, value(row / 4), label(int(80 <= row < 90))])
        for row, time in enumerate(times)
    ]


def prepared(folder: Path, text: str | Sequence[str], **parameters: object) -> Watch:
    (folder / "a.csv").write_text(text if isinstance(text, str) else "\n".join(text))
    task = Watch(source=str(folder), lead=0.5, **parameters)  # type: ignore[arg-type]
    task.prepare()
    return task


def refusal(folder: Path, text: str | Sequence[str], **parameters: object) -> list[str]:
    with pytest.raises(Refused) as refused:
        prepared(folder, text, **parameters)
    found = [str(refused.value), *refused.value.details]
    assert all(len(line) < 300 + len(str(folder)) and "\n" not in line for line in found)
    return found


FORMS = [
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y/%m/%d %H:%M",
    "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y, %H:%M", "%m/%d/%y %H:%M",
    "%d-%b-%Y %H:%M:%S", "%d %B %Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y%m%dT%H%M%S",
    "%d/%m/%Y %H.%M.%S",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_common_forms_of_times_are_read(form: str) -> None:
    expected = [(time - datetime(1970, 1, 1)) / timedelta(microseconds=1) for time in TIMES]
    assert read_times(formatted(form)).readings[0].tolist() == expected


def test_other_times() -> None:
    assert read_times(["10:20", "9:05:30.5"]).readings[0].tolist() == [37200e6, 32730.5e6]
    assert (
        read_times(["2020-03-09 10:20 +0200"]).readings[0]
        == read_times(["2020-03-09T08:20Z"]).readings[0]
    )
    assert len(read_times(["03/04/2020", "03/05/2020"]).readings) == 2
    assert read_times(["2020-01-01", "soon", "2020-13-01"]).unread == [1, 2]
    assert read_times(["1.5", "nan", "3"]).unread == [1]


@pytest.mark.parametrize("form", [*FORMS, "seconds", "milliseconds"])
@pytest.mark.parametrize("order", [1, -1, 37])
def test_the_order_of_rows_is_checked_in_every_form(tmp_path: Path, form: str, order: int) -> None:
    scales = {"seconds": 1.0, "milliseconds": 1000.0}
    times = seconds(scales[form]) if form in scales else formatted(form)
    shuffled = [f'"{times[row * order % ROWS]}"' for row in range(ROWS)]
    text = ["timestamp,x,label", *lines(shuffled)]
    if order == 1:
        assert prepared(tmp_path, text).names(0).inputs == ("x",)
    else:
        assert "rows are not in the order of time" in refusal(tmp_path, text)[1]


@pytest.mark.parametrize(
    "name",
    ["ts", "Date_Time", "time_stamp", "Epoch", "DATE", "Time (s)", "unix-time", "", "Unnamed: 0",
     "UTC timestamp", "time [ms]"],
)  # fmt: skip
def test_columns_of_times_are_known_by_their_names(tmp_path: Path, name: str) -> None:
    text = [f"{name},x,label", *lines(seconds())]
    assert prepared(tmp_path, text).names(0).inputs == ("x",)


def test_other_names_are_values() -> None:
    assert not time_columns(["temperature", "dates of birth", "(s)", "timeout", "runtime", "#"])
    assert time_columns(["time", "x", "", "Date Time"]) == ["Date Time", "time", ""]


def test_times_that_cannot_be_read_are_refused_and_may_be_dropped(tmp_path: Path) -> None:
    text = ["ts,x,label", *lines([f"day {row}" for row in range(ROWS)])]
    (line,) = refusal(tmp_path, text)[1:]
    assert line.startswith("  a.csv: line 2: 'day 0' in column ts is no time, so the rows' order")
    assert "'task.drop=[ts]' goes on without" in line
    assert prepared(tmp_path, text, drop=["ts"]).names(0).inputs == ("x",)


def test_a_column_of_times_may_be_named(tmp_path: Path) -> None:
    text = ["when,x,label", *lines(formatted("%Y-%m-%d %H:%M"))]
    assert "and task.time=when reads times" in refusal(tmp_path, text)[1]
    assert prepared(tmp_path, text, time="when").names(0).inputs == ("x",)
    text[1:] = reversed(text[1:])
    assert "rows are not in the order of time" in refusal(tmp_path, text, time="when")[1]
    assert "task.time 'then' is not one of its columns" in refusal(tmp_path, text, time="then")[1]


def test_a_date_and_a_time_beside_it_are_one_time(tmp_path: Path) -> None:
    times = formatted("%d/%m/%Y;%H.%M.%S")
    text = ["Date;Time;x;label", *lines(times, ";")]
    assert prepared(tmp_path, text).names(0).inputs == ("x",)
    first, second = text[1], text[2]  # of one day
    text[1:] = [second, first] * 60
    assert "rows are not in the order" in refusal(tmp_path, text)[1]


def comma(number: float) -> str:
    return f"{number:.2f}".replace(".", ",")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(tmp_path: Path, separator: str) -> None:
    header = separator.join(["time", "x", "label"])
    text = [header, *lines(seconds(), separator, comma, lambda label: f"{label},0")]
    task = prepared(tmp_path, text)
    assert task.parts(0).train[0].values[:3, 0].tolist() == [0, 0.25, 0.5]
    assert task.parts(0).test[0].labels.sum() == 10


def test_a_label_with_a_decimal_comma_has_one_meaning(tmp_path: Path) -> None:
    text = ["time,x,label", *lines(seconds(), label=lambda label: f'"{label},0"')]
    assert prepared(tmp_path, text).parts(0).test[0].labels.sum() == 10


@pytest.mark.parametrize(
    ("label", "expected"),
    [("1,5", "'1,5'"), ("2", "'2'"), ("", "''"), ("NA", "'NA'"), ("anomaly", "'anomaly'")],
)
def test_other_labels_are_refused(tmp_path: Path, label: str, expected: str) -> None:
    text = ["time;x;label", *lines(seconds(), ";"), f"9999999999;1;{label}"]
    assert (
        f"line 122: the label {expected} in column label is not 0 (normal) or 1"
        in refusal(tmp_path, text)[1]
    )


@pytest.mark.parametrize("missing", ["", "NA", "null", "-", "nan", "N/A", "None", "inf"])
def test_what_is_missing_is_carried_forward(tmp_path: Path, missing: str) -> None:
    text = ["time,x,label", *lines(seconds())]
    text[3] = text[3].replace(",0.50,", f",{missing},")
    values = prepared(tmp_path, text).parts(0).train[0].values
    assert values[:4, 0].tolist() == [0, 0.25, 0.25, 0.75]


def test_columns_of_text_may_be_left_out(tmp_path: Path) -> None:
    text = ["time,x,label,note,sensor A", *(f"{line},ok,on" for line in lines(seconds()))]
    (line,) = refusal(tmp_path, text)[1:]
    assert "line 2: 'ok' in column note is text" in line
    assert """'task.drop=[note,"sensor A"]' goes on without such columns""" in line
    assert prepared(tmp_path, text, drop=["note", "sensor A"]).names(0).inputs == ("x",)
    assert "(did you mean 'note'?)" in refusal(tmp_path, text, drop=["note", "sensor A", "nte"])[0]


def test_all_that_is_wrong_with_all_files_is_said_at_once(tmp_path: Path) -> None:
    good = ["time,x,label", *lines(seconds())]
    wrong = [*good, "1,2", "3,red,0", "4,blue,7", "5,1e99,no label"]
    (tmp_path / "b.csv").write_text("\n".join(wrong))
    (tmp_path / "c.csv").write_bytes(b"")
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    assert refusal(tmp_path, good) == [
        (
            f"task.source '{tmp_path}': 2 of 4 files cannot be used; task.skip_bad=true goes on"
            " without them"
        ),
        "  b.csv: line 122: 2 fields, but the header has 3",
        "  b.csv: line 123: 'red' in column x is not a number; also line 124",
        "  b.csv: line 125: '1e99' in column x is too large; 1e+30 is the most",
        (
            "  b.csv: line 124: the label '7' in column label is not 0 (normal) or 1 (anomaly);"
            " also line 125"
        ),
        "  c.csv: it is empty",
    ]
    task = prepared(tmp_path, good, skip_bad=True)
    assert task.folds() == (0,)
    assert [item.name for item in task.left_out()] == ["b.csv", "c.csv", "d.csv"]
    assert prepared(tmp_path, good, fold=0).left_out() == ()


@pytest.mark.parametrize(
    ("times", "name", "asked"),
    [
        (seconds(), "when", "task.time=when"),
        (formatted("%Y%m%d%H%M"), "sampled_at", "task.time=sampled_at"),
        ([str(row) for row in range(ROWS)], "row no.", "'task.time=\"row no.\"'"),
        ([str(row % 7) for row in range(ROWS)], "weekday", ""),
        (["3"] * ROWS, "constant", ""),
    ],
)
def test_an_order_that_is_not_checked_is_said(
    tmp_path: Path, times: list[str], name: str, asked: str
) -> None:
    """With the column that may tell it, which is a value until it is named."""
    text = [f"{name},x,label", *lines(times, value=lambda row: f"{row % 3:.2f}")]
    task = prepared(tmp_path, text)
    (said,) = task.left_out()
    assert said.name == "order of rows in a.csv"
    assert said.reason.startswith("it is not checked, for there is no column of times")
    assert asked in said.reason
    assert len(said.reason) < 200
    assert ("?" in said.reason) == bool(asked)
    assert task.names(0).inputs == (name, "x")
    if asked:
        again = prepared(tmp_path, text, time=name)
        assert again.left_out() == ()
        assert again.names(0).inputs == ("x",)
