"""What MLflow's page shows of a run: its data, who made it, its result, the right columns."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlDataset
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from seqbench.records import MetricInfo, TrialRecord
from seqbench.tracking.pages import (
    DESCRIPTION,
    VIEW,
    best_metric,
    dataset,
    description,
    experiment_page,
    log_dataset,
    source_tags,
)
from seqbench.tracking.store import Store

NLL = MetricInfo("nll", "min", "nats per frame")
ACCURACY = MetricInfo("accuracy", "max")


def shown_columns(store: Store) -> list[str]:
    experiment = store._client.get_experiment(store._experiments[0])
    found: list[str] = json.loads(experiment.tags[VIEW])["selectedColumns"]
    return found


def test_columns_are_those_of_every_primary_metric(
    store: Store, a_record: Callable[..., TrialRecord]
) -> None:
    for primary in (NLL, ACCURACY, NLL):
        store.start(a_record(primary=primary), {}, {}).finish(a_record(primary=primary))
    assert shown_columns(store) == [
        "attributes.`Dataset`",
        "attributes.`Source`",
        "metrics.`test/nll`",
        f"metrics.`{best_metric('nll')}`",
        "metrics.`test/accuracy`",
        f"metrics.`{best_metric('accuracy')}`",
        "metrics.`sweep/finished`",
        "metrics.`sweep/trials`",
    ]


@pytest.mark.parametrize("damaged", ["", "{", "[]", "1", '{"selectedColumns": 3}', "deflate;xyz"])
def test_a_view_that_somebody_changed_is_made_again(
    store: Store, a_record: Callable[..., TrialRecord], damaged: str
) -> None:
    store._client.set_experiment_tag(store._experiments[0], VIEW, damaged)
    store.start(a_record(primary=NLL), {}, {}).finish(a_record(primary=NLL))
    assert "metrics.`test/nll`" in shown_columns(store)


@pytest.mark.parametrize(
    ("source", "data", "kind", "where"),
    [
        (None, "0123456789abcdef", "code", {"task": "music"}),
        ("my rolls#1.pkl", "fedcba9876543210", "local", {"uri": "my rolls#1.pkl"}),
    ],
)
def test_a_run_has_its_data_its_user_and_its_result(
    store: Store,
    a_record: Callable[..., TrialRecord],
    source: str | None,
    data: str,
    kind: str,
    where: dict[str, str],
) -> None:
    record = a_record(primary=NLL, data=data, environment={"git_seqbench": "abc"})
    log = store.start(record, {"task": {"name": "music", "source": source}}, {})
    record.metrics = {"test/nll": 8.5}
    record.baselines = {"unigram": {"nll": 11.25}, "markov": {"nll": 8.0}}
    log.finish(record)
    run = store._client.get_run(log.run_id)
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("music", data)
    assert (used.dataset.source_type, json.loads(used.dataset.source)) == (kind, where)
    assert run.data.tags["mlflow.source.name"] == "seqbench"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    lines = run.data.tags[DESCRIPTION].splitlines()
    assert lines[:5] == [
        "| predictor | test nll (nats per frame) |",
        "| --- | ---: |",
        "| markov | 8 |",
        "| **lstm** | 8.5 |",
        "| unigram | 11.25 |",
    ]
    assert f"`seqbench repro run={log.run_id}`" in lines[-1]


def test_two_runs_add_a_dataset_at_once(store: Store, a_record: Callable[..., TrialRecord]) -> None:
    """Of two that saw it missing one is refused by the table, and finds it there the next time."""
    one, other = [store.start(a_record(data="before"), {}, {}).run_id for _ in range(2)]
    found = dataset(a_record(data="of both"), {})
    waiting = [other]
    refusals: list[str] = []

    def write_between(session: Session, *_: object) -> None:
        """Let the other run add it after this one has looked, and before this one writes."""
        if waiting and any(isinstance(row, SqlDataset) for row in session.new):
            log_dataset(store._client, waiting.pop(), found)

    def note_refusal(context: ExceptionContext) -> None:
        refusals.append(str(context.original_exception))

    event.listen(Session, "before_flush", write_between)
    event.listen(Engine, "handle_error", note_refusal)
    try:
        log_dataset(store._client, one, found)
    finally:
        event.remove(Session, "before_flush", write_between)
        event.remove(Engine, "handle_error", note_refusal)
    assert 1 == len(refusals)
    assert refusals[0].startswith("UNIQUE constraint failed: datasets.")
    for run_id in (one, other):
        used = store._client.get_run(run_id).inputs.dataset_inputs
        assert ["before", "of both"] == sorted(item.dataset.digest for item in used)


def test_a_dataset_that_cannot_be_added_is_an_error(
    store: Store, a_record: Callable[..., TrialRecord]
) -> None:
    """Whatever is refused the second time as well, as for a run that the store does not have."""
    with pytest.raises(MlflowException, match="not found"):
        log_dataset(store._client, "0" * 32, dataset(a_record(), {}))


def test_a_failed_run_says_why(a_record: Callable[..., TrialRecord]) -> None:
    assert description(a_record(status="OOM", reason="2 GiB\nare few")) == "OOM: 2 GiB are few"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user may have no entry in the system's list, and no variable that names it."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_001)
    assert "mlflow.user" not in source_tags("")


def test_a_sweeps_run_has_its_summary(store: Store) -> None:
    sweep = store.start_sweep("task=music", "words")
    store.end_sweep(sweep, "FINISHED", "2 trials", {best_metric("nll"): 8.0}, "| model |")
    run = store._client.get_run(sweep)
    assert run.data.metrics == {"sweep/best nll": 8.0}
    assert run.data.tags[DESCRIPTION] == "| model |"


@pytest.mark.parametrize(
    ("has_view", "address"),
    [
        (True, "#/experiments/a%2Fb/runs?workflowType=machine_learning&viewStateShareKey=seqbench"),
        (False, "#/experiments/a%2Fb/runs?workflowType=machine_learning"),
    ],
)
def test_address_of_an_experiment(has_view: bool, address: str) -> None:
    assert experiment_page("http://h:5/mlflow/", "a/b", has_view) == f"http://h:5/mlflow/{address}"
