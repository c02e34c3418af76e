"""One definition of a trial: by content, for plans, reports and comparisons alike."""

from __future__ import annotations

import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seqbench.config import sources
from seqbench.config.composition import compose, settings
from seqbench.config.machine import usable_cpus
from seqbench.config.sources import content_hash
from seqbench.errors import Refused
from seqbench.identity import (
    Identity,
    conditions_and_variant,
    conditions_over_splits,
    digest,
    identity,
)
from seqbench.records import MetricInfo, TrialRecord
from seqbench.registry.plugins import add_plugin_file
from seqbench.registry.registration import Registration
from seqbench.reporting.comparison import compare
from seqbench.reporting.trials import make_trials
from seqbench.sweeps.plan import plan
from seqbench.tracking.logged import LoggedTrial
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import identity_tags


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a data cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def asked(*words: str) -> Identity:
    return identity(settings(compose(list(words))))


def two_places(name: str = "data.csv", text: str = "a,b\n1,2\n") -> tuple[str, str]:
    """Write one file under two paths."""
    for place in ("one", "two"):
        Path(place).mkdir(exist_ok=True)
        Path(place, name).write_text(text)
    return f"one/{name}", f"two/{name}"


def test_one_file_under_two_paths_is_one_trial() -> None:
    """For a plan: what has finished on one has finished on the other."""
    one, two = two_places()
    found = [asked("task=anomaly", f"task.source={path}") for path in (one, two)]
    assert found[0] == found[1]
    assert found[0].key == found[1].key
    store = open_store(settings(compose([])).tracking)
    tags = identity_tags(found[0].configuration, found[0].parts, {})
    record = TrialRecord(found[0].key, "anomaly/watch", "lstm", 0)
    store.start(record, {}, tags).finish(record)
    found_plan = plan(["task=anomaly", f"task.source={one},{two}"])
    assert ["finished"] == [item.state for item in found_plan.trials]
    assert [0, 0] == found_plan.members
    Path(two).write_text("a,b\n1,3\n")
    assert ["source"] == asked("task=anomaly", f"task.source={two}").changed(found[0].parts)


def test_one_file_under_two_paths_is_one_table() -> None:
    """For a report and a comparison: two models that were trained on it are compared."""
    one, two = two_places()
    logged = []
    for model, path, score in (("lstm", one, 1.0), ("gru", two, 0.5)):
        for seed in range(3):
            words = ["task=anomaly", f"model={model}", f"task.source={path}", f"seed={seed}"]
            chosen = settings(compose(words))
            who = identity(chosen)
            primary = MetricInfo("nll", "min")
            record = TrialRecord(
                who.key, chosen.task, model, seed, context="past", primary=primary,
                monitor=primary, metrics={"test/nll": score + seed},
            )  # fmt: skip
            tags = identity_tags(who.configuration, who.parts, {}) | {"seqbench.data": "d"}
            logged.append(
                LoggedTrial(
                    run_id=f"{model}{seed}",
                    status="FINISHED",
                    reason="",
                    began=1.0,
                    record=record,
                    config=chosen.to_dict(),
                    tags=tags,
                    parent="",
                    gap="",
                )
            )
    (table,) = compare(make_trials(logged))
    assert {"lstm", "gru"} == {item.label for item in table.variants}
    pair = table.pair("gru", "lstm")
    assert pair is not None
    assert -0.5 == pair.mean
    assert [3, 3] == [item.number for item in table.variants]


def test_conditions_over_splits_differ_in_nothing_but_the_split() -> None:
    """Not in the data's fingerprint, which they do not see; the parts and other keys count."""
    config = settings(compose(["task=music"])).to_dict()
    parts = {"task": "t", "model": "m", "protocol": "2", "source": "s"}

    def found(changes: dict[str, str] | None = None, **of_task: object) -> str:
        changed = {**config, "task": {**config["task"], **of_task}}
        return conditions_over_splits("music", changed, parts | (changes or {}))

    assert found() == found(split_seed=4) == found({"model": "other"})
    others = [found(grid="sixteenth"), *(found({name: "x"}) for name in parts if name != "model")]
    assert 5 == len({found(), *others})


