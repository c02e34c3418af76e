"""Where things are kept is one setting; commands that only read make nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqbench.cli import main
from seqbench.tracking.address import locate, readable_path


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "seed=0,1"],
        ["plan", "-m", "seed=0,1", "hydra/launcher=slurm"],
        ["status"],
        ["list"],
        ["--help"],
        ["plan", "--help"],
        ["compare", "lstm", "gru"],
        ["describe", "task=music"],
        ["sync"],
        ["evaluate", "run=abc"],
        ["sample", "run=abc"],
        ["repro", "abc"],
        ["ui"],
        ["--cfg", "job"],
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_reading_makes_nothing(words: list[str], elsewhere: bool, tmp_path: Path) -> None:
    """Neither here nor where a store is named that is not there."""
    if elsewhere and words[0] in ("list", "describe", "--help"):
        pytest.skip("it takes no store")
    extra = [f"tracking.uri={tmp_path}/new/store"] if elsewhere and "--help" not in words else []
    assert main([*words, *extra]) in (0, 2)
    assert [] == list(tmp_path.iterdir())


def test_in_the_root_paths_stay_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert "/data/x.db" == readable_path(Path("/data/x.db")) == locate("/data/x.db").shown


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a folder in which not even root can write")
def test_a_working_directory_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything is kept where ``tracking.uri`` says; without it, that is what is advised."""
    words = ["task=speech/japanese_vowels", "model=rnn", "experiment=smoke", "recipe.max_epochs=1"]
    words += ["model.hidden_size=4", "trainer.progress=false"]
    monkeypatch.chdir("/proc")
    assert 2 == main(words)
    assert "name another place with tracking.uri=PATH" in capsys.readouterr().err
    assert 0 == main([*words, f"tracking.uri={tmp_path}/kept"])
    assert {"artifacts", "mlflow.db", "mlflow.db.lock", "unfinished"} == {
        path.name for path in (tmp_path / "kept").iterdir() if "-" not in path.name
    }
    assert [] == list((tmp_path / "kept" / "unfinished").iterdir())
