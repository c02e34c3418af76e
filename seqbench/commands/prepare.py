"""`seqbench prepare task=NAME`: fetch, check and cache data, so that later uses are offline."""

from __future__ import annotations

import sys

from seqbench.commands import read
from seqbench.errors import EXIT_DONE


def command(args: list[str]) -> int:
    """Prepare a task; returns the exit code."""
    given = read("prepare", args)
    from seqbench.config.composition import compose, settings
    from seqbench.records import left_out_lines
    from seqbench.trials.trial import load

    trial = load(settings(compose([f"task={given.text('task')}", *given.overrides])))
    from seqbench.training.predictor import sights  # only now, as it loads torch

    folds = trial.data()
    write = sys.stdout.write
    write(f"{trial.settings.called}, data {trial.task.fingerprint()}\n")
    for line in left_out_lines(trial.left_out, whole=True):
        write(f"  left out {line}\n")
    for data in folds:
        if len(folds) > 1:
            write(f"  fold {trial.names[data.fold].fold or data.fold}\n")
        for name in ("train", "valid", "test"):
            examples = getattr(data.splits, name)
            steps = sum(len(example.values) for example in examples)
            write(f"  {name:5}  {len(examples):,} sequences, {steps:,} steps\n")
    metric = trial.task.primary
    found = {
        name: scores.compute()[metric.name]
        for sight in sights(trial.task.visibility)
        for name, scores in trial.baselines(folds, sight).items()
    }
    for name, value in found.items():
        write(f"  baseline {name}: {metric.name} {value:.4g} {metric.unit}".rstrip() + "\n")
    return EXIT_DONE
