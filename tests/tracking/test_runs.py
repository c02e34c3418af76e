"""Runs are written as they train, and never cost a trial."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqbench.errors import Refused
from seqbench.records import MetricInfo, TrialRecord
from seqbench.tracking.outbox import deliver, waiting
from seqbench.tracking.runlog import NullRun
from seqbench.tracking.store import Store
from seqbench.tracking.tracked import TrackedRun, flatten


def metrics_of(store: Store, run: TrackedRun, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store._client.get_metric_history(run.run_id, key)]


class TestRun:
    """What is logged comes back."""

    def test_whole_life(
        self, a_record: Callable[..., TrialRecord], store: Store, tmp_path: Path
    ) -> None:
        """What was logged comes back: record, configuration, metrics, files, tags."""
        config = {"model": {"name": "lstm", "hidden_size": 64}, "seed": 3}
        record = a_record(
            context="past",
            metrics={"test/nll": 8.7, "valid/nll": 8.6},
            baselines={"last frame (logistic)": {"nll": 9.06}},
            parameters=1234,
            best_epochs=[1],
            epochs=2,
            environment={"torch": "2.13.0"},
            primary=MetricInfo("nll", "min", "nats per frame"),
        )
        run = store.start(record, config, {"seqbench.model_origin": "built-in"})
        run.log_epoch(0, {"train/nll": 10.0, "valid/nll": 9.0})
        run.log_epoch(1, {"train/nll": 9.5, "valid/nll": 8.6})
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
        run.log_text("hello", "notes/hello.txt")
        run.finish(record)

        stored = store.find(run.run_id[:12])
        assert record == stored.record
        assert (run.run_id, run.location) == (stored.record.run_id, stored.record.location)
        assert config == stored.config
        assert stored.checkpoint_path(0).read_bytes() == b"weights"
        assert stored.files.path("notes/hello.txt").read_text() == "hello"
        data = store._client.get_run(run.run_id).data
        assert data.params["model.hidden_size"] == "64"
        assert metrics_of(store, run, "valid/nll") == [(0, 9.0), (1, 8.6)]
        assert metrics_of(store, run, "best/valid/nll") == [(1, 8.6)]
        assert data.metrics["baseline/last frame _logistic_/nll"] == 9.06
        assert data.metrics["cost/parameters"] == 1234
        for tag, value in {
            "seqbench.key": "0123456789abcdef",
            "seqbench.task": "music",
            "seqbench.model": "lstm",
            "seqbench.seed": "3",
            "seqbench.context": "past",
            "seqbench.model_origin": "built-in",
            "environment.torch": "2.13.0",
        }.items():
            assert value == data.tags[tag]

    def test_location_is_readable(self, store: Store, folder: Path) -> None:
        assert f"{folder}/mlflow.db run 12345678" == store.location("123456789abcdef")

    def test_what_mlflow_would_refuse(
        self, a_record: Callable[..., TrialRecord], store: Store
    ) -> None:
        """Scores that are not finite, long values and odd names are logged as far as possible."""
        run = store.start(a_record(), {"note": "x" * 9000, "odd": {"a+b": [1, 2]}}, {})
        run.log_epoch(0, {"train/nll": math.nan, "valid/nll": math.inf, "f(x)": -math.inf})
        run.finish(a_record(environment={"text": "y" * 9000}))
        data = store._client.get_run(run.run_id).data
        assert len(data.params["note"]) == 6000
        assert data.params["odd.a_b"] == "[1, 2]"
        assert {"train/nll", "valid/nll", "f_x_"} <= set(data.metrics)
        assert math.isnan(data.metrics["valid/nll"])
        assert store._client.get_run(run.run_id).info.status == "FINISHED"

    def test_many_metrics_and_parameters(
        self, a_record: Callable[..., TrialRecord], store: Store
    ) -> None:
        """MLflow's limits for one call are not the user's."""
        run = store.start(a_record(), {f"p{i}": i for i in range(250)}, {})
        run.log_epoch(0, {f"m{i}": float(i) for i in range(2100)})
        run.finish(a_record())
        data = store._client.get_run(run.run_id).data
        assert len(data.params) == 250
        assert {f"m{i}" for i in range(2100)} <= set(data.metrics)

    @pytest.mark.parametrize("status", ["FAILED", "KILLED"])
    def test_unfinished_run_ends_with_its_reason(
        self, a_record: Callable[..., TrialRecord], store: Store, status: str
    ) -> None:
        run = store.start(a_record(), {}, {})
        run.finish(a_record(status=status, reason="loss is not finite"))
        stored = store._client.get_run(run.run_id)
        assert status == stored.info.status
        assert stored.data.tags["seqbench.reason"] == "loss is not finite"
        with pytest.raises(Refused, match=rf"did not finish \({status}: loss is not finite\)"):
            store.find(run.run_id)

    def test_null_run(self, a_record: Callable[..., TrialRecord], tmp_path: Path) -> None:
        """Without tracking the same calls do nothing, and the record says it was logged nowhere."""
        record = a_record(location="elsewhere")
        log = NullRun()
        log.log_epoch(0, {"train/nll": 1.0})
        log.log_artifact(tmp_path / "missing")
        log.log_text("x", "x.txt")
        log.finish(record)
        assert (record.run_id, record.location) == ("", "")
        assert list(tmp_path.iterdir()) == []

    def test_flatten(self) -> None:
        nested = {"a": {"b": {"c": 1}, "d": None}, "e": [1, "x"], "f": {}}
        assert flatten(nested) == {"a.b.c": "1", "a.d": "None", "e": "[1, 'x']"}


class BreakingClient:
    """MLflow's client, of which one method raises."""

    def __init__(self, client: Any, method: str, error: BaseException) -> None:
        self._real = client
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            raise self._error
        return getattr(self._real, name)


