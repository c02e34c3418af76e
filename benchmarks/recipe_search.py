"""Search a recipe on validation, the same grid for every model, and keep the record.

Used once to fill `conf/tuned/`; the record of what it found is in `docs/recipes.md`. The test split
is never opened here. `seqbench tune tune.save=NAME` makes recipes of each model::

    python benchmarks/recipe_search.py docs/recipes/music.csv task=music \
        model=lstm,gru recipe.lr=1e-3,3e-3 model.dropout=0.2,0.5

Each trial appends one line, and trials that the file already holds are skipped.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from seqbench.config.composition import compose, settings
from seqbench.errors import SeqbenchError
from seqbench.training.fit import fit
from seqbench.trials.trial import load


def main(record: Path, arguments: list[str]) -> None:
    """Run the grid that the arguments span, and append to the record."""
    done = set()
    if record.exists():
        with record.open(newline="") as lines:
            done = {row["overrides"] for row in csv.DictReader(lines)}
    axes = [
        [f"{name}={value}" for value in values.split(",")]
        for name, _, values in (argument.partition("=") for argument in arguments)
    ]
    record.parent.mkdir(parents=True, exist_ok=True)
    for overrides in itertools.product(*axes):
        name = " ".join(overrides)
        if name in done:
            continue
        began = time.perf_counter()
        try:
            monitor, best, epochs, parameters = search_trial(list(overrides))
        except SeqbenchError as error:
            monitor, best, epochs, parameters = float("nan"), "", -1, -1
            print(f"{name}: {error}", file=sys.stderr)
        seconds = time.perf_counter() - began
        is_new = not record.exists()
        with record.open("a", newline="") as lines:
            writer = csv.writer(lines)
            if is_new:
                writer.writerow(["overrides", "valid", "best_epoch", "epochs", "parameters"])
            writer.writerow([name, f"{monitor:.4f}", best, epochs, parameters])
        print(f"{monitor:8.4f}  {epochs:3d} epochs  {seconds:5.0f} s  {name}", flush=True)


def search_trial(overrides: list[str]) -> tuple[float, str, int, int]:
    """Train one trial; return its best validation monitor, best epochs, epochs and parameters.

    Over several folds the monitor is their mean, best epochs stand one for each, and epochs are
    added up.
    """
    composed = compose([*overrides, "trainer.threads=1", "trainer.progress=false"])
    trial = load(replace(settings(composed), candidate=True))
    monitor = f"valid/{trial.task.monitor.name}"
    values, best_epochs, epochs = [], [], 0
    for data in trial.data():
        predictor = trial.predictor(data)
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(trial.training(data, predictor, Path(folder, "best.ckpt")))
        values.append(fitted.history[fitted.best_epoch][monitor])
        best_epochs.append(str(fitted.best_epoch))
        epochs += len(fitted.history)
    return statistics.fmean(values), " ".join(best_epochs), epochs, predictor.parameter_count


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
