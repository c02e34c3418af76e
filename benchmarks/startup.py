"""How long the command takes to answer, beside what it is built on. CPU seconds, medians.

``python benchmarks/startup.py [REPEATS]`` runs the candidates in turns, so that a busy machine
slows all of them alike, and prints each with its ratio and the largest ratio allowed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import seqbench.conf

BARE_APPLICATION = """
import hydra


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    pass


main()
"""


def cpu_seconds(command: list[str]) -> float:
    """Run a command once and return its user and system time, its children's included."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def medians(commands: dict[str, list[str]], repeats: int) -> dict[str, float]:
    """Return each command's median CPU time over interleaved runs, one warm-up left out."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            seconds = cpu_seconds(command)
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(repeats: int) -> list[tuple[str, float, str, float, float]]:
    """Return rows of command, seconds, what it is compared with, its seconds, largest ratio."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        # The bare application has the same groups and options, and prints Hydra's own help.
        shutil.copytree(Path(seqbench.conf.__file__).parent, Path(folder) / "conf")
        application = Path(folder) / "application.py"
        application.write_text(BARE_APPLICATION)
        commands = {
            "bare Hydra application --help": [python, str(application), "--help"],
            "seqbench --help": [python, "-m", "seqbench", "--help"],
            "python -c 'import hydra'": [python, "-c", "import hydra"],
            "seqbench list": [python, "-m", "seqbench", "list"],
            "seqbench --version": [python, "-m", "seqbench", "--version"],
            "seqbench describe model=lstm": [python, "-m", "seqbench", "describe", "model=lstm"],
        }
        seconds = medians(commands, repeats)
    bare, imported = "bare Hydra application --help", "python -c 'import hydra'"
    pairs = [
        ("seqbench --help", bare, 1.2),
        ("seqbench list", imported, 1.5),
        ("seqbench describe model=lstm", imported, 1.5),
        ("seqbench --version", imported, 1.0),
    ]
    return [(name, seconds[name], other, seconds[other], most) for name, other, most in pairs]


def main() -> int:
    """Print the table; exit code 1 if a ratio is too large."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"{'command':30} {'CPU s':>6}   {'beside':30} {'CPU s':>6} {'ratio':>6} {'most':>5}")
    failed = False
    for name, seconds, other, other_seconds, most in measure(repeats):
        ratio = seconds / other_seconds
        failed |= ratio > most
        print(
            f"{name:30} {seconds:6.2f}   {other:30} {other_seconds:6.2f} {ratio:6.2f} {most:5.1f}"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
