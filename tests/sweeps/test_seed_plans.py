"""Each run of a sweep says which seeds, and which looks at them, were planned before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import seqbench
from seqbench.cli import main
from seqbench.config.composition import compose, settings
from seqbench.config.settings import Settings, TrackingSettings
from seqbench.errors import Refused
from seqbench.identity import identity
from seqbench.records import MetricInfo, TrialRecord
from seqbench.registry.codehash import harness_hashes
from seqbench.sweeps.plan import plan
from seqbench.tracking.store import Store, open_store
from seqbench.tracking.tags import PLAN, identity_tags, plan_text
from seqbench.tracking.trials import stored_trials
from seqbench.trials import run as run_module

SMOKE = ["experiment=smoke", "model.hidden_size=4"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, where a sweep without tracking.uri finds it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_store(TrackingSettings())


@pytest.fixture
def logged_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Have trials log a run with their plan, and not train; some end otherwise than well."""
    ends: dict[int, str] = {}

    def run(asked: Settings, _: object = None) -> TrialRecord:
        status = ends.get(asked.seed, "FINISHED")
        metric = MetricInfo("nll", "min", "nats per frame")
        record = TrialRecord(
            "key", asked.task, asked.model, asked.seed, status=status,  # type: ignore[arg-type]
            monitor=metric, primary=metric, metrics={"test/nll": 8.0, "valid/nll": 8.0},
        )  # fmt: skip
        log_run(store, asked, record)
        if status == "KILLED":
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(run_module, "run", run)
    return ends


def log_run(store: Store, asked: Settings, record: TrialRecord) -> None:
    of_trial = identity(asked)
    tags = identity_tags(of_trial.configuration, of_trial.parts, harness_hashes())
    more = {PLAN: asked.plan} if asked.plan else {}
    store.start(record, asked.to_dict(), {**tags, **more}).finish(record)


def plans() -> dict[tuple[str, str], list[str]]:
    """Return what the runs of each trial say, the first run first."""
    found: dict[tuple[str, str], list[str]] = {}
    for trial in reversed(stored_trials(TrackingSettings())):
        found.setdefault((trial.model, trial.seed), []).append(trial.plan)
    return found


def sweep(*words: str) -> int:
    return main(["-m", *SMOKE, *words])


def test_a_sweep_plans_the_seeds_that_it_asks_for(logged_only: dict[int, str]) -> None:
    """Each variant its own, in whatever order they stand; and one look, at all of them."""
    assert not logged_only
    assert 0 == sweep("model=lstm,gru", "seed=3,0,1")
    asked = {"seeds": [0, 1, 3], "looks": [3]}
    found = plans()
    assert 6 == len(found)
    assert all([asked] == [json.loads(text) for text in texts] for texts in found.values())


def test_what_differs_in_more_than_the_seed_has_a_plan_of_its_own(store: Store) -> None:
    words = ["model=lstm,gru", "recipe.lr=0.1,0.2", "seed=0,1", "experiment=smoke"]
    found = plan([*words, "limits.minutes=3"]).trials
    assert {plan_text([0, 1], [2])} == {item.settings.plan for item in found if item.settings}
    assert 8 == len(found)


def test_the_same_command_has_the_same_plan(logged_only: dict[int, str]) -> None:
    """Killed and gone on with, by the same words or by a part of them."""
    logged_only[2] = "KILLED"
    assert 130 == sweep("seed=range(6)")
    assert 3 == len(plans())
    logged_only.clear()
    assert 0 == sweep("seed=2")
    assert 0 == sweep("seed=range(6)")
    found = plans()
    assert 2 == len(found["lstm", "2"])
    assert {plan_text(range(6), [6])} == {text for texts in found.values() for text in texts}


def test_a_run_keeps_its_first_plan(
    logged_only: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """More seeds are another plan, and those that were seen are of the first; that is said."""
    assert not logged_only
    assert 0 == sweep("seed=range(5)")
    capsys.readouterr()
    assert 0 == sweep("seed=range(8)")
    said = "5 trials of these ran before this plan of seeds, so the report will claim nothing"
    assert said in capsys.readouterr().err
    assert 0 == sweep("seed=range(8)", "rerun=always")
    found = plans()
    assert [plan_text(range(5), [5])] * 2 == found["lstm", "0"]
    assert [plan_text(range(8), [8])] * 2 == found["lstm", "7"]


def test_a_trial_made_alone_has_no_plan(store: Store) -> None:
    """And a sweep does not give it one afterwards, for its result has been seen."""
    alone = settings(compose([*SMOKE, "seed=0"]))
    assert "" == alone.plan
    log_run(store, alone, TrialRecord("key", "music", "lstm", 0))
    again = plan([*SMOKE, "seed=range(5)", "rerun=always"])
    texts = [item.settings.plan for item in again.trials if item.settings]
    assert ["", *[plan_text(range(5), [5])] * 4] == texts
    assert 1 == again.outside
    killed = settings(compose([*SMOKE, "seed=9"]))
    log_run(store, killed, TrialRecord("key", "music", "lstm", 9, status="KILLED"))
    assert 0 == plan([*SMOKE, "seed=range(9,14)"]).outside, "nobody has seen a result of it"


def test_few_seeds_are_not_warned_of(store: Store) -> None:
    """Of fewer than five nothing is claimed anyway."""
    log_run(store, settings(compose([*SMOKE, "seed=0"])), TrialRecord("key", "music", "lstm", 0))
    found = plan([*SMOKE, "seed=range(4)"])
    assert (0, []) == (found.outside, found.notes)


@pytest.mark.parametrize("looks", ["looks=6,10,14,20", "looks=[6,10,14,20]"])
def test_declared_looks_are_the_plan(looks: str, logged_only: dict[int, str]) -> None:
    """Whatever seeds a call asks for; and they are no key with several values."""
    assert not logged_only
    assert 0 == sweep(looks, "seed=range(6)")
    assert 0 == sweep(looks, "seed=range(10)")
    assert 0 == sweep(looks, "seed=10,13")
    found = plans()
    assert 12 == len(found)
    assert [[plan_text(range(20), [6, 10, 14, 20])]] * 12 == list(found.values())
    assert 0 == plan([*SMOKE, looks, "seed=range(14)"]).outside


def test_declared_looks_of_python(logged_only: dict[int, str]) -> None:
    assert not logged_only
    for numbers in ([6, 10], (6, 10)):
        frame = seqbench.sweep(
            experiment="smoke", model={"hidden_size": 4}, looks=numbers, seed=range(100, 102)
        )
        assert ["100", "101"] == list(frame["seed"])
    assert [[plan_text(range(100, 110), [6, 10])]] * 2 == list(plans().values())
    seqbench.run(experiment="smoke", looks=[6, 10], seed=3, **{"model.hidden_size": 4})
    assert [plan_text(range(10), [6, 10])] == plans()["lstm", "3"]
    with pytest.raises(Refused, match="looks=10,6 must be rising numbers"):
        seqbench.run(experiment="smoke", looks=[10, 6])


def test_a_plan_is_no_part_of_a_trial() -> None:
    one, other = (settings(compose(["seed=3", *more])) for more in ([], ["looks=[6,10]"]))
    assert identity(one) == identity(other)
    assert one.to_dict() == other.to_dict()


def test_too_many_seeds_for_a_tag_have_no_plan() -> None:
    assert len(plan_text(range(1000), [1000])) <= 5000
    assert "" == plan_text(range(2000), [2000])
