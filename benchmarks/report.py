"""What `seqbench report` costs by the number of trials: seconds, memory, and the page's size.

``python benchmarks/report.py [TRIALS ...]`` trains one trial for a second, writes stores with so
many copies of it (1,000, 3,000 and 10,000 unless it is told otherwise), each with a score, a curve
and bootstrap scores of its own: six models, ten seeds that were planned, and as many conditions as
that takes. Then it runs the report of each from a cold start, and prints a table; the cost is to
grow linearly.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

MODELS = ("rnn", "lstm", "peephole", "gru", "bilstm", "attention_lstm")
SEEDS = 10
SIZES = (1_000, 3_000, 10_000)
EPOCHS = 60
GROUPS = 75
_SEQBENCH = (sys.executable, "-m", "seqbench")


def template(folder: Path) -> Path:
    """Train a trial, and return its store's folder."""
    subprocess.run(
        [*_SEQBENCH, "task=music", "experiment=smoke", "trainer.progress=false"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder / "seqbench-runs"


def fill(store: Path, trials: int) -> None:
    """Make of the one run in a store as many as are wanted."""
    generator = np.random.default_rng(0)
    with closing(sqlite3.connect(store / "mlflow.db")) as connection:
        run = connection.execute("SELECT * FROM runs").fetchone()
        names = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        tags = dict(connection.execute("SELECT key, value FROM tags").fetchall())
        known = dict(zip(names, run, strict=True))
        source = store / "artifacts" / known["run_uuid"] / "artifacts"
        record = json.loads((source / "record.json").read_text(encoding="utf-8"))
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        for number in track(range(trials), f"{trials:,} trials", transient=True):
            rest, seed = divmod(number, SEEDS)
            conditions, model = divmod(rest, len(MODELS))
            run_id = uuid.uuid4().hex
            folder = store / "artifacts" / run_id / "artifacts"
            folder.mkdir(parents=True)
            score = 8.5 + 0.05 * model + generator.normal(0, 0.03)
            found = changed(record, MODELS[model], seed, score, generator)
            (folder / "record.json").write_text(json.dumps({**found, "run_id": run_id}))
            task = {**config["task"], "split_seed": conditions}
            own = {**config["model"], "name": MODELS[model]}
            (folder / "config.json").write_text(
                json.dumps({**config, "task": task, "model": own, "seed": seed})
            )
            row = {**known, "run_uuid": run_id, "artifact_uri": str(folder)}
            marks = ", ".join("?" * len(names))
            connection.execute(f"INSERT INTO runs VALUES ({marks})", [row[name] for name in names])
            own_tags = {
                **tags,
                "seqbench.model": MODELS[model],
                "seqbench.seed": str(seed),
                "seqbench.key": f"{number:016x}",
                "seqbench.configuration": f"{number:016x}",
                "seqbench.plan": json.dumps({"seeds": list(range(SEEDS)), "looks": [SEEDS]}),
            }
            connection.executemany(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
                [(key, value, run_id) for key, value in own_tags.items()],
            )
            metrics = [(f"test/{key}", score) for key in ("nll", "frame_accuracy")]
            connection.executemany(
                "INSERT INTO latest_metrics VALUES (?, ?, 0, 0, 0, ?)",
                [(key, value, run_id) for key, value in metrics],
            )
        connection.execute(
            "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", [known["run_uuid"]]
        )
        connection.commit()


def changed(
    record: dict[str, Any], model: str, seed: int, score: float, generator: np.random.Generator
) -> dict[str, Any]:
    """Return a record as another model and seed would leave it."""
    values = score + 2 / np.arange(1, EPOCHS + 1)
    return {
        **record,
        "model": model,
        "seed": seed,
        "max_examples": None,
        "audit": "passed",
        "group_sizes": [1.0] * GROUPS,
        "metrics": {**record["metrics"], "test/nll": score, "valid/nll": score + 0.1},
        "bootstrap_scores": (score + generator.normal(0, 0.1, 1000)).round(6).tolist(),
        "history": [
            {"train/loss": value, "valid/nll": value, "seconds": 0.4 * epoch}
            for epoch, value in enumerate(values.tolist(), start=1)
        ],
        "steps": 20 * EPOCHS,
        "epochs": EPOCHS,
    }


def cost(folder: Path) -> tuple[float, float]:
    """Return seconds and peak GiB of a report, from a cold start."""
    began = time.perf_counter()
    process = subprocess.Popen([*_SEQBENCH, "report"], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"seqbench report ended with exit code {process.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trials", nargs="*", type=int, default=SIZES, help="of each store")
    sizes = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = template(folder)
        print(f"{'trials':>7} {'seconds':>8} {'ms a trial':>11} {'peak GiB':>9} {'page MB':>8}")
        for size in sizes:
            place = folder / str(size)
            shutil.copytree(first, place / "seqbench-runs")
            fill(place / "seqbench-runs", size)
            seconds, peak = cost(place)
            page = (place / "seqbench-report" / "report.html").stat().st_size / 1e6
            each = 1000 * seconds / size
            print(f"{size:7,} {seconds:8.1f} {each:11.1f} {peak:9.2f} {page:8.2f}", flush=True)
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