class TestEnding:
    """No run is left RUNNING by what this process can still do."""

    @pytest.mark.parametrize(
        ("error", "raised", "status", "reason"),
        [
            (KeyboardInterrupt(), KeyboardInterrupt, "KILLED", "interrupted"),
            (SystemExit(3), SystemExit, "KILLED", "could not be started: 3"),
            (OSError("disk full"), Refused, "KILLED", "could not be started: disk full"),
        ],
    )
    def test_start_that_is_cut_short(
        self,
        a_record: Callable[..., TrialRecord],
        store: Store,
        error: BaseException,
        raised: type,
        status: str,
        reason: str,
    ) -> None:
        client: Any = BreakingClient(store._client, "log_text", error)
        with pytest.raises(raised):
            Store(client, store._experiments, store.address).start(a_record(), {}, {})
        (run,) = store._client.search_runs(store._experiments, max_results=1)
        assert status == run.info.status
        assert reason == run.data.tags["seqbench.reason"]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"baselines": None}, "the record's baselines are malformed"),
            ({"environment": None}, "the record's environment is malformed"),
            ({"metrics": {"test/nll": 8.7, "test/x": [1]}}, "metric test/x is not a number"),
            ({"metrics": {"test/nll": 8.7, "test/x": 1j}}, "the record is no JSON"),
            ({"status": "DONE"}, "the record's status is 'DONE'"),
        ],
    )
    def test_malformed_record(
        self,
        a_record: Callable[..., TrialRecord],
        store: Store,
        caplog: pytest.LogCaptureFixture,
        changes: dict[str, Any],
        reason: str,
    ) -> None:
        """The run is FAILED for the record's sake, and the store is not blamed."""
        run = store.start(a_record(), {}, {})
        record = a_record(**({"metrics": {"test/nll": 8.7}} | changes))
        run.finish(record)
        found = store._client.get_run(run.run_id)
        assert ("FAILED", "FAILED") == (found.info.status, record.status)
        assert reason in found.data.tags["seqbench.reason"]
        assert found.data.metrics["test/nll"] == 8.7
        assert "store" not in caplog.text.split("tracked.py")[-1]

    def test_epoch_that_is_no_number(
        self, a_record: Callable[..., TrialRecord], store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What cannot be logged of an epoch is named, and the rest is logged."""
        run = store.start(a_record(), {}, {})
        metrics: Any = {"train/nll": None, "valid/nll": 1.0}
        run.log_epoch(0, metrics)
        run.finish(a_record())
        message = "Epoch 0 of this run: metric train/nll is not a number but a NoneType"
        assert [message] == caplog.messages
        assert metrics_of(store, run, "valid/nll") == [(0, 1.0)]

    @pytest.mark.usefixtures("as_default")
    def test_result_that_the_store_refuses(
        self, a_record: Callable[..., TrialRecord], store: Store
    ) -> None:
        """Where metrics, tags or files fail, the run is ended all the same."""
        started = store.start(a_record(), {}, {})
        client: Any = BreakingClient(store._client, "log_text", OSError("disk full"))
        TrackedRun(client, started.run_id, "somewhere", store.address).finish(a_record())
        assert store._client.get_run(started.run_id).info.status == "FINISHED"
        assert [started.run_id] == [folder.name for folder in waiting()]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal_while_finishing(
        self, a_record: Callable[..., TrialRecord], store: Store, number: signal.Signals
    ) -> None:
        """A second Ctrl-C does not cut the end short, and a later one works as before."""
        started = store.start(a_record(), {}, {})
        client: Any = SignallingClient(store._client, number)
        seen: list[int] = []
        before = signal.signal(number, lambda *_: seen.append(1))
        try:
            TrackedRun(client, started.run_id, "somewhere", store.address).finish(a_record())
            assert [] == seen
            signal.raise_signal(number)
            assert [1] == seen
        finally:
            signal.signal(number, before)
        assert store._client.get_run(started.run_id).info.status == "FINISHED"


class SignallingClient:
    """MLflow's client, before each of whose calls this process gets a signal."""

    def __init__(self, client: Any, number: signal.Signals) -> None:
        self._real = client
        self._number = number

    def __getattr__(self, name: str) -> Any:
        signal.raise_signal(self._number)
        return getattr(self._real, name)


class FailingClient:
    """MLflow's client of a store that fails as long as ``down`` is true."""

    def __init__(self, client: Any) -> None:
        self._real = client
        self.down = True
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.down:
                raise OSError("disk full\nand more")
            return getattr(self._real, name)(*arguments, **options)

        return call


class TestFailingStore:
    """Training never fails because of tracking."""

    def test_training_goes_on(
        self,
        a_record: Callable[..., TrialRecord],
        store: Store,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        as_default: Path,
    ) -> None:
        """A store that fails is told of once and asked no more; the result is kept in a folder."""
        started = store.start(a_record(), {}, {})
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, started.run_id, "somewhere", store.address)
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        with caplog.at_level(logging.WARNING):
            run.log_epoch(0, {"train/nll": 2.0})
            run.log_epoch(1, {"train/nll": 1.0})
            run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
            assert client.calls == 1
            run.finish(a_record(metrics={"test/nll": 8.7}))
        kept = as_default / run.run_id
        shown = f"{kept} for the next run, or for `seqbench sync`"
        assert [
            "The tracking store fails (disk full); training goes on without it",
            f"The tracking store still fails; the result waits in {shown}",
        ] == caplog.messages
        assert (kept / "files" / "checkpoint" / "best.ckpt").read_bytes() == b"weights"
        assert [run.run_id] == deliver().runs
        stored = store.find(run.run_id)
        assert 8.7 == stored.record.metrics["test/nll"]
        assert b"weights" == stored.checkpoint_path(0).read_bytes()
        assert [(0, 2.0), (1, 1.0)] == metrics_of(store, run, "train/nll")
        assert not kept.exists()

    def test_store_that_comes_back(
        self,
        a_record: Callable[..., TrialRecord],
        store: Store,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        as_default: Path,
    ) -> None:
        """What was kept is sent at the end, and the folder is gone."""
        started = store.start(a_record(), {}, {})
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, started.run_id, "somewhere", store.address)
        (tmp_path / "best.ckpt").write_bytes(b"weights")
        with caplog.at_level(logging.WARNING):
            run.log_epoch(0, {"train/nll": 2.0})
            run.log_artifact(tmp_path / "best.ckpt", "checkpoint")
            client.down = False
            run.finish(a_record())
        assert caplog.messages[-1] == "The tracking store works again; nothing was lost"
        assert metrics_of(store, run, "train/nll") == [(0, 2.0)]
        assert store.find(run.run_id).checkpoint_path(0).read_bytes() == b"weights"
        assert not (as_default / run.run_id).exists()

    def test_nowhere_to_keep_it(
        self, a_record: Callable[..., TrialRecord], store: Store, tmp_path: Path, as_default: Path
    ) -> None:
        """Where nothing can be written at all, the trial still ends normally."""
        as_default.touch()
        (tmp_path / "best.ckpt").touch()
        client: Any = FailingClient(store._client)
        run = TrackedRun(client, "f" * 32, "somewhere", store.address)
        run.log_artifact(tmp_path / "best.ckpt")
        record = a_record()
        run.finish(record)
        assert record.run_id == "f" * 32
        as_default.unlink()
