"""A finished trial survives being written and read, and its key follows what decides the result."""

from __future__ import annotations

import json
import math

import pytest

from seqbench.records import MetricInfo, TrialRecord, trial_key


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
    assert TrialRecord("k", "t", "m", 0) == TrialRecord.from_json(text)


def test_key_ignores_order_only() -> None:
    """The order of keys does not matter; any value does."""
    key = trial_key({"task": "music", "config": {"a": 1, "b": 2}})
    assert key == trial_key({"config": {"b": 2, "a": 1}, "task": "music"})
    assert key != trial_key({"config": {"b": 2, "a": 1.5}, "task": "music"})
    assert key != trial_key({"config": {"b": 2, "a": "1"}, "task": "music"})


def test_key_is_stable() -> None:
    """The key of a given identity is the same in every version: stored keys stay valid."""
    assert trial_key({"task": "music", "seed": 0}) == "c49113deeea04f01"


def test_key_refuses_what_equals_nothing() -> None:
    """NaN would make two equal trials differ."""
    with pytest.raises(ValueError, match="JSON"):
        trial_key({"lr": math.nan})
