"""Golden numbers: short trials whose every score must stay as it is, to the last bit.

    python tests/golden/trials.py           # compare with the table of the installed torch
    python tests/golden/trials.py --write   # write that table

A trial is run by a process of its own settings: torch, oneDNN, MKL, NumPy and the engine are all
held to instructions that every x86-64 with AVX2 has, so that one table holds on all of them. On
other processors numbers are compared to 1e-6.

A table belongs to a version of the harness, ``seqbench.identity.PROTOCOL``. Where numbers move, a
result of before cannot be compared with one of after: either the change is a mistake, or PROTOCOL
is raised and a new table is written, which is refused without.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parent / "tables"
ELSEWHERE = 1e-6
"""How far a number may be from the table's on a processor without AVX2, relative to it."""

PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # MKL's other branches are promised on Intel's processors only
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "OPENBLAS_CORETYPE": "Haswell",
    "SEQBENCH_INSTRUCTIONS": "avx2",
    "OMP_NUM_THREADS": "1",
    "SEQBENCH_DISABLE_PLUGINS": "*",
}
"""The environment in which golden trials run."""

SHORT: dict[str, Any] = {
    "tracking": "none",
    "trainer.progress": False,
    "recipe.max_epochs": 2,
    "recipe.max_examples": 24,
}
TASKS = (
    "anomaly/holidays",
    "anomaly/watch",
    "data/anomaly",
    "data/classify",
    "data/forecast",
    "data/label",
    "data/regress",
    "health/nafld",
    "health/pbc",
    "music",
    "music/harmonize",
    "speech",
    "speech/japanese_vowels",
)
MODELS = (
    *("attention_lstm", "bilstm", "cifg", "fgr", "gru", "grud", "layernorm_lstm", "nfg"),
    *("niaf", "nig", "noaf", "nog", "np", "peephole", "rnn"),
)
BACKENDS = {
    "reference": ("lstm", "gru", "peephole"),
    "native": ("lstm", "gru", "rnn"),
    "cuda": ("lstm", "peephole"),
}
"""What runs the recurrence beside the engine for the CPU, and what it is tried with; the code for
CUDA runs on CPU tensors too."""


def trials() -> dict[str, dict[str, object]]:
    """Return every golden trial by its name: what it overrides."""
    found: dict[str, dict[str, object]] = {}

    def add(**changes: object) -> None:
        name = " ".join(f"{key}={value}" for key, value in changes.items())
        found[name] = changes

    for task in TASKS:
        add(task=task, model="lstm")
    for task in ("music/harmonize", "anomaly/watch", "health/pbc", "speech/japanese_vowels"):
        add(task=task, model="bilstm")
        add(task=task, model="attention_lstm")
    few = {"recipe.max_examples": 8}
    for model in MODELS:
        add(task="music", model=model, **few)
    add(task="health/pbc", model="grud")
    for backend, models in BACKENDS.items():
        for model in models:
            add(task="music", model=model, **{"model.backend": backend}, **few)
    two_layers = {"model.num_layers": 2, "recipe.dropout": 0.3}
    add(task="music", model="lstm", **two_layers)
    add(task="music", model="bilstm", **two_layers)
    add(task="speech/japanese_vowels", model="bilstm", seed=7, **two_layers)
    add(task="music", model="lstm", recipe="sgd", **{"recipe.schedule": "cosine"})
    add(task="music", model="lstm", **{"recipe.schedule": "plateau", "recipe.patience": 3})
    return found


def run() -> Iterator[tuple[str, dict[str, Any]]]:
    """Run every golden trial here; yield its name and its numbers."""
    import seqbench

    for name, changes in trials().items():
        record = seqbench.run(**(SHORT | changes)).record
        gc.collect()  # each trial begins with this, and searches all that is not frozen
        gc.freeze()
        history = [
            {key: value for key, value in epoch.items() if key != "seconds"}
            for epoch in record.history
        ]
        intervals = {key: list(pair) for key, pair in record.intervals.items()}
        yield (
            name,
            {
                "metrics": record.metrics,
                "history": history,
                "intervals": intervals,
                "best_epochs": record.best_epochs,
                "steps": record.steps,
                "parameters": record.parameters,
                "backend": record.backend,
                "bootstrap_scores": sum(record.bootstrap_scores),
            },
        )


