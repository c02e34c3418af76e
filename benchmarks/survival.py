"""Does a sweep survive kill -9? The same bits come out, each trial once.

A sweep runs to its end undisturbed. Then the same command is started in another folder again and
again, and killed with -9 at random moments, until it has been killed as often as asked; then it
runs to its end. Both folders must hold the same finished trials, each once, with the same bits in
every metric of every epoch.

    python benchmarks/survival.py --kills 20 --launcher basic
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

TRIALS = ["task=music", "model=lstm,gru,rnn", "seed=0,1,2,3,4,5,6,7"]
SHORT = ["recipe.max_epochs=20", "trainer.progress=false", "model.hidden_size=64"]
CLOCKS = ("seconds", "steps_per_second")


def main() -> int:
    """Run it and print what was seen; exit 1 unless everything is equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--launcher", choices=("basic", "local"), default="basic")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--most", type=float, default=24.0, help="seconds until a kill, at most")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    command = [sys.executable, "-m", "seqbench", "-m", *TRIALS, *SHORT]
    command.append(f"hydra/launcher={options.launcher}")
    print(f"load average {os.getloadavg()[0]:.1f}; {' '.join(command[1:])}")
    with tempfile.TemporaryDirectory(prefix="seqbench-survival-") as scratch:
        whole, killed = Path(scratch, "whole"), Path(scratch, "killed")
        for folder in (whole, killed):
            folder.mkdir()
        began = time.monotonic()
        subprocess.run(command, cwd=whole, check=True, capture_output=True)
        print(f"undisturbed: {time.monotonic() - began:.0f} s")
        kills = 0
        while kills < options.kills:
            after = moments.uniform(1, options.most)
            if not start_and_kill(command, killed, after):
                print("the sweep has ended before enough kills: lower --most")
                break
            kills += 1
            counts = Counter(status(folder) for folder in runs(killed))
            states = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
            print(f"kill {kills:2} after {after:4.1f} s: runs with {states or 'nothing yet'}")
        last = subprocess.run(command, cwd=killed, check=False, capture_output=True, text=True)
        print(last.stderr.splitlines()[0])
        expected, found = finished(whole), finished(killed)
    twice = [name for name, records in found.items() if len(records) > 1]
    different = [
        name
        for name in expected.keys() | found.keys()
        if expected.get(name, [None])[0] != found.get(name, [None])[0]
    ]
    same = len(expected) - len(set(different) & set(expected))
    print(
        f"killed {kills} times: exit {last.returncode}, {len(found)} of {len(expected)} trials "
        f"finished, {same} bit-identical in every metric, {len(twice)} more than once"
    )
    return 0 if not (twice or different or last.returncode) else 1


def start_and_kill(command: list[str], folder: Path, after: float) -> bool:
    """Start a sweep and kill it; return False if it ended by itself first."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
    return False


def runs(folder: Path) -> list[Path]:
    """Return the folders of a store's runs that have files."""
    return sorted(Path(folder, "seqbench-runs", "artifacts").glob("*/artifacts"))


def status(run: Path) -> str:
    """Return how a run's record says that it ended."""
    record = run / "record.json"
    if not record.is_file():
        return "no record"
    return str(json.loads(record.read_text(encoding="utf-8"))["status"])


def finished(folder: Path) -> dict[str, list[Any]]:
    """Return the results of finished runs by trial, without what a clock says."""
    found: dict[str, list[Any]] = {}
    for run in runs(folder):
        if status(run) != "FINISHED":
            continue
        record = json.loads((run / "record.json").read_text(encoding="utf-8"))
        for key in (*CLOCKS, "run_id", "location", "environment"):
            del record[key]
        for epoch in record["history"]:
            del epoch["seconds"]
        for cost in ("step_seconds", "sequence_seconds", "peak_bytes"):
            record["costs"].pop(cost, None)
        found.setdefault(f"{record['model']} {record['seed']}", []).append(record)
    return found


if __name__ == "__main__":
    sys.exit(main())
