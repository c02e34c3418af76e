"""A finished trial survives being written and read."""

from __future__ import annotations

import errno
import json
import math
import re
import socket
import urllib.error

import pytest

from seqbench.errors import is_of_machine
from seqbench.records import (
    WHOLE_LIST,
    DataNames,
    LeftOut,
    MetricInfo,
    TrialRecord,
    is_own_failure,
    left_out_lines,
)


@pytest.mark.parametrize(
    ("status", "reason", "own"),
    [
        ("FAILED", "the training loss became nan in epoch 3", True),
        ("FAILED", "RuntimeError: not today", True),
        ("OOM", "used 2.3 GiB of memory, limits.gib=2", True),
        ("TIMEOUT", "trained longer than limits.minutes=1", True),
        ("KILLED", "interrupted", False),
        ("KILLED", "its worker process was killed by SIGKILL", False),
        ("FINISHED", "", False),
        ("RUNNING", "", False),
        # Of former versions, which had no other word for them.
        ("FAILED", "its worker process was killed by SIGTERM", False),
        ("FAILED", "no space left on the disk of /data", False),
        ("FAILED", "ValueError: its worker process failed", True),
    ],
)
def test_a_models_own_failure_is_told_from_the_machines(
    status: str, reason: str, own: bool
) -> None:
    assert own == is_own_failure(status, reason)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_machine"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), True),
        (TimeoutError("timed out"), True),
        (socket.gaierror(-2, "Name or service not known"), True),
        (urllib.error.URLError("unreachable"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (_caused(ValueError("cannot read the data"), OSError(errno.EIO, "error")), True),
        (ValueError("a bug"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
        (FileNotFoundError(errno.ENOENT, "vocabulary.txt"), False),
        (_caused(ValueError("a bug"), KeyError("x")), False),
        (MemoryError(), False),
    ],
)
def test_what_the_machine_did_is_told_from_an_exception(error: Exception, of_machine: bool) -> None:
    assert of_machine == is_of_machine(error)


def test_record_survives_json() -> None:
    """Every field, the nested metric descriptions included, is read as it was written."""
    record = TrialRecord(
        key="0123456789abcdef",
        task="music",
        model="lstm",
        seed=3,
        status="FAILED",
        reason="loss is not finite",
        context="past",
        monitor=MetricInfo("nll", "min", "nats per frame"),
        primary=MetricInfo("auroc", "max"),
        metrics={"test/nll": 8.71},
        baselines={"unigram": {"nll": 11.5}},
        history=[{"train/nll": 12.0, "seconds": 1.5}],
        parameters=1234,
        epochs=1,
        environment={"torch": "2.13.0"},
    )
    assert record == TrialRecord.from_json(record.to_json())


def test_record_keeps_what_is_not_finite() -> None:
    """A score that became NaN or infinite is still that after reading."""
    record = TrialRecord("k", "music", "lstm", 0, metrics={"a": math.nan, "b": -math.inf})
    metrics = TrialRecord.from_json(record.to_json()).metrics
    assert math.isnan(metrics["a"])
    assert -math.inf == metrics["b"]


def test_record_of_another_version_is_read() -> None:
    """Fields that this version does not know are left out, missing ones take their defaults."""
    text = json.dumps({"key": "k", "task": "t", "model": "m", "seed": 0, "invented": 1})
    assert TrialRecord("k", "t", "m", 0, schema=1) == TrialRecord.from_json(text)
    newer = text.replace('"invented"', '"schema": 3, "invented"')
    assert TrialRecord("k", "t", "m", 0, schema=3) == TrialRecord.from_json(newer)


def test_what_was_left_out_is_counted_by_reason() -> None:
    """The most frequent reason first, of many names the first, of many reasons too."""
    assert left_out_lines([]) == []
    items = [LeftOut("z", "rare"), *(LeftOut(name, "no\nlabel") for name in "abcd")]
    assert left_out_lines(items) == [
        "a, b, c and 1 more: no label",
        "z: rare",
        f"all 5: {WHOLE_LIST}",
    ]
    assert left_out_lines(items, whole=True)[0] == "z: rare"
    assert len(left_out_lines(items, whole=True)) == 5
    assert left_out_lines(items[:1]) == ["z: rare"]
    many = left_out_lines([LeftOut(str(number), f"line {number}") for number in range(9)])
    assert many[-2:] == ["4 more reasons", f"all 9: {WHOLE_LIST}"]
    assert len(many) == 7
    long = [LeftOut("n" * 500, "r" * 500)]
    assert all(len(line) <= 300 for line in left_out_lines(long) + left_out_lines(long, whole=True))


@pytest.mark.parametrize("length", [10, 40, 59, 60, 61, 200])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 34])
@pytest.mark.parametrize(
    "reason", ["no label", "no label column: " + "temperature, " * 9 + "and others"]
)
def test_long_names_leave_room_for_the_reason(length: int, number: int, reason: str) -> None:
    """Every item is named or counted, and who names fewer than all says where they stand."""
    items = [LeftOut(f"{n:0{length}}", reason) for n in range(number)]
    line, *others = left_out_lines(items)
    found = re.fullmatch(r"([^:]*?)(?: and (\d+) more)?: (.*)", line)
    assert found
    named = found[1].split(", ")
    assert len(named) + int(found[2] or 0) == number
    assert found[3] == reason.strip() or (len(line) == 200 and len(named) == 1)
    assert found[3][:100] == reason.strip()[:100]
    assert others == ([f"all {number}: {WHOLE_LIST}"] if len(named) < number else [])
    assert len(line) <= 200


def test_a_fold_is_called_by_its_name() -> None:
    record = TrialRecord("k", "t", "m", 0, folds=[3, 4], names={3: DataNames("a.csv")})
    assert [record.fold_name(fold) for fold in (3, 4)] == ["a.csv", "4"]
    again = TrialRecord.from_json(record.to_json())
    assert again.fold_name(3) == "a.csv"
