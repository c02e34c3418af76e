"""`seqbench report`, `compare` and `repro` on a real store, as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seqbench.cli import main

WORDS = ["task=music", "experiment=smoke", "trainer.progress=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: two models and two seeds, and a third that failed."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert 0 == main(["-m", *WORDS, "model=rnn,lstm", "seed=0,1"])
        assert 1 == main(["-m", *WORDS, "model=gru", "limits.minutes=1e-6"])
    return folder


@pytest.fixture
def folder(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copy_store: Callable[[Path, Path], Path],
) -> Path:
    """A copy of it, as the working directory; artifacts are found beside the database."""
    copy_store(trained / "seqbench-runs", tmp_path / "seqbench-runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


pytestmark = pytest.mark.slow


def test_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdicts first, then where the files are; a failure stands with its reason."""
    assert 0 == main(["report", "control=rnn"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("On music recipe.max_epochs=1 recipe.max_examples=16 ")
    assert "a smoke run, no result" in " ".join(out)
    assert all(len(line) <= 300 for line in out)
    names = ["report.html", "report.md", "tables.tex", "results.csv", "results.parquet"]
    assert [f"seqbench-report/{name}" for name in names] == out[-5:]
    page = (folder / "seqbench-report" / "report.html").read_text(encoding="utf-8")
    assert "control rnn" in page
    assert "gru, seed 0: TIMEOUT: trained longer than limits.minutes=1e-06" in page
    assert "seqbench task=music model=lstm seed=1 recipe.max_epochs=1 recipe.max_exam" in page


def test_report_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["report", "--json", "model=rnn,lstm", "--control", "lstm", "out=x"])
    (table,) = json.loads(capsys.readouterr().out)
    assert ("music", "lstm", "nll") == (table["task"], table["control"], table["metric"]["name"])
    assert {"rnn": [0, 1], "lstm": [0, 1]} == {
        item["label"]: item["seeds"] for item in table["variants"]
    }
    assert "no verdict" == table["pairs"][0]["claim"]
    assert None is table["pairs"][0]["p"]
    assert (folder / "x" / "report.html").exists()


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is the control; few seeds claim nothing, and are not asked to be more."""
    assert 0 == main(["compare", "lstm", "rnn", "practical=1%"])
    out = capsys.readouterr().out
    said = " ".join(out.split())
    assert re.search(r"On music .* nothing is claimed: .*2 seeds of (rnn|lstm) are too few\.", said)
    (line,) = [line for line in out.splitlines() if line.strip().startswith("lstm")]
    assert "control" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["compare", "lstm"], "seqbench compare: name two models, for example"),
        (["compare", "lstm", "lstm"], "seqbench compare: name two models, for example"),
        (["compare", "lstm", "rn"], "no trial of model=rn in seqbench-runs/mlflow.db"),
        (["compare", "lstm", "gru"], "lstm and gru have no finished trials of the same conditions"),
        (["compare", "lstm", "rnn", "control=gru"], "control=gru is none of the models"),
        (["compare", "model=lstm,rnn"], "seqbench compare: name the models without model="),
        (["report", "task=musik"], "no trial of task=musik in seqbench-runs/mlflow.db"),
        (["report", "sweep=zz"], "no trial of sweep=zz in seqbench-runs/mlflow.db"),
        (["report", "protocol=zz"], "no trial of conditions=zz in seqbench-runs/mlflow.db"),
        (["report", "conditions=zz"], "no trial of conditions=zz in seqbench-runs/mlflow.db"),
        (
            ["report", "control=bilstm"],
            "no trial of control=bilstm (did you mean 'lstm'?)",
        ),
        (["report", "conditions=a,"], "seqbench report: conditions=a, lacks a value"),
        (
            ["report", "practical=none"],
            "practical=none must be a positive number",
        ),
        (
            ["report", "practical=-1%"],
            "practical=-1% must be a positive number",
        ),
        (["report", "contrl=lstm"], "seqbench report: unknown word 'contrl=lstm' (did you mean"),
        (["report", "--control"], "seqbench report: --control needs a value"),
        (["report", "lstm"], "seqbench report: 'lstm' is not KEY=VALUE; to compare models, write"),
        (["report", "out=/dev/null/x"], "out=/dev/null/x: there is no folder /dev/null"),
        (["report", "tracking=none"], "seqbench report: unknown word 'tracking=none'"),
        (["report", "tracking.uri=ftp://x"], "tracking.uri=ftp://x: unknown scheme 'ftp'"),
        (["repro"], "seqbench repro: which RUN?"),
        (["repro", "zz"], "unknown run 'zz' in seqbench-runs/mlflow.db"),
        (
            ["repro", "a=b"],
            "seqbench repro: unknown word 'a=b'; known: run=ID, --isolated, tracking.uri=URI",
        ),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert 2 == main(words)
    found = capsys.readouterr()
    assert found.err.startswith(f"seqbench: {line}")
    assert 1 == sum(not text.startswith("  ") for text in found.err.splitlines())  # but details
    assert "" == found.out


def test_a_store_without_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made, neither a report nor a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert 2 == main(["report"])
    said = capsys.readouterr().err
    assert "there is no trial in seqbench-runs/mlflow.db, experiment seqbench; run one" in said
    assert said.endswith(": seqbench experiment=smoke\n")
    assert [] == list(tmp_path.iterdir())
    assert 2 == main(["compare", "lstm", "gru"])
    assert "run some first: seqbench -m task=music model=lstm,gru" in capsys.readouterr().err


def test_an_empty_store_does_not_replace_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped address finds nothing; the report of yesterday stays."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "seqbench-report" / "report.html"
    page.parent.mkdir()
    page.write_text("yesterday's", encoding="utf-8")
    assert 2 == main(["report", "tracking.uri=elsewhere"])
    assert "seqbench-report/report.html stays as it is" in capsys.readouterr().err
    assert "yesterday's" == page.read_text(encoding="utf-8")


def test_pictures_of_an_earlier_report_go(folder: Path) -> None:
    """Those that a report draws; what somebody else put there stays."""
    pictures = folder / "seqbench-report" / "pictures"
    pictures.mkdir(parents=True)
    for name in ("scores-speech.svg", "mine.svg"):
        (pictures / name).write_text("<svg/>")
    assert 0 == main(["report"])
    found = {path.name for path in pictures.iterdir()}
    assert "mine.svg" in found
    assert {"scores", "curves", "costs"} == {name.split("-")[0] for name in found - {"mine.svg"}}
    assert not any("speech" in name for name in found)


def test_two_variants_of_one_model_do_not_compare_two(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of which the other one was never finished."""
    assert 0 == main([*WORDS, "model=lstm", "recipe.lr=0.1"])
    capsys.readouterr()
    assert 2 == main(["compare", "lstm", "gru"])
    assert "lstm and gru have no finished trials of the same conditions" in capsys.readouterr().err


def test_a_copied_store_is_read_by_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though the files of the original, whose absolute paths MLflow keeps, are still there."""
    for record in (folder / "seqbench-runs" / "artifacts").glob("*/artifacts/record.json"):
        found = json.loads(record.read_text(encoding="utf-8"))
        found["metrics"]["test/nll"] = 4.25
        record.write_text(json.dumps(found), encoding="utf-8")
    assert 0 == main(["report", "--json", "model=lstm"])
    (table,) = json.loads(capsys.readouterr().out)
    assert [4.25, 4.25] == table["variants"][0]["scores"]


def test_damaged_and_deleted_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deleted run is gone; one whose files are gone or cut short is told from the database."""
    database = folder / "seqbench-runs" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        runs = dict(
            connection.execute(
                "SELECT name, run_uuid FROM runs WHERE status = 'FINISHED' AND name LIKE 'music%'"
            ).fetchall()
        )
        deleted = runs["music rnn seed 1"]
        connection.execute(
            "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", [deleted]
        )
        connection.commit()
    artifacts = folder / "seqbench-runs" / "artifacts"
    shutil.rmtree(artifacts / runs["music lstm seed 0"])
    record = artifacts / runs["music lstm seed 1"] / "artifacts" / "record.json"
    whole = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(record.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with closing(sqlite3.connect(database)) as connection:  # where the copy's files are
        connection.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, 'trained', 'no')")
        connection.commit()
    assert 0 == main(["report", "--json"])
    tables = json.loads(capsys.readouterr().out)
    found = {item["label"]: item for table in tables for item in table["variants"]}
    assert 1 == found["rnn"]["tried"]
    lstm = [item for table in tables for item in table["variants"] if item["model"] == "lstm"]
    scores = [score for item in lstm for score in item["scores"]]
    assert whole["metrics"]["test/nll"] in scores
    assert 2 == len(scores)
    assert any("cannot be read in full" in note for table in tables for note in table["notes"])


def test_a_trial_whose_costs_cannot_be_measured_has_its_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plugin that breaks when it is counted was trained all the same."""

    def broken(*_: object) -> dict[str, float]:
        raise RuntimeError("it cannot be counted")

    monkeypatch.setattr("seqbench.training.costs.measure_costs", broken)
    assert 0 == main([*WORDS, "model=rnn", "seed=7"])
    assert "seqbench: no costs: RuntimeError: it cannot be counted" in capsys.readouterr().err
    assert 0 == main(["report"])


def test_repro_agrees_to_the_bit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says which scores differ where they do."""
    with closing(sqlite3.connect(folder / "seqbench-runs" / "mlflow.db")) as connection:
        (run,) = connection.execute(
            "SELECT run_uuid FROM runs WHERE name = 'music rnn seed 1'"
        ).fetchone()
    assert 0 == main(["repro", run[:8]])
    assert f"run {run[:8]}: every bit agrees (" in capsys.readouterr().out
    record = folder / "seqbench-runs" / "artifacts" / run / "artifacts" / "record.json"
    with closing(sqlite3.connect(folder / "seqbench-runs" / "mlflow.db")) as connection:
        connection.execute("UPDATE runs SET artifact_uri = 'nowhere'")
        connection.commit()
    found = json.loads(record.read_text(encoding="utf-8"))
    found["metrics"]["test/nll"] += 1e-12
    record.write_text(json.dumps(found), encoding="utf-8")
    assert 1 == main(["repro", f"run={run}"])
    out = capsys.readouterr().out
    assert "1 of " in out
    assert "test/nll: " in out
    found["history"] = [{"valid/nll": "low"}]
    record.write_text(json.dumps(found), encoding="utf-8")
    assert 2 == main(["repro", run[:8]])  # before it trains
    assert "record.json is damaged: its valid/nll is 'low'" in capsys.readouterr().err


def test_data_are_chosen_by_all_that_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what trained them, a task's bare name too, and by both of the paths to one content."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = [f"{row},{row % 7},{int(80 <= row < 90)}" for row in range(120)]
    for name, model in (("one", "rnn"), ("two", "gru")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("\n".join(["time,x,label", *rows]))
        words = ["task=anomaly", f"task.source={name}", "task.lead=0.5", "experiment=smoke"]
        assert 0 == main([*words, f"model={model}", "trainer.progress=false"])
    capsys.readouterr()
    for name in ("anomaly", "anomaly/watch", "anomaly: one", "anomaly: two"):
        assert 0 == main(["compare", "rnn", "gru", f"task={name}"])
        assert "On anomaly: two " in capsys.readouterr().out
    assert 2 == main(["compare", "rnn", "gru", "task=anomaly: three"])
    assert "there are: anomaly/watch, anomaly: one, anomaly: two" in capsys.readouterr().err
