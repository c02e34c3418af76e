"""What `seqbench list` and `seqbench describe` print."""

from __future__ import annotations

import os
import re
import subprocess
import sys

Result = subprocess.CompletedProcess[str]


def seqbench_command(*args: str, **env: str) -> Result:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-m", "seqbench", *args]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | env)


def test_list() -> None:
    """One line for each model and task: name, what it is, origin, and whether it is usable."""
    result = seqbench_command("list")
    assert (result.returncode, result.stderr) == (0, "")
    row = next(line for line in result.stdout.splitlines() if line.startswith("  peephole "))
    assert re.fullmatch(r"  peephole +LSTM with peepholes.* +built-in +usable", row)
    assert "tasks\n" not in seqbench_command("list", "models").stdout


def test_describe_a_model() -> None:
    """Equations, paper, and each parameter with its type, default and meaning."""
    result = seqbench_command("describe", "model=peephole")
    for text in (
        "model peephole  (built-in)",
        "Citation\n  F. A. Gers",
        "  model.hidden_size=128  (a whole number)\n      H, units of one direction",
        "model.backend=auto  (one of auto, reference, ",
        "Try\n  seqbench task=music model=peephole experiment=smoke",
    ):
        assert text in result.stdout
    assert re.search(r"\n +f_t = ", result.stdout)
    assert "``" not in result.stdout


def test_describe_a_task() -> None:
    """What it predicts, its data and licence, and its metrics with their direction."""
    result = seqbench_command("describe", "music")
    for text in (
        "task music  (built-in)",
        "Licence\n  ",
        "Visibility: next",
        "Data\n  train",
        "Ranks (test)\n  nll, nats per frame, smaller is better",
        "Smallest difference worth having (test)\n  0.1: about 1% of the nats that the best ",
        "  task.grid=quarter  (one of quarter, sixteenth)",
    ):
        assert text in result.stdout


def test_descriptions_fit_the_terminal() -> None:
    """Nothing but equations is wider than the terminal."""
    narrow = seqbench_command("describe", "task=music", COLUMNS="60").stdout.splitlines()
    assert max(len(line) for line in narrow if not line.startswith("  task.")) <= 60