def test_what_conditions_and_variants_are_made_of() -> None:
    """The model, what its plugin requires and its recipe are a variant; a seed is of neither."""
    config = settings(compose([])).to_dict()
    parts = {"task": "t", "model": "m", "protocol": "2", "torch": "2", "model_requires": "x 1"}

    def hashes(changes: dict[str, str], fingerprint: str = "f", **sections: object) -> list[str]:
        changed = {**config, **sections}
        return list(conditions_and_variant("music", "lstm", changed, parts | changes, fingerprint))

    first = hashes({})
    assert first == hashes({}, seed=5)
    assert first == hashes({}, trainer=config["trainer"] | {"progress": False})
    assert first == hashes({}, task=config["task"] | {"source": "elsewhere"})
    for of_both in (
        hashes({"task": "other"}),
        hashes({"torch": "3"}),
        hashes({"protocol": "3"}),
        hashes({"source": "s"}),
        hashes({}, "other data"),
        hashes({}, recipe=config["recipe"] | {"max_epochs": 3}),
        hashes({}, trainer=config["trainer"] | {"threads": 2}),
    ):
        assert [False, True] == [a == b for a, b in zip(first, of_both, strict=True)]
    for of_one in (
        hashes({"model": "other"}),
        hashes({"model_requires": "x 2"}),
        hashes({}, recipe=config["recipe"] | {"lr": 0.5}),
        hashes({}, model=config["model"] | {"hidden_size": 3}),
    ):
        assert [True, False] == [a == b for a, b in zip(first, of_one, strict=True)]


def test_a_study_is_a_trial_but_for_its_seed() -> None:
    one, other = asked("seed=0"), asked("seed=1")
    assert one.study == other.study != asked("recipe.lr=0.5").study
    assert one.key != other.key


def test_the_digest_is_stable() -> None:
    """It is the same in every version: stored identities stay valid; order does not matter."""
    assert "c49113deeea04f01" == digest({"task": "music", "seed": 0})
    assert digest({"seed": 0, "task": "music"}) == digest({"task": "music", "seed": 0})
    assert digest({"a": 1}) != digest({"a": 1.5}) != digest({"a": "1"})


def test_versions_of_what_a_plugin_requires_count() -> None:
    needs = Registration("model", "a", "a:A", "somewhere", ("mido", "no_such_module"))
    assert needs.required_versions.startswith("mido ")
    assert "" == Registration("model", "a", "a:A", "somewhere").required_versions


def test_content_of_files_and_folders() -> None:
    """A file's bytes and suffix, a folder's names inside and bytes; what is no path as written."""
    one, two = two_places()
    assert content_hash(one) == content_hash(two)
    assert content_hash("one") == content_hash("two")
    Path("two/data.csv").rename("two/other.csv")
    assert content_hash(one) == content_hash("two/other.csv")
    assert content_hash("one") != content_hash("two")
    Path("two/other.csv").rename("two/data.txt")
    assert content_hash(one) != content_hash("two/data.txt")
    assert content_hash("some-data-set") != content_hash("another-data-set")


def old(path: str) -> None:
    """Say that a file was changed long ago."""
    os.utime(path, (1, 1))


