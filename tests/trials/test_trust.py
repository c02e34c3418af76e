"""What a run or a cache holds is data: nothing in it is executed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from seqbench.cli import main
from seqbench.training.fit import goes_on

WORDS = ["task=music", "model=rnn", "experiment=smoke", "trainer.progress=false"]


class Malicious:
    """Pickled, it names a function that is called while it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.slow
def test_a_malicious_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate` reads weights alone, and says that the file is damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert 0 == main(WORDS)
    with closing(sqlite3.connect("seqbench-runs/mlflow.db")) as connection:
        (run,) = connection.execute("SELECT run_uuid FROM runs").fetchone()
    (checkpoint,) = Path("seqbench-runs/artifacts").rglob("best.ckpt")
    marker = tmp_path / "executed"
    found = torch.load(checkpoint, weights_only=True)
    torch.save({**found, "extra": Malicious(marker)}, checkpoint)
    torch.load(checkpoint, weights_only=False)
    assert marker.exists()  # it works where pickles are trusted
    marker.unlink()
    capsys.readouterr()
    assert 2 == main(["evaluate", f"run={run[:8]}"])
    assert "is damaged" in capsys.readouterr().err
    assert not marker.exists()


def test_a_malicious_state_of_a_half_trained_trial_is_left_alone(tmp_path: Path) -> None:
    """The trial begins anew."""
    checkpoint, marker = tmp_path / "best.ckpt", tmp_path / "executed"
    torch.save({"state_dict": {}}, checkpoint)
    torch.save({"loops": Malicious(marker)}, checkpoint.with_suffix(".state"))
    assert not goes_on(checkpoint)
    assert not marker.exists()
