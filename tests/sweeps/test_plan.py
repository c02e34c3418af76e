"""Which trials of a sweep have finished, and which are to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from omegaconf import OmegaConf

from seqbench.commands.plan import other_code, plan_table, reasons
from seqbench.config.composition import compose, compose_each, settings
from seqbench.config.members import sweep_members
from seqbench.config.settings import Rerun, Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import Identity, identity
from seqbench.records import TrialRecord
from seqbench.registry.codehash import harness_hashes
from seqbench.sweeps.job import attempt
from seqbench.sweeps.plan import Planned, State, plan, summary
from seqbench.tracking import trials
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tags import SCHEMA_TAG, identity_tags
from seqbench.tracking.trials import stored_trials
from seqbench.trials import run as run_module

SWEEP = ["experiment=smoke", "model=lstm,gru", "seed=0,1,2"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, where a sweep without tracking.uri finds it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_store(TrackingSettings())


def asked(*overrides: str) -> Identity:
    return identity(settings(compose(["experiment=smoke", *overrides])))


def log(
    store: Store,
    identity: Identity,
    status: str,
    harness: dict[str, str] | None = None,
    **changed: str,
) -> str:
    """Log a run of a trial, some parts or the harness of which may have been others then."""
    record = TrialRecord("key", "music", "lstm", 0, status=status, reason="so it is")  # type: ignore[arg-type]
    tags = identity_tags(
        identity.configuration, {**identity.parts, **changed}, harness or harness_hashes()
    )
    run = store.start(record, {}, tags)
    if status != "RUNNING":
        run.finish(record)
    return run.run_id


def states(*overrides: str) -> list[State]:
    return [item.state for item in plan(["experiment=smoke", *overrides]).trials]


@pytest.mark.parametrize(
    "overrides",
    [
        SWEEP,
        ["task=music,health", "recipe.lr=1e-3,2e-3", "trainer.threads=null", "model.dropout=0.5"],
        ["model=bilstm", "model.hidden_size=8,16", "~model.dropout", "recipe=sgd,adamw"],
    ],
)
def test_configurations_are_those_that_hydra_composes(overrides: list[str]) -> None:
    members = sweep_members(overrides)
    assert len(members) == len({tuple(member) for member in members}) > 3
    for member, composed in zip(members, compose_each(members), strict=True):
        expected = OmegaConf.to_container(compose(member), resolve=True)
        assert expected == OmegaConf.to_container(composed, resolve=True)


def test_a_wrong_override_is_refused() -> None:
    with pytest.raises(Refused, match=r"unknown key 'model\.hiden_size' .*hidden_size"):
        compose_each(sweep_members(["model=lstm,gru", "model.hiden_size=3"]))


def test_nothing_is_known_of_a_new_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one made, nor looked for with tracking=none."""
    monkeypatch.chdir(tmp_path)
    assert ["new"] * 6 == [item.state for item in plan(SWEEP).trials]
    assert ["new"] == states("tracking=none")
    assert not list(tmp_path.iterdir())


def test_how_trials_stand(store: Store) -> None:
    """The latest run counts, but one that has finished is never forgotten."""
    finished = log(store, asked("seed=0"), "FINISHED")
    log(store, asked("seed=0"), "FAILED")
    log(store, asked("seed=1"), "KILLED")
    log(store, asked("seed=1"), "FAILED")
    log(store, asked("seed=2"), "FAILED")
    log(store, asked("seed=2"), "KILLED")
    log(store, asked("seed=3"), "RUNNING")
    log(store, asked("seed=4"), "FINISHED", model="another", torch="another")
    log(store, asked("seed=4"), "FINISHED", torch="another")
    found = plan(["experiment=smoke", "seed=0,1,2,3,4,5,-1"])
    expected = ["finished", "failed", "unfinished", "running", "stale", "new", "impossible"]
    assert expected == [item.state for item in found.trials]
    assert finished == found.trials[0].run_id
    assert "so it is" == found.trials[1].reason
    assert "changed since: torch" == found.trials[4].reason
    assert "seed must be in 0..4294967295, not -1" == found.trials[6].reason
    assert summary(found.trials).startswith("7 trials: 1 finished, 1 stale, 1 failed, 1 running")