def test_a_file_is_hashed_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A hash is remembered by path, size and times; never that of a file changed just now."""
    opened: list[str] = []
    real = Path.open

    def counting(path: Path, *words: str, **options: str) -> object:
        if path.suffix == ".csv":
            opened.append(path.name)
        return real(path, *words, **options)  # type: ignore[call-overload]

    one, _ = two_places()
    monkeypatch.setattr(Path, "open", counting)
    old(one)
    first = [content_hash(one), content_hash(one)]
    assert 2 == len(opened)  # the file's inode was changed less than two seconds ago
    now = time.time_ns()
    monkeypatch.setattr(sources.time, "time_ns", lambda: now + 3 * 10**9)
    first += [content_hash(one), content_hash(one)]
    assert 3 == len(opened)
    assert 1 == len(set(first))
    Path(one).write_text("a,b\n1,3\n")  # as long as before
    old(one)
    assert content_hash(one) != first[0]
    for damaged in (folder / "cache" / sources.FOLDER).iterdir():
        damaged.write_text('{"data.csv": 3}')
    assert content_hash(one) != first[0]


def test_a_cache_that_cannot_be_written_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = two_places()
    before = content_hash(one)
    Path("file").write_text("")
    monkeypatch.setenv("SEQBENCH_DATA", str(Path("file").resolve()))
    assert before == content_hash(one)


def test_a_source_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = two_places()

    def failing(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sources, "_hashed", failing)
    with pytest.raises(Refused, match=r"cannot read task\.source=one/data\.csv: Permission denied"):
        content_hash(one)


def test_a_record_keeps_its_identity() -> None:
    record = TrialRecord("k", "music", "lstm", 0, parts={"task": "t"}, data="d", harness={"a": "b"})
    assert 2 == json.loads(record.to_json())["schema"]
    assert record == TrialRecord.from_json(record.to_json())


@pytest.mark.parametrize("task", ["music", "speech"])
def test_leaving_nothing_out_is_what_trials_did_before_they_could(task: str) -> None:
    """So results from before ``skip_bad`` are still those of the same configuration."""
    Path("data").mkdir()
    words = [f"task={task}", "model=rnn", "task.source=data"]
    assert "skip_bad" not in asked(*words).config["task"]
    assert asked(*words).key == asked(*words, "task.skip_bad=false").key
    assert asked(*words).key != asked(*words, "task.skip_bad=true").key


WINDOWS = "labels/combined_windows.json"


def labelled(root: Path, source: str, beside: str, text: str = "{}") -> str:
    """Lay a series and windows of labels into a folder, and return the path of the series."""
    for name, content in ((source, "time,value\n1,2\n"), (beside, text)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root / source)


def source_part(task: str, source: str) -> str:
    words = [f"task={task}", f"task.source={source}", "model=gru"]
    return asked(*words).parts["source"]


@pytest.mark.parametrize(
    "beside",
    [
        WINDOWS,
        "combined_windows.json",
        f"data/{WINDOWS}",
        "data/combined_windows.json",
        f"data/real/{WINDOWS}",
        "data/real/combined_windows.json",
    ],
)
@pytest.mark.parametrize("source", ["data/real/x.csv", "data/real/tweets"])
def test_labels_beside_a_source_count(folder: Path, beside: str, source: str) -> None:
    """The file and the way from it to the source do; where both lie does not."""
    file = source if source.endswith(".csv") else f"{source}/x.csv"
    places = ("one", "two", "bare", "edited")
    for name in places:
        labelled(folder / name, file, beside, '{"x.csv": []}' if name == "edited" else "{}")
    (folder / "bare" / beside).unlink()
    found = {name: source_part("anomaly/watch", f"{name}/{source}") for name in places}
    assert (
        found["one"] == found["two"] == source_part("anomaly/watch", str(folder / "one" / source))
    )
    assert 3 == len({found["one"], found["bare"], found["edited"]})
    (folder / "one" / beside).write_text("{ }")
    assert found["one"] != source_part("anomaly/watch", f"one/{source}")


def test_the_way_from_labels_to_a_source_counts(folder: Path) -> None:
    """They are looked up by it."""
    one = labelled(folder, "data/real/x.csv", WINDOWS)
    two = labelled(folder, "data/made/x.csv", WINDOWS)
    assert source_part("anomaly/watch", one) != source_part("anomaly/watch", two)
    (folder / WINDOWS).unlink()
    assert source_part("anomaly/watch", one) == source_part("anomaly/watch", two)
    assert source_part("anomaly/watch", "data/real") != source_part("anomaly/watch", "data")


@pytest.mark.usefixtures("fresh_registry")
def test_a_file_s_name_counts_where_the_task_says_so(folder: Path) -> None:
    names = [labelled(folder, f"a_tr_{rows}_b.csv", "unused") for rows in (300, 380)]
    assert 2 == len({source_part("anomaly/watch", name) for name in names})
    assert 1 == len({source_part("music", name) for name in names})
    (folder / "own.py").write_text(
        "from seqbench.tasks.music import Music\n\n\nclass Own(Music):\n"
        '    beside_source = "notes.txt"\n    source_name_counts = True\n'
    )
    add_plugin_file("own.py")
    assert 2 == len({source_part("own", name) for name in names})
    before = source_part("own", names[0])
    (folder / "notes.txt").write_text("now it is there")
    assert before != source_part("own", names[0])


def test_threads_that_are_left_open_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the number that they become, in this process and in workers that it starts."""
    found = {}
    for text in ("1", "2", "2,4", "x", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        found[text] = asked("trainer.threads=null")
    assert found["1"].key == asked().key == asked("trainer.threads=1").key
    assert found["1"].key != found["2"].key == found["2,4"].key == asked("trainer.threads=2").key
    assert found[""].key == found["x"].key
    assert found[""].config["trainer"]["threads"] == usable_cpus()
    chosen = settings(compose(["trainer.threads=null"]))
    monkeypatch.setenv("OMP_NUM_THREADS", str(usable_cpus() + 1))
    again = pickle.loads(pickle.dumps(replace(chosen, seed=1)))
    assert identity(again).config["trainer"]["threads"] == usable_cpus()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("recipe.lr=1e-3", "recipe.lr=0.001"),
        ("recipe.clip=1", "recipe.clip=1.0"),
        ("recipe.lr=.002", "recipe.lr=2E-3"),
        ("recipe.max_epochs=10", "recipe.max_epochs=1_0"),
    ],
)
def test_one_value_in_two_ways_is_one_trial(one: str, other: str) -> None:
    assert asked(one).key == asked(other).key
