"""The same store under any path, from any working directory, gives the same tables."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.config.composition import compose, settings
from seqbench.config.overrides import override_text
from seqbench.config.settings import TrackingSettings
from seqbench.identity import identity
from seqbench.records import MetricInfo, TrialRecord
from seqbench.registry.codehash import harness_hashes
from seqbench.tracking.store import open_store
from seqbench.tracking.tags import identity_tags

NAMES = [
    "two words", "runs#2", "50%25", "what?mode=ro", "it's", 'say "x"', "héllo 漢😀", "a&b=c;d",
    "$HOME`x`", "[1,2]{a:b}", "back\\slash", "-m", "%2e%2e", " ends with a space ",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two models and two seeds, made once."""
    folder = tmp_path_factory.mktemp("made") / "store"
    store = open_store(TrackingSettings(uri=str(folder)))
    for number, (model, seed) in enumerate((m, s) for m in ("rnn", "lstm") for s in (0, 1)):
        metric = MetricInfo("nll", "min", "nats per frame")
        scores = {"test/nll": 8.0 + number / 8, "valid/nll": 8.5}
        record = TrialRecord(
            f"key{number}", "music", model, seed,
            context="past", primary=metric, monitor=metric, metrics=scores,
        )  # fmt: skip
        asked = settings(compose(["experiment=smoke", f"model={model}", f"seed={seed}"]))
        found = identity(asked)
        tags = identity_tags(found.configuration, found.parts, harness_hashes())
        run = store.start(record, asked.to_dict(), tags)
        run.finish(record)
    return folder


def tables(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what a user reads of a store, in the terminal and in files."""
    assert 0 == main(["compare", "rnn", "lstm", *words])
    told = capsys.readouterr().out
    assert 0 == main(["report", "--json", "out=report", *words])
    written = Path("report/results.csv").read_text(encoding="utf-8")
    return [told, capsys.readouterr().out, written]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "names"),
    [("working directory", NAMES[:8]), ("folder", NAMES[::2]), ("file", NAMES[1::2])],
)
def test_odd_names(
    place: str,
    names: list[str],
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    copy_store: Callable[[Path, Path], Path],
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    seen = []
    for name in ["plain", *names]:
        here = tmp_path / name if place == "working directory" else tmp_path
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        uri = {"working directory": "", "folder": f"./{name}", "file": f"sqlite:///{name}.db"}
        words = [f"tracking.uri={override_text(uri[place])}"] if uri[place] else []
        if place == "file":
            shutil.copytree(made / "artifacts", tmp_path / "artifacts", dirs_exist_ok=True)
            old, new = sqlite3.connect(made / "mlflow.db"), sqlite3.connect(f"{name}.db")
            with closing(old), closing(new):
                old.backup(new)
        else:
            copy_store(made, tmp_path / name if place == "folder" else Path("seqbench-runs"))
        seen.append([text.replace(name, "plain") for text in tables(words, capsys)])
    for name, found in zip(names, seen[1:], strict=True):
        assert seen[0] == found, name
