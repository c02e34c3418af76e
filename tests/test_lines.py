"""No line that is printed is longer than 300 characters, whatever a user's files are called.

Exempt are printed commands and paths that the user gave: they are whole, so that they can be used.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from seqbench.cli import main
from seqbench.commands import SUBCOMMANDS
from seqbench.config.settings import TrackingSettings
from seqbench.errors import LONGEST
from seqbench.registry.plugins import readable
from seqbench.tracking.logged import trial_runs

LONG = "a_folder_of_measurements_with_a_long_name_that_nobody_types_"
SMALL = "model=rnn model.hidden_size=2 recipe.max_epochs=1 trainer.progress=false"
FILES = f"task=anomaly task.source=series task.skip_bad=true {SMALL}"
PROBLEM = f"task=data task.source=problems task.problem={LONG}00 {SMALL}"
COMMAND = re.compile(
    r"seqbench(?: [a-z]+\b| -m)*(?: [+~]*[\w.@/]+=(?:'[^']*'|\"[^\"]*\"|[^\s'\"`])*)+"
)
"""A printed command: the words before its first option, and its options."""
EVERY = ",".join(f"{LONG}{number:02}" for number in range(40))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty problems, forty series of which most have no label, and files that cannot be read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    draw = np.random.default_rng(0)
    for number in range(40):
        name = f"{LONG}{number:02}"
        Path("problems", name).mkdir(parents=True)
        for part, count in (("TRAIN", 20), ("TEST", 8)):
            values = draw.normal(size=(count, 6)).round(2)
            rows = [f"{','.join(map(str, row))}:{LONG}{n % 2}" for n, row in enumerate(values)]
            lines = [f"@classLabel true {LONG}0 {LONG}1", "@data", *rows, ""]
            Path("problems", name, f"{name}_{part}.ts").write_text("\n".join(lines))
        columns = [
            "time",
            *(f"{LONG}{column}" for column in range(9)),
            "label" if number < 6 else "other",
        ]
        cells = draw.normal(size=(300, 9)).round(2)
        table = [
            f"{n},{','.join(map(str, row))},{int(200 <= n < 210)}" for n, row in enumerate(cells)
        ]
        for where, more in (("series", table), ("bad", ["1,oops", "x"])):
            Path(where).mkdir(exist_ok=True)
            text = "\n".join([",".join(columns), *more, ""])
            Path(where, f"{name}.csv").write_text(text)
        for where, suffix in (("midi", "mid"), ("wav", "wav")):
            Path(where).mkdir(exist_ok=True)
            Path(where, f"{name}.{suffix}").write_bytes(f"junk {number}".encode())
    return tmp_path


def check(command: str, capsys: pytest.CaptureFixture[str], code: int | None = None) -> str:
    """Run a command, check every line that it prints, and return them."""
    found = main(shlex.split(command))
    captured = capsys.readouterr()
    text = f"{captured.out}{captured.err}"
    assert code is None or found == code, text
    assert "Traceback" not in text
    assert "internal error" not in text
    for line in text.splitlines():
        shown = COMMAND.sub("", line.replace(str(Path.cwd()), ""))
        assert len(shown) <= LONGEST, f"{command[:200]}: {line}"
    return text


REFUSED = [
    f"task=data task.source=problems {SMALL}",
    f"task=data task.source=problems task.problem=x {SMALL}",
    f"task=data task.source=problems task.problem={LONG} {SMALL}",
    f"task=data task.source=series {SMALL}",
    f"task=data/forecast task.source=bad {SMALL}",
    f"{FILES} task.fold=x",
    f"{FILES} task.fold=99",
    f"task=anomaly task.source=bad {SMALL}",
    f"task=anomaly task.source=bad task.skip_bad=true {SMALL}",
    f"task=music task.source=midi {SMALL}",
    f"task=music task.source=midi task.skip_bad=true {SMALL}",
    f"task=music task.source=series {SMALL}",
    f"task=speech task.source=wav {SMALL}",
    f"task=speech task.source=problems {SMALL}",
    f"task=health task.source=series {SMALL}",
    "report task=zz",
    f"compare {LONG} rnn",
    f"evaluate run={LONG * 9}",
    f"-m {FILES} seed=0,1 recipe.lr=-1",
    f"task.{LONG * 9}=1",
    f"+plugin={LONG}.py list",
]


@pytest.mark.parametrize("command", REFUSED, ids=[command[:60] for command in REFUSED])
def test_lines_of_what_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(command, capsys, code=2)
    assert not Path("seqbench-runs").exists()


def test_lines_of_what_only_tells(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", "--help", "list", "list models", "sync"):
        check(command, capsys, code=0)
    for name in SUBCOMMANDS:
        check(f"{name} --help", capsys, code=0)
    for item in readable():
        check(f"describe {item.kind}={item.name}", capsys, code=0)
    check(f"plan {PROBLEM} seed=range(12)", capsys, code=0)
    check(f"plan -m task=data task.source=problems task.problem={EVERY} {SMALL}", capsys, code=0)
    check(f"plan -m {FILES} task.fold={EVERY} seed=0,1 recipe.lr=-1,1", capsys, code=0)


@pytest.mark.slow
def test_lines_of_what_has_run(capsys: pytest.CaptureFixture[str]) -> None:
    """One trial and two sweeps, then everything that reads them."""
    text = check(FILES, capsys, code=0)
    assert re.search(r"left out .*_06\.csv and 33 more: no label column \(label, labels, ", text)
    check(f"-m {FILES} seed=0,1", capsys, code=0)
    check(f"-m {PROBLEM} seed=0 task.problem={LONG}00,{LONG}01,nope{LONG}".replace(
        f"task.problem={LONG}00 ", ""), capsys, code=1)  # fmt: skip
    for command in ("status", "report", "report task=anomaly", "compare rnn gru", "sync", "doctor"):
        check(command, capsys)
    for run in trial_runs(TrackingSettings())[:3]:
        for more in ("", "task.source=bad", "task.source=series", "task.source=problems"):
            check(f"evaluate run={run.run_id[:8]} {more}", capsys)
