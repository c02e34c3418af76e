"""`seqbench prepare task=NAME`: fetch, check and cache data, so that later uses are offline."""

from __future__ import annotations

import sys

from seqbench.errors import EXIT_DONE, Refused


def command(args: list[str]) -> int:
    """Prepare a task; returns the exit code."""
    for arg in args:
        if not arg.startswith(("task=", "task.", "+task.")):
            raise Refused(f"seqbench prepare: '{arg}' is not task=NAME or task.<parameter>=VALUE")
    from seqbench.commands.run import load
    from seqbench.config import compose, settings

    trial = load(settings(compose(args)))
    splits = trial.data().splits
    write = sys.stdout.write
    write(f"task={trial.settings.task}, data {trial.task.fingerprint()}\n")
    for name, examples in (
        ("train", splits.train),
        ("valid", splits.valid),
        ("test", splits.test),
    ):
        steps = sum(len(example.values) for example in examples)
        write(f"  {name:5}  {len(examples):,} sequences, {steps:,} steps\n")
    metric = trial.task.primary
    for name, scores in trial.task.baselines(splits).items():
        write(f"  baseline {name}: {metric.name} {scores[metric.name]:.4g} {metric.unit}\n")
    return EXIT_DONE