def test_only_what_decides_a_result_makes_another_trial(store: Store) -> None:
    log(store, asked("seed=0"), "FINISHED")
    assert ["finished"] == states("seed=0", "trainer.progress=false", "rerun=never")
    assert ["new"] == states("seed=0", "recipe.lr=0.01")
    assert ["new"] == states("seed=0", "tracking.experiment=another")


def test_a_failure_of_its_own_is_a_result(store: Store) -> None:
    """By default the same command does not train it again; what the machine did, it does."""
    log(store, asked("seed=0"), "FAILED")
    log(store, asked("seed=1"), "OOM")
    log(store, asked("seed=2"), "KILLED")
    found = plan(["experiment=smoke", "seed=0,1,2"])
    assert ["FAILED", "OOM", ""] == [item.ended for item in found.trials]
    assert [False, False, True] == [item.runs(found.rerun) for item in found.trials]
    assert found.notes == [
        "2 failed of their own, which is a result; rerun=failed trains again what failed"
    ]
    assert ["1 failed: FAILED: so it is", "1 failed: OOM: so it is"] == reasons(found.trials)
    again = plan(["experiment=smoke", "seed=0,1,2", "rerun=failed"])
    assert [] == again.notes
    assert all(item.runs(again.rerun) for item in again.trials)


@pytest.mark.parametrize(
    ("ended", "then", "now", "state"),
    [
        ("TIMEOUT", "limits.minutes=2", "limits.minutes=2", "failed"),
        ("TIMEOUT", "limits.minutes=2", "limits.minutes=1", "failed"),
        ("TIMEOUT", "limits.minutes=2", "limits.minutes=2.5", "unfinished"),
        ("TIMEOUT", "limits.minutes=2", "limits.minutes=null", "unfinished"),
        ("TIMEOUT", "limits.minutes=2", "limits.gib=9", "unfinished"),
        ("OOM", "limits.gib=2", "limits.gib=3", "unfinished"),
        ("OOM", "limits.gib=2", "limits.gib=2", "failed"),
        ("OOM", "limits.gib=null", "limits.gib=8", "failed"),
        ("FAILED", "limits.minutes=2", "limits.minutes=9", "failed"),
    ],
)
def test_a_larger_limit_goes_on(store: Store, ended: str, then: str, now: str, state: str) -> None:
    """As the reason of the run says; with the same limit it would end as before."""
    before = settings(compose(["experiment=smoke", then]))
    record = TrialRecord("key", "music", "lstm", 0, status=ended)  # type: ignore[arg-type]
    of_trial = identity(before)
    tags = identity_tags(of_trial.configuration, of_trial.parts, harness_hashes())
    store.start(record, before.to_dict(), tags).finish(record)
    assert [state] == states(now)


def test_a_worker_does_not_train_again_what_failed_elsewhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since the plan was made, by another process; that is how it ended."""
    monkeypatch.setattr(run_module, "run", lambda *_: pytest.fail("it would train"))
    run_id = log(store, asked("seed=0"), "OOM")
    found = settings(compose(["experiment=smoke", "seed=0", "tracking.parent=sweep"]))
    outcome = attempt(found, "stale")
    assert ("OOM", "so it is", run_id) == (outcome.status, outcome.reason, outcome.run_id)


def test_a_process_that_died_left_its_trial_unfinished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr(os, "getpid", lambda: 2**22 + 1)
        other.setattr("seqbench.tracking.processes.started", lambda pid: "boot/1/2")
        log(store, asked("seed=0"), "RUNNING")
    assert ["unfinished"] == states("seed=0")


def test_tables_are_read_as_the_client_reads_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client takes over where the tables are not those that are known."""
    log(store, asked("seed=0"), "FINISHED")
    log(store, asked("seed=1"), "FAILED")
    store.start(TrialRecord("key", "music", "lstm", 0), {}, {})  # of a version that told less
    direct = stored_trials(TrackingSettings())
    assert ["FAILED", "FINISHED"] == [trial.status for trial in direct]
    monkeypatch.setattr(
        trials.sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(trials.sqlite3.Error)
    )
    monkeypatch.setattr(trials, "is_ready", lambda database: True)
    assert direct == stored_trials(TrackingSettings())