def measure() -> dict[str, dict[str, Any]]:
    """Run every golden trial in a process that is held to common instructions."""
    found: dict[str, dict[str, Any]] = {}
    names = list(trials())
    with subprocess.Popen(
        [sys.executable, __file__, "--run"],
        env=os.environ | PINNED,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            name, numbers = json.loads(line)
            found[name] = numbers
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[K{len(found)}/{len(names)} {name}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if process.returncode:
        raise SystemExit(f"golden trials ended with exit code {process.returncode}")
    return found


def is_exact() -> bool:
    """Return whether this processor must find the table's very bits."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    import torch

    return "AVX" in torch.backends.cpu.get_cpu_capability()  # AVX2 or AVX512


def table_path() -> Path:
    """Return where the table of the installed torch is, whether or not there is one."""
    return TABLES / f"torch-{'.'.join(version('torch').split('.')[:2])}.json"


def differences(
    expected: Mapping[str, Any], found: Mapping[str, Any], exact: bool
) -> dict[str, list[str]]:
    """Return by trial what is not as the table has it; a trial that the table lacks is one."""
    wrong = {}
    for name in sorted({*expected, *found}):
        if name not in expected or name not in found:
            wrong[name] = ["is not in the table" if name not in expected else "was not run"]
        elif lines := list(_unlike(expected[name], found[name], "", exact)):
            wrong[name] = lines
    return wrong


def _unlike(expected: Any, found: Any, where: str, exact: bool) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            yield from _unlike(expected.get(key), found.get(key), f"{where}.{key}", exact)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from _unlike(*pair, f"{where}[{index}]", exact)
    elif not _same(expected, found, exact):
        yield f"{where.removeprefix('.')}: {found!r}, and the table has {expected!r}"


def _same(expected: Any, found: Any, exact: bool) -> bool:
    if not isinstance(expected, float) or not isinstance(found, float):
        return bool(expected == found)
    if math.isnan(expected):
        return math.isnan(found)
    return expected == found if exact else math.isclose(expected, found, rel_tol=ELSEWHERE)


def compare(found: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return what is wrong, a line each, and which table it was compared with, and how."""
    from seqbench.identity import PROTOCOL

    path = table_path()
    if not path.is_file():
        return [f"there is no {path.name}: write it with `make golden WRITE=1`"], path.name
    table = json.loads(path.read_text(encoding="utf-8"))
    exact = is_exact()
    how = f"{path.name}, {'every bit' if exact else f'to {ELSEWHERE:g}: no AVX2 here'}"
    if table["protocol"] != PROTOCOL:
        other = f"{path.name} is of protocol {table['protocol']}, and this is {PROTOCOL}"
        return [f"{other}: write a new one with `make golden WRITE=1`"], how
    wrong = differences(table["trials"], found, exact)
    lines = [f"{name}: {text}" for name, texts in wrong.items() for text in texts[:2]]
    if lines:
        lines.append(
            f"Numbers of {len(wrong)} trials moved. If no result was to change, this is a bug. If "
            "one was, results of before cannot stand beside results of after: raise PROTOCOL, say "
            "why beside it, and `make golden WRITE=1`."
        )
    return lines, how


def write(found: Mapping[str, Any]) -> str:
    """Write the table of the installed torch, unless numbers moved and PROTOCOL did not."""
    from seqbench.identity import PROTOCOL

    path = table_path()
    if path.is_file():
        table = json.loads(path.read_text(encoding="utf-8"))
        common = {name: table["trials"][name] for name in found if name in table["trials"]}
        kept = {name: found[name] for name in common}
        if table["protocol"] == PROTOCOL and (wrong := differences(common, kept, is_exact())):
            raise SystemExit(
                f"numbers moved ({', '.join(wrong)}) and PROTOCOL is still {PROTOCOL}: raise it "
                "first, or mend the change"
            )
    content = {"protocol": PROTOCOL, "torch": version("torch"), "trials": dict(found)}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path.name


def main(words: list[str]) -> int:
    """Compare, or write; the exit code is 1 where something is not as it was."""
    if words == ["--run"]:
        for item in run():
            print(json.dumps(item), flush=True)
        return 0
    found = measure()
    if words == ["--write"]:
        print(f"wrote {write(found)}: {len(found)} trials")
        return 0
    wrong, how = compare(found)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(found)} golden trials, compared with {how}: {'not ' if wrong else ''}the same")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