def test_other_code_of_seqbench_leaves_a_trial_finished(store: Store) -> None:
    """It is said, and ``rerun=code`` trains it again; a run under today's code comes first."""
    now = harness_hashes()
    then = {**now, "training/fit.py": "0", "trials/distributed.py": "0"}
    log(store, asked("seed=0"), "FINISHED", then)
    log(store, asked("seed=1"), "FINISHED", now)
    log(store, asked("seed=1"), "FINISHED", then)
    found = plan(["experiment=smoke", "seed=0,1"])
    assert ["finished", "finished"] == [item.state for item in found.trials]
    # Two files of the harness are called distributed.py.
    reason = "under other code of seqbench: fit.py, trials/distributed.py"
    assert [reason, ""] == [item.reason for item in found.trials]
    assert [f"1 finished, {reason}"] == other_code(found.trials)
    assert [] == reasons(found.trials)
    assert "(under other code)" in [column.header for column in plan_table(found).columns]
    assert [False, False] == [item.runs("stale") for item in found.trials]
    assert [True, False] == [item.runs("code") for item in found.trials]


def test_a_worker_trains_again_what_finished_under_other_code(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only with ``rerun=code``: a worker looks again at what the plan has given it."""

    def run(settings: Settings, planned: object) -> TrialRecord:
        raise Refused("it would train")

    monkeypatch.setattr(run_module, "run", run)
    then = {**harness_hashes(), "training/fit.py": "0"}
    log(store, asked("seed=0"), "FINISHED", then)
    found = settings(compose(["experiment=smoke", "seed=0", "tracking.parent=sweep"]))
    assert "ELSEWHERE" == attempt(found, "stale").status
    assert "it would train" == attempt(found, "code").reason


def test_a_run_of_the_first_schema_is_stale(store: Store) -> None:
    """Its identity was made from files' times and a hash of the whole harness."""
    asked_for = asked("seed=0")
    tags = identity_tags(asked_for.configuration, {"harness": "0", "model": "0"}, {})
    del tags[SCHEMA_TAG]
    record = TrialRecord("key", "music", "lstm", 0)
    store.start(record, {}, tags).finish(record)
    found = plan(["experiment=smoke", "seed=0"]).trials[0]
    assert ("stale", "recorded before identities of schema 2") == (found.state, found.reason)


def test_planning_loads_neither_torch_nor_a_task(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from seqbench.sweeps.plan import plan\n"
        "states = {item.state for item in plan(['task=music,health', 'model=lstm,gru']).trials}\n"
        "assert states == {'new'}, states\n"
        "loaded = [name for name in sys.modules if name.startswith(\n"
        "    ('torch', 'numpy', 'mlflow', 'seqbench.plugins.', 'seqbench.tasks.'))]\n"
        "print(*loaded)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "" == found.stdout.strip()


def test_which_states_run() -> None:
    order: list[Rerun] = ["never", "failed", "stale", "code", "always"]
    assert set(order) == set(get_args(Rerun))
    left = [
        {state for state in get_args(State) if Planned([], None, state).runs(rerun)}
        for rerun in order
    ]
    never, failed, stale, code, always = left
    assert {"new", "unfinished", "impossible"} == never
    assert {"failed"} == failed - never
    assert {"stale"} == stale - never, "a failure of its own is a result, and is not stale"
    assert failed | stale == code, "beside what finished under other code of seqbench"
    assert {"finished"} == always - code
